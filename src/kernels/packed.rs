//! Weights and activations in the form the tiles read.
//!
//! A weight matrix `[n_out, n_in]` is cut into panels of as many outputs as a register tile has
//! columns; within a panel the weights lie in the order the tile consumes them:
//! `[panel][n_in][columns]` in f32, `[panel][n_in / group][columns][group]` in int8. The last panel
//! is filled with zeros, and int8 rows are filled to a multiple of [`K_ALIGN`].

use super::block_rows::RECORD_BYTES;
use super::blocks::BLOCK_LEN;
use super::exec::Parts;
use super::portable::Arith;
use super::table::Tiles;
use super::{Cpu, Exec, Level, SPLIT_ELEMENTS};

/// int8 rows are padded with zeros to a multiple of this.
pub(super) const K_ALIGN: usize = 64;

/// Buffers of int8 rows have room for a multiple of so many rows, so that a tile may read further
/// than the last.
pub(super) const ROW_ALIGN: usize = 32;

/// Beyond this the int32 sums of the largest products could overflow.
const MAX_N_IN: usize = 65_536;

/// How a level wants its int8 activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowFormat {
    /// Signed bytes.
    I8,
    /// Bytes with zero point 128; the tile's sums are 128 · Σ weights too large.
    U8,
    /// Signed words.
    I16,
}

impl RowFormat {
    const fn bytes(self) -> usize {
        match self {
            RowFormat::I8 | RowFormat::U8 => 1,
            RowFormat::I16 => 2,
        }
    }
}

/// Shape and formats of a level's int8 tile.
#[derive(Clone, Copy, Debug)]
pub(super) struct I8Layout {
    /// Rows of a tile.
    pub(super) rows: usize,
    /// Columns of a tile: the width of a weight panel.
    pub(super) columns: usize,
    /// So many neighbours along n_in lie together in a panel; divides 64.
    pub(super) group: usize,
    /// How activations are stored.
    pub(super) format: RowFormat,
}

/// Plain numbers for which all bytes are valid; only this module can add one.
pub trait Number: sealed::Number {}
impl<T: sealed::Number> Number for T {}

mod sealed {
    pub trait Number: Copy {}
    impl Number for f32 {}
    impl Number for half::f16 {}
    impl Number for half::bf16 {}
    impl Number for u32 {}
    impl Number for u8 {}
    impl Number for i8 {}
    impl Number for super::super::kv_elem::Q8Block {}
}

/// Bytes of a cache line.
const LINE: usize = 64;

/// Zeroed numbers that begin on a cache line. Memory that is never written is never resident.
pub struct Aligned<T> {
    bytes: Vec<u8>,
    /// Where the first line begins.
    start: usize,
    len: usize,
    _type: std::marker::PhantomData<T>,
}

/// Smaller arrays are left to small pages.
#[cfg(target_os = "linux")]
const LARGE_BYTES: usize = 64 * 1024;

/// Asks for large pages: weights are read from end to end, and a walk through the page tables for every 4 KB is
/// a good part of the time that takes, above all in a virtual machine. Only a hint; most systems grant large
/// pages to those who ask (`/sys/kernel/mm/transparent_hugepage/enabled`).
#[cfg(target_os = "linux")]
fn want_large_pages(bytes: &[u8]) {
    if bytes.len() < LARGE_BYTES {
        return;
    }
    // Neighbours of the array in its first page want none, and may have them.
    let before = bytes.as_ptr().addr() % rustix::param::page_size();
    let start = bytes.as_ptr().cast_mut().wrapping_sub(before);
    let advice = rustix::mm::Advice::LinuxHugepage;
    // SAFETY: the advice changes how memory is mapped and nothing that is in it.
    let advised = unsafe { rustix::mm::madvise(start.cast(), bytes.len() + before, advice) };
    if let Err(error) = advised {
        log::debug!("no large pages: {error}");
    }
}

#[cfg(not(target_os = "linux"))]
fn want_large_pages(_: &[u8]) {}

impl<T: Number> Aligned<T> {
    /// `len` zeros. Allocates.
    pub fn zeroed(len: usize) -> Self {
        let n_bytes = (len * size_of::<T>()).next_multiple_of(LINE);
        let bytes = vec![0_u8; n_bytes + LINE - 1];
        want_large_pages(&bytes);
        Aligned {
            start: bytes.as_ptr().addr().next_multiple_of(LINE) - bytes.as_ptr().addr(),
            bytes,
            len,
            _type: std::marker::PhantomData,
        }
    }

    /// Memory held.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The numbers as they lie in memory.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..][..self.len * size_of::<T>()]
    }

    /// The same, to be overwritten: whatever the bytes are, they are numbers.
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..][..self.len * size_of::<T>()]
    }
}

impl<T: Number> Clone for Aligned<T> {
    fn clone(&self) -> Self {
        let mut copy = Aligned::zeroed(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl<T: Number> std::ops::Deref for Aligned<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        let bytes = &self.bytes[self.start..];
        // SAFETY: the bytes hold at least `len` numbers, begin on a cache line, and every bit
        // pattern is a valid `Number`.
        unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), self.len) }
    }
}

impl<T: Number> std::ops::DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        let bytes = &mut self.bytes[self.start..];
        // SAFETY: as in `deref`, and the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), self.len) }
    }
}

/// f32 weights `[n_out, n_in]`, packed for one level.
pub struct PackedF32 {
    level: Level,
    columns: usize,
    n_out: usize,
    n_in: usize,
    panels: Aligned<f32>,
}

impl PackedF32 {
    /// Packs `w` `[n_out, n_in]`. Allocates.
    pub fn new(cpu: Cpu, w: &[f32], n_out: usize, n_in: usize) -> Self {
        assert_eq!(w.len(), n_out * n_in, "weights are not [n_out, n_in]");
        let columns = cpu.table().f32_columns;
        let mut panels = Aligned::zeroed(n_out.next_multiple_of(columns) * n_in);
        for (row, values) in w.chunks_exact(n_in.max(1)).enumerate() {
            let panel = &mut panels[row / columns * columns * n_in..];
            for (k, &value) in values.iter().enumerate() {
                panel[k * columns + row % columns] = value;
            }
        }
        PackedF32 {
            level: cpu.level(),
            columns,
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

    /// Copies one row of the matrix to `out` `[n_in]`.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.n_out && out.len() == self.n_in);
        let panel = &self.panels[row / self.columns * self.columns * self.n_in..];
        for (k, out) in out.iter_mut().enumerate() {
            *out = panel[k * self.columns + row % self.columns];
        }
    }

    pub(super) fn level(&self) -> Level {
        self.level
    }

    /// `[panel][n_in][columns]`.
    pub(super) fn panels(&self) -> &[f32] {
        &self.panels
    }
}

/// int8 weights `[n_out, n_in]` with one scale per output, packed for one level.
pub struct PackedI8 {
    level: Level,
    layout: I8Layout,
    n_out: usize,
    n_in: usize,
    panels: Aligned<i8>,
    /// Per output, filled with zeros to whole panels.
    scales: Vec<f32>,
    /// Per output what the tile's sums are too large by; filled to whole panels.
    excess: Vec<i32>,
}

impl PackedI8 {
    /// Quantises `w` `[n_out, n_in]` symmetrically per output (largest magnitude = 127) and packs
    /// it. Allocates.
    pub fn new(cpu: Cpu, w: &[f32], n_out: usize, n_in: usize) -> Self {
        assert_eq!(w.len(), n_out * n_in, "weights are not [n_out, n_in]");
        let mut packed = PackedI8::zeroed(cpu, n_out, n_in);
        let mut scratch = Vec::new();
        for (row, values) in w.chunks_exact(n_in.max(1)).enumerate() {
            packed.set_row_f32(row, values, &mut scratch);
        }
        packed
    }

    /// Packs rows that are quantised already: weight = `q` · `scale` of its row. Allocates.
    pub fn from_i8(cpu: Cpu, q: &[i8], scale: &[f32], n_out: usize, n_in: usize) -> Self {
        assert_eq!(q.len(), n_out * n_in, "weights are not [n_out, n_in]");
        assert_eq!(scale.len(), n_out, "one scale per output");
        let mut packed = PackedI8::zeroed(cpu, n_out, n_in);
        for (row, (values, &scale)) in q.chunks_exact(n_in.max(1)).zip(scale).enumerate() {
            packed.set_row(row, values, scale);
        }
        packed
    }

    /// A matrix of zeros, to be filled row by row. Allocates.
    pub fn zeroed(cpu: Cpu, n_out: usize, n_in: usize) -> Self {
        assert!(n_in <= MAX_N_IN, "n_in {n_in} is too large for int32 sums");
        let layout = cpu.table().i8;
        let n_columns = n_out.next_multiple_of(layout.columns);
        PackedI8 {
            level: cpu.level(),
            layout,
            n_out,
            n_in,
            panels: Aligned::zeroed(n_columns * n_in.next_multiple_of(K_ALIGN)),
            scales: vec![0.0; n_columns],
            excess: vec![0; n_columns],
        }
    }

    /// Quantises `values` `[n_in]`, finite numbers of which the largest magnitude becomes 127, as
    /// row `row`; `scratch` grows to a row.
    pub fn set_row_f32(&mut self, row: usize, values: &[f32], scratch: &mut Vec<i8>) {
        let (scale, inverse) = scale_of(largest_magnitude(values));
        scratch.clear();
        scratch.extend(values.iter().map(|v| (v * inverse + ROUND).to_bits() as i8));
        self.set_row(row, scratch, scale);
    }

    /// Makes `q` `[n_in]` times `scale` row `row`.
    pub fn set_row(&mut self, row: usize, q: &[i8], scale: f32) {
        assert!(
            row < self.n_out && q.len() == self.n_in,
            "a row of the matrix"
        );
        let I8Layout { columns, group, .. } = self.layout;
        let first = self.index(row, 0);
        let groups = self.panels[first..].chunks_mut(columns * group);
        for (to, from) in groups.zip(q.chunks(group)) {
            to[..from.len()].copy_from_slice(from);
        }
        self.scales[row] = scale;
        if self.layout.format == RowFormat::U8 {
            self.excess[row] = 128 * q.iter().map(|&q| i32::from(q)).sum::<i32>();
        }
    }

    fn index(&self, row: usize, k: usize) -> usize {
        let I8Layout { columns, group, .. } = self.layout;
        let panel = row / columns * columns * self.k_padded();
        panel + (k / group * columns + row % columns) * group + k % group
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
        self.panels.bytes() + self.scales.len() * 8
    }

    /// Writes one row of the matrix, as f32, to `out` `[n_in]`.
    pub fn dequantize_row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.n_out && out.len() == self.n_in);
        for (k, out) in out.iter_mut().enumerate() {
            *out = f32::from(self.panels[self.index(row, k)]) * self.scales[row];
        }
    }

    pub(super) fn level(&self) -> Level {
        self.level
    }

    /// `[panel][k_padded / group][columns][group]`.
    pub(super) fn panels(&self) -> &[i8] {
        &self.panels
    }

    /// n_in with padding.
    pub(super) fn k_padded(&self) -> usize {
        self.n_in.next_multiple_of(K_ALIGN)
    }

    /// Per output, for whole panels.
    pub(super) fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// Per output what the tile's sums are too large by, for whole panels.
    pub(super) fn excess(&self) -> &[i32] {
        &self.excess
    }
}

/// Activations `[n, n_in]` in int8 with one scale per row, in the form of the level that
/// quantised them. A buffer to be used again and again.
pub struct QuantizedRows {
    level: Level,
    n: usize,
    n_in: usize,
    row_bytes: usize,
    /// Whether the rows are records of blocks (`block_rows`) and not integers with a scale a row.
    in_blocks: bool,
    data: Aligned<u8>,
    scales: Vec<f32>,
}

impl QuantizedRows {
    /// Room for `n_rows` rows of `n_in`. Allocates.
    pub fn with_capacity(n_rows: usize, n_in: usize) -> Self {
        let largest = n_in.next_multiple_of(K_ALIGN) * RowFormat::I16.bytes();
        QuantizedRows {
            level: Level::Scalar,
            n: 0,
            n_in: 0,
            row_bytes: 0,
            in_blocks: false,
            data: Aligned::zeroed(n_rows.next_multiple_of(ROW_ALIGN) * largest),
            scales: Vec::with_capacity(n_rows),
        }
    }

    /// Quantises `x` `[n, n_in]`: the largest magnitude of a row becomes 127. A row with NaN or
    /// infinity yields NaN later. Allocates only if the capacity is exceeded.
    pub fn quantize(&mut self, exec: &Exec, x: &[f32], n_in: usize) {
        assert!(
            n_in > 0 && x.len().is_multiple_of(n_in),
            "x is not [n, n_in]"
        );
        let table = exec.cpu().table();
        self.level = exec.cpu().level();
        self.n = x.len() / n_in;
        self.n_in = n_in;
        self.in_blocks = false;
        self.row_bytes = n_in.next_multiple_of(K_ALIGN) * table.i8.format.bytes();
        self.scales.clear();
        self.scales.resize(self.n, 0.0);
        let needed = self.n.next_multiple_of(ROW_ALIGN) * self.row_bytes;
        if needed > self.data.len() {
            self.data = Aligned::zeroed(needed);
        }
        let row_bytes = self.row_bytes;
        let (data, scales) = (Parts::new(&mut self.data), Parts::new(&mut self.scales));
        exec.for_each_chunk(self.n, SPLIT_ELEMENTS / n_in, |range| {
            // SAFETY: the chunks are disjoint.
            let (data, scales) = unsafe {
                let bytes = range.start * row_bytes..range.end * row_bytes;
                (data.part(bytes), scales.part(range.clone()))
            };
            let x = x[range.start * n_in..range.end * n_in].chunks_exact(n_in);
            for ((row, scale), x) in data.chunks_exact_mut(row_bytes).zip(scales).zip(x) {
                // SAFETY: the table belongs to a level of this machine.
                *scale = unsafe { (table.quantize_row)(x, row) };
            }
        });
    }

    /// Quantises `x` `[n, n_in]` for weights in blocks: the largest magnitude of every 32 numbers
    /// becomes 127. A row with NaN or infinity yields NaN later. Allocates only if the capacity is
    /// exceeded.
    pub fn quantize_blocks(&mut self, exec: &Exec, x: &[f32], n_in: usize) {
        assert!(
            n_in > 0 && x.len().is_multiple_of(n_in),
            "x is not [n, n_in]"
        );
        let row_bytes = n_in.div_ceil(BLOCK_LEN) * RECORD_BYTES;
        (self.n, self.n_in) = (x.len() / n_in, n_in);
        (self.row_bytes, self.in_blocks) = (row_bytes, true);
        if self.n * row_bytes > self.data.len() {
            self.data = Aligned::zeroed(self.n * row_bytes);
        }
        let table = exec.cpu().table();
        let data = Parts::new(&mut self.data);
        exec.for_each_chunk(self.n, SPLIT_ELEMENTS / n_in, |range| {
            // SAFETY: the chunks are disjoint.
            let data = unsafe { data.part(range.start * row_bytes..range.end * row_bytes) };
            let x = x[range.start * n_in..range.end * n_in].chunks_exact(n_in);
            for (row, x) in data.chunks_exact_mut(row_bytes).zip(x) {
                // SAFETY: the table belongs to a level of this machine.
                unsafe { (table.quantize_blocks)(x, row) };
            }
        });
    }

    /// Whether [`QuantizedRows::quantize_blocks`] made these.
    pub(super) fn in_blocks(&self) -> bool {
        self.in_blocks
    }

    /// The number of rows.
    pub fn n_rows(&self) -> usize {
        self.n
    }

    /// The length of a row.
    pub fn n_in(&self) -> usize {
        self.n_in
    }

    pub(super) fn level(&self) -> Level {
        self.level
    }

    /// Rows of `row_bytes` bytes in the level's format; behind the last there is room up to a
    /// multiple of [`ROW_ALIGN`].
    pub(super) fn data(&self) -> &[u8] {
        &self.data
    }

    /// Bytes from one row to the next.
    pub(super) fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// Per row: activation = q · scale.
    pub(super) fn scales(&self) -> &[f32] {
        &self.scales
    }
}

/// The largest magnitude; not finite if an element is not. (Magnitudes order like their bits,
/// with NaN on top.)
#[inline(always)]
fn largest_magnitude(x: &[f32]) -> f32 {
    f32::from_bits(
        x.iter()
            .fold(0, |largest, v| largest.max(v.to_bits() & 0x7fff_ffff)),
    )
}

/// Adding this to a number of small magnitude rounds it to an integer, ties to even, which then is
/// in the lowest bits.
const ROUND: f32 = 12_582_912.0;

/// The scale that makes `largest` 127, and its inverse; zero for a row of zeros.
#[inline(always)]
fn scale_of(largest: f32) -> (f32, f32) {
    if largest < 1e-30 {
        (0.0, 0.0)
    } else {
        (largest / 127.0, 127.0 / largest)
    }
}

/// Quantises one row into the level's format and returns its scale.
#[inline(always)]
pub(super) fn quantize_row<L: Tiles + Arith>(x: &[f32], out: &mut [u8]) -> f32 {
    let (scale, inverse) = scale_of(largest_magnitude(x));
    match L::I8.format {
        RowFormat::I8 => {
            for (out, &x) in out.iter_mut().zip(x) {
                *out = (x * inverse + ROUND).to_bits() as u8;
            }
        }
        RowFormat::U8 => {
            for (out, &x) in out.iter_mut().zip(x) {
                *out = ((x * inverse + ROUND).to_bits() as u8) ^ 0x80;
            }
        }
        RowFormat::I16 => {
            for (out, &x) in out.as_chunks_mut::<2>().0.iter_mut().zip(x) {
                *out = ((x * inverse + ROUND).to_bits() as u16).to_le_bytes();
            }
        }
    }
    scale
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(n: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 37) % 101) as f32 - 50.0).collect()
    }

    #[test]
    fn rows_come_back() {
        for cpu in Cpu::available() {
            for (n_out, n_in) in [(1, 1), (5, 7), (33, 65), (64, 64), (65, 130)] {
                let w = ramp(n_out * n_in);
                let f32s = PackedF32::new(cpu, &w, n_out, n_in);
                let i8s = PackedI8::new(cpu, &w, n_out, n_in);
                let mut row = vec![f32::NAN; n_in];
                for (i, expected) in w.chunks_exact(n_in).enumerate() {
                    f32s.row(i, &mut row);
                    assert_eq!(row, expected);
                    i8s.dequantize_row(i, &mut row);
                    let step = largest_magnitude(expected) / 127.0;
                    assert!(
                        row.iter()
                            .zip(expected)
                            .all(|(a, b)| (a - b).abs() <= step * 0.5001)
                    );
                }
            }
        }
    }

    #[test]
    fn all_levels_quantise_alike() {
        let x = ramp(3 * 77);
        for cpu in Cpu::available() {
            let mut rows = QuantizedRows::with_capacity(1, 1);
            rows.quantize(&Exec::new(cpu, 1), &x, 77);
            for (i, expected) in x.chunks_exact(77).enumerate() {
                let (scale, inverse) = scale_of(largest_magnitude(expected));
                assert_eq!(rows.scales()[i], scale);
                for (k, &value) in expected.iter().enumerate() {
                    let bytes = &rows.data()[i * rows.row_bytes()..];
                    let q = match cpu.table().i8.format {
                        RowFormat::I8 => i32::from(bytes[k] as i8),
                        RowFormat::U8 => i32::from(bytes[k]) - 128,
                        RowFormat::I16 => {
                            i32::from(i16::from_le_bytes([bytes[2 * k], bytes[2 * k + 1]]))
                        }
                    };
                    assert_eq!(
                        q,
                        (value * inverse).round_ties_even() as i32,
                        "{cpu:?} {i} {k}"
                    );
                }
            }
        }
    }
}
