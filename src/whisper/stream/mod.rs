//! The incremental decoder: speech in as it comes, words out that never change.
//!
//! In: the samples of one utterance after the other, and the moments at which a step is due. Out:
//! committed words, the tail that may still change, and at the end the rest. Runs on the caller's
//! thread and the threads of the model; never reads a clock: the same samples and the same steps
//! give the same words. Memory is bounded by a window, whatever the length of the utterance.
//!
//! | file | rule |
//! |---|---|
//! | [`step`] | verify the last hypothesis, go on greedily, stop at the end of the audio |
//! | [`attend`] | where in the audio a token looks |
//! | [`beginning`] | how likely it is that an utterance begins with given words |
//! | [`checks`] | signs that a hypothesis is not about what was said |
//! | [`commit`] | which words are settled |
//! | [`rest`] | in a pause and at the end: the words after the committed ones |
//! | [`trim`] | where the audio is cut when the window grows long |
//! | [`weigh`] | the configured commands in the audio |

mod attend;
mod beginning;
mod checks;
mod commit;
mod rest;
mod settings;
mod step;
mod text;
mod trim;
mod weigh;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use crate::dsp::MelStream;
use crate::event::{Seconds, Word};
use crate::kernels::Exec;

use super::decode::{Hypothesis, Start};
use super::draft::Given;
use super::encoder::KeepKeys;
use super::guided::Guided;
use super::loops::compression_ratio;
use super::transcribe::MIN_COLUMNS;
use super::window::{COLUMNS_PER_SECOND, Columns, Stats, WindowReader};
use super::{Model, Options, WhisperError, WordTimes};

pub use beginning::{Beginning, Phrase};
pub use checks::Trip;
pub use settings::StreamSettings;

use commit::{After, Candidate, Evidence};
use step::{End, Stepper};
use text::Text;
use trim::Placed;

/// Seconds after a cut within which an echo of the last word ends.
const ECHO_S: f64 = 0.25;
/// Words remembered to find echoes.
const MAX_SAID: usize = 5;
/// Committed tokens that each step computes anew, however old they are: to tell where a token looks,
/// it is compared with others. With 16, tiny.en commits its slowest words 0.09 s later; with 32, not.
const N_RECENT: usize = 32;

/// What a step has brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// Words that will not change any more, with times from the utterance's first sample.
    pub words: Vec<Word>,
    /// Words after the committed ones that may still change.
    pub volatile: Vec<Word>,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// It is complete.
    #[default]
    Done,
    /// What was heard is not to be believed; nothing of it is shown.
    Doubted(Trip),
    /// It was told to stop.
    Aborted,
}

/// The rest of an utterance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conclusion {
    /// The words after the committed ones, with times from the utterance's first sample.
    pub words: Vec<Word>,
    /// How many of them are committed now.
    pub n_settled: usize,
    /// The model itself holds them for doubtful.
    pub doubtful: bool,
    /// Whether it was cut short.
    pub aborted: bool,
}

/// Decodes utterances while they are spoken; owns every buffer that takes.
pub struct Stream {
    reader: WindowReader,
    settings: StreamSettings,
    mel: MelStream,
    /// Raw mel columns of the window.
    columns: Vec<f32>,
    /// Columns of the utterance before the window.
    seek: usize,
    text: Text,
    stepper: Stepper,
    /// The last committed words, bare.
    said: Vec<String>,
    /// Where the last committed word ends, in seconds from the utterance's first sample.
    committed_s: f64,
    /// Of the rest that was worked out last: text tokens up to the end of each word of the first
    /// window, and how many are those of the hypothesis before.
    rest_ends: Vec<usize>,
    rest_stable: usize,
    /// Whether the decoder looks at all there was of the utterance.
    is_whole: bool,
    guided: Option<Guided>,
    never: Arc<AtomicBool>,
}

impl Stream {
    /// Sets up a stream; words get times whatever the options say.
    ///
    /// # Errors
    /// If the language is unknown, or is not one the model knows.
    pub fn new(
        model: Arc<Model>,
        mut options: Options,
        settings: StreamSettings,
    ) -> Result<Self, WhisperError> {
        options.words = WordTimes::On;
        let keep = match settings.encode_ms {
            0 => KeepKeys::No,
            _ => KeepKeys::Yes,
        };
        let n_mels = model.dims().n_mels;
        let n_columns = 2 * 2 * model.dims().n_audio_ctx;
        Ok(Stream {
            text: Text::new(&model),
            reader: WindowReader::new(model, options, keep)?,
            mel: MelStream::new(n_mels),
            columns: Vec::with_capacity(n_columns * n_mels),
            seek: 0,
            stepper: Stepper::default(),
            said: Vec::new(),
            committed_s: 0.0,
            rest_ends: Vec::new(),
            rest_stable: 0,
            is_whole: false,
            guided: None,
            never: Arc::default(),
            settings,
        })
    }

    /// The code of the language, given or detected; none before it is known.
    pub fn language(&self) -> Option<&'static str> {
        self.reader.language()
    }

    /// What it has taken since the stream was made.
    pub fn stats(&self) -> Stats {
        let mut stats = self.reader.stats;
        stats.tokens += self.stepper.n_sampled;
        stats
    }

    /// Another utterance begins.
    pub fn reset(&mut self) {
        self.reader.reset();
        self.mel.reset();
        self.columns.clear();
        self.seek = 0;
        self.text.clear();
        self.said.clear();
        self.committed_s = 0.0;
    }

    /// Takes the utterance's next samples.
    pub fn push(&mut self, samples: &[f32]) {
        let start = Instant::now();
        self.mel.push(samples, &mut self.columns);
        self.reader.stats.mel_ms += start.elapsed().as_secs_f64() * 1e3;
    }

    /// Whether a step is due because the window can hold no more.
    pub fn is_full(&self) -> bool {
        let most = self.settings.window_ms as usize * COLUMNS_PER_SECOND / 1000;
        self.n_columns() >= most.min(self.reader.window_columns())
    }

    /// Columns of the window.
    fn n_columns(&self) -> usize {
        self.columns.len() / self.reader.model.dims().n_mels
    }

    /// Decodes what was heard so far; given up when `abort` becomes true.
    pub fn step(&mut self, abort: &Arc<AtomicBool>) -> Step {
        let n_columns = self.n_columns().min(self.reader.window_columns()) & !1;
        if n_columns < MIN_COLUMNS {
            return Step::default();
        }
        self.reader.abort.clone_from(abort);
        let exec = self.reader.model.exec().clone();
        let is_full = self.is_full();
        let (outcome, after) = exec.run(|| self.listen(&exec, n_columns));
        // In a full window two steps need not agree.
        let after = if is_full { After::Word } else { after };
        let mut step = Step {
            outcome,
            ..Step::default()
        };
        if outcome == Outcome::Done {
            (step.words, step.volatile) = self.settle(n_columns, after);
            self.trim();
        }
        if is_full && self.is_full() && outcome != Outcome::Aborted {
            step.words.append(&mut self.give_up_window());
            step.volatile.clear();
        }
        step
    }

    /// How many of the words after the committed ones are settled, of a text of which `n_stable`
    /// tokens are those of the step before, with `heard_s` of audio in the window.
    fn n_settled(&self, words: &[Candidate], after: After, n_stable: usize, heard_s: f64) -> usize {
        let evidence = Evidence {
            after,
            n_stable,
            heard_s,
            has_begun: self.seek > 0 || self.text.n_committed > 0,
        };
        commit::n_settled(words, evidence, &self.settings)
    }

    /// Encodes and decodes the window into `self.stepper`.
    fn listen(&mut self, exec: &Exec, n_columns: usize) -> (Outcome, After) {
        let n_mels = self.reader.model.dims().n_mels;
        let window = Columns {
            values: &self.columns[..n_columns * n_mels],
            n: n_columns,
        };
        if self.reader.is_mute(window) {
            self.stepper.text.tokens.clear();
            self.stepper.text.logprobs.clear();
            return (Outcome::Done, After::Nothing);
        }
        let n_again = match self.settings.encode_ms {
            0 => None,
            ms => Some(frames_of(ms)),
        };
        if self.reader.encode_step(exec, window, n_again).is_break() {
            return (Outcome::Aborted, After::Unknown);
        }
        if self.text.n_committed == 0 && self.seek == 0 {
            self.reader.forget_language();
        }
        self.reader.detect_language(exec);
        let begun = Instant::now();
        let n_before_sot = self.reader.build_prompt();
        let n_held = self.n_held(n_columns);
        let reader = &mut self.reader;
        let start = Start {
            model: &reader.model,
            cross: &reader.cross,
            prompt: &reader.prompt,
            n_before_sot,
            given: Given {
                n_held,
                ..self.text.given(self.settings.verify)
            },
        };
        let decoder = (&reader.decoder.rules, &mut reader.decoder.state);
        let n_frames = n_columns / 2;
        let (settings, abort) = (&self.settings, &reader.abort);
        let end = self.stepper.run(&start, decoder, n_frames, settings, abort);
        reader.stats.decode_ms += begun.elapsed().as_secs_f64() * 1e3;
        let text = &self.stepper.text;
        let begins = self.text.n_committed == 0;
        let logprob = text.spoken_logprob(self.text.eot);
        let end = match end {
            End::Aborted => end,
            _ if self.is_packed() => End::Tripped(Trip::Repeats),
            _ if self.is_noise(text) => End::Tripped(Trip::NoSpeech),
            // What the final will think of it is another matter; nothing is committed yet.
            _ if begins && logprob < self.reader.options.thresholds.logprob => {
                End::Tripped(Trip::Unlikely)
            }
            _ => end,
        };
        match end {
            End::Complete => (Outcome::Done, After::Nothing),
            End::Caught(token) => (Outcome::Done, self.what_begins_with(token)),
            End::Aborted => (Outcome::Aborted, After::Unknown),
            End::Tripped(trip) => {
                log::debug!("a step is not believed: {trip:?}");
                self.text.forget_tail();
                (Outcome::Doubted(trip), After::Unknown)
            }
        }
    }

    /// Tokens of the prompt and the committed text that the decoder holds since an earlier step, and
    /// whose audio has not been encoded anew since.
    fn n_held(&self, n_columns: usize) -> usize {
        if self.settings.encode_ms == 0 {
            return 0;
        }
        let heard_s = n_columns as f64 / COLUMNS_PER_SECOND as f64;
        let before_s = heard_s - f64::from(self.settings.encode_ms) / 1e3;
        match self.text.n_old(before_s, N_RECENT) {
            0 => 0,
            n_old => {
                let prompt = self.reader.prompt.iter();
                let old = &self.text.given(false).forced[..n_old];
                (self.reader.decoder.state).n_held(prompt.chain(old).copied())
            }
        }
    }

    /// Whether the step's text says the same again and again, in phrases longer than those that are
    /// looked for token by token.
    fn is_packed(&self) -> bool {
        let Some(end) = checks::end_to_pack(&self.stepper.spoken) else {
            return false;
        };
        let text = self.reader.model.tokenizer().decode(end);
        compression_ratio(&text) > self.reader.options.thresholds.compression_ratio
    }

    /// Whether a text is about noise; where words are committed, its probability of no speech is 0.
    fn is_noise(&self, text: &Hypothesis) -> bool {
        let spoken = |token: &&u32| **token < self.text.eot;
        let tokens: Vec<u32> = text.tokens.iter().filter(spoken).copied().collect();
        let most = self.reader.options.thresholds.no_speech;
        let most = match checks::is_stock_phrase(&self.reader.model.tokenizer().decode(&tokens)) {
            true => most / 2.0,
            false => most,
        };
        let logprob = text.spoken_logprob(self.text.eot);
        checks::is_noise((text.no_speech_prob, most), logprob, &self.settings)
    }

    /// Whether a token begins a word.
    fn what_begins_with(&self, token: u32) -> After {
        match self.reader.model.tokenizer().token_bytes(token) {
            [b' ', ..] => After::Word,
            _ => After::Unknown,
        }
    }

    /// Takes the hypothesis over and commits what is settled in it.
    fn settle(&mut self, n_columns: usize, after: After) -> (Vec<Word>, Vec<Word>) {
        let reader = &self.reader;
        let eot = self.text.eot;
        let language = reader.language().unwrap_or("en");
        let start = Start {
            model: &reader.model,
            cross: &reader.cross,
            prompt: &reader.prompt,
            n_before_sot: 0,
            given: Given::default(),
        };
        let window_s = self.seek as f64 / COLUMNS_PER_SECOND as f64;
        let from_s = (self.committed_s - window_s).max(0.0);
        let n_forced = self.text.n_committed;
        let mut words = self
            .stepper
            .words(&start, (n_forced, eot), language, from_s);
        let candidates: Vec<Candidate> = words
            .iter()
            .map(|(end_token, word)| Candidate {
                end_token: *end_token,
                t1: word.t1.0,
                p: word.p,
                is_whole: !word.text.contains(char::REPLACEMENT_CHARACTER),
            })
            .collect();
        let n_stable = self.text.replace_tail(&self.stepper.text, n_forced);
        let n_stable = if self.is_full() { usize::MAX } else { n_stable };
        let heard_s = n_columns as f64 / COLUMNS_PER_SECOND as f64;
        let n = self.n_settled(&candidates, after, n_stable, heard_s);
        let open = words.split_off(n);
        let committed = self.commit(words);
        let open = open.into_iter().map(|(_, mut word)| {
            (word.t0.0, word.t1.0) = (word.t0.0 + window_s, word.t1.0 + window_s);
            word
        });
        let mut volatile = Vec::with_capacity(open.len());
        self.append(open, &mut volatile);
        (committed, volatile)
    }

    /// Commits words with times in the window, each with the text tokens up to its end after those
    /// that are committed now.
    fn commit(&mut self, words: Vec<(usize, Word)>) -> Vec<Word> {
        let n_before = self.text.n_committed_spoken();
        // At the beginning of a window that was cut, the last words may be heard once more.
        let is_cut = self.seek > 0 && n_before == 0;
        let n_echoed = match is_cut {
            true => {
                let bare = |(_, word): &(usize, Word)| (commit::bare(&word.text), word.t1.0);
                let new: Vec<_> = words.iter().map(bare).collect();
                commit::n_echoed(&self.said, &new, ECHO_S).len()
            }
            false => 0,
        };
        self.place(words, n_echoed)
    }

    /// Commits words, of which the first `n_echoed` are not told.
    fn place(&mut self, words: Vec<(usize, Word)>, n_echoed: usize) -> Vec<Word> {
        let window_s = self.seek as f64 / COLUMNS_PER_SECOND as f64;
        let n_before = self.text.n_committed_spoken();
        let n_tokens = words.last().map_or(0, |(end, _)| *end);
        let mut committed = Vec::with_capacity(words.len());
        for (i, (end, word)) in words.into_iter().enumerate() {
            self.text.placed.push(Placed {
                end_token: n_before + end,
                t0: word.t0.0,
                t1: word.t1.0,
            });
            if i >= n_echoed {
                committed.push(self.settled_word(word, window_s));
            }
        }
        self.text.commit(n_tokens);
        committed
    }

    /// The word with times of the utterance, after all that were before it.
    fn settled_word(&mut self, mut word: Word, window_s: f64) -> Word {
        word.t0 = Seconds((word.t0.0 + window_s).max(self.committed_s));
        word.t1 = Seconds((word.t1.0 + window_s).max(word.t0.0));
        self.committed_s = word.t1.0;
        if self.said.len() == MAX_SAID {
            self.said.remove(0);
        }
        self.said.push(commit::bare(&word.text));
        word
    }

    /// Cuts a window that has grown long.
    fn trim(&mut self) {
        let most = self.settings.trim_after_ms as usize * COLUMNS_PER_SECOND / 1000;
        if self.n_columns() <= most {
            return;
        }
        let n_mels = self.reader.model.dims().n_mels;
        let columns = (&self.columns[..], n_mels);
        if let Some(cut) = trim::cut(&self.text.placed, columns, &self.settings) {
            self.text.cut(cut, COLUMNS_PER_SECOND);
            self.drop_columns(cut.n_columns);
        }
    }

    fn drop_columns(&mut self, n_columns: usize) {
        let n = n_columns * self.reader.model.dims().n_mels;
        self.columns.drain(..n.min(self.columns.len()));
        self.seek += n_columns;
        self.reader.forget_window();
    }

    /// Nothing could be settled in a full window: all of it is, and the next one begins.
    fn give_up_window(&mut self) -> Vec<Word> {
        let abort = self.never.clone();
        let rest = self.conclude(&abort);
        let mut words = Vec::with_capacity(rest.words.len());
        for word in rest.words {
            words.push(self.settled_word(word, 0.0));
        }
        let n_columns = self.n_columns();
        self.text.clear();
        self.drop_columns(n_columns);
        words
    }

    /// Appends `words`, whose times never run backwards.
    fn append(&self, words: impl IntoIterator<Item = Word>, to: &mut Vec<Word>) {
        for mut word in words {
            let after = to.last().map_or(self.committed_s, |word| word.t1.0);
            word.t0 = Seconds(word.t0.0.max(after));
            word.t1 = Seconds(word.t1.0.max(word.t0.0));
            to.push(word);
        }
    }
}

/// Encoder frames in `ms`.
fn frames_of(ms: u32) -> usize {
    ms as usize / 20
}
