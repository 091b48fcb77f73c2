//! Texts that grow side by side from one beginning: what a beam search asks of a model.

use super::Model;
use super::decode::Start;
use super::decoder::{DecoderState, Pass, TextCache};

/// The most texts.
pub const MAX_BEAM: usize = 8;

/// Several texts and the logits of what may follow each. A trait, so that the search can be tested
/// on a script.
pub(super) trait Branches {
    /// Begins anew with one text, number 0, and gives the logits of its first token.
    fn begin(&mut self) -> &mut [f32];

    /// Text i becomes what text `parents[i]` was, for all i at once.
    fn fork(&mut self, parents: &[usize]);

    /// Appends a token to each of the first texts and gives the logits of the next ones, text by
    /// text.
    fn append(&mut self, tokens: &[u32]) -> &mut [f32];
}

/// What the decoder holds of each text.
pub(super) struct States {
    caches: Vec<TextCache>,
    /// The buffers of a step, which lengthens all texts in one pass.
    pass: Pass,
    /// Which cache each text has.
    of_text: [usize; MAX_BEAM],
}

impl States {
    /// Room for `n` texts: the only allocation.
    pub(super) fn new(model: &Model, n: usize) -> Self {
        States {
            caches: (0..n).map(|_| model.decoder().new_text()).collect(),
            pass: model.decoder().new_pass(n),
            of_text: [0; MAX_BEAM],
        }
    }
}

/// The decoder's own texts.
pub(super) struct DecoderBranches<'a> {
    start: &'a Start<'a>,
    /// Takes the prompt, which is longer than a step.
    first: &'a mut DecoderState,
    states: &'a mut States,
    /// Probability that the window holds no speech; known when the texts have begun.
    pub(super) no_speech_prob: f32,
}

impl<'a> DecoderBranches<'a> {
    pub(super) fn new(
        start: &'a Start<'a>,
        first: &'a mut DecoderState,
        states: &'a mut States,
    ) -> Self {
        DecoderBranches {
            start,
            first,
            states,
            no_speech_prob: 0.0,
        }
    }
}

impl Branches for DecoderBranches<'_> {
    fn begin(&mut self) -> &mut [f32] {
        self.states.of_text[0] = 0;
        self.no_speech_prob = self.start.feed(self.first);
        self.states.caches[0].copy_from(self.first.text());
        self.start.last_logits(self.first)
    }

    /// The first child of a text takes its state over; only further ones cost a copy.
    fn fork(&mut self, parents: &[usize]) {
        let States {
            caches, of_text, ..
        } = &mut *self.states;
        let (old, mut new) = (*of_text, [None; MAX_BEAM]);
        let mut is_taken = [false; MAX_BEAM];
        for (new, &parent) in new.iter_mut().zip(parents) {
            let state = old[parent];
            if !std::mem::replace(&mut is_taken[state], true) {
                *new = Some(state);
            }
        }
        for (i, &parent) in parents.iter().enumerate() {
            of_text[i] = new[i].unwrap_or_else(|| {
                let free = is_taken.iter().position(|taken| !taken).unwrap_or(0);
                is_taken[free] = true;
                // Never the same one: the parent's is taken.
                if let Ok([copy, from]) = caches.get_disjoint_mut([free, old[parent]]) {
                    copy.copy_from(from);
                }
                free
            });
        }
    }

    fn append(&mut self, tokens: &[u32]) -> &mut [f32] {
        let Start { model, cross, .. } = *self.start;
        let States {
            caches,
            pass,
            of_text,
        } = &mut *self.states;
        let texts = (&mut caches[..], &of_text[..tokens.len()]);
        model
            .decoder()
            .forward_each(model.exec(), tokens, cross, texts, pass)
    }
}
