//! Weights and activations of bf16 products, in the form the tiles read.

use half::bf16;

use super::exec::Parts;
use super::packed::Aligned;
use super::portable;
use super::table::BF16_COLUMNS;
use super::{Exec, SPLIT_ELEMENTS};

/// Rows of weights are padded with zeros to a multiple of this.
const K_ALIGN: usize = 32;

/// bf16 weights `[n_out, n_in]`: `[panel][k_padded / 2][BF16_COLUMNS]` pairs along n_in, for every
/// level the same.
pub struct PackedBf16 {
    n_out: usize,
    n_in: usize,
    panels: Aligned<u32>,
}

impl PackedBf16 {
    /// Rounds and packs `w` `[n_out, n_in]`. Allocates.
    pub fn new(w: &[f32], n_out: usize, n_in: usize) -> Self {
        assert_eq!(w.len(), n_out * n_in, "weights are not [n_out, n_in]");
        let panel_len = n_in.next_multiple_of(K_ALIGN) / 2 * BF16_COLUMNS;
        let mut panels = Aligned::zeroed(n_out.div_ceil(BF16_COLUMNS) * panel_len);
        for (row, values) in w.chunks_exact(n_in.max(1)).enumerate() {
            let panel = &mut panels[row / BF16_COLUMNS * panel_len..];
            for (k, pair) in values.chunks(2).enumerate() {
                let high = pair.get(1).copied().unwrap_or(0.0);
                panel[k * BF16_COLUMNS + row % BF16_COLUMNS] = portable::bf16_pair(pair[0], high);
            }
        }
        PackedBf16 {
            n_out,
            n_in,
            panels,
        }
    }

    /// The number of outputs (rows of the matrix).
    pub fn n_out(&self) -> usize {
        self.n_out
    }

    /// The number of inputs (columns of the matrix).
    pub fn n_in(&self) -> usize {
        self.n_in
    }

    /// The memory held.
    pub fn bytes(&self) -> usize {
        self.panels.bytes()
    }

    pub(super) fn panels(&self) -> &[u32] {
        &self.panels
    }

    /// n_in with padding.
    pub(super) fn k_padded(&self) -> usize {
        self.n_in.next_multiple_of(K_ALIGN)
    }
}

/// Activations in bf16. A buffer to be used again and again.
pub struct Bf16Numbers {
    len: usize,
    data: Aligned<bf16>,
}

impl Bf16Numbers {
    /// Room for `len` numbers, and behind them for `slack` more that tiles may read: those of 32
    /// rows and a step along n_in. Allocates.
    pub fn with_capacity(len: usize, slack: usize) -> Self {
        Bf16Numbers {
            len: 0,
            data: Aligned::zeroed(len + slack),
        }
    }

    /// Rounds `x`. Panics if there is no room.
    pub fn convert(&mut self, exec: &Exec, x: &[f32]) {
        let table = exec.cpu().table();
        self.len = x.len();
        let data = Parts::new(&mut self.data[..x.len()]);
        exec.for_each_chunk(x.len(), SPLIT_ELEMENTS, |range| {
            // SAFETY: the chunks are disjoint, and the table belongs to a level of this machine.
            unsafe { (table.to_bf16)(&x[range.clone()], data.part(range)) };
        });
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// With what tiles may read beyond: numbers of earlier uses, which have no effect.
    pub(super) fn with_slack(&self) -> &[bf16] {
        &self.data
    }
}
