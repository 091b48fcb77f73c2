//! The linear layer: one type for every weight format.

use std::ops::Range;

use crate::kernels::{
    self, Activation, BlockFormat, Cpu, Epilogue, Exec, PackedBlocks, PackedF32, PackedI8,
    QuantizedRows, Store,
};

/// The arithmetic of the linear layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compute {
    /// 32-bit floats: the reference.
    F32,
    /// 8-bit weights (a scale a row) times 8-bit activations (quantised row by row on the fly).
    Int8,
    /// Weights of 4, 5 or 8 bits in blocks of 32 with a scale each, as model files hold them, times
    /// 8-bit activations in the same blocks: for small memories.
    Blocks(BlockFormat),
}

impl Compute {
    /// The name used on the command line and in output.
    pub fn name(self) -> &'static str {
        match self {
            Compute::F32 => "f32",
            Compute::Int8 => "int8",
            Compute::Blocks(format) => format.name(),
        }
    }
}

/// A weight matrix packed for the CPU, `[n_out, n_in]`.
pub enum Weights {
    /// Floats.
    F32(PackedF32),
    /// 8-bit integers with a scale a row.
    I8(PackedI8),
    /// In blocks with a scale each.
    Blocks(PackedBlocks),
}

impl Weights {
    /// Packs `w`, `[n_out, n_in]` row-major, for `compute`.
    pub fn pack(cpu: Cpu, compute: Compute, w: &[f32], n_out: usize, n_in: usize) -> Self {
        match compute {
            Compute::F32 => Weights::F32(PackedF32::new(cpu, w, n_out, n_in)),
            Compute::Int8 => Weights::I8(PackedI8::new(cpu, w, n_out, n_in)),
            Compute::Blocks(format) => Weights::Blocks(PackedBlocks::new(format, w, n_out, n_in)),
        }
    }

    /// Number of output features.
    pub fn n_out(&self) -> usize {
        match self {
            Weights::F32(w) => w.n_out(),
            Weights::I8(w) => w.n_out(),
            Weights::Blocks(w) => w.n_out(),
        }
    }

    /// Number of input features.
    pub fn n_in(&self) -> usize {
        match self {
            Weights::F32(w) => w.n_in(),
            Weights::I8(w) => w.n_in(),
            Weights::Blocks(w) => w.n_in(),
        }
    }

    /// Memory held.
    pub fn bytes(&self) -> usize {
        match self {
            Weights::F32(w) => w.bytes(),
            Weights::I8(w) => w.bytes(),
            Weights::Blocks(w) => w.bytes(),
        }
    }

    /// Row `index` as floats into `out`, `[n_in]`: an embedding lookup.
    pub fn row(&self, index: usize, out: &mut [f32]) {
        match self {
            Weights::F32(w) => w.row(index, out),
            Weights::I8(w) => w.dequantize_row(index, out),
            Weights::Blocks(w) => w.dequantize_row(index, out),
        }
    }
}

/// What becomes of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// `out = x W^T + b`.
    Plain,
    /// `out = gelu(x W^T + b)`.
    Gelu,
    /// `out += x W^T + b`: the residual connection.
    Residual,
}

/// `y = x W^T + b`.
pub struct Linear {
    weights: Weights,
    bias: Option<Vec<f32>>,
}

impl Linear {
    /// A layer of packed weights and an optional bias of `n_out` values.
    pub fn new(weights: Weights, bias: Option<Vec<f32>>) -> Self {
        if let Some(bias) = &bias {
            assert_eq!(bias.len(), weights.n_out(), "a bias for every output");
        }
        Linear { weights, bias }
    }

    /// The packed weights.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Multiplies `x`, `[n, n_in]`, into `out`, `[n, n_out]`. `rows` is scratch for quantised
    /// activations, large enough for `x`; it is not touched by float layers.
    pub fn forward(
        &self,
        exec: &Exec,
        x: &[f32],
        rows: &mut QuantizedRows,
        output: Output,
        out: &mut [f32],
    ) {
        let epilogue = Epilogue {
            bias: self.bias.as_deref(),
            activation: match output {
                Output::Gelu => Activation::Gelu,
                Output::Plain | Output::Residual => Activation::None,
            },
            store: match output {
                Output::Residual => Store::Add,
                Output::Plain | Output::Gelu => Store::Overwrite,
            },
        };
        match &self.weights {
            Weights::F32(w) => kernels::matmul_f32(exec, x, w, &epilogue, out),
            Weights::I8(w) => {
                rows.quantize(exec, x, w.n_in());
                kernels::matmul_i8(exec, rows, w, &epilogue, out);
            }
            Weights::Blocks(w) => {
                rows.quantize_blocks(exec, x, w.n_in());
                kernels::matmul_blocks(exec, rows, w, &epilogue, out);
            }
        }
    }

    /// Some of the outputs only, without what comes after the product: out `[n, outputs.len()]`.
    pub fn forward_outputs(
        &self,
        exec: &Exec,
        x: &[f32],
        rows: &mut QuantizedRows,
        outputs: Range<usize>,
        out: &mut [f32],
    ) {
        let epilogue = Epilogue {
            bias: self.bias.as_ref().map(|bias| &bias[outputs.clone()]),
            activation: Activation::None,
            store: Store::Overwrite,
        };
        match &self.weights {
            Weights::F32(w) => kernels::matmul_f32_rows(exec, x, w, outputs, &epilogue, out),
            Weights::I8(w) => {
                rows.quantize(exec, x, w.n_in());
                kernels::matmul_i8_rows(exec, rows, w, outputs, &epilogue, out);
            }
            Weights::Blocks(w) => {
                rows.quantize_blocks(exec, x, w.n_in());
                kernels::matmul_blocks_rows(exec, rows, w, outputs, &epilogue, out);
            }
        }
    }
}
