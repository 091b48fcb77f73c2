//! Layer normalisation with its learned scale and shift.

use crate::kernels::{self, Exec};

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
