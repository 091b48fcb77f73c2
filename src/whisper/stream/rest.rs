//! The rest of an utterance: all that follows the committed words, decoded with every care, in a
//! pause and at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::event::Word;
use crate::kernels::Exec;
use crate::whisper::decode::Hypothesis;
use crate::whisper::draft::Given;
use crate::whisper::transcribe::MIN_COLUMNS;
use crate::whisper::window::{COLUMNS_PER_SECOND, Columns};

use super::commit::{After, Candidate};
use super::{Conclusion, Stream, checks};

/// Tokens after the committed ones below which nothing is said about them.
const MIN_REST_TOKENS: usize = 4;
/// Columns after the committed words that are enough to be heard without them.
const MIN_ALONE_COLUMNS: usize = COLUMNS_PER_SECOND;

impl Stream {
    /// The rest of the utterance as it stands: all that follows the committed words, decoded with
    /// every care. Nothing is committed; the utterance may go on. Cut short when `abort` becomes
    /// true.
    pub fn conclude(&mut self, abort: &Arc<AtomicBool>) -> Conclusion {
        self.reader.abort.clone_from(abort);
        let exec = self.reader.model.exec().clone();
        let mut conclusion = exec.run(|| self.read_rest(&exec));
        conclusion.aborted = abort.load(Ordering::Acquire);
        conclusion
    }

    /// As [`Stream::conclude`], in a pause; what is settled by now is committed, and the rest may
    /// still change when the utterance goes on.
    ///
    /// A text that is not believed is not tried again by chance: speech may go on, and with it comes
    /// a better text. Should it have been the end, [`Stream::conclude`] takes the time.
    pub fn pause(&mut self, abort: &Arc<AtomicBool>) -> Conclusion {
        self.reader.is_hasty = true;
        let mut conclusion = self.conclude(abort);
        self.reader.is_hasty = false;
        if !conclusion.aborted && !conclusion.doubtful {
            conclusion.n_settled =
                self.settle_rest(&conclusion.words, self.rest_stable, After::Nothing);
        }
        conclusion
    }

    /// The pause lasts: of `words`, the rest of its [`Conclusion`], those are committed after which
    /// there has been silence for long enough; their number.
    pub fn wait(&mut self, words: &[Word]) -> usize {
        // All was heard up to the pause and for some time after it: no further step could agree or
        // disagree. But how speech goes on may change what came before, so there is no hurry.
        self.settle_rest(words, usize::MAX, After::Silence)
    }

    /// Commits of the rest what is settled; the number of words.
    fn settle_rest(&mut self, words: &[Word], n_stable: usize, after: After) -> usize {
        let window_s = self.seek as f64 / COLUMNS_PER_SECOND as f64;
        let mut ends = std::mem::take(&mut self.rest_ends);
        let candidate = |(word, end): (&Word, &usize)| Candidate {
            end_token: *end,
            t1: word.t1.0 - window_s,
            is_whole: !word.text.contains(char::REPLACEMENT_CHARACTER),
            p: word.p,
        };
        let candidates: Vec<Candidate> = words.iter().zip(&ends).map(candidate).collect();
        let heard_s = self.n_columns() as f64 / COLUMNS_PER_SECOND as f64;
        let n = self.n_settled(&candidates, after, n_stable, heard_s);
        let settled = words.iter().zip(&ends).take(n);
        let settled = settled.map(|(word, end)| {
            let mut word = word.clone();
            (word.t0.0, word.t1.0) = (word.t0.0 - window_s, word.t1.0 - window_s);
            (*end, word)
        });
        let settled: Vec<_> = settled.collect();
        // No echo: it would have been a word too many in the rest already.
        self.place(settled, 0);
        let n_tokens = n.checked_sub(1).map_or(0, |last| ends[last]);
        ends.drain(..n);
        ends.iter_mut().for_each(|end| *end -= n_tokens);
        self.rest_ends = ends;
        n
    }

    /// The words after the committed ones, window by window.
    pub(super) fn read_rest(&mut self, exec: &Exec) -> Conclusion {
        let n_columns = self.n_columns();
        let mut conclusion = Conclusion::default();
        self.rest_ends.clear();
        if self.text.n_committed == 0 && self.seek == 0 {
            self.reader.forget_language();
        }
        self.reader.resume_nothing();
        let (mut at, mut n_windows) = (0, 0);
        while at + MIN_COLUMNS <= n_columns && !self.reader.abort.load(Ordering::Relaxed) {
            at += self.read_window(exec, at, &mut conclusion);
            n_windows += 1;
        }
        self.is_whole = n_windows == 1 && self.seek == 0;
        if n_windows > 1 {
            self.reader.forget_window();
        }
        conclusion
    }

    /// Appends the words of the window at column `at`; how many columns to advance.
    fn read_window(&mut self, exec: &Exec, at: usize, conclusion: &mut Conclusion) -> usize {
        let n_mels = self.reader.model.dims().n_mels;
        let window = Columns {
            values: &self.columns[at * n_mels..],
            n: (self.n_columns() - at).min(self.reader.window_columns()),
        };
        let is_first = at == 0;
        let given = match is_first {
            true => self.text.given(self.settings.verify),
            false => Given::default(),
        };
        let n_forced = given.forced.len();
        let text = self.reader.text(exec, window, given);
        self.log(&text, window);
        let misled = self.is_misled(&text, n_forced);
        conclusion.doubtful |= misled;
        if misled && !self.reader.is_hasty {
            // The committed words may have led it astray: what follows them is heard without them.
            let window_s = self.seek as f64 / COLUMNS_PER_SECOND as f64;
            let from = ((self.committed_s - window_s) * COLUMNS_PER_SECOND as f64) as usize & !1;
            if (1..window.n).contains(&from) && window.n - from >= MIN_ALONE_COLUMNS {
                log::debug!("the rest once more, without the committed words");
                self.text.forget_tail();
                return from;
            }
        }
        // Few words for much sound, and improbable ones.
        let doubted = text.spoken_logprob(self.text.eot) < self.reader.options.thresholds.logprob;
        let is_vague = n_forced == 0 && doubted && self.reader.is_sparse(&text, window);
        let is_noise = is_vague || self.is_noise(&text);
        let (hypothesis, advance) = self.reader.split(text, window);
        let Some(hypothesis) = hypothesis.filter(|_| !is_noise) else {
            return advance;
        };
        let n_tokens = self.reader.spans.last().map_or(0, |span| span.tokens.end);
        let (n_tokens, advance) = match n_tokens < n_forced {
            // What is committed is not taken up again.
            true => (hypothesis.tokens.len(), window.n),
            false => (n_tokens, advance),
        };
        let thresholds = &self.reader.options.thresholds;
        conclusion.doubtful |= hypothesis.avg_logprob < thresholds.logprob
            || hypothesis.compression_ratio > thresholds.compression_ratio;
        let t0 = (self.seek + at) as f64 / COLUMNS_PER_SECOND as f64;
        let words = self.reader.words(exec, &hypothesis, window.n / 2, t0);
        let spoken = (n_forced, n_tokens);
        let (words, ends) = (self.text).rest(&self.reader.model, &hypothesis, spoken, words);
        self.append(words, &mut conclusion.words);
        if is_first {
            self.rest_stable = self.text.replace_tail(&hypothesis, n_forced);
            self.rest_ends = ends;
        }
        advance
    }

    /// Whether what follows the first `n_forced` tokens is nothing that was said: a loop, or several
    /// tokens that are improbable.
    fn is_misled(&self, text: &Hypothesis, n_forced: usize) -> bool {
        let eot = self.text.eot;
        let spoken =
            |tokens: &[u32]| -> Vec<u32> { tokens.iter().copied().filter(|t| *t < eot).collect() };
        let forced = spoken(&text.tokens[..n_forced.min(text.tokens.len())]);
        let all = spoken(&text.tokens);
        let n_rest = all.len() - forced.len();
        if forced.is_empty() || n_rest < MIN_REST_TOKENS {
            return false;
        }
        let rest = text.tokens.iter().zip(&text.logprobs).skip(n_forced);
        let sum: f32 = rest
            .filter(|(token, _)| **token < eot)
            .map(|(_, p)| p)
            .sum();
        let is_improbable = sum / (n_rest as f32) < self.reader.options.thresholds.logprob;
        let mut ends = forced.len() + 1..=all.len();
        is_improbable || ends.any(|end| checks::repeats(&all[..end], &self.settings))
    }

    fn log(&self, text: &Hypothesis, window: Columns<'_>) {
        log::debug!(
            "rest: {} tokens, no speech {:.2}, log-probability {:.2}, of words {:.2}, \
             {} of {} columns loud",
            text.tokens.len(),
            text.no_speech_prob,
            text.avg_logprob,
            text.spoken_logprob(self.text.eot),
            self.reader.n_loud_columns(0..window.n, window),
            window.n
        );
    }
}
