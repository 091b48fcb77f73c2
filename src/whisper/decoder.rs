//! The text decoder: tokens in, logits of the next token out.
//!
//! Radford et al. 2022, section 2.2: learned positions, pre-norm blocks of causal self-attention,
//! cross-attention to the encoded audio and an MLP; the output projection is the token embedding.
//! Keys and values of the audio are computed once a window ([`Cross`]), those of the text are kept
//! and may be cut back to any earlier length ([`DecoderState`]), so that several continuations and
//! the verification of a draft share them.

use std::ops::Range;

use half::f16;

use crate::format::{FormatError, WhisperDims};
use crate::kernels::{self, Attention, Exec, KvPart, Mask, QuantizedRows};
use crate::nn::{KvCache, LayerNorm, Linear, Output, Weights};

use super::load::Loader;
use super::silence::Silence;

/// Rows of logits that can be had at a time.
pub(super) const MAX_LOGIT_ROWS: usize = 32;

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

/// Keys and values of one encoded window, a cache a layer, and behind them those of the silence
/// that follows a short one.
pub struct Cross {
    layers: Vec<KvCache<f16>>,
    /// Frames of the window that were computed.
    n_frames: usize,
    /// Positions that hold something: the frames, then silence.
    n_keys: usize,
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

    /// The cache of one layer.
    pub(super) fn layer(&self, layer: usize) -> &KvCache<f16> {
        &self.layers[layer]
    }
}

/// A text so far: its keys and values, a cache a layer.
pub(super) struct TextCache {
    kv: Vec<KvCache<f16>>,
    n_past: usize,
}

impl TextCache {
    /// Takes over the text of `other`, of the same decoder. Does not allocate.
    pub(super) fn copy_from(&mut self, other: &TextCache) {
        for (to, from) in self.kv.iter_mut().zip(&other.kv) {
            to.copy_from(from, other.n_past);
        }
        self.n_past = other.n_past;
    }

    /// Forgets all tokens from position `n` on.
    pub(super) fn truncate(&mut self, n: usize) {
        self.n_past = self.n_past.min(n);
    }
}

/// The buffers of a pass over some tokens, `n` of them at most.
pub(super) struct Pass {
    /// `[n, n_state]`: the residual stream.
    x: Vec<f32>,
    h: Vec<f32>,
    q: Vec<f32>,
    /// `[n, 4 * n_state]`
    wide: Vec<f32>,
    /// `[MAX_LOGIT_ROWS, n_vocab]`
    logits: Vec<f32>,
    rows: QuantizedRows,
}

/// A text and the buffers of its stream.
pub struct DecoderState {
    text: TextCache,
    /// The tokens whose keys and values `text` holds.
    tokens: Vec<u32>,
    pass: Pass,
}

impl DecoderState {
    /// Number of tokens held.
    pub fn n_past(&self) -> usize {
        self.text.n_past
    }

    /// Forgets all tokens from position `n` on.
    pub fn truncate(&mut self, n: usize) {
        self.text.truncate(n);
        self.tokens.truncate(n);
    }

    /// How many of `tokens`, from the first on, are those it holds.
    pub(super) fn n_held(&self, tokens: impl IntoIterator<Item = u32>) -> usize {
        let same = self.tokens.iter().zip(tokens);
        same.take_while(|(held, token)| **held == *token).count()
    }

    /// The text alone.
    pub(super) fn text(&self) -> &TextCache {
        &self.text
    }

    /// The logits that the last pass left, `[rows, n_vocab]`.
    pub(super) fn logits(&mut self) -> &mut [f32] {
        &mut self.pass.logits
    }
}

/// Texts that take as many tokens each in one pass.
struct Texts<'a> {
    caches: &'a mut [TextCache],
    /// Which of them take part, in the order of the rows of the pass.
    order: &'a [usize],
    /// Tokens of each.
    n_each: usize,
}

impl Texts<'_> {
    /// Calls `f` with every text and its rows.
    fn each(&mut self, mut f: impl FnMut(&mut TextCache, Range<usize>)) {
        for (i, &which) in self.order.iter().enumerate() {
            f(
                &mut self.caches[which],
                i * self.n_each..(i + 1) * self.n_each,
            );
        }
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
            n_keys: 0,
            both: vec![0.0; CROSS_FRAMES.min(self.n_audio_ctx) * 2 * self.n_state],
            rows: QuantizedRows::with_capacity(CROSS_FRAMES, self.n_state),
        }
    }

    /// An empty text with all its buffers.
    pub fn new_state(&self) -> DecoderState {
        DecoderState {
            text: self.new_text(),
            tokens: Vec::with_capacity(self.n_ctx),
            pass: self.new_pass(self.n_ctx),
        }
    }

    /// An empty text.
    pub(super) fn new_text(&self) -> TextCache {
        let cache = || KvCache::new(self.n_head, self.n_state / self.n_head, self.n_ctx);
        TextCache {
            kv: (0..self.blocks.len()).map(|_| cache()).collect(),
            n_past: 0,
        }
    }

    /// Buffers for passes over up to `n` tokens.
    pub(super) fn new_pass(&self, n: usize) -> Pass {
        let d = self.n_state;
        Pass {
            x: vec![0.0; n * d],
            h: vec![0.0; n * d],
            q: vec![0.0; n * d],
            wide: vec![0.0; n * 4 * d],
            logits: vec![0.0; MAX_LOGIT_ROWS.min(n) * self.n_vocab],
            rows: QuantizedRows::with_capacity(n, 4 * d),
        }
    }

    /// Computes the keys and values of an encoded window, `[n_frames, n_state]`, into `cross`, and
    /// appends those of the silence that follows it.
    pub fn cross(&self, exec: &Exec, audio: &[f32], silence: Option<&Silence>, cross: &mut Cross) {
        self.cross_from(exec, audio, 0, silence, cross);
    }

    /// As [`Decoder::cross`] for the frames from `first` on; those before stay.
    pub fn cross_from(
        &self,
        exec: &Exec,
        audio: &[f32],
        first: usize,
        silence: Option<&Silence>,
        cross: &mut Cross,
    ) {
        let d = self.n_state;
        cross.n_frames = first + audio.len() / d;
        cross.n_keys = cross.n_frames;
        for (i, frames) in audio.chunks(CROSS_FRAMES * d).enumerate() {
            let both = &mut cross.both[..frames.len() * 2];
            for (block, cache) in self.blocks.iter().zip(&mut cross.layers) {
                (block.cross_kv).forward(exec, frames, &mut cross.rows, Output::Plain, both);
                cache.store(exec, (both, 2 * d), (0, d), first + i * CROSS_FRAMES);
            }
        }
        let Some(silence) = silence else {
            return;
        };
        for (i, cache) in cross.layers.iter_mut().enumerate() {
            let tail = silence.cross(i).tail(cross.n_frames, &mut cross.both);
            cache.store(exec, (tail, 2 * d), (0, d), cross.n_frames);
            cross.n_keys = cross.n_frames + tail.len() / (2 * d);
        }
    }

    /// Appends `tokens` to the text and returns the logits after the last `n_logits` of them,
    /// `[n_logits, n_vocab]`: with as many as there are tokens, a draft is verified in one pass.
    ///
    /// # Panics
    /// If the text would grow beyond `n_ctx` or more logits are wanted than a pass returns; callers
    /// bound both.
    pub fn forward<'s>(
        &self,
        exec: &Exec,
        tokens: &[u32],
        cross: &Cross,
        state: &'s mut DecoderState,
        n_logits: usize,
    ) -> &'s mut [f32] {
        self.forward_watched(exec, tokens, cross, state, None);
        let n = tokens.len();
        assert!(n_logits <= n, "logits of the pass's own tokens");
        self.logits(exec, state, n - n_logits..n)
    }

    /// The logits after some of the tokens of the last pass, counted from its first,
    /// `[rows][n_vocab]`.
    ///
    /// # Panics
    /// If more rows are wanted than can be had at a time; callers bound them.
    pub fn logits<'s>(
        &self,
        exec: &Exec,
        state: &'s mut DecoderState,
        rows: Range<usize>,
    ) -> &'s mut [f32] {
        self.project(exec, rows, &mut state.pass)
    }

    /// Appends a token each to several texts, `caches[order[i]]` for token i, in one pass, and
    /// returns the logits after each, `[n, n_vocab]`.
    pub(super) fn forward_each<'p>(
        &self,
        exec: &Exec,
        tokens: &[u32],
        cross: &Cross,
        (caches, order): (&mut [TextCache], &[usize]),
        pass: &'p mut Pass,
    ) -> &'p mut [f32] {
        assert_eq!(tokens.len(), order.len(), "a token for every text");
        let mut texts = Texts {
            caches,
            order,
            n_each: 1,
        };
        self.blocks(exec, tokens, cross, &mut texts, pass, None);
        self.project(exec, 0..tokens.len(), pass)
    }

    /// The blocks alone: `tokens` are appended, and the attention weights asked for are written to
    /// `watch`.
    pub fn forward_watched(
        &self,
        exec: &Exec,
        tokens: &[u32],
        cross: &Cross,
        state: &mut DecoderState,
        watch: Option<&mut Watch<'_>>,
    ) {
        let mut texts = Texts {
            caches: std::slice::from_mut(&mut state.text),
            order: &[0],
            n_each: tokens.len(),
        };
        self.blocks(exec, tokens, cross, &mut texts, &mut state.pass, watch);
        state.tokens.extend_from_slice(tokens);
    }

    /// The logits of some rows of the residual stream.
    fn project<'p>(&self, exec: &Exec, of: Range<usize>, pass: &'p mut Pass) -> &'p mut [f32] {
        let d = self.n_state;
        assert!(of.len() <= MAX_LOGIT_ROWS, "a bounded number of logit rows");
        let h = &mut pass.h[..of.len() * d];
        let logits = &mut pass.logits[..of.len() * self.n_vocab];
        self.ln.forward(exec, &pass.x[of.start * d..of.end * d], h);
        (self.embedding).forward(exec, h, &mut pass.rows, Output::Plain, logits);
        logits
    }

    /// Embedding and blocks: tokens to `pass.x`.
    fn blocks(
        &self,
        exec: &Exec,
        tokens: &[u32],
        cross: &Cross,
        texts: &mut Texts<'_>,
        pass: &mut Pass,
        mut watch: Option<&mut Watch<'_>>,
    ) {
        let (n, d) = (tokens.len(), self.n_state);
        texts.each(|text, rows| {
            assert!(
                text.n_past + rows.len() <= self.n_ctx,
                "text within the context"
            );
            let positions = self.positions[text.n_past * d..].chunks_exact(d);
            let x = pass.x[rows.start * d..rows.end * d].chunks_exact_mut(d);
            for ((&token, x), position) in tokens[rows].iter().zip(x).zip(positions) {
                self.embedding.weights().row(token as usize, x);
                for (x, p) in x.iter_mut().zip(position) {
                    *x += p;
                }
            }
        });
        for (i, block) in self.blocks.iter().enumerate() {
            self.self_attention(exec, block, i, texts, pass);
            self.cross_attention(exec, block, (i, cross), n, pass, watch.as_deref_mut());
            let (x, h) = (&mut pass.x[..n * d], &mut pass.h[..n * d]);
            let wide = &mut pass.wide[..n * 4 * d];
            block.mlp_ln.forward(exec, x, h);
            (block.mlp_0).forward(exec, h, &mut pass.rows, Output::Gelu, wide);
            (block.mlp_2).forward(exec, wide, &mut pass.rows, Output::Residual, x);
        }
        texts.each(|text, rows| text.n_past += rows.len());
    }

    fn self_attention(
        &self,
        exec: &Exec,
        block: &Block,
        i: usize,
        texts: &mut Texts<'_>,
        pass: &mut Pass,
    ) {
        let (n, d) = (texts.order.len() * texts.n_each, self.n_state);
        let (x, h, q) = (
            &mut pass.x[..n * d],
            &mut pass.h[..n * d],
            &mut pass.q[..n * d],
        );
        let qkv = &mut pass.wide[..n * 3 * d];
        block.attn_ln.forward(exec, x, h);
        (block.qkv).forward(exec, h, &mut pass.rows, Output::Plain, qkv);
        for (q, row) in q.chunks_exact_mut(d).zip(qkv.chunks_exact(3 * d)) {
            q.copy_from_slice(&row[..d]);
        }
        texts.each(|text, rows| {
            let (n_past, cache) = (text.n_past, &mut text.kv[i]);
            let qkv = &qkv[rows.start * 3 * d..rows.end * 3 * d];
            cache.store(exec, (qkv, 3 * d), (d, 2 * d), n_past);
            let parts = [cache.part(0..n_past + rows.len())];
            let of = rows.start * d..rows.end * d;
            let attention = self.attention(&q[of.clone()], &parts, Mask::Causal { n_past });
            kernels::attention(exec, &attention, &mut h[of]);
        });
        (block.out).forward(exec, h, &mut pass.rows, Output::Residual, x);
    }

    fn cross_attention(
        &self,
        exec: &Exec,
        block: &Block,
        (i, cross): (usize, &Cross),
        n: usize,
        pass: &mut Pass,
        watch: Option<&mut Watch<'_>>,
    ) {
        let d = self.n_state;
        let (x, h, q) = (
            &mut pass.x[..n * d],
            &mut pass.h[..n * d],
            &mut pass.q[..n * d],
        );
        block.cross_ln.forward(exec, x, h);
        (block.cross_query).forward(exec, h, &mut pass.rows, Output::Plain, q);
        let parts = [cross.layers[i].part(0..cross.n_keys)];
        kernels::attention(exec, &self.attention(q, &parts, Mask::None), h);
        if let Some(watch) = watch {
            let real = [cross.layers[i].part(0..watch.n_frames)];
            let attention = self.attention(q, &real, Mask::None);
            let per_head = n * watch.n_frames;
            exec.for_each_part(watch.weights, per_head, |which, probs| {
                let (layer, head) = watch.heads[which];
                if layer == i {
                    kernels::attention_probs(exec.cpu(), &attention, head, probs);
                }
            });
        }
        (block.cross_out).forward(exec, h, &mut pass.rows, Output::Residual, x);
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
            n_kv_head: self.n_head,
            d_head,
            scale: (d_head as f32).powf(-0.5),
            parts,
            mask,
        }
    }
}
