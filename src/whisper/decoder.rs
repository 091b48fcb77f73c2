//! The text decoder: tokens in, logits of the next token out.
//!
//! Radford et al. 2022, section 2.2: learned positions, pre-norm blocks of causal self-attention,
//! cross-attention to the encoded audio and an MLP; the output projection is the token embedding.
//! Keys and values of the audio are computed once a window ([`Cross`]), those of the text are kept
//! and may be cut back to any earlier length ([`DecoderState`]), so that several continuations and
//! the verification of a draft share them.

use half::f16;

use crate::format::{FormatError, WhisperDims};
use crate::kernels::{self, Attention, Exec, KvPart, Mask, QuantizedRows};
use crate::nn::{KvCache, LayerNorm, Linear, Output, Weights};

use super::load::Loader;
use super::silence::Silence;

/// Rows of logits that one pass can return.
const MAX_LOGIT_ROWS: usize = 32;

struct Block {
    attn_ln: LayerNorm,
    /// Query, key and value side by side, `[3 * n_state, n_state]`.
    qkv: Linear,
    out: Linear,
    cross_ln: LayerNorm,
    cross_query: Linear,
    /// Key and value side by side, `[2 * n_state, n_state]`.
    cross_kv: Linear,
    cross_out: Linear,
    mlp_ln: LayerNorm,
    mlp_0: Linear,
    mlp_2: Linear,
}

/// The weights.
pub struct Decoder {
    /// `[n_vocab, n_state]`: input embedding and output projection.
    embedding: Linear,
    /// `[n_text_ctx, n_state]`
    positions: Vec<f32>,
    blocks: Vec<Block>,
    ln: LayerNorm,
    n_state: usize,
    n_head: usize,
    n_ctx: usize,
    n_vocab: usize,
    n_audio_ctx: usize,
}

/// Keys and values of one encoded window, a cache a layer.
pub struct Cross {
    pub(super) layers: Vec<KvCache<f16>>,
    /// Frames of the window that were computed.
    n_frames: usize,
    /// Keys and values of some frames as the linear layer leaves them,
    /// `[CROSS_FRAMES, 2 * n_state]`.
    both: Vec<f32>,
    /// The quantised frames.
    rows: QuantizedRows,
}

/// Frames whose keys and values are computed at a time: bounds the intermediate result.
const CROSS_FRAMES: usize = 256;

impl Cross {
    /// Number of real frames.
    pub fn n_frames(&self) -> usize {
        self.n_frames
    }
}

/// What the decoder attends to in the audio: a window, and silence beyond its end.
#[derive(Clone, Copy)]
pub struct Audio<'a> {
    /// The window.
    pub cross: &'a Cross,
    /// What stands for the rest of the 30 s; none when the window is whole.
    pub silence: Option<&'a Silence>,
}

impl Audio<'_> {
    /// Calls `f` with the keys and values of one layer.
    fn with_parts<R>(&self, layer: usize, f: impl FnOnce(&[KvPart<'_, f16>]) -> R) -> R {
        let cache = &self.cross.layers[layer];
        let real = cache.part(0..self.cross.n_frames);
        match self.silence {
            None => f(&[real]),
            Some(silence) => {
                let rest = self.cross.n_frames..cache.capacity();
                f(&[real, silence.cross(layer).part(rest)])
            }
        }
    }
}

/// Text so far and the buffers of one stream.
pub struct DecoderState {
    kv: Vec<KvCache<f16>>,
    n_past: usize,
    /// `[n_text_ctx, n_state]`: the residual stream.
    x: Vec<f32>,
    h: Vec<f32>,
    q: Vec<f32>,
    wide: Vec<f32>,
    logits: Vec<f32>,
    rows: QuantizedRows,
}

impl DecoderState {
    /// Number of tokens held.
    pub fn n_past(&self) -> usize {
        self.n_past
    }

    /// Forgets all tokens from position `n` on.
    pub fn truncate(&mut self, n: usize) {
        self.n_past = self.n_past.min(n);
    }

    /// Takes over the text of `other`, a state of the same decoder. Does not allocate.
    pub fn copy_from(&mut self, other: &DecoderState) {
        for (to, from) in self.kv.iter_mut().zip(&other.kv) {
            to.copy_from(from, other.n_past);
        }
        self.n_past = other.n_past;
    }
}

/// Attention weights wanted from a pass: those of single heads, for word times.
pub struct Watch<'a> {
    /// Layer and head of each.
    pub heads: &'a [(usize, usize)],
    /// Frames looked at, from the first.
    pub n_frames: usize,
    /// Receives them, `[heads][tokens][n_frames]`; a softmax over these frames alone.
    pub weights: &'a mut [f32],
}

impl Decoder {
    pub(super) fn load(loader: &mut Loader<'_>, dims: &WhisperDims) -> Result<Self, FormatError> {
        let d = dims.n_text_state;
        let blocks = (0..dims.n_text_layer).map(|i| {
            let p = format!("decoder.blocks.{i}");
            Ok(Block {
                attn_ln: loader.layer_norm(&format!("{p}.attn_ln"))?,
                qkv: loader.stacked(&format!("{p}.attn"), &["query", "key", "value"], d)?,
                out: loader.linear(&format!("{p}.attn.out"), d, d)?,
                cross_ln: loader.layer_norm(&format!("{p}.cross_attn_ln"))?,
                cross_query: loader.linear(&format!("{p}.cross_attn.query"), d, d)?,
                cross_kv: loader.stacked(&format!("{p}.cross_attn"), &["key", "value"], d)?,
                cross_out: loader.linear(&format!("{p}.cross_attn.out"), d, d)?,
                mlp_ln: loader.layer_norm(&format!("{p}.mlp_ln"))?,
                mlp_0: loader.linear(&format!("{p}.mlp.0"), 4 * d, d)?,
                mlp_2: loader.linear(&format!("{p}.mlp.2"), d, 4 * d)?,
            })
        });
        let blocks = blocks.collect::<Result<_, FormatError>>()?;
        let embedding = loader.matrix("decoder.token_embedding.weight", dims.n_vocab, d)?;
        Ok(Decoder {
            embedding: Linear::new(embedding, None),
            positions: loader.floats("decoder.positional_embedding")?,
            blocks,
            ln: loader.layer_norm("decoder.ln")?,
            n_state: d,
            n_head: dims.n_text_head,
            n_ctx: dims.n_text_ctx,
            n_vocab: dims.n_vocab,
            n_audio_ctx: dims.n_audio_ctx,
        })
    }

    /// Memory held by the packed weights.
    pub fn bytes(&self) -> usize {
        let linears = self.blocks.iter().flat_map(|b| {
            [
                &b.qkv,
                &b.out,
                &b.cross_query,
                &b.cross_kv,
                &b.cross_out,
                &b.mlp_0,
                &b.mlp_2,
            ]
        });
        let weights = |l: &Linear| Weights::bytes(l.weights());
        linears.map(weights).sum::<usize>() + weights(&self.embedding) + self.positions.len() * 4
    }

    /// Most tokens that a text may have, prompt included.
    pub fn n_ctx(&self) -> usize {
        self.n_ctx
    }

    /// Room for the keys and values of a window of up to 30 s.
    pub fn new_cross(&self) -> Cross {
        let d_head = self.n_state / self.n_head;
        let cache = || KvCache::new(self.n_head, d_head, self.n_audio_ctx);
        Cross {
            layers: (0..self.blocks.len()).map(|_| cache()).collect(),
            n_frames: 0,
            both: vec![0.0; CROSS_FRAMES.min(self.n_audio_ctx) * 2 * self.n_state],
            rows: QuantizedRows::with_capacity(CROSS_FRAMES, self.n_state),
        }
    }

    /// An empty text with all its buffers.
    pub fn new_state(&self) -> DecoderState {
        let (n, d) = (self.n_ctx, self.n_state);
        DecoderState {
            kv: (0..self.blocks.len())
                .map(|_| KvCache::new(self.n_head, d / self.n_head, n))
                .collect(),
            n_past: 0,
            x: vec![0.0; n * d],
            h: vec![0.0; n * d],
            q: vec![0.0; n * d],
            // Also the keys and values of the audio, a slice of frames at a time.
            wide: vec![0.0; n * 4 * d],
            logits: vec![0.0; MAX_LOGIT_ROWS * self.n_vocab],
            rows: QuantizedRows::with_capacity(n.max(self.n_audio_ctx), 4 * d),
        }
    }

    /// Computes the keys and values of an encoded window, `[n_frames, n_state]`, into `cross`.
    pub fn cross(&self, exec: &Exec, audio: &[f32], cross: &mut Cross) {
        let d = self.n_state;
        cross.n_frames = audio.len() / d;
        let rows = &mut cross.rows;
        for (i, frames) in audio.chunks(CROSS_FRAMES * d).enumerate() {
            let both = &mut cross.both[..frames.len() * 2];
            for (block, cache) in self.blocks.iter().zip(&mut cross.layers) {
                block
                    .cross_kv
                    .forward(exec, frames, rows, Output::Plain, both);
                cache.store(exec, (both, 2 * d), (0, d), i * CROSS_FRAMES);
            }
        }
    }

    /// Appends `tokens` to the text and returns the logits after the last `n_logits` of them,
    /// `[n_logits, n_vocab]`.
    ///
    /// # Panics
    /// If the text would grow beyond `n_ctx` or more logits are wanted than a pass returns; callers
    /// bound both.
    pub fn forward<'s>(
        &self,
        exec: &Exec,
        tokens: &[u32],
        audio: Audio<'_>,
        state: &'s mut DecoderState,
        n_logits: usize,
    ) -> &'s mut [f32] {
        self.forward_watched(exec, tokens, audio, state, None);
        let (n, d) = (tokens.len(), self.n_state);
        assert!(
            n_logits <= MAX_LOGIT_ROWS.min(n),
            "a bounded number of logit rows"
        );
        let (x, h) = (
            &state.x[(n - n_logits) * d..n * d],
            &mut state.h[..n_logits * d],
        );
        self.ln.forward(exec, x, h);
        let logits = &mut state.logits[..n_logits * self.n_vocab];
        self.embedding
            .forward(exec, h, &mut state.rows, Output::Plain, logits);
        logits
    }

    /// The blocks alone: `tokens` are appended, `state.x` holds the residual stream, and the
    /// attention weights asked for are appended to `watch`.
    pub fn forward_watched(
        &self,
        exec: &Exec,
        tokens: &[u32],
        audio: Audio<'_>,
        state: &mut DecoderState,
        mut watch: Option<&mut Watch<'_>>,
    ) {
        let (n, d, n_past) = (tokens.len(), self.n_state, state.n_past);
        assert!(n_past + n <= self.n_ctx, "text within the context");
        for (t, (&token, x)) in tokens.iter().zip(state.x.chunks_exact_mut(d)).enumerate() {
            self.embedding.weights().row(token as usize, x);
            for (x, p) in x.iter_mut().zip(&self.positions[(n_past + t) * d..]) {
                *x += p;
            }
        }
        for (i, block) in self.blocks.iter().enumerate() {
            self.self_attention(exec, block, i, n, state);
            self.cross_attention(exec, block, (i, audio), n, state, watch.as_deref_mut());
            let (x, h) = (&mut state.x[..n * d], &mut state.h[..n * d]);
            let wide = &mut state.wide[..n * 4 * d];
            block.mlp_ln.forward(exec, x, h);
            block
                .mlp_0
                .forward(exec, h, &mut state.rows, Output::Gelu, wide);
            block
                .mlp_2
                .forward(exec, wide, &mut state.rows, Output::Residual, x);
        }
        state.n_past += n;
    }

    fn self_attention(
        &self,
        exec: &Exec,
        block: &Block,
        i: usize,
        n: usize,
        state: &mut DecoderState,
    ) {
        let (d, n_past) = (self.n_state, state.n_past);
        let (x, h, q) = (
            &mut state.x[..n * d],
            &mut state.h[..n * d],
            &mut state.q[..n * d],
        );
        let qkv = &mut state.wide[..n * 3 * d];
        block.attn_ln.forward(exec, x, h);
        block
            .qkv
            .forward(exec, h, &mut state.rows, Output::Plain, qkv);
        for (q, row) in q.chunks_exact_mut(d).zip(qkv.chunks_exact(3 * d)) {
            q.copy_from_slice(&row[..d]);
        }
        state.kv[i].store(exec, (qkv, 3 * d), (d, 2 * d), n_past);
        let parts = [state.kv[i].part(0..n_past + n)];
        let attention = self.attention(q, &parts, Mask::Causal { n_past });
        kernels::attention(exec, &attention, h);
        block
            .out
            .forward(exec, h, &mut state.rows, Output::Residual, x);
    }

    fn cross_attention(
        &self,
        exec: &Exec,
        block: &Block,
        (i, audio): (usize, Audio<'_>),
        n: usize,
        state: &mut DecoderState,
        watch: Option<&mut Watch<'_>>,
    ) {
        let d = self.n_state;
        let (x, h, q) = (
            &mut state.x[..n * d],
            &mut state.h[..n * d],
            &mut state.q[..n * d],
        );
        block.cross_ln.forward(exec, x, h);
        block
            .cross_query
            .forward(exec, h, &mut state.rows, Output::Plain, q);
        audio.with_parts(i, |parts| {
            kernels::attention(exec, &self.attention(q, parts, Mask::None), h);
        });
        if let Some(watch) = watch {
            let real = [audio.cross.layers[i].part(0..watch.n_frames)];
            let attention = self.attention(q, &real, Mask::None);
            let per_head = n * watch.n_frames;
            exec.for_each_part(watch.weights, per_head, |which, probs| {
                let (layer, head) = watch.heads[which];
                if layer == i {
                    kernels::attention_probs(exec.cpu(), &attention, head, probs);
                }
            });
        }
        block
            .cross_out
            .forward(exec, h, &mut state.rows, Output::Residual, x);
    }

    fn attention<'a>(
        &self,
        q: &'a [f32],
        parts: &'a [KvPart<'a, f16>],
        mask: Mask,
    ) -> Attention<'a, f16> {
        let d_head = self.n_state / self.n_head;
        Attention {
            q,
            n_q: q.len() / self.n_state,
            n_head: self.n_head,
            d_head,
            scale: (d_head as f32).powf(-0.5),
            parts,
            mask,
        }
    }
}
