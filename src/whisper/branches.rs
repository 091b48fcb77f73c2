//! Texts that grow side by side from one beginning: what a beam search asks of a model.

use super::Model;
use super::decode::Start;
use super::decoder::DecoderState;

/// The most texts.
pub const MAX_BEAM: usize = 8;

/// Several texts and the logits of what may follow each. A trait, so that the search can be tested
/// on a script.
pub(super) trait Branches {
    /// Begins anew with one text, number 0, and gives the logits of its first token.
    fn begin(&mut self) -> &mut [f32];

    /// Text i becomes what text `parents[i]` was, for all i at once.
    fn fork(&mut self, parents: &[usize]);

    /// Appends a token to a text and gives the logits of the next one.
    fn append(&mut self, text: usize, token: u32) -> &mut [f32];
}

/// A decoder state for each text.
pub(super) struct States {
    states: Vec<DecoderState>,
    /// Which state each text has.
    of_text: [usize; MAX_BEAM],
}

impl States {
    /// Room for `n` texts: the only allocation.
    pub(super) fn new(model: &Model, n: usize) -> Self {
        States {
            states: (0..n).map(|_| model.decoder().new_state()).collect(),
            of_text: [0; MAX_BEAM],
        }
    }
}

/// The decoder's own texts.
pub(super) struct DecoderBranches<'a> {
    start: &'a Start<'a>,
    states: &'a mut States,
    /// Probability that the window holds no speech; known when the texts have begun.
    pub(super) no_speech_prob: f32,
}

impl<'a> DecoderBranches<'a> {
    pub(super) fn new(start: &'a Start<'a>, states: &'a mut States) -> Self {
        DecoderBranches {
            start,
            states,
            no_speech_prob: 0.0,
        }
    }
}

impl Branches for DecoderBranches<'_> {
    fn begin(&mut self) -> &mut [f32] {
        self.states.of_text[0] = 0;
        let (logits, no_speech_prob) = self.start.logits(&mut self.states.states[0]);
        self.no_speech_prob = no_speech_prob;
        logits
    }

    /// The first child of a text takes its state over; only further ones cost a copy.
    fn fork(&mut self, parents: &[usize]) {
        let States { states, of_text } = &mut *self.states;
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
                if let Ok([copy, from]) = states.get_disjoint_mut([free, old[parent]]) {
                    copy.copy_from(from);
                }
                free
            });
        }
    }

    fn append(&mut self, text: usize, token: u32) -> &mut [f32] {
        let Start { model, audio, .. } = *self.start;
        let state = &mut self.states.states[self.states.of_text[text]];
        model
            .decoder()
            .forward(model.exec(), &[token], audio, state, 1)
    }
}
