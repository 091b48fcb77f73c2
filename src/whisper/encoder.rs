//! The audio encoder: mel columns in, one vector for every 20 ms out.
//!
//! Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision", section 2.2:
//! two convolutions of width 3 (the second of stride 2) with GELU, sinusoidal positions, pre-norm
//! transformer blocks, a final layer norm. Weights are shared; an [`EncoderState`] holds every
//! buffer of one stream, so that encoding allocates nothing.
//!
//! A window may be shorter than 30 s: then only its real frames are computed, and each of them
//! attends also to the keys and values that silence would have left at the later positions (see
//! [`super::silence`]).

use std::ops::ControlFlow;

use crate::format::{FormatError, WhisperDims};
use crate::kernels::{Bf16Numbers, Exec, QuantizedRows};
use crate::nn::{Convolution, KvPrecision, LayerNorm, Linear, MixedKvCache, Output, Queries};

use super::load::Loader;
use super::silence::{Ranked, Silence};

struct Block {
    attn_ln: LayerNorm,
    /// Query, key and value side by side, `[3 * n_state, n_state]`.
    qkv: Linear,
    out: Linear,
    mlp_ln: LayerNorm,
    mlp_0: Linear,
    mlp_2: Linear,
}

/// The weights.
pub struct Encoder {
    conv1: Convolution,
    conv2: Convolution,
    /// `[n_audio_ctx, n_state]`
    positions: Vec<f32>,
    blocks: Vec<Block>,
    ln_post: LayerNorm,
    n_mels: usize,
    n_state: usize,
    n_head: usize,
    n_ctx: usize,
    /// What keys and values are kept in.
    precision: KvPrecision,
}

/// The buffers of one stream.
pub struct EncoderState {
    /// Mel columns with one empty column at each end, `[2 * n_ctx + 2, n_mels]`.
    mel: Vec<f32>,
    /// The input of each convolution once more, in its precision.
    mel_rounded: Bf16Numbers,
    conv_rounded: Bf16Numbers,
    /// One after the other: output of the first convolution with one empty row at each end,
    /// `[2 * n_ctx + 2, n_state]`; in each block queries, keys and values, `[n_ctx, 3 * n_state]`,
    /// keys and values of silence, and the hidden layer of the MLP, `[n_ctx, 4 * n_state]`.
    wide: Vec<f32>,
    /// `[n_ctx, n_state]`: the residual stream, afterwards the result.
    x: Vec<f32>,
    /// `[n_ctx, n_state]`: normalised input of a sub-layer, queries, attention output.
    h: Vec<f32>,
    q: Vec<f32>,
    /// One for all layers, or one each.
    kv: Vec<MixedKvCache>,
    rows: QuantizedRows,
    /// Frames computed last.
    n_frames: usize,
    n_state: usize,
}

/// Whether a stream keeps the keys and values of a window after it was encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepKeys {
    /// They are overwritten layer by layer.
    No,
    /// Later passes may go on behind the first frames.
    Yes,
}

impl EncoderState {
    /// The frames computed last, `[n_frames, n_state]`.
    pub fn output(&self) -> &[f32] {
        &self.x[..self.n_frames * self.n_state]
    }

    /// Number of frames (20 ms each) computed last.
    pub fn n_frames(&self) -> usize {
        self.n_frames
    }
}

impl Encoder {
    pub(super) fn load(loader: &mut Loader<'_>, dims: &WhisperDims) -> Result<Self, FormatError> {
        let d = dims.n_audio_state;
        let blocks = (0..dims.n_audio_layer).map(|i| {
            let p = format!("encoder.blocks.{i}");
            Ok(Block {
                attn_ln: loader.layer_norm(&format!("{p}.attn_ln"))?,
                qkv: loader.stacked(&format!("{p}.attn"), &["query", "key", "value"], d)?,
                out: loader.linear(&format!("{p}.attn.out"), d, d)?,
                mlp_ln: loader.layer_norm(&format!("{p}.mlp_ln"))?,
                mlp_0: loader.linear(&format!("{p}.mlp.0"), 4 * d, d)?,
                mlp_2: loader.linear(&format!("{p}.mlp.2"), d, 4 * d)?,
            })
        });
        Ok(Encoder {
            blocks: blocks.collect::<Result<_, FormatError>>()?,
            conv1: loader.convolution("encoder.conv1", d, dims.n_mels)?,
            conv2: loader.convolution("encoder.conv2", d, d)?,
            positions: loader.floats("encoder.positional_embedding")?,
            ln_post: loader.layer_norm("encoder.ln_post")?,
            n_mels: dims.n_mels,
            n_state: d,
            n_head: dims.n_audio_head,
            n_ctx: dims.n_audio_ctx,
            precision: loader.kv_precision(d / dims.n_audio_head),
        })
    }

    /// Buffers for windows of up to `n_audio_ctx` frames.
    pub fn new_state(&self) -> EncoderState {
        self.state_that_keeps(KeepKeys::No)
    }

    /// The same; whether later passes may build on earlier ones depends on `keep`.
    pub fn state_that_keeps(&self, keep: KeepKeys) -> EncoderState {
        let n_kv = match keep {
            KeepKeys::No => 1,
            KeepKeys::Yes => self.blocks.len(),
        };
        let (n, d) = (self.n_ctx, self.n_state);
        EncoderState {
            mel: vec![0.0; (2 * n + 2) * self.n_mels],
            mel_rounded: self.conv1.scratch(2 * n + 2),
            conv_rounded: self.conv2.scratch(2 * n + 2),
            wide: vec![0.0; (4 * n).max(2 * n + 2) * d],
            x: vec![0.0; n * d],
            h: vec![0.0; n * d],
            q: vec![0.0; n * d],
            kv: (0..n_kv).map(|_| self.new_kv()).collect(),
            rows: QuantizedRows::with_capacity(n, 4 * d),
            n_frames: 0,
            n_state: d,
        }
    }

    /// Room for the keys and values of one layer.
    fn new_kv(&self) -> MixedKvCache {
        let d_head = self.n_state / self.n_head;
        MixedKvCache::new(self.precision, self.n_head, d_head, self.n_ctx)
    }

    /// Memory held by the packed weights.
    pub fn bytes(&self) -> usize {
        let linear = |l: &Linear| l.weights().bytes();
        let block =
            |b: &Block| linear(&b.qkv) + linear(&b.out) + linear(&b.mlp_0) + linear(&b.mlp_2);
        self.conv1.bytes()
            + self.conv2.bytes()
            + self.positions.len() * 4
            + self.blocks.iter().map(block).sum::<usize>()
    }

    /// Encodes normalised mel columns, `[2 * n_frames, n_mels]`, into `state.output()`.
    ///
    /// With `silence`, positions from `n_frames` on are attended to as silence; without it the
    /// window is all there is, and must be `n_audio_ctx` frames long to be what the model knows.
    /// `observe` sees the output of the front and of every block, and may break the work off; what
    /// `state` holds then is of no use.
    pub fn forward(
        &self,
        exec: &Exec,
        mel: &[f32],
        silence: Option<&Silence>,
        state: &mut EncoderState,
        observe: &mut dyn FnMut(Stage<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        self.forward_from(exec, (mel, 0), silence, state, observe)
    }

    /// As [`Encoder::forward`], but computes only the frames from `first` on. Those before it are
    /// attended to as they were computed by earlier passes over the same columns, at a time when
    /// less was known of what follows them. `state` must keep its keys.
    pub fn forward_from(
        &self,
        exec: &Exec,
        (mel, first): (&[f32], usize),
        silence: Option<&Silence>,
        state: &mut EncoderState,
        observe: &mut dyn FnMut(Stage<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let n = mel.len() / self.n_mels / 2;
        assert!(
            n <= self.n_ctx && mel.len() == 2 * n * self.n_mels && first <= n,
            "an even number of columns"
        );
        assert!(
            first == 0 || state.kv.len() == self.blocks.len(),
            "keys of earlier passes"
        );
        let n_first = first;
        let n = n - n_first;
        state.n_frames = n;
        if n == 0 {
            return ControlFlow::Continue(());
        }
        self.front(exec, (mel, n_first), state);
        let d = self.n_state;
        observe(Stage::Front(&state.x[..n * d]))?;
        for (i, block) in self.blocks.iter().enumerate() {
            self.keys(exec, block, (i, n_first), state);
            observe(Stage::Keys(i, &state.wide[..n * 3 * d]))?;
            let silence = silence.map(|s| s.layer(i));
            self.attend(exec, block, (i, n_first), silence, state);
            let (x, h) = (&mut state.x[..n * d], &mut state.h[..n * d]);
            let wide = &mut state.wide[..n * 4 * d];
            block.mlp_ln.forward(exec, x, h);
            block
                .mlp_0
                .forward(exec, h, &mut state.rows, Output::Gelu, wide);
            block
                .mlp_2
                .forward(exec, wide, &mut state.rows, Output::Residual, x);
            observe(Stage::Block(i, x))?;
        }
        state.h[..n * d].copy_from_slice(&state.x[..n * d]);
        self.ln_post
            .forward(exec, &state.h[..n * d], &mut state.x[..n * d]);
        ControlFlow::Continue(())
    }

    /// Convolutions and positions: mel columns to the frames from `first` on, in `state.x`.
    fn front(&self, exec: &Exec, (mel, first): (&[f32], usize), state: &mut EncoderState) {
        let (n, d, m) = (state.n_frames, self.n_state, self.n_mels);
        // One frame more at the beginning: the columns that the first one sees are all there.
        let lead = first.min(1);
        let mel = &mel[2 * (first - lead) * m..];
        let n_all = n + lead;
        state.mel[m..m + mel.len()].copy_from_slice(mel);
        state.mel[m + mel.len()..][..m].fill(0.0);
        let mel = &state.mel[..(2 * n_all + 2) * m];
        let conv = &mut state.wide[..(2 * n_all + 2) * d];
        let inner = &mut conv[d..(2 * n_all + 1) * d];
        self.conv1
            .forward(exec, (mel, 1), &mut state.mel_rounded, inner);
        conv[..d].fill(0.0);
        conv[(2 * n_all + 1) * d..].fill(0.0);
        let x = &mut state.x[..n_all * d];
        self.conv2
            .forward(exec, (conv, 2), &mut state.conv_rounded, x);
        x.copy_within(lead * d.., 0);
        let positions = &self.positions[first * d..];
        for (x, p) in x[..n * d].iter_mut().zip(positions) {
            *x += p;
        }
    }

    /// Queries, keys and values of a block: to `state.wide`, the caches and `state.q`.
    fn keys(
        &self,
        exec: &Exec,
        block: &Block,
        (layer, first): (usize, usize),
        state: &mut EncoderState,
    ) {
        let kv = layer % state.kv.len();
        let (n, d) = (state.n_frames, self.n_state);
        let h = &mut state.h[..n * d];
        let qkv = &mut state.wide[..n * 3 * d];
        block.attn_ln.forward(exec, &state.x[..n * d], h);
        (block.qkv).forward(exec, h, &mut state.rows, Output::Plain, qkv);
        for (q, row) in state.q.chunks_exact_mut(d).zip(qkv.chunks_exact(3 * d)) {
            q.copy_from_slice(&row[..d]);
        }
        state.kv[kv].store(exec, (qkv, 3 * d), (d, 2 * d), first);
    }

    /// The attention half of a block after [`Encoder::keys`], residual included.
    fn attend(
        &self,
        exec: &Exec,
        block: &Block,
        (layer, first): (usize, usize),
        silence: Option<&Ranked>,
        state: &mut EncoderState,
    ) {
        let (n, d) = (state.n_frames, self.n_state);
        let kv = layer % state.kv.len();
        let (x, h, q) = (
            &mut state.x[..n * d],
            &mut state.h[..n * d],
            &state.q[..n * d],
        );
        let queries = Queries {
            q,
            n_head: self.n_head,
            d_head: d / self.n_head,
        };
        let end = first + n;
        let mut n_keys = end;
        if let Some(silence) = silence {
            let tail = silence.tail(end, &mut state.wide);
            state.kv[kv].store(exec, (tail, 2 * d), (0, d), end);
            n_keys += tail.len() / (2 * d);
        }
        state.kv[kv].attend(exec, queries, 0..n_keys, h);
        block
            .out
            .forward(exec, h, &mut state.rows, Output::Residual, x);
    }
}

/// What [`Encoder::forward`] shows to its observer.
pub enum Stage<'a> {
    /// The residual stream after the convolutions and positions, `[n_frames, n_state]`.
    Front(&'a [f32]),
    /// Queries, keys and values of a block, `[n_frames, 3 * n_state]`.
    Keys(usize, &'a [f32]),
    /// The residual stream after a block, `[n_frames, n_state]`.
    Block(usize, &'a [f32]),
}
