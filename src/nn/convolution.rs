//! The convolution of width 3 over rows of channels, followed by GELU.

use crate::kernels::{
    self, Activation, Bf16Numbers, Cpu, Epilogue, Exec, PackedBf16, PackedF32, Store,
};

use super::Compute;

/// The width.
const TAPS: usize = 3;

enum Weights {
    F32(PackedF32),
    Bf16(PackedBf16),
}

/// `y[t] = gelu(W · x[stride · t .. stride · t + 3] + b)`: three neighbouring rows of x, which lie
/// side by side in memory anyway, are one row of a matrix product.
pub struct Convolution {
    /// `[n_out, 3 * n_in]`, row by row of x.
    weights: Weights,
    bias: Vec<f32>,
    n_in: usize,
}

impl Convolution {
    /// Packs `w`, `[n_out, 3 * n_in]`. Beside layers of 8 bits or fewer it is bf16 where the CPU is faster with
    /// that: everything behind depends on it, and 8 bits would be felt.
    pub fn pack(cpu: Cpu, compute: Compute, w: &[f32], bias: Vec<f32>) -> Self {
        let (n_out, n) = (bias.len(), w.len() / bias.len());
        let weights = match compute {
            Compute::Int8 | Compute::Blocks(_) if cpu.prefers_bf16() => {
                Weights::Bf16(PackedBf16::new(w, n_out, n))
            }
            Compute::Int8 | Compute::Blocks(_) | Compute::F32 => {
                Weights::F32(PackedF32::new(cpu, w, n_out, n))
            }
        };
        Convolution {
            weights,
            bias,
            n_in: n / TAPS,
        }
    }

    /// Scratch for inputs of up to `n` rows.
    pub fn scratch(&self, n: usize) -> Bf16Numbers {
        match self.weights {
            Weights::F32(_) => Bf16Numbers::with_capacity(0, 0),
            // Tiles read up to 32 rows of stride 2 beyond the last.
            Weights::Bf16(_) => Bf16Numbers::with_capacity(n * self.n_in, 64 * self.n_in + 64),
        }
    }

    /// Memory held.
    pub fn bytes(&self) -> usize {
        match &self.weights {
            Weights::F32(w) => w.bytes(),
            Weights::Bf16(w) => w.bytes(),
        }
    }

    /// Convolves `x`, rows of n_in with one empty row at each end, at every `stride`-th row into
    /// `out`, `[n, n_out]`.
    pub fn forward(
        &self,
        exec: &Exec,
        (x, stride): (&[f32], usize),
        scratch: &mut Bf16Numbers,
        out: &mut [f32],
    ) {
        let row_stride = stride * self.n_in;
        let epilogue = Epilogue {
            bias: Some(&self.bias),
            activation: Activation::Gelu,
            store: Store::Overwrite,
        };
        match &self.weights {
            Weights::F32(w) => {
                kernels::matmul_f32_overlapping(exec, (x, row_stride), w, &epilogue, out);
            }
            Weights::Bf16(w) => {
                scratch.convert(exec, x);
                let x = (&*scratch, row_stride);
                kernels::matmul_bf16_overlapping(exec, x, w, &epilogue, out);
            }
        }
    }
}
