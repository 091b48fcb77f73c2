//! Language models of the LLaMA family: tokens in, logits of the next token out.
//!
//! Touvron et al. 2023 and what follows it: pre-norm layers of causal attention with turned positions and
//! of a gated MLP, all without biases but Qwen2's. Weights are multiplied in the blocks that the file holds them in.
//! Keys and values of a text are kept ([`State`]) and may be cut back to any earlier length, so that the next
//! turn of a conversation shares what it has in common with the last. After [`Llama::load`] and
//! [`Llama::new_state`] nothing is allocated. Runs on the caller's thread and the threads of its `Exec`.

mod cache;
mod chat;
mod choice;
mod draft;
mod generate;
pub mod grammar;
mod load;
mod rope;
mod sampler;
pub mod saved;
mod shift;

use std::ops::Range;

use crate::format::{Family, LlamaDims};
use crate::kernels::{self, Exec, Gate, Mask, QuantizedRows, SPLIT_ELEMENTS};
use crate::nn::{Linear, Output, RmsNorm};
use cache::{Cache, Heads, Seen};
use rope::{Angles, Turns};

pub use cache::KvType;
pub use chat::{Chat, ChatError, Message, Role};
pub use generate::{Answer, AnswerError, Answerer, Asking, End};
pub use grammar::{Allowed, Constraint, ConstraintError, Grammar, GrammarError, Position, Tokens};
pub use load::{KV_TOKEN_PLAN, Memory};
pub use sampler::Sampling;

/// Most tokens that go through the layers at once.
pub const MAX_BATCH: usize = 256;

/// Most positions whose logits are computed at once: a token and a draft of what follows.
pub const MAX_LOGIT_ROWS: usize = 9;

/// Outputs that are computed together where only some are wanted.
const OUTPUT_BLOCK: usize = 64;

/// Which logits are wanted.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a> {
    /// All, after each of so many of the last tokens, at most [`MAX_LOGIT_ROWS`].
    Rows(usize),
    /// Those of these tokens (sorted) after the last token. Of the others some may be there; the rest is
    /// minus infinity.
    Of(&'a [u32]),
}

/// The weights.
pub struct Llama {
    dims: LlamaDims,
    /// Tells models apart whose keys and values differ.
    fingerprint: [u8; 32],
    /// `[n_vocab, n_state]`
    embedding: Linear,
    layers: Vec<Layer>,
    norm: RmsNorm,
    /// `[n_vocab, n_state]`; none where the embedding serves.
    output: Option<Linear>,
    turns: Turns,
    /// Those of states that have room for more than the model was first made for, where they differ.
    long_turns: Option<Turns>,
    local_turns: Option<Turns>,
}

struct Layer {
    attn_norm: RmsNorm,
    /// Queries, keys and values side by side, `[(n_head + 2 * n_kv_head) * d_head, n_state]`.
    qkv: Linear,
    /// What normalises each head of queries, and of keys.
    head_norms: Option<(RmsNorm, RmsNorm)>,
    out: Residual,
    ffn_norm: RmsNorm,
    /// Gate and what is gated, `[2 * n_ff, n_state]`.
    gate_up: Linear,
    down: Residual,
    /// Whether it looks back a short way only.
    is_local: bool,
}

/// The end of half a layer, which is added to what went in.
struct Residual {
    linear: Linear,
    /// What normalises it before, in Gemma.
    norm: Option<RmsNorm>,
}

impl Residual {
    /// Adds what becomes of `from` to `x`, rows of n_state; `h` and `scratch`, at least as large as x, are
    /// overwritten.
    fn forward(
        &self,
        exec: &Exec,
        from: &[f32],
        rows: &mut QuantizedRows,
        (h, scratch): (&mut [f32], &mut [f32]),
        x: &mut [f32],
    ) {
        let Some(norm) = &self.norm else {
            return self.linear.forward(exec, from, rows, Output::Residual, x);
        };
        self.linear.forward(exec, from, rows, Output::Plain, h);
        let normed = &mut scratch[..h.len()];
        norm.forward(exec, h, normed);
        x.iter_mut().zip(normed).for_each(|(x, y)| *x += *y);
    }
}

/// A text: its keys and values, and the buffers of its passes.
pub struct State {
    kv: Vec<Cache>,
    kv_type: KvType,
    tokens: Vec<u32>,
    n_ctx: usize,
    /// `[n, n_state]`: the residual stream.
    x: Vec<f32>,
    h: Vec<f32>,
    /// `[n, (n_head + 2 * n_kv_head) * d_head]`
    qkv: Vec<f32>,
    /// Queries, and what else is needed for a moment, `[n, max(n_state, n_head * d_head)]`.
    scratch: Vec<f32>,
    /// `[n, n_head * d_head]`
    attended: Vec<f32>,
    /// `[n, 2 * n_ff]`
    wide: Vec<f32>,
    /// `[n, n_ff]`
    gated: Vec<f32>,
    angles: Angles,
    local_angles: Angles,
    rows: QuantizedRows,
    /// `[MAX_LOGIT_ROWS, n_vocab]`, of which `n_logit_rows` are known.
    logits: Vec<f32>,
    n_logit_rows: usize,
}

impl State {
    /// The tokens that it holds.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Tokens that it can hold.
    pub fn n_ctx(&self) -> usize {
        self.n_ctx
    }

    /// What its keys and values are kept in.
    pub fn kv_type(&self) -> KvType {
        self.kv_type
    }

    /// Forgets all tokens from position `n` on.
    pub fn truncate(&mut self, n: usize) {
        self.tokens.truncate(n);
    }

    /// The logits that were computed last, `[rows, n_vocab]`.
    pub fn logits(&self) -> &[f32] {
        let n_vocab = self.logits.len() / MAX_LOGIT_ROWS;
        &self.logits[..self.n_logit_rows * n_vocab]
    }

    /// Memory held.
    pub fn bytes(&self) -> usize {
        let buffers = [
            &self.x,
            &self.h,
            &self.qkv,
            &self.scratch,
            &self.attended,
            &self.wide,
            &self.gated,
            &self.logits,
        ];
        let kv: usize = self.kv.iter().map(Cache::bytes).sum();
        kv + buffers.iter().map(|b| 4 * b.len()).sum::<usize>()
    }
}

impl Llama {
    /// The model's dimensions.
    pub fn dims(&self) -> &LlamaDims {
        &self.dims
    }

    /// Memory held by the packed weights.
    pub fn bytes(&self) -> usize {
        let weights = |linear: &Linear| linear.weights().bytes();
        let layers = self
            .layers
            .iter()
            .flat_map(|l| [&l.qkv, &l.out.linear, &l.gate_up, &l.down.linear]);
        let output = self.output.as_ref().map_or(0, weights);
        layers.map(weights).sum::<usize>() + output + weights(&self.embedding)
    }

    /// An empty text of up to `n_ctx` tokens with all its buffers; keys and values in half precision.
    pub fn new_state(&self, n_ctx: usize) -> State {
        self.new_state_with(n_ctx, KvType::F16)
    }

    /// The same with keys and values in `kv`, as far as the model's heads allow ([`KvType::for_heads`]).
    pub fn new_state_with(&self, n_ctx: usize, kv: KvType) -> State {
        let LlamaDims {
            n_state,
            n_ff,
            n_head,
            n_kv_head,
            d_head,
            n_vocab,
            ..
        } = self.dims;
        let n = MAX_BATCH.min(n_ctx);
        let widest = n_state.max(n_head * d_head).max(n_ff);
        let cache = || Cache::new(kv, n_kv_head, d_head, n_ctx);
        State {
            kv: self.layers.iter().map(|_| cache()).collect(),
            kv_type: kv.for_heads(d_head),
            tokens: Vec::with_capacity(n_ctx),
            n_ctx,
            x: vec![0.0; n * n_state],
            h: vec![0.0; n * n_state],
            qkv: vec![0.0; n * (n_head + 2 * n_kv_head) * d_head],
            scratch: vec![0.0; n * n_state.max(n_head * d_head)],
            attended: vec![0.0; n * n_head * d_head],
            wide: vec![0.0; n * 2 * n_ff],
            gated: vec![0.0; n * n_ff],
            angles: Angles::for_rows(n, self.turns.n_pairs()),
            local_angles: Angles::for_rows(n, self.turns.n_pairs()),
            rows: QuantizedRows::with_capacity(n, widest),
            logits: vec![0.0; MAX_LOGIT_ROWS * n_vocab],
            n_logit_rows: 0,
        }
    }

    /// Appends `tokens` to the text and returns the logits after the last one, `[n_vocab]`.
    ///
    /// # Panics
    /// As [`Llama::forward_for`].
    pub fn forward<'s>(&self, exec: &Exec, tokens: &[u32], state: &'s mut State) -> &'s [f32] {
        self.forward_for(exec, tokens, Wanted::Rows(1), state)
    }

    /// Appends `tokens` to the text and returns the logits that are wanted, `[rows, n_vocab]`.
    ///
    /// # Panics
    /// If there is no token, one is none of the vocabulary's (nor of those that are wanted), the text would grow
    /// beyond `n_ctx`, or logits of more rows are wanted than go through the layers together; callers bound that.
    pub fn forward_for<'s>(
        &self,
        exec: &Exec,
        tokens: &[u32],
        wanted: Wanted<'_>,
        state: &'s mut State,
    ) -> &'s [f32] {
        assert!(!tokens.is_empty(), "nothing to read");
        assert!(
            state.tokens.len() + tokens.len() <= state.n_ctx,
            "the text is too long"
        );
        exec.run(|| {
            let mut left = tokens.len();
            for batch in tokens.chunks(MAX_BATCH) {
                left -= batch.len();
                self.pass(exec, batch, state);
                if left == 0 {
                    self.project(exec, batch.len(), wanted, state);
                }
            }
        });
        state.logits()
    }

    /// Takes a batch through the layers, into `state.x`.
    fn pass(&self, exec: &Exec, batch: &[u32], state: &mut State) {
        let (d, n, n_past) = (self.dims.n_state, batch.len(), state.tokens.len());
        for (&token, x) in batch.iter().zip(state.x.chunks_exact_mut(d)) {
            self.embedding.weights().row(token as usize, x);
        }
        if let Some(scale) = self.embedding_scale() {
            state.x[..n * d].iter_mut().for_each(|x| *x *= scale);
        }
        state.angles.fill(self.turns(state.n_ctx), n_past, n);
        if let Some(turns) = &self.local_turns {
            state.local_angles.fill(turns, n_past, n);
        }
        for (i, layer) in self.layers.iter().enumerate() {
            self.attend(exec, layer, i, n, state);
            self.mlp(exec, layer, n, state);
        }
        state.tokens.extend_from_slice(batch);
    }

    /// The turns of a state with room for `n_ctx` tokens.
    fn turns(&self, n_ctx: usize) -> &Turns {
        match &self.long_turns {
            Some(turns) if self.is_long(n_ctx) => turns,
            _ => &self.turns,
        }
    }

    /// Whether a state with room for `n_ctx` tokens goes beyond what the model was first made for.
    fn is_long(&self, n_ctx: usize) -> bool {
        self.dims.rope.long_from.is_some_and(|most| n_ctx > most)
    }

    /// Gemma's embeddings are multiplied.
    fn embedding_scale(&self) -> Option<f32> {
        let is_gemma = self.dims.family == Family::Gemma3;
        is_gemma.then_some((self.dims.n_state as f32).sqrt())
    }

    /// What dot products of queries and keys are multiplied by.
    fn attention_scale(&self) -> f32 {
        let dims = &self.dims;
        // Gemma 3 27B, which no value in the file tells from the others.
        let is_27b = dims.family == Family::Gemma3 && dims.n_layer == 62;
        let divisor = if is_27b {
            dims.n_state / dims.n_head
        } else {
            dims.d_head
        };
        (divisor as f32).powf(-0.5)
    }

    /// The first half of a layer.
    fn attend(&self, exec: &Exec, layer: &Layer, i: usize, n: usize, state: &mut State) {
        let LlamaDims {
            n_state: d,
            n_head,
            n_kv_head,
            d_head,
            ..
        } = self.dims;
        let n_past = state.tokens.len();
        let (n_q, n_kv) = (n_head * d_head, n_kv_head * d_head);
        let row = n_q + 2 * n_kv;
        let (x, h) = (&mut state.x[..n * d], &mut state.h[..n * d]);
        let qkv = &mut state.qkv[..n * row];
        layer.attn_norm.forward(exec, x, h);
        layer
            .qkv
            .forward(exec, h, &mut state.rows, Output::Plain, qkv);
        let angles = if layer.is_local {
            &state.local_angles
        } else {
            &state.angles
        };
        exec.for_each_rows(qkv, row, SPLIT_ELEMENTS / (4 * row), |first, rows| {
            for (at, qkv) in (first..).zip(rows.chunks_exact_mut(row)) {
                let (q, k) = qkv[..n_q + n_kv].split_at_mut(n_q);
                if let Some((of_q, of_k)) = &layer.head_norms {
                    of_q.forward_heads(exec, q);
                    of_k.forward_heads(exec, k);
                }
                for head in q.chunks_exact_mut(d_head).chain(k.chunks_exact_mut(d_head)) {
                    angles.turn(at, head);
                }
            }
        });
        let cache = &mut state.kv[i];
        cache.store(exec, (qkv, row), (n_q, n_q + n_kv), n_past);
        let q = &mut state.scratch[..n * n_q];
        for (q, qkv) in q.chunks_exact_mut(n_q).zip(qkv.chunks_exact(row)) {
            q.copy_from_slice(&qkv[..n_q]);
        }
        let attended = &mut state.attended[..n * n_q];
        let window = self
            .dims
            .local
            .filter(|_| layer.is_local)
            .map_or(usize::MAX, |l| l.window);
        let heads = Heads {
            n_head,
            n_kv_head,
            d_head,
            scale: self.attention_scale(),
        };
        if n_past + n <= window {
            let seen = Seen {
                q,
                range: 0..n_past + n,
                mask: Mask::Causal { n_past },
            };
            cache.attend(exec, &heads, seen, attended);
        } else {
            // Each query sees a stretch of its own.
            let rows = q.chunks_exact(n_q).zip(attended.chunks_exact_mut(n_q));
            for (at, (q, attended)) in rows.enumerate() {
                let end = n_past + at + 1;
                let seen = Seen {
                    q,
                    range: end.saturating_sub(window)..end,
                    mask: Mask::None,
                };
                cache.attend(exec, &heads, seen, attended);
            }
        }
        let spare = (h, &mut state.scratch[..]);
        (layer.out).forward(exec, attended, &mut state.rows, spare, x);
    }

    /// The second half of a layer.
    fn mlp(&self, exec: &Exec, layer: &Layer, n: usize, state: &mut State) {
        let LlamaDims {
            n_state: d,
            n_ff,
            family,
            ..
        } = self.dims;
        let (x, h) = (&mut state.x[..n * d], &mut state.h[..n * d]);
        let (wide, gated) = (
            &mut state.wide[..n * 2 * n_ff],
            &mut state.gated[..n * n_ff],
        );
        layer.ffn_norm.forward(exec, x, h);
        layer
            .gate_up
            .forward(exec, h, &mut state.rows, Output::Plain, wide);
        let gate = match family {
            Family::Gemma3 => Gate::Gelu,
            _ => Gate::Silu,
        };
        kernels::gated(exec, gate, wide, n_ff, gated);
        let spare = (h, &mut state.scratch[..]);
        (layer.down).forward(exec, gated, &mut state.rows, spare, x);
    }

    /// The logits that are wanted after the last of `n` rows.
    fn project(&self, exec: &Exec, n: usize, wanted: Wanted<'_>, state: &mut State) {
        let LlamaDims {
            n_state: d,
            n_vocab,
            ..
        } = self.dims;
        let n_rows = match wanted {
            Wanted::Rows(n) => n,
            Wanted::Of(_) => 1,
        };
        assert!(
            (1..=MAX_LOGIT_ROWS.min(n)).contains(&n_rows),
            "rows of logits"
        );
        let (last, h) = (
            &state.x[(n - n_rows) * d..n * d],
            &mut state.h[..n_rows * d],
        );
        self.norm.forward(exec, last, h);
        let output = self.output.as_ref().unwrap_or(&self.embedding);
        let logits = &mut state.logits[..n_rows * n_vocab];
        state.n_logit_rows = n_rows;
        let Wanted::Of(tokens) = wanted else {
            return output.forward(exec, h, &mut state.rows, Output::Plain, logits);
        };
        let is_fit =
            tokens.is_sorted() && tokens.last().is_none_or(|last| (*last as usize) < n_vocab);
        assert!(is_fit, "tokens of the vocabulary, sorted");
        logits.fill(f32::NEG_INFINITY);
        for outputs in blocks_with(tokens, n_vocab) {
            let logits = &mut logits[outputs.clone()];
            output.forward_outputs(exec, h, &mut state.rows, outputs, logits);
        }
    }
}

/// The blocks of outputs that these tokens (sorted) are in; neighbours are one.
fn blocks_with(tokens: &[u32], n_vocab: usize) -> impl Iterator<Item = Range<usize>> {
    let block = |token: &u32| *token as usize / OUTPUT_BLOCK;
    let runs = tokens.chunk_by(move |a, b| block(b) - block(a) <= 1);
    runs.filter_map(move |run| {
        let (first, last) = (run.first()?, run.last()?);
        let end = (block(last) + 1) * OUTPUT_BLOCK;
        Some(block(first) * OUTPUT_BLOCK..end.min(n_vocab))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_blocks_that_tokens_are_in_are_found() {
        let blocks = |tokens: &[u32]| blocks_with(tokens, 300).collect::<Vec<_>>();
        assert_eq!(blocks(&[]), [0..0; 0]);
        assert_eq!(blocks(&[5]), std::slice::from_ref(&(0..64)));
        assert_eq!(blocks(&[63, 64, 130]), std::slice::from_ref(&(0..192)));
        assert_eq!(blocks(&[0, 130, 131, 299]), [0..64, 128..192, 256..300]);
    }
}
