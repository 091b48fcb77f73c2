//! A stream of samples to segments: windows of up to 30 s, one after the other.
//!
//! Memory is bounded by one window, whatever the length of the stream. The mel floor follows the
//! loudest column heard so far; for a single window that is the reference's global floor.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::dsp::{HOP_SAMPLES, MelStream};
use crate::event::Word;

use super::decode::Hypothesis;
use super::draft::Given;
use super::encoder::KeepKeys;
use super::window::{COLUMNS_PER_SECOND, Columns, Stats, WindowReader};
use super::{Model, Options, Segment, WhisperError};

/// What is shorter than this at the end of a stream is not decoded.
pub(super) const MIN_COLUMNS: usize = 5;

/// Transcribes one stream; owns every buffer it needs.
pub struct Transcriber {
    reader: WindowReader,
    mel: MelStream,
    /// Raw mel columns from `seek` on.
    columns: Vec<f32>,
    /// Column at which the next window begins.
    seek: usize,
    n_samples: usize,
}

impl Transcriber {
    /// Sets up a stream.
    ///
    /// # Errors
    /// If the language is unknown, or is not one the model knows.
    pub fn new(model: Arc<Model>, options: Options) -> Result<Self, WhisperError> {
        let reader = WindowReader::new(model, options, KeepKeys::No)?;
        let dims = reader.model.dims();
        Ok(Transcriber {
            mel: MelStream::new(dims.n_mels),
            columns: Vec::with_capacity(3 * dims.n_audio_ctx * dims.n_mels),
            seek: 0,
            n_samples: 0,
            reader,
        })
    }

    /// When `abort` becomes true, decoding ends as soon as it can with what it has.
    pub fn set_abort(&mut self, abort: Arc<AtomicBool>) {
        self.reader.abort = abort;
    }

    /// The code of the language, given or detected; none before the first window.
    pub fn language(&self) -> Option<&'static str> {
        self.reader.language()
    }

    /// What it has taken since the transcriber was made.
    pub fn stats(&self) -> Stats {
        self.reader.stats
    }

    /// Forgets the stream; the next sample is the first of another one. A language that was
    /// detected is detected again.
    pub fn reset(&mut self) {
        self.reader.reset();
        self.mel.reset();
        self.columns.clear();
        self.seek = 0;
        self.n_samples = 0;
    }

    /// Takes more samples; whole windows are decoded as they fill.
    pub fn push(&mut self, samples: &[f32], sink: &mut dyn FnMut(Segment)) {
        // A slice at a time, so that columns never pile up beyond a window.
        for chunk in samples.chunks(self.reader.window_columns() * HOP_SAMPLES) {
            self.n_samples += chunk.len();
            self.add_columns(chunk);
            while self.columns.len()
                >= self.reader.window_columns() * self.reader.model.dims().n_mels
                && !self.reader.abort.load(Ordering::Relaxed)
            {
                self.window(self.reader.window_columns(), sink);
            }
        }
    }

    /// The stream has ended: decodes what is left.
    pub fn finish(&mut self, sink: &mut dyn FnMut(Segment)) {
        let n_columns = self.n_samples / HOP_SAMPLES;
        // The last columns look half a window ahead, into silence.
        self.add_columns(&[0.0; 4 * HOP_SAMPLES]);
        let n_mels = self.reader.model.dims().n_mels;
        self.columns
            .truncate(n_columns.saturating_sub(self.seek) * n_mels + 2 * n_mels);
        while self.seek + MIN_COLUMNS <= n_columns && !self.reader.abort.load(Ordering::Relaxed) {
            self.window(
                (n_columns - self.seek).min(self.reader.window_columns()),
                sink,
            );
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

    fn add_columns(&mut self, samples: &[f32]) {
        let start = Instant::now();
        self.mel.push(samples, &mut self.columns);
        self.reader.stats.mel_ms += start.elapsed().as_secs_f64() * 1e3;
    }

    /// Decodes the window of `n_columns` real columns at `seek` and moves on.
    fn window(&mut self, n_columns: usize, sink: &mut dyn FnMut(Segment)) {
        let exec = self.reader.model.exec().clone();
        let window = Columns {
            values: &self.columns,
            n: n_columns,
        };
        let reader = &mut self.reader;
        // All of it inside the pool: entering once a window costs nothing.
        let (hypothesis, advance) = exec.run(|| {
            let text = reader.text(&exec, window, Given::default());
            reader.split(text, window)
        });
        let t0 = self.seek as f64 / COLUMNS_PER_SECOND as f64;
        self.seek += advance;
        let n = (advance * self.reader.model.dims().n_mels).min(self.columns.len());
        self.columns.drain(..n);
        match hypothesis {
            Some(hypothesis) => {
                let words = self.reader.words(&exec, &hypothesis, n_columns / 2, t0);
                self.emit(&hypothesis, words, t0, sink);
            }
            // A language found in silence is none.
            None => self.reader.forget_language(),
        }
    }

    /// Hands the segments of a window on.
    fn emit(
        &self,
        text: &Hypothesis,
        words: Vec<(usize, Word)>,
        t0: f64,
        sink: &mut dyn FnMut(Segment),
    ) {
        let tokenizer = self.reader.model.tokenizer();
        let eot = tokenizer.special().eot;
        let mut words = words.into_iter().peekable();
        let mut n_text = 0;
        for span in &self.reader.spans {
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
