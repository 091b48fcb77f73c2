//! Cached silence: what a window shorter than 30 s attends to beyond its end.
//!
//! The encoder is trained on windows of 30 s, most of them padded with silence. What the model
//! needs of that padding is something silent to attend to, and that never changes: so silence is
//! encoded once per model, and the keys and values it leaves in every encoder layer, and in the
//! decoder's cross-attention, serve every shorter window. The work is then proportional to the
//! speech.
//!
//! Of those keys most are hardly looked at. Each head keeps the [`TAIL_KEYS`] that the model
//! attends to most among the positions behind the window, whatever its length.

use std::ops::ControlFlow;

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::format::WhisperDims;
use crate::kernels::{self, Attention, Exec, KvPart, Mask};
use crate::nn::KvCache;

use super::decoder::{Cross, Decoder, Watch};
use super::encoder::{Encoder, Stage};

/// Normalised mel value of the silence: the floor of speech of ordinary loudness, `(max - 8 + 4) / 4`
/// with a maximum of 1.
const LEVEL: f32 = -0.75;

/// Silent keys that a head attends to behind a window. With 256 of 1,500 fewer words are wrong than
/// with all or with 64 (`benches/2026-11-25-silence.md`).
pub(super) const TAIL_KEYS: usize = 256;

/// Every so many-th frame of the silence is asked what it attends to.
const QUERY_STEP: usize = 16;

/// Keys and values of 30 s of silence.
pub struct Silence {
    /// A layer of the encoder each.
    layers: Vec<Ranked>,
    /// A layer of the decoder each.
    cross: Vec<Ranked>,
}

impl Silence {
    /// Encodes silence once; the decoder looks at it while it writes `text`.
    pub(super) fn new(
        exec: &Exec,
        dims: &WhisperDims,
        encoder: &Encoder,
        decoder: &Decoder,
        text: &[u32],
    ) -> Self {
        let (n, d, n_head) = (dims.n_audio_ctx, dims.n_audio_state, dims.n_audio_head);
        let mut state = encoder.new_state();
        let mel = vec![LEVEL; 2 * n * dims.n_mels];
        let mut cross = decoder.new_cross();
        let mut cache = KvCache::new(n_head, d / n_head, n);
        let mut layers = Vec::with_capacity(dims.n_audio_layer);
        let cross = exec.run(|| {
            let _ = encoder.forward(exec, &mel, None, &mut state, &mut |stage| {
                if let Stage::Keys(_, qkv) = stage {
                    cache.store(exec, (qkv, 3 * d), (d, 2 * d), 0);
                    let part = cache.part(0..n);
                    let scores = self_attention(exec, (qkv, d), n_head, &part);
                    layers.push(Ranked::new(&part, n_head, &scores));
                }
                ControlFlow::Continue(())
            });
            decoder.cross(exec, state.output(), None, &mut cross);
            let scores = cross_attention(exec, dims, decoder, text, &cross);
            let ranked = |(i, scores): (usize, &[f32])| {
                Ranked::new(&cross.layer(i).part(0..n), dims.n_text_head, scores)
            };
            let a_layer = dims.n_text_head * n;
            scores
                .chunks_exact(a_layer)
                .enumerate()
                .map(ranked)
                .collect()
        });
        Silence { layers, cross }
    }

    /// Keys and values in layer `i` of the encoder.
    pub(super) fn layer(&self, i: usize) -> &Ranked {
        &self.layers[i]
    }

    /// Keys and values in the cross-attention of layer `i` of the decoder.
    pub(super) fn cross(&self, i: usize) -> &Ranked {
        &self.cross[i]
    }

    /// Memory held.
    pub fn bytes(&self) -> usize {
        let all = self.layers.iter().chain(&self.cross);
        all.map(Ranked::bytes).sum()
    }
}

/// How much every key of a layer of the encoder is attended to, `[n_head][n]`; qkv `[n, 3 * d]`.
fn self_attention(
    exec: &Exec,
    (qkv, d): (&[f32], usize),
    n_head: usize,
    keys: &KvPart<'_, f16>,
) -> Vec<f32> {
    let rows = qkv.chunks_exact(3 * d).step_by(QUERY_STEP);
    let q: Vec<f32> = rows.flat_map(|row| &row[..d]).copied().collect();
    let attention = Attention {
        n_q: q.len() / d,
        q: &q,
        n_head,
        n_kv_head: n_head,
        d_head: d / n_head,
        scale: ((d / n_head) as f32).powf(-0.5),
        parts: std::slice::from_ref(keys),
        mask: Mask::None,
    };
    let n = keys.range.len();
    let mut scores = vec![0.0; n_head * n];
    exec.for_each_part(&mut scores, n, |head, scores| {
        let mut probs = vec![0.0; attention.n_q * n];
        kernels::attention_probs(exec.cpu(), &attention, head, &mut probs);
        add_rows(&probs, scores);
    });
    scores
}

/// How much the decoder attends to every frame of the audio while it writes `text`,
/// `[n_layer][n_head][n]`.
fn cross_attention(
    exec: &Exec,
    dims: &WhisperDims,
    decoder: &Decoder,
    text: &[u32],
    cross: &Cross,
) -> Vec<f32> {
    let heads: Vec<_> = (0..dims.n_text_layer)
        .flat_map(|layer| (0..dims.n_text_head).map(move |head| (layer, head)))
        .collect();
    let text = &text[..text.len().min(decoder.n_ctx())];
    let (n_frames, a_head) = (cross.n_frames(), text.len() * cross.n_frames());
    let mut weights = vec![0.0; heads.len() * a_head];
    let watch = &mut Watch {
        heads: &heads,
        n_frames,
        weights: &mut weights,
    };
    decoder.forward_watched(exec, text, cross, &mut decoder.new_state(), Some(watch));
    let mut scores = vec![0.0; heads.len() * n_frames];
    let of_heads = weights.chunks_exact(a_head.max(1));
    for (weights, scores) in of_heads.zip(scores.chunks_exact_mut(n_frames.max(1))) {
        add_rows(weights, scores);
    }
    scores
}

/// Adds every row of `rows`, `[n, sum.len()]`, to `sum`.
fn add_rows(rows: &[f32], sum: &mut [f32]) {
    for row in rows.chunks_exact(sum.len().max(1)) {
        for (sum, x) in sum.iter_mut().zip(row) {
            *sum += x;
        }
    }
}

/// The silent keys and values of one layer that any window may need, head by head, each head's in
/// falling order of attention.
pub(super) struct Ranked {
    n_head: usize,
    d_head: usize,
    /// Positions in all.
    n: usize,
    /// Where each head's begin, and where the last one's end: `[n_head + 1]`.
    starts: Vec<usize>,
    positions: Vec<u32>,
    /// `[positions][d_head]`
    k: Vec<f16>,
    v: Vec<f16>,
}

impl Ranked {
    /// Ranks the positions of `part` by `scores`, `[n_head][n]`.
    fn new(part: &KvPart<'_, f16>, n_head: usize, scores: &[f32]) -> Self {
        let n = part.range.len();
        let d_head = part.k.len() / (n_head * part.capacity);
        let mut ranked = Ranked {
            n_head,
            d_head,
            n,
            starts: vec![0],
            positions: Vec::new(),
            k: Vec::new(),
            v: Vec::new(),
        };
        for (head, scores) in scores.chunks_exact(n).enumerate() {
            let kept = rank(scores);
            for &position in &kept {
                let at = (head * part.capacity + position as usize) * d_head;
                ranked.k.extend_from_slice(&part.k[at..at + d_head]);
                ranked.v.extend_from_slice(&part.v[at..at + d_head]);
            }
            ranked.positions.extend(kept);
            ranked.starts.push(ranked.positions.len());
        }
        ranked
    }

    /// Writes the keys and values of the silence behind the first `n_real` positions to the
    /// beginning of `rows`, as rows `[2 * n_head * d_head]`, and returns them.
    pub(super) fn tail<'r>(&self, n_real: usize, rows: &'r mut [f32]) -> &'r [f32] {
        let (d, d_head) = (self.n_head * self.d_head, self.d_head);
        let rows = &mut rows[..(self.n - n_real).min(TAIL_KEYS) * 2 * d];
        for head in 0..self.n_head {
            let ranks = self.starts[head]..self.starts[head + 1];
            let behind = ranks.filter(|i| self.positions[*i] as usize >= n_real);
            for (row, i) in rows.chunks_exact_mut(2 * d).zip(behind) {
                let kept = i * d_head..(i + 1) * d_head;
                let (k, v) = row.split_at_mut(d);
                let of_head = head * d_head..(head + 1) * d_head;
                self.k[kept.clone()].convert_to_f32_slice(&mut k[of_head.clone()]);
                self.v[kept].convert_to_f32_slice(&mut v[of_head]);
            }
        }
        rows
    }

    fn bytes(&self) -> usize {
        (self.k.len() + self.v.len()) * size_of::<f16>() + self.positions.len() * 4
    }
}

/// The positions that some window needs, those with the highest scores first. Whatever the window's
/// length, a position is of no use to it when [`TAIL_KEYS`] later ones rank higher.
fn rank(scores: &[f32]) -> Vec<u32> {
    let mut best: Vec<f32> = Vec::with_capacity(TAIL_KEYS + 1);
    let mut kept = Vec::new();
    for (position, score) in scores.iter().enumerate().rev() {
        let place = best.partition_point(|other| other.total_cmp(score).is_gt());
        if place < TAIL_KEYS {
            best.insert(place, *score);
            best.truncate(TAIL_KEYS);
            kept.push(position as u32);
        }
    }
    let score = |position: &u32| scores[*position as usize];
    kept.sort_by(|a, b| score(b).total_cmp(&score(a)).then(a.cmp(b)));
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_window_finds_its_best_keys() {
        let n = 3 * TAIL_KEYS;
        let scores: Vec<f32> = (0..n).map(|i| ((i * 7919) % 1009) as f32).collect();
        let kept = rank(&scores);
        assert!(kept.len() < n);
        for n_real in [0, 1, 100, n - TAIL_KEYS, n - 3, n] {
            let behind = |p: &&u32| **p as usize >= n_real;
            let found: Vec<u32> = kept
                .iter()
                .filter(behind)
                .take(TAIL_KEYS)
                .copied()
                .collect();
            let mut all: Vec<u32> = (n_real as u32..n as u32).collect();
            let score = |p: &u32| scores[*p as usize];
            all.sort_by(|a, b| score(b).total_cmp(&score(a)).then(a.cmp(b)));
            all.truncate(TAIL_KEYS);
            assert_eq!(found, all, "{n_real} real positions");
        }
    }
}
