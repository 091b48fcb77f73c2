//! The text of a window: committed tokens, and behind them those that may still change.

use crate::event::Word;
use crate::whisper::Model;
use crate::whisper::decode::Hypothesis;
use crate::whisper::draft::Given;

use super::commit::n_common;
use super::trim::{Cut, Placed};

/// Tokens of the window, timestamps included.
pub(super) struct Text {
    tokens: Vec<u32>,
    logprobs: Vec<f32>,
    /// How many of them are committed.
    pub(super) n_committed: usize,
    /// The committed words.
    pub(super) placed: Vec<Placed>,
    /// Text tokens after the committed ones, of this hypothesis and of the one before.
    tail: Vec<u32>,
    before: Vec<u32>,
    pub(super) eot: u32,
    timestamp_begin: u32,
}

impl Text {
    pub(super) fn new(model: &Model) -> Self {
        let (n, special) = (model.dims().n_text_ctx, model.tokenizer().special());
        Text {
            tokens: Vec::with_capacity(n),
            logprobs: Vec::with_capacity(n),
            n_committed: 0,
            placed: Vec::new(),
            tail: Vec::with_capacity(n),
            before: Vec::with_capacity(n),
            eot: special.eot,
            timestamp_begin: special.timestamp_begin,
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.tokens.clear();
        self.logprobs.clear();
        self.n_committed = 0;
        self.placed.clear();
        self.tail.clear();
        self.before.clear();
    }

    /// What the next decoding may build on; without `verify`, only what is committed.
    pub(super) fn given(&self, verify: bool) -> Given<'_> {
        let n = self.n_committed;
        Given {
            forced: &self.tokens[..n],
            logprobs: &self.logprobs[..n],
            draft: if verify { &self.tokens[n..] } else { &[] },
            n_held: 0,
        }
    }

    /// Of the committed tokens, how many lie before the last `n_recent` text tokens of the words that
    /// end before `before_s`.
    pub(super) fn n_old(&self, before_s: f64, n_recent: usize) -> usize {
        let last = self.placed.iter().rev().find(|word| word.t1 < before_s);
        let n_spoken = last
            .map_or(0, |word| word.end_token)
            .saturating_sub(n_recent);
        let spoken = |(_, token): &(usize, &u32)| **token < self.eot;
        let committed = self.tokens[..self.n_committed].iter().enumerate();
        match n_spoken {
            0 => 0,
            n => committed
                .filter(spoken)
                .nth(n - 1)
                .map_or(0, |(at, _)| at + 1),
        }
    }

    /// Committed text tokens.
    pub(super) fn n_committed_spoken(&self) -> usize {
        let committed = &self.tokens[..self.n_committed];
        committed.iter().filter(|token| **token < self.eot).count()
    }

    /// Takes a hypothesis over, which begins with the `n_forced` committed tokens, up to its last
    /// text token: a timestamp at the end is about the end of the audio. Returns how many of its
    /// text tokens after the committed ones are the same as in the hypothesis before.
    pub(super) fn replace_tail(&mut self, hypothesis: &Hypothesis, n_forced: usize) -> usize {
        let spoken = |token: &u32| *token < self.eot;
        let end = hypothesis.tokens.iter().rposition(spoken);
        let end = end.map_or(n_forced, |last| last + 1).max(n_forced);
        self.tokens.truncate(n_forced);
        self.logprobs.truncate(n_forced);
        self.tokens
            .extend(hypothesis.tokens.get(n_forced..end).unwrap_or_default());
        self.logprobs
            .extend(hypothesis.logprobs.get(n_forced..end).unwrap_or_default());
        std::mem::swap(&mut self.tail, &mut self.before);
        self.tail.clear();
        let tail = self.tokens[n_forced..].iter();
        self.tail.extend(tail.filter(|token| **token < self.eot));
        n_common(&self.tail, &self.before)
    }

    /// Forgets all that is not committed.
    pub(super) fn forget_tail(&mut self) {
        self.tokens.truncate(self.n_committed);
        self.logprobs.truncate(self.n_committed);
        self.tail.clear();
        self.before.clear();
    }

    /// Commits the next `n_spoken` text tokens, and the timestamps among them.
    pub(super) fn commit(&mut self, n_spoken: usize) {
        let mut n_left = n_spoken;
        while n_left > 0 && self.n_committed < self.tokens.len() {
            n_left -= usize::from(self.tokens[self.n_committed] < self.eot);
            self.n_committed += 1;
        }
        self.tail.drain(..n_spoken.min(self.tail.len()));
    }

    /// The window's audio was cut: what lies before the cut goes, and the text begins anew with
    /// the first timestamp and the committed words that are left.
    pub(super) fn cut(&mut self, cut: Cut, columns_per_second: usize) {
        let gone = match cut.n_words.checked_sub(1) {
            Some(last) => self.placed[last].end_token,
            None => 0,
        };
        let n_spoken = self.n_committed_spoken();
        let mut spoken = Vec::with_capacity(self.tokens.len());
        spoken.extend(
            (self
                .tokens
                .iter()
                .copied()
                .zip(self.logprobs.iter().copied()))
            .filter(|(token, _)| *token < self.eot)
            .skip(gone),
        );
        self.tokens.clear();
        self.logprobs.clear();
        self.tokens.push(self.timestamp_begin);
        self.logprobs.push(0.0);
        self.tokens.extend(spoken.iter().map(|(token, _)| token));
        self.logprobs.extend(spoken.iter().map(|(_, p)| p));
        self.n_committed = match n_spoken - gone {
            0 => 0,
            n => n + 1,
        };
        self.placed.drain(..cut.n_words);
        let shift_s = cut.n_columns as f64 / columns_per_second as f64;
        for word in &mut self.placed {
            word.end_token -= gone;
            word.t0 -= shift_s;
            word.t1 -= shift_s;
        }
    }

    /// The words of a hypothesis after its `n_forced` committed tokens, up to token `n_tokens`. Of
    /// a word that is committed in part, the rest. With each, the text tokens after the committed
    /// ones up to its end.
    pub(super) fn rest(
        &self,
        model: &Model,
        hypothesis: &Hypothesis,
        (n_forced, n_tokens): (usize, usize),
        words: Vec<(usize, Word)>,
    ) -> (Vec<Word>, Vec<usize>) {
        let spoken = |tokens: &[u32]| -> Vec<u32> {
            tokens
                .iter()
                .copied()
                .filter(|token| *token < self.eot)
                .collect()
        };
        let n_first = spoken(&hypothesis.tokens[..n_forced.min(hypothesis.tokens.len())]).len();
        let all = spoken(&hypothesis.tokens[..n_tokens.min(hypothesis.tokens.len())]);
        let (mut rest, mut ends) = (Vec::new(), Vec::new());
        let mut begin = 0;
        for (end, mut word) in words {
            let is_after = end > n_first && end <= all.len();
            if is_after && begin < n_first {
                word.text = model.tokenizer().decode(&all[n_first..end]);
            }
            begin = end;
            if is_after {
                rest.push(word);
                ends.push(end - n_first);
            }
        }
        (rest, ends)
    }
}
