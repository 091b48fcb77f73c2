//! Cached silence: what a window shorter than 30 s attends to beyond its end.
//!
//! The encoder is trained on windows of 30 s, most of them padded with silence. What the model
//! needs of that padding is something silent to attend to, and that never changes: so silence is
//! encoded once per model, and the keys and values it leaves in every encoder layer, and in the
//! decoder's cross-attention, serve every shorter window. The work is then proportional to the
//! speech.

use std::ops::ControlFlow;

use half::f16;

use crate::format::WhisperDims;
use crate::kernels::Exec;
use crate::nn::{KvCache, MixedKvCache};

use super::decoder::Decoder;
use super::encoder::{Encoder, Stage};

/// Normalised mel value of the silence: the floor of speech of ordinary loudness, `(max - 8 + 4) / 4`
/// with a maximum of 1.
const LEVEL: f32 = -0.75;

/// Keys and values of 30 s of silence.
pub struct Silence {
    /// A layer of the encoder each.
    layers: Vec<MixedKvCache>,
    /// A layer of the decoder each.
    cross: Vec<KvCache<f16>>,
}

impl Silence {
    /// Encodes silence once.
    pub(super) fn new(
        exec: &Exec,
        dims: &WhisperDims,
        encoder: &Encoder,
        decoder: &Decoder,
    ) -> Self {
        let d = dims.n_audio_state;
        let mut layers: Vec<_> = (0..dims.n_audio_layer).map(|_| encoder.new_kv()).collect();
        let mut state = encoder.new_state();
        let mel = vec![LEVEL; 2 * dims.n_audio_ctx * dims.n_mels];
        let mut cross = decoder.new_cross();
        exec.run(|| {
            let _ = encoder.forward(exec, &mel, None, &mut state, &mut |stage| {
                if let Stage::Keys(i, qkv) = stage {
                    layers[i].store(exec, (qkv, 3 * d), (d, 2 * d), 0);
                }
                ControlFlow::Continue(())
            });
            decoder.cross(exec, state.output(), &mut cross);
        });
        Silence {
            layers,
            cross: cross.layers,
        }
    }

    /// Keys and values in layer `i` of the encoder.
    pub(super) fn layer(&self, i: usize) -> &MixedKvCache {
        &self.layers[i]
    }

    /// Keys and values in the cross-attention of layer `i` of the decoder.
    pub(super) fn cross(&self, i: usize) -> &KvCache<f16> {
        &self.cross[i]
    }

    /// Memory held.
    pub fn bytes(&self) -> usize {
        let layers: usize = self.layers.iter().map(MixedKvCache::bytes).sum();
        layers + self.cross.iter().map(KvCache::bytes).sum::<usize>()
    }
}
