//! Normalisation with a learned scale.

use crate::kernels::{self, Exec, MAX_D_HEAD};

/// `y = (x - mean) / sqrt(var + 1e-5) * gamma + beta`, row by row.
pub struct LayerNorm {
    /// Scale, `[n_state]`.
    gamma: Vec<f32>,
    /// Shift, `[n_state]`.
    beta: Vec<f32>,
}

impl LayerNorm {
    /// A layer of the given scale and shift; panics unless they have one length.
    pub fn new(gamma: Vec<f32>, beta: Vec<f32>) -> Self {
        assert_eq!(gamma.len(), beta.len(), "scale and shift of one length");
        LayerNorm { gamma, beta }
    }

    /// Normalises `x`, `[n, n_state]`, into `out` of the same shape.
    pub fn forward(&self, exec: &Exec, x: &[f32], out: &mut [f32]) {
        kernels::layer_norm(exec, x, self.gamma.len(), &self.gamma, &self.beta, out);
    }
}

/// `y = x / sqrt(mean(x²) + epsilon) * gamma`, row by row.
pub struct RmsNorm {
    /// Scale, `[n]`.
    gamma: Vec<f32>,
    epsilon: f32,
}

impl RmsNorm {
    /// A layer of the given scale.
    pub fn new(gamma: Vec<f32>, epsilon: f32) -> Self {
        RmsNorm { gamma, epsilon }
    }

    /// Normalises `x`, `[rows, n]`, into `out` of the same shape.
    pub fn forward(&self, exec: &Exec, x: &[f32], out: &mut [f32]) {
        kernels::rms_norm(exec, x, &self.gamma, self.epsilon, out);
    }

    /// Normalises each row of `x`, `[rows, n]`, in place; rows are heads.
    pub fn forward_heads(&self, exec: &Exec, x: &mut [f32]) {
        let n = self.gamma.len();
        let mut copy = [0.0; MAX_D_HEAD];
        for row in x.chunks_exact_mut(n) {
            copy[..n].copy_from_slice(row);
            self.forward(exec, &copy[..n], row);
        }
    }
}
