//! A stream of samples to segments: windows of up to 30 s, one after the other.
//!
//! Memory is bounded by one window, whatever the length of the stream. The mel floor follows the
//! loudest column heard so far; for a single window that is the reference's global floor.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::dsp::{self, HOP_SAMPLES, MelStream};
use crate::event::Word;
use crate::kernels::Exec;
use crate::text::language_from;

use super::align::Aligner;
use super::decode::{Hypothesis, Start, WindowDecoder, argmax};
use super::decoder::Cross;
use super::encoder::{EncoderState, Stage};
use super::loud;
use super::rules::Rules;
use super::segments::{self, Span};
use super::{Model, Options, Segment, Task, Timestamps, WhisperError, Window, WordTimes};

/// Mel columns of a second.
const COLUMNS_PER_SECOND: usize = 100;
/// Silent columns really encoded behind a short window.
const TAIL_COLUMNS: usize = 100;
/// What is shorter than this at the end of a stream is not decoded.
const MIN_COLUMNS: usize = 5;
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

/// Transcribes one stream; owns every buffer it needs.
pub struct Transcriber {
    model: Arc<Model>,
    options: Options,
    /// The language's token; none before it is known, and for English-only models.
    language: Option<u32>,
    mel: MelStream,
    /// Raw mel columns from `seek` on.
    columns: Vec<f32>,
    /// Column at which the next window begins.
    seek: usize,
    n_samples: usize,
    /// Loudest column value of the windows so far.
    loudest: f32,
    /// The window before ended early, and this one takes up its rest.
    resumed: bool,
    normalised: Vec<f32>,
    encoder: EncoderState,
    cross: Cross,
    decoder: WindowDecoder,
    aligner: Option<Aligner>,
    spans: Vec<Span>,
    prompt: Vec<u32>,
    abort: Arc<AtomicBool>,
    stats: Stats,
}

impl Transcriber {
    /// Sets up a stream.
    ///
    /// # Errors
    /// If the language is unknown, or is not one the model knows.
    pub fn new(model: Arc<Model>, options: Options) -> Result<Self, WhisperError> {
        let language = language_token(&model, &options)?;
        // Now rather than inside the pool, where waiting for it could wait for itself.
        model.silence();
        let dims = model.dims();
        let rules = Rules::new(model.tokenizer(), options.timestamps);
        let aligner = (options.words == WordTimes::On).then(|| Aligner::new(&model));
        Ok(Transcriber {
            language,
            mel: MelStream::new(dims.n_mels),
            columns: Vec::with_capacity(3 * dims.n_audio_ctx * dims.n_mels),
            seek: 0,
            n_samples: 0,
            loudest: f32::NEG_INFINITY,
            resumed: false,
            normalised: vec![0.0; 2 * dims.n_audio_ctx * dims.n_mels],
            encoder: model.encoder().new_state(),
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

    /// When `abort` becomes true, decoding ends as soon as it can with what it has.
    pub fn set_abort(&mut self, abort: Arc<AtomicBool>) {
        self.abort = abort;
    }

    /// The code of the language, given or detected; none before the first window.
    pub fn language(&self) -> Option<&'static str> {
        if !self.model.tokenizer().is_multilingual() {
            return Some("en");
        }
        self.language
            .and_then(|token| self.model.tokenizer().language_code(token))
    }

    /// What it has taken since the transcriber was made.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Forgets the stream; the next sample is the first of another one. A language that was
    /// detected is detected again.
    pub fn reset(&mut self) {
        self.mel.reset();
        self.columns.clear();
        self.seek = 0;
        self.n_samples = 0;
        self.loudest = f32::NEG_INFINITY;
        self.resumed = false;
        if self.options.language.is_none() {
            self.language = None;
        }
    }

    /// Takes more samples; whole windows are decoded as they fill.
    pub fn push(&mut self, samples: &[f32], sink: &mut dyn FnMut(Segment)) {
        // A slice at a time, so that columns never pile up beyond a window.
        for chunk in samples.chunks(self.window_columns() * HOP_SAMPLES) {
            self.n_samples += chunk.len();
            self.add_columns(chunk);
            while self.columns.len() >= self.window_columns() * self.model.dims().n_mels
                && !self.abort.load(Ordering::Relaxed)
            {
                self.window(self.window_columns(), sink);
            }
        }
    }

    /// The stream has ended: decodes what is left.
    pub fn finish(&mut self, sink: &mut dyn FnMut(Segment)) {
        let n_columns = self.n_samples / HOP_SAMPLES;
        // The last columns look half a window ahead, into silence.
        self.add_columns(&[0.0; 4 * HOP_SAMPLES]);
        let n_mels = self.model.dims().n_mels;
        self.columns
            .truncate(n_columns.saturating_sub(self.seek) * n_mels + 2 * n_mels);
        while self.seek + MIN_COLUMNS <= n_columns && !self.abort.load(Ordering::Relaxed) {
            self.window((n_columns - self.seek).min(self.window_columns()), sink);
        }
    }

    /// One utterance from its start to its end.
    pub fn utterance(&mut self, samples: &[f32]) -> Vec<Segment> {
        let mut segments = Vec::new();
        self.reset();
        self.push(samples, &mut |segment| segments.push(segment));
        self.finish(&mut |segment| segments.push(segment));
        segments
    }

    fn window_columns(&self) -> usize {
        2 * self.model.dims().n_audio_ctx
    }

    fn add_columns(&mut self, samples: &[f32]) {
        let start = Instant::now();
        self.mel.push(samples, &mut self.columns);
        self.stats.mel_ms += ms_since(start);
    }

    /// Decodes the window of `n_columns` real columns at `seek` and moves on.
    fn window(&mut self, n_columns: usize, sink: &mut dyn FnMut(Segment)) {
        let exec = self.model.exec().clone();
        // All of it inside the pool: entering once a window costs nothing.
        let (hypothesis, advance) = exec.run(|| {
            let text = self.text(&exec, n_columns);
            self.split(text, n_columns)
        });
        let t0 = self.seek as f64 / COLUMNS_PER_SECOND as f64;
        self.seek += advance;
        let n = (advance * self.model.dims().n_mels).min(self.columns.len());
        self.columns.drain(..n);
        match hypothesis {
            Some(hypothesis) => {
                let words = self.words(&exec, &hypothesis, n_columns / 2, t0);
                self.emit(&hypothesis, words, t0, sink);
            }
            // A language found in silence is none.
            None if self.options.language.is_none() => self.language = None,
            None => {}
        }
    }

    /// The text of the window.
    ///
    /// In a short window, text that is not believed is decoded once more with full padding before
    /// chance is tried: what went wrong may be the cached silence. Text that says little for much
    /// speech is decoded once more with the other padding, whichever that is; and text that says
    /// little replaces none but a loop.
    fn text(&mut self, exec: &Exec, n_columns: usize) -> Hypothesis {
        if self.is_mute(n_columns) {
            return Hypothesis::default();
        }
        if self.encode(exec, n_columns, self.options.window).is_break() {
            return Hypothesis::default();
        }
        self.detect_language(exec);
        let n_temperatures = match self.resumed {
            true => 1,
            false => self.options.thresholds.temperatures.len(),
        };
        if n_columns + TAIL_COLUMNS >= self.window_columns() {
            return self.decode(n_temperatures);
        }
        let (other, n_first) = match self.options.window {
            Window::Short => (Window::Full, n_temperatures.min(1)),
            Window::Full => (Window::Short, n_temperatures),
        };
        let text = self.decode(n_first);
        let thresholds = &self.options.thresholds;
        let doubted = other == Window::Full && thresholds.needs_retry(&text);
        let sparse = !thresholds.is_silence(&text) && self.is_sparse(&text, n_columns);
        if self.abort.load(Ordering::Relaxed) || !(doubted || sparse) {
            return text;
        }
        log::debug!(
            "once more, {other:?} padding: {} tokens, log-probability {:.2}, compression {:.2}",
            self.n_spoken(&text),
            text.avg_logprob,
            text.compression_ratio
        );
        if self.encode(exec, n_columns, other).is_break() {
            return text;
        }
        let second = self.decode(if doubted { n_temperatures } else { 1 });
        let thresholds = &self.options.thresholds;
        let fails = thresholds.needs_retry(&second) || thresholds.is_silence(&second);
        let says_little = self.is_sparse(&second, n_columns) && !thresholds.repeats(&text);
        // Of two that say little, one that ends early leaves the rest to be taken up.
        let ends_early = |text| self.cut_short_at(text, n_columns, n_columns).is_some();
        let leaves_more = sparse && !fails && ends_early(&second) && !ends_early(&text);
        if (says_little && !leaves_more) || (fails && !doubted) {
            return text;
        }
        second
    }

    /// Whether the window holds nothing at all, as a muted microphone gives: the model would find
    /// words even there.
    fn is_mute(&self, n_columns: usize) -> bool {
        let n = (n_columns * self.model.dims().n_mels).min(self.columns.len());
        self.columns[..n].iter().all(|x| *x < MUTE_COLUMN)
    }

    /// Whether a text is too short for the speech in the window.
    fn is_sparse(&self, text: &Hypothesis, n_columns: usize) -> bool {
        let n_loud = self.n_loud_columns(0..n_columns, n_columns);
        n_loud >= MIN_SPARSE_COLUMNS && self.n_spoken(text) * MAX_COLUMNS_PER_TOKEN < n_loud
    }

    /// Tokens of a text without timestamps.
    fn n_spoken(&self, text: &Hypothesis) -> usize {
        let eot = self.model.tokenizer().special().eot;
        text.tokens.iter().filter(|t| **t < eot).count()
    }

    /// Columns of a stretch of the window that are loud enough to be speech.
    fn n_loud_columns(&self, stretch: Range<usize>, n_columns: usize) -> usize {
        let n_mels = self.model.dims().n_mels;
        let window = (n_columns * n_mels).min(self.columns.len());
        loud::n_loud(&self.columns[..window], n_mels, stretch)
    }

    /// Encodes the window and computes the decoder's keys and values of it; broken off when all is
    /// to end.
    fn encode(&mut self, exec: &Exec, n_columns: usize, window: Window) -> ControlFlow<()> {
        let start = Instant::now();
        let n_mels = self.model.dims().n_mels;
        let n_encoded = match window {
            Window::Full => self.window_columns(),
            Window::Short => (n_columns + TAIL_COLUMNS)
                .next_multiple_of(2)
                .min(self.window_columns()),
        };
        let mel = &mut self.normalised[..n_encoded * n_mels];
        let n_real = self.columns.len().min(mel.len());
        // Of what the window sees only: how much more has been pushed already must not matter.
        let max = |max: f32, x: &f32| max.max(*x);
        self.loudest = self.columns[..n_real].iter().fold(self.loudest, max);
        dsp::normalise(&self.columns[..n_real], self.loudest, &mut mel[..n_real]);
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
        let encoded = encoder.forward(exec, mel, silence, &mut self.encoder, &mut go_on);
        if encoded.is_continue() {
            let frames = self.encoder.output();
            let decoder = self.model.decoder();
            decoder.cross(exec, frames, silence, &mut self.cross);
        }
        self.stats.windows += 1;
        self.stats.encode_ms += ms_since(start);
        encoded
    }

    /// The likeliest language after the start of transcript, if it is not known yet.
    fn detect_language(&mut self, exec: &Exec) {
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
        let best = argmax(&logits[first..first + special.n_languages as usize]);
        self.language = Some((first + best) as u32);
    }

    /// Decodes the encoded window at the first `n_temperatures`.
    fn decode(&mut self, n_temperatures: usize) -> Hypothesis {
        let start = Instant::now();
        let n_before_sot = self.build_prompt();
        let start_of_text = Start {
            model: &self.model,
            cross: &self.cross,
            prompt: &self.prompt,
            n_before_sot,
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
    fn split(&mut self, text: Hypothesis, n_columns: usize) -> (Option<Hypothesis>, usize) {
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
        if let Some(end) = self.cut_short_at(&text, n_columns, advance) {
            self.resumed = true;
            return (Some(text), end);
        }
        (Some(text), advance)
    }

    /// Where a text ends although much is still said (after a chapter's title, say): there it is
    /// taken up again, instead of passing over the rest of the window.
    fn cut_short_at(&self, text: &Hypothesis, n_columns: usize, advance: usize) -> Option<usize> {
        let begin = self.model.tokenizer().special().timestamp_begin;
        let last = text.tokens.last().filter(|t| **t > begin)?;
        let end = 2 * (last - begin) as usize;
        let may_resume = advance >= n_columns && (MIN_ADVANCE_COLUMNS..n_columns).contains(&end);
        if !may_resume || text.no_speech_prob > self.options.thresholds.no_speech {
            return None;
        }
        let n_loud = self.n_loud_columns(end..n_columns, n_columns);
        let much = n_loud >= MIN_LOUD_COLUMNS && n_loud * MAX_REST_PER_LOUD >= n_columns - end;
        much.then_some(end)
    }

    /// Earlier text, start of transcript, language and task; returns the length of the first part.
    fn build_prompt(&mut self) -> usize {
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

    /// Words of a window, each with the number of text tokens up to its end.
    fn words(
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

    /// Hands the segments of a window on.
    fn emit(
        &self,
        text: &Hypothesis,
        words: Vec<(usize, Word)>,
        t0: f64,
        sink: &mut dyn FnMut(Segment),
    ) {
        let tokenizer = self.model.tokenizer();
        let eot = tokenizer.special().eot;
        let mut words = words.into_iter().peekable();
        let mut n_text = 0;
        for span in &self.spans {
            let tokens = &text.tokens[span.tokens.clone()];
            n_text += tokens.iter().filter(|t| **t < eot).count();
            let mut of_span = Vec::new();
            while let Some((_, word)) = words.next_if(|(end, _)| *end <= n_text) {
                of_span.push(word);
            }
            let segment = Segment {
                t0: t0 + span.t0,
                t1: t0 + span.t1,
                text: tokenizer.decode(tokens),
                tokens: tokens.to_vec(),
                words: of_span,
                avg_logprob: text.avg_logprob,
                no_speech_prob: text.no_speech_prob,
                compression_ratio: text.compression_ratio,
                temperature: text.temperature,
            };
            if !segment.text.trim().is_empty() {
                sink(segment);
            }
        }
    }
}

/// The token of the language asked for; none to detect it, and for English-only models.
fn language_token(model: &Model, options: &Options) -> Result<Option<u32>, WhisperError> {
    let tokenizer = model.tokenizer();
    let english_only = |wanted: &str| WhisperError::EnglishOnly {
        model: model.name().to_owned(),
        wanted: wanted.to_owned(),
    };
    let language = options
        .language
        .as_deref()
        .filter(|l| !l.eq_ignore_ascii_case("auto"));
    let code = match language {
        None => None,
        Some(given) => Some(
            language_from(given).ok_or_else(|| WhisperError::UnknownLanguage(given.to_owned()))?,
        ),
    };
    if tokenizer.is_multilingual() {
        let token = |code: &str| {
            let unknown = || WhisperError::UnknownLanguage(code.to_owned());
            tokenizer.language_token(code).ok_or_else(unknown)
        };
        return code.map(token).transpose();
    }
    match code {
        Some(code) if code != "en" => Err(english_only(&format!("language {code}"))),
        _ if options.task == Task::Translate => Err(english_only("translation")),
        _ => Ok(None),
    }
}

fn ms_since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
