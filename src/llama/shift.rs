//! Forgetting the middle of a text, so that it may go on beyond what it has room for.
//!
//! Only distances between positions matter (Su et al. 2021): a key that moves `n` positions down is turned back by
//! `n`, and values move as they are. What is kept had seen what is forgotten, in all layers but the first; nothing
//! is read again (StreamingLLM, Xiao et al. 2023, which keeps the first tokens of a text for the same reason as
//! callers should).

use crate::kernels::Exec;

use super::{Llama, State};

impl Llama {
    /// Forgets `n_drop` positions of a text from position `keep` on; what is behind them moves down. The logits
    /// stay those of the last token. Does not allocate.
    ///
    /// # Panics
    /// If the text ends before position `keep + n_drop`.
    pub fn shift(&self, exec: &Exec, state: &mut State, keep: usize, n_drop: usize) {
        let n = state.tokens.len();
        let gone = keep..keep + n_drop;
        assert!(
            gone.end <= n,
            "the text ends before what is to be forgotten"
        );
        if gone.is_empty() {
            return;
        }
        if gone.end < n {
            state.angles.fill_back(self.turns(state.n_ctx), n_drop);
            if let Some(turns) = &self.local_turns {
                state.local_angles.fill_back(turns, n_drop);
            }
            let (angles, local_angles) = (&state.angles, &state.local_angles);
            exec.for_each_rows(&mut state.kv, 1, 1, |first, caches| {
                for (layer, cache) in self.layers[first..].iter().zip(caches) {
                    let angles = if layer.is_local { local_angles } else { angles };
                    cache.shift(exec, gone.clone(), n, |key| angles.turn(0, key));
                }
            });
        }
        state.tokens.drain(gone);
    }
}
