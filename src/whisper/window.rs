//! One window of mel columns to text: encoded, decoded, doubted, and decoded again.
//!
//! [`WindowReader`] owns the buffers of the encoder and the decoder of one stream; whoever has it
//! decides which columns make a window and what becomes of its text.

use std::collections::BTreeSet;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::dsp;
use crate::event::Word;
use crate::kernels::Exec;
use crate::text::language_from;

use super::align::Aligner;
use super::decode::{Hypothesis, Start, WindowDecoder, argmax};
use super::decoder::{Cross, DecoderState};
use super::draft::Given;
use super::encoder::{EncoderState, KeepKeys, Stage};
use super::loud;
use super::rules::Rules;
use super::segments::{self, Span};
use super::{Model, Options, Task, Timestamps, WhisperError, Window, WordTimes};

/// Mel columns of a second.
pub(super) const COLUMNS_PER_SECOND: usize = 100;
/// Silent columns really encoded behind a short window.
pub(super) const TAIL_COLUMNS: usize = 100;
/// A window that ended early is taken up again only if it has moved on by this much, and if at
/// least this much of the rest is loud: so many columns, and one in so many.
const MIN_ADVANCE_COLUMNS: usize = 50;
const MIN_LOUD_COLUMNS: usize = 100;
const MAX_REST_PER_LOUD: usize = 3;
/// Text with fewer tokens than one in this many loud columns, over at least this much speech, is
/// doubted: speakers make three to five a second.
const MAX_COLUMNS_PER_TOKEN: usize = 75;
const MIN_SPARSE_COLUMNS: usize = 200;
/// Log-mel power of digital silence: log10 of the floor 1e-10.
const SILENT_COLUMN: f32 = -10.0;
/// No microphone is this quiet: dither of the last of 16 bits lies above it.
const MUTE_COLUMN: f32 = -8.5;

/// Frames are kept in so many at a time.
const KEPT_FRAMES: usize = 8;
/// Powers of ten by which a window may grow louder before all of it is encoded anew: what lies
/// 8 below the loudest value is cut off.
const MAX_LOUDER: f32 = 0.5;

/// What transcribing has taken so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Windows encoded.
    pub windows: usize,
    /// Tokens decoded, those of rejected tries included.
    pub tokens: usize,
    /// Milliseconds of the mel spectrogram.
    pub mel_ms: f64,
    /// Milliseconds of the encoder and the keys and values it leaves for the decoder.
    pub encode_ms: f64,
    /// Milliseconds of the decoder.
    pub decode_ms: f64,
}

/// The raw mel columns of a window.
#[derive(Clone, Copy)]
pub(super) struct Columns<'a> {
    /// From the window's first column on, `[columns][n_mels]`; beyond the window, too, where more
    /// has been heard.
    pub(super) values: &'a [f32],
    /// How many columns the window has.
    pub(super) n: usize,
}

/// Reads the windows of one stream; owns every buffer that takes.
pub(super) struct WindowReader {
    pub(super) model: Arc<Model>,
    pub(super) options: Options,
    /// The tokens of the languages that may be spoken; none for all, and for English-only models.
    languages: Vec<u32>,
    /// The language's token; none before it is known, and for English-only models.
    pub(super) language: Option<u32>,
    /// Loudest column value of the windows so far.
    loudest: f32,
    /// The window before ended early, and this one takes up its rest.
    resumed: bool,
    /// Chance is not tried: there will be a better time for it.
    pub(super) is_hasty: bool,
    normalised: Vec<f32>,
    encoder: EncoderState,
    /// Frames of the present window that are encoded, with the loudest value they were scaled by.
    kept: (usize, f32),
    pub(super) cross: Cross,
    pub(super) decoder: WindowDecoder,
    aligner: Option<Aligner>,
    /// Segments of the last window that was split.
    pub(super) spans: Vec<Span>,
    pub(super) prompt: Vec<u32>,
    pub(super) abort: Arc<AtomicBool>,
    pub(super) stats: Stats,
}

impl WindowReader {
    /// Sets the buffers up.
    ///
    /// # Errors
    /// If the language is unknown, or is not one the model knows.
    pub(super) fn new(
        model: Arc<Model>,
        options: Options,
        keep: KeepKeys,
    ) -> Result<Self, WhisperError> {
        let languages = language_tokens(&model, &options)?;
        // Now rather than inside the pool, where waiting for it could wait for itself.
        model.silence();
        let dims = model.dims();
        let rules = Rules::new(model.tokenizer(), options.timestamps);
        let aligner = (options.words == WordTimes::On).then(|| Aligner::new(&model));
        Ok(WindowReader {
            language: only(&languages),
            languages,
            loudest: f32::NEG_INFINITY,
            resumed: false,
            is_hasty: false,
            normalised: vec![0.0; 2 * dims.n_audio_ctx * dims.n_mels],
            encoder: model.encoder().state_that_keeps(keep),
            kept: (0, 0.0),
            cross: model.decoder().new_cross(),
            decoder: WindowDecoder::new(&model, rules, options.beam),
            aligner,
            spans: Vec::new(),
            prompt: Vec::new(),
            abort: Arc::default(),
            stats: Stats::default(),
            model,
            options,
        })
    }

    /// The code of the language, given or detected; none before the first window.
    pub(super) fn language(&self) -> Option<&'static str> {
        if !self.model.tokenizer().is_multilingual() {
            return Some("en");
        }
        self.language
            .and_then(|token| self.model.tokenizer().language_code(token))
    }

    /// Another stream begins. A language that was detected is detected again.
    pub(super) fn reset(&mut self) {
        self.loudest = f32::NEG_INFINITY;
        self.resumed = false;
        self.forget_window();
        self.forget_language();
    }

    /// The next columns are those of another window.
    pub(super) fn forget_window(&mut self) {
        self.kept.0 = 0;
        self.decoder.state.truncate(0);
    }

    /// The next window is no rest of another one.
    pub(super) fn resume_nothing(&mut self) {
        self.resumed = false;
    }

    /// A language that was detected is detected again.
    pub(super) fn forget_language(&mut self) {
        self.language = only(&self.languages);
    }

    /// Columns of 30 s.
    pub(super) fn window_columns(&self) -> usize {
        2 * self.model.dims().n_audio_ctx
    }

    /// The text of the window.
    ///
    /// In a short window, text that is not believed is decoded once more with full padding before
    /// chance is tried: what went wrong may be the cached silence. Text that says little for much
    /// speech is decoded once more with the other padding, whichever that is; and text that says
    /// little replaces none but a loop.
    pub(super) fn text(
        &mut self,
        exec: &Exec,
        window: Columns<'_>,
        given: Given<'_>,
    ) -> Hypothesis {
        if self.is_mute(window) {
            return Hypothesis::default();
        }
        if self.encode_whole(exec, window).is_break() {
            return Hypothesis::default();
        }
        self.detect_language(exec);
        let n_temperatures = match self.resumed || self.is_hasty {
            true => 1,
            false => self.options.thresholds.temperatures.len(),
        };
        if window.n + TAIL_COLUMNS >= self.window_columns() {
            return self.decode(n_temperatures, given);
        }
        let (other, n_first) = match self.options.window {
            Window::Short => (Window::Full, n_temperatures.min(1)),
            Window::Full => (Window::Short, n_temperatures),
        };
        let text = self.decode(n_first, given);
        let thresholds = &self.options.thresholds;
        let doubted = other == Window::Full && thresholds.needs_retry(&text);
        let sparse = !thresholds.is_silence(&text) && self.is_sparse(&text, window);
        if self.abort.load(Ordering::Relaxed) || !(doubted || sparse) {
            return text;
        }
        log::debug!(
            "once more, {other:?} padding: {} tokens, log-probability {:.2}, compression {:.2}",
            self.n_spoken(&text),
            text.avg_logprob,
            text.compression_ratio
        );
        let n_encoded = self.n_encoded(window, other);
        if self.encode(exec, window, (n_encoded, 0)).is_break() {
            return text;
        }
        let second = self.decode(if doubted { n_temperatures } else { 1 }, given);
        let thresholds = &self.options.thresholds;
        let fails = thresholds.needs_retry(&second) || thresholds.is_silence(&second);
        let says_little = self.is_sparse(&second, window) && !thresholds.repeats(&text);
        // Of two that say little, one that ends early leaves the rest to be taken up.
        let ends_early = |text| self.cut_short_at(text, window, window.n).is_some();
        let leaves_more = sparse && !fails && ends_early(&second) && !ends_early(&text);
        if (says_little && !leaves_more) || (fails && !doubted) {
            return text;
        }
        second
    }

    /// Whether the window holds nothing at all, as a muted microphone gives: the model would find
    /// words even there.
    pub(super) fn is_mute(&self, window: Columns<'_>) -> bool {
        let n = (window.n * self.model.dims().n_mels).min(window.values.len());
        window.values[..n].iter().all(|x| *x < MUTE_COLUMN)
    }

    /// Whether a text is too short for the speech in the window; where noise hides the speech, for
    /// the window.
    pub(super) fn is_sparse(&self, text: &Hypothesis, window: Columns<'_>) -> bool {
        let n_mels = self.model.dims().n_mels;
        let n_values = (window.n * n_mels).min(window.values.len());
        let n_loud = match loud::is_masked(&window.values[..n_values], n_mels) {
            true => window.n,
            false => self.n_loud_columns(0..window.n, window),
        };
        n_loud >= MIN_SPARSE_COLUMNS && self.n_spoken(text) * MAX_COLUMNS_PER_TOKEN < n_loud
    }

    /// Tokens of a text without timestamps.
    fn n_spoken(&self, text: &Hypothesis) -> usize {
        let eot = self.model.tokenizer().special().eot;
        text.tokens.iter().filter(|t| **t < eot).count()
    }

    /// Columns of a stretch of the window that are loud enough to be speech.
    pub(super) fn n_loud_columns(&self, stretch: Range<usize>, window: Columns<'_>) -> usize {
        let n_mels = self.model.dims().n_mels;
        let n = (window.n * n_mels).min(window.values.len());
        loud::n_loud(&window.values[..n], n_mels, stretch)
    }

    /// Columns that are encoded for a window.
    fn n_encoded(&self, window: Columns<'_>, width: Window) -> usize {
        match width {
            Window::Full => self.window_columns(),
            Window::Short => (window.n + TAIL_COLUMNS)
                .next_multiple_of(2)
                .min(self.window_columns()),
        }
    }

    /// Encodes `n_encoded` columns, an even number: the window, and silence behind it; and computes
    /// the decoder's keys and values of it. The first `n_kept` frames stay as they are. Broken off
    /// when all is to end.
    fn encode(
        &mut self,
        exec: &Exec,
        window: Columns<'_>,
        (n_encoded, n_kept): (usize, usize),
    ) -> ControlFlow<()> {
        let start = Instant::now();
        let n_mels = self.model.dims().n_mels;
        let mel = &mut self.normalised[..n_encoded * n_mels];
        let n_real = window.values.len().min(mel.len());
        // Of what the window sees only: how much more has been pushed already must not matter.
        let max = |max: f32, x: &f32| max.max(*x);
        self.loudest = window.values[..n_real].iter().fold(self.loudest, max);
        dsp::normalise(&window.values[..n_real], self.loudest, &mut mel[..n_real]);
        let floor = (SILENT_COLUMN.max(self.loudest - 8.0) + 4.0) / 4.0;
        mel[n_real..].fill(floor);
        let whole = n_encoded == 2 * self.model.dims().n_audio_ctx;
        let silence = (!whole).then(|| self.model.silence());
        let abort = &self.abort;
        let mut go_on = |_: Stage<'_>| match abort.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let encoder = self.model.encoder();
        let (mel, state) = ((&*mel, n_kept), &mut self.encoder);
        let encoded = encoder.forward_from(exec, mel, silence, state, &mut go_on);
        self.kept = (0, self.loudest);
        if encoded.is_continue() {
            let (decoder, frames) = (self.model.decoder(), self.encoder.output());
            decoder.cross_from(exec, frames, n_kept, silence, &mut self.cross);
            // The last frames of a window that goes on have seen what is not there.
            self.kept.0 = (window.n / 2).min(n_encoded / 2).saturating_sub(1);
        }
        self.stats.windows += 1;
        self.stats.encode_ms += ms_since(start);
        encoded
    }

    /// Encodes a window that is heard to its end.
    pub(super) fn encode_whole(&mut self, exec: &Exec, window: Columns<'_>) -> ControlFlow<()> {
        let n_encoded = self.n_encoded(window, self.options.window);
        self.encode(exec, window, (n_encoded, 0))
    }

    /// Encodes a window whose audio goes on, with cached silence at once behind it; of what is
    /// encoded already, the last `n_again` frames, or all when there are none given.
    pub(super) fn encode_step(
        &mut self,
        exec: &Exec,
        window: Columns<'_>,
        n_again: Option<usize>,
    ) -> ControlFlow<()> {
        let n_encoded = match self.options.window {
            Window::Full => return self.encode(exec, window, (self.window_columns(), 0)),
            Window::Short => window.n,
        };
        let (n_kept, loudest) = self.kept;
        let max = |max: f32, x: &f32| max.max(*x);
        let louder = window.values.iter().fold(self.loudest, max) - loudest;
        let n_kept = match n_again {
            Some(n_again) if louder <= MAX_LOUDER => {
                (window.n / 2).saturating_sub(n_again).min(n_kept) / KEPT_FRAMES * KEPT_FRAMES
            }
            _ => 0,
        };
        self.encode(exec, window, (n_encoded, n_kept))
    }

    /// The likeliest language after the start of transcript, if it is not known yet.
    pub(super) fn detect_language(&mut self, exec: &Exec) {
        if self.language.is_some() || !self.model.tokenizer().is_multilingual() {
            return;
        }
        let special = self.model.tokenizer().special();
        let first = special.language_begin as usize;
        let state = &mut self.decoder.state;
        state.truncate(0);
        let logits = self
            .model
            .decoder()
            .forward(exec, &[special.sot], &self.cross, state, 1);
        self.language = if self.languages.is_empty() {
            let best = argmax(&logits[first..first + special.n_languages as usize]);
            Some((first + best) as u32)
        } else {
            let logit = |token: &u32| logits[*token as usize];
            let languages = self.languages.iter().copied();
            languages.max_by(|a, b| logit(a).total_cmp(&logit(b)))
        };
    }

    /// Decodes the encoded window at the first `n_temperatures`.
    fn decode(&mut self, n_temperatures: usize, given: Given<'_>) -> Hypothesis {
        let start = Instant::now();
        let n_before_sot = self.build_prompt();
        let start_of_text = Start {
            model: &self.model,
            cross: &self.cross,
            prompt: &self.prompt,
            n_before_sot,
            given,
        };
        let thresholds = &self.options.thresholds;
        let thresholds = (thresholds, &thresholds.temperatures[..n_temperatures]);
        let n_before = self.decoder.n_sampled();
        let text = self
            .decoder
            .decode(&start_of_text, thresholds, &self.abort)
            .clone();
        self.stats.tokens += self.decoder.n_sampled() - n_before;
        self.stats.decode_ms += ms_since(start);
        text
    }

    /// Divides the text of a window into `self.spans`, unless the window is silent, and says how
    /// many columns to advance.
    pub(super) fn split(
        &mut self,
        text: Hypothesis,
        window: Columns<'_>,
    ) -> (Option<Hypothesis>, usize) {
        let n_columns = window.n;
        let resumed = std::mem::take(&mut self.resumed);
        let thresholds = &self.options.thresholds;
        let silent = thresholds.is_silence(&text);
        if silent || (resumed && thresholds.needs_retry(&text)) {
            return (None, n_columns);
        }
        let begin = self.model.tokenizer().special().timestamp_begin;
        let duration_s = n_columns as f64 / COLUMNS_PER_SECOND as f64;
        let next_s = segments::split(&text.tokens, begin, duration_s, &mut self.spans);
        let next = (next_s * COLUMNS_PER_SECOND as f64).round() as usize;
        // A window that would not move on is over, and none begins beyond the audio.
        let advance = if next == 0 {
            n_columns
        } else {
            next.min(n_columns)
        };
        if let Some(end) = self.cut_short_at(&text, window, advance) {
            self.resumed = true;
            return (Some(text), end);
        }
        (Some(text), advance)
    }

    /// Where a text ends although much is still said (after a chapter's title, say): there it is
    /// taken up again, instead of passing over the rest of the window.
    fn cut_short_at(
        &self,
        text: &Hypothesis,
        window: Columns<'_>,
        advance: usize,
    ) -> Option<usize> {
        let n_columns = window.n;
        let begin = self.model.tokenizer().special().timestamp_begin;
        let last = text.tokens.last().filter(|t| **t > begin)?;
        let end = 2 * (last - begin) as usize;
        let may_resume = advance >= n_columns && (MIN_ADVANCE_COLUMNS..n_columns).contains(&end);
        if !may_resume || text.no_speech_prob > self.options.thresholds.no_speech {
            return None;
        }
        let n_loud = self.n_loud_columns(end..n_columns, window);
        let much = n_loud >= MIN_LOUD_COLUMNS && n_loud * MAX_REST_PER_LOUD >= n_columns - end;
        much.then_some(end)
    }

    /// Earlier text, start of transcript, language and task; returns the length of the first part.
    pub(super) fn build_prompt(&mut self) -> usize {
        let tokenizer = self.model.tokenizer();
        let special = tokenizer.special();
        self.prompt.clear();
        if !self.options.prompt.is_empty() {
            let text = tokenizer.encode(&format!(" {}", self.options.prompt.trim()));
            let most = self.model.dims().n_text_ctx / 2 - 1;
            self.prompt.push(special.sot_prev);
            self.prompt
                .extend_from_slice(&text[text.len().saturating_sub(most)..]);
        }
        let n_before_sot = self.prompt.len();
        self.prompt.push(special.sot);
        if tokenizer.is_multilingual() {
            self.prompt.extend(self.language);
            self.prompt.push(match self.options.task {
                Task::Transcribe => special.transcribe,
                Task::Translate => special.translate,
            });
        }
        if self.options.timestamps == Timestamps::Off {
            self.prompt.push(special.no_timestamps);
        }
        n_before_sot
    }

    /// What is encoded, with a prompt that asks for text without timestamps, whatever the options say,
    /// and that begins with the tokens `beginning`; and the state to decode it in.
    pub(super) fn plain_start(&mut self, beginning: &[u32]) -> (Start<'_>, &mut DecoderState) {
        let n_before_sot = self.build_prompt();
        if self.options.timestamps == Timestamps::On {
            let special = self.model.tokenizer().special();
            self.prompt.push(special.no_timestamps);
        }
        self.prompt.extend_from_slice(beginning);
        let start = Start {
            model: &self.model,
            cross: &self.cross,
            prompt: &self.prompt,
            n_before_sot,
            given: Given::default(),
        };
        (start, &mut self.decoder.state)
    }

    /// Words of a window, each with the number of text tokens up to its end.
    pub(super) fn words(
        &mut self,
        exec: &Exec,
        text: &Hypothesis,
        n_frames: usize,
        t0: f64,
    ) -> Vec<(usize, Word)> {
        let Some(aligner) = &mut self.aligner else {
            return Vec::new();
        };
        let sot = self.model.tokenizer().special().sot;
        let n_before_sot = self.prompt.iter().position(|t| *t == sot).unwrap_or(0);
        let prefix = &self.prompt[n_before_sot..];
        let audio = (&self.cross, &mut self.decoder.state);
        let mut words = exec.run(|| aligner.align(&self.model, prefix, text, n_frames, audio));
        for (_, word) in &mut words {
            (word.t0.0, word.t1.0) = (word.t0.0 + t0, word.t1.0 + t0);
        }
        words
    }
}

/// The language, if there is only one.
fn only(languages: &[u32]) -> Option<u32> {
    match languages {
        [language] => Some(*language),
        _ => None,
    }
}

/// The tokens of the languages asked for; none to detect one among all, and for English-only models.
fn language_tokens(model: &Model, options: &Options) -> Result<Vec<u32>, WhisperError> {
    let tokenizer = model.tokenizer();
    let english_only = |wanted: &str| WhisperError::EnglishOnly {
        model: model.name().to_owned(),
        wanted: wanted.to_owned(),
    };
    let unknown = |name: &str| WhisperError::UnknownLanguage(name.to_owned());
    let wanted = options.language.as_deref().unwrap_or("auto");
    let codes: Vec<&str> = match wanted.trim().eq_ignore_ascii_case("auto") {
        true => Vec::new(),
        false => (wanted.split(','))
            .map(|name| language_from(name).ok_or_else(|| unknown(name)))
            .collect::<Result<_, _>>()?,
    };
    if tokenizer.is_multilingual() {
        let token = |code: &&str| tokenizer.language_token(code).ok_or_else(|| unknown(code));
        let tokens = codes
            .iter()
            .map(token)
            .collect::<Result<BTreeSet<_>, _>>()?;
        return Ok(tokens.into_iter().collect());
    }
    match codes.first().filter(|_| !codes.contains(&"en")) {
        Some(code) => Err(english_only(&format!("language {code}"))),
        None if options.task == Task::Translate => Err(english_only("translation")),
        None => Ok(Vec::new()),
    }
}

fn ms_since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
