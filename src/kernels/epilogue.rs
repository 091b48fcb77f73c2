//! What is done with the sums of a matrix product before they are stored: bias, activation,
//! residual.

use std::ops::Range;

use super::portable;
use super::table::Tiles;

/// A function applied to every result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// The exact GELU.
    Gelu,
}

/// What happens with a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Store {
    /// It replaces the output.
    #[default]
    Overwrite,
    /// It is added to the output (a residual connection).
    Add,
}

/// What is done with the sums before they leave the registers: + bias, activation, store.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// Added per output `[n_out]`.
    pub bias: Option<&'a [f32]>,
    /// Applied after the bias.
    pub activation: Activation,
    /// How the result is stored.
    pub store: Store,
}

/// Where the results go: `[n, stride]`, written by several threads in disjoint blocks.
#[derive(Clone, Copy)]
struct Output {
    data: *mut f32,
    stride: usize,
}

/// What all matrix products share.
pub(super) struct Frame<'a> {
    epilogue: &'a Epilogue<'a>,
    /// The outputs wanted, as rows of w.
    pub(super) outputs: Range<usize>,
    out: Output,
}

// SAFETY: the output pointer is written in disjoint blocks only (see `Grid::run`); everything
// else is shared read-only.
unsafe impl Sync for Frame<'_> {}

impl<'a> Frame<'a> {
    pub(super) fn new(
        n: usize,
        n_out: usize,
        outputs: Range<usize>,
        epilogue: &'a Epilogue<'a>,
        out: &mut [f32],
    ) -> Self {
        assert!(
            outputs.start <= outputs.end && outputs.end <= n_out,
            "no such outputs"
        );
        assert_eq!(out.len(), n * outputs.len(), "out is not [n, n_out]");
        if let Some(bias) = epilogue.bias {
            assert_eq!(bias.len(), outputs.len(), "bias is not [n_out]");
        }
        let out = Output {
            data: out.as_mut_ptr(),
            stride: outputs.len(),
        };
        Frame {
            epilogue,
            outputs,
            out,
        }
    }

    /// Finishes the sums `[rows][columns]` of some rows of x in panel `panel` and stores those that
    /// are wanted.
    ///
    /// # Safety
    /// The rows are inside the product, and no other thread may write them in this panel.
    #[inline(always)]
    pub(super) unsafe fn finish<L: Tiles>(
        &self,
        rows: Range<usize>,
        panel: usize,
        columns: usize,
        sums: &[f32],
    ) {
        let first = panel * columns;
        let wanted = self.outputs.start.max(first)..self.outputs.end.min(first + columns);
        let mut bias = [0.0; MAX_COLUMNS];
        if let Some(all) = self.epilogue.bias {
            let start = self.outputs.start;
            bias[wanted.start - first..wanted.end - first]
                .copy_from_slice(&all[wanted.start - start..wanted.end - start]);
        }
        let cut = Cut {
            first,
            columns,
            wanted,
            bias,
        };
        // SAFETY: the caller's word.
        unsafe {
            match (self.epilogue.activation, self.epilogue.store) {
                (Activation::None, Store::Overwrite) => {
                    self.finish_as::<L, false, false>(rows, &cut, sums);
                }
                (Activation::None, Store::Add) => {
                    self.finish_as::<L, false, true>(rows, &cut, sums);
                }
                (Activation::Gelu, Store::Overwrite) => {
                    self.finish_as::<L, true, false>(rows, &cut, sums);
                }
                (Activation::Gelu, Store::Add) => {
                    self.finish_as::<L, true, true>(rows, &cut, sums);
                }
            }
        }
    }

    /// # Safety
    /// As for [`Frame::finish`].
    #[inline(always)]
    unsafe fn finish_as<L: Tiles, const GELU: bool, const ADD: bool>(
        &self,
        rows: Range<usize>,
        cut: &Cut,
        sums: &[f32],
    ) {
        let bias = cut.bias[..cut.columns].as_chunks().0;
        let lanes = cut.wanted.start - cut.first..cut.wanted.end - cut.first;
        for (row, sums) in rows.zip(sums.chunks_exact(cut.columns)) {
            let at = row * self.out.stride + cut.wanted.start - self.outputs.start;
            // SAFETY: `row` is below n and the wanted columns are in the output; the caller keeps
            // other threads away.
            let out = unsafe { std::slice::from_raw_parts_mut(self.out.data.add(at), lanes.len()) };
            if out.len() == cut.columns {
                finish_row::<L, GELU, ADD>(sums, bias, out);
            } else {
                let mut all = [0.0; MAX_COLUMNS];
                all[lanes.clone()].copy_from_slice(out);
                finish_row::<L, GELU, ADD>(sums, bias, &mut all[..cut.columns]);
                out.copy_from_slice(&all[lanes.clone()]);
            }
        }
    }
}

/// The columns of a panel and those that are wanted, as rows of w.
struct Cut {
    first: usize,
    columns: usize,
    wanted: Range<usize>,
    bias: [f32; MAX_COLUMNS],
}

/// Columns finished at a time; divides the width of every panel.
const CHUNK: usize = 16;

/// No panel is wider.
const MAX_COLUMNS: usize = 64;

/// Finishes one row of a panel.
#[inline(always)]
fn finish_row<L: Tiles, const GELU: bool, const ADD: bool>(
    sums: &[f32],
    bias: &[[f32; CHUNK]],
    out: &mut [f32],
) {
    let out = out.as_chunks_mut::<CHUNK>().0.iter_mut();
    for ((out, sums), bias) in out.zip(sums.as_chunks::<CHUNK>().0).zip(bias) {
        let mut y = *sums;
        for (y, bias) in y.iter_mut().zip(bias) {
            *y += bias;
        }
        if GELU {
            for y in &mut y {
                *y = portable::gelu_one::<L>(*y);
            }
        }
        if ADD {
            for (y, out) in y.iter_mut().zip(out.iter()) {
                *y += out;
            }
        }
        *out = y;
    }
}
