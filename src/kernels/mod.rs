//! The compute kernels: the only module with intrinsics and `unsafe`.
//!
//! What enters are slices whose shapes are asserted; what leaves is written to the caller's
//! slices. Nothing here allocates, except where weights are packed and buffers are made. Each
//! kernel runs on the caller's thread and, for large work, on the threads of its [`Exec`].
//!
//! * Results do not depend on the number of threads, and a row's result does not depend on how
//!   many other rows there are; between CPU levels results differ by rounding only.
//! * NaN and infinities are carried along or lost, but never harm.
//!
//! Where things are: `level` (detection), `exec` (threads), `packed` (weight and activation
//! formats), `blocks` and `block_rows` (weights of 4 to 8 bits), `matmul`,
//! `attention`, `kv_elem` and `kv_store` (keys and values), `portable` (what the compiler vectorises by itself),
//! `table` (what a level consists of), `scalar` (the reference), `x86` and `neon` (intrinsics).

mod attention;
mod attention_bf16;
mod bf16_rows;
mod block_rows;
mod blocks;
mod epilogue;
mod exec;
mod kv_elem;
mod kv_store;
mod level;
mod limits;
mod matmul;
#[cfg(target_arch = "aarch64")]
mod neon;
mod packed;
mod portable;
mod scalar;
mod table;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(test)]
mod tests;

use half::f16;

pub use attention::{Attention, KvPart, MAX_D_HEAD, Mask, attention, attention_probs};
pub use attention_bf16::ROOM_ALIGN as BF16_ALIGN;
pub use bf16_rows::{Bf16Numbers, PackedBf16};
pub use block_rows::{matmul_blocks, matmul_blocks_rows};
pub use blocks::{BlockFormat, PackedBlocks};
pub use epilogue::{Activation, Epilogue, Store};
pub use exec::Exec;
pub use kv_elem::{KvElem, Q8Block, kv_narrow, kv_widen};
pub use kv_store::{KvStore, Side, kv_store};
pub use level::{Cpu, Level, LevelError, SIMD_VARIABLE};
pub use limits::{LimitBy, Peak, peak_bf16, peak_f32, peak_i8, read, tile_names};
pub use matmul::{
    matmul_bf16_overlapping, matmul_f32, matmul_f32_overlapping, matmul_f32_rows, matmul_i8,
    matmul_i8_rows,
};
pub use packed::{Aligned, Number, PackedF32, PackedI8, QuantizedRows};

/// Layer normalisation of each row of x `[n, n_state]` into out, with epsilon 1e-5:
/// `(x - mean) / sqrt(variance + epsilon) · gamma + beta`.
pub fn layer_norm(
    exec: &Exec,
    x: &[f32],
    n_state: usize,
    gamma: &[f32],
    beta: &[f32],
    out: &mut [f32],
) {
    assert!(
        n_state > 0 && x.len().is_multiple_of(n_state),
        "x is not [n, n_state]"
    );
    assert!(
        gamma.len() == n_state && beta.len() == n_state,
        "gamma and beta are not [n_state]"
    );
    assert_eq!(out.len(), x.len(), "out is not [n, n_state]");
    let table = exec.cpu().table();
    let rows = exec::Parts::new(out);
    exec.for_each_chunk(x.len() / n_state, SPLIT_ELEMENTS / n_state, |range| {
        let range = range.start * n_state..range.end * n_state;
        // SAFETY: the chunks are disjoint.
        let out = unsafe { rows.part(range.clone()) };
        for (x, out) in x[range]
            .chunks_exact(n_state)
            .zip(out.chunks_exact_mut(n_state))
        {
            // SAFETY: the table belongs to a level of this machine.
            unsafe { (table.layer_norm_row)(x, gamma, beta, out) };
        }
    });
}

/// Each row of x `[n, gamma.len()]` divided by its root mean square, times gamma, into out:
/// `x / sqrt(mean(x²) + epsilon) · gamma`.
pub fn rms_norm(exec: &Exec, x: &[f32], gamma: &[f32], epsilon: f32, out: &mut [f32]) {
    let n = gamma.len();
    assert!(
        n > 0 && x.len().is_multiple_of(n),
        "x is not [n, gamma.len()]"
    );
    assert_eq!(out.len(), x.len(), "out is not [n, gamma.len()]");
    let table = exec.cpu().table();
    exec.for_each_rows(out, n, SPLIT_ELEMENTS / n, |first, out| {
        let rows = x[first * n..].chunks_exact(n);
        for (x, out) in rows.zip(out.chunks_exact_mut(n)) {
            // SAFETY: the table belongs to a level of this machine.
            unsafe { (table.rms_norm_row)(x, gamma, epsilon, out) };
        }
    });
}

/// What makes a gate of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// x / (1 + e^-x)
    Silu,
    /// GELU by its tangent approximation.
    Gelu,
}

/// `out = gate(x[..n]) · x[n..]` for each row of x `[rows, 2 * n]`, out `[rows, n]`.
pub fn gated(exec: &Exec, gate: Gate, x: &[f32], n: usize, out: &mut [f32]) {
    assert!(n > 0 && out.len().is_multiple_of(n), "out is not [rows, n]");
    assert_eq!(x.len(), 2 * out.len(), "x is not [rows, 2 * n]");
    let table = exec.cpu().table();
    let run = match gate {
        Gate::Silu => table.silu_gate,
        Gate::Gelu => table.gelu_gate,
    };
    let rows = exec::Parts::new(out);
    exec.for_each_chunk(x.len() / (2 * n), SPLIT_ELEMENTS / (8 * n), |range| {
        for row in range {
            let (gates, up) = x[2 * n * row..][..2 * n].split_at(n);
            // SAFETY: the rows are disjoint, and the table belongs to a level of this machine.
            unsafe { run(gates, up, rows.part(row * n..(row + 1) * n)) };
        }
    });
}

/// Elementwise work is split over threads in pieces of at least so many elements: some ten
/// microseconds.
pub const SPLIT_ELEMENTS: usize = 1 << 16;

/// The exact (erf) GELU in place, absolute error below 1e-6.
pub fn gelu(cpu: Cpu, x: &mut [f32]) {
    // SAFETY: the table belongs to a level of this machine.
    unsafe { (cpu.table().gelu)(x) }
}

/// The logistic function in place, absolute error below 1e-6.
pub fn sigmoid(cpu: Cpu, x: &mut [f32]) {
    // SAFETY: the table belongs to a level of this machine.
    unsafe { (cpu.table().sigmoid)(x) }
}

/// The hyperbolic tangent in place, absolute error below 1e-6.
pub fn tanh(cpu: Cpu, x: &mut [f32]) {
    // SAFETY: the table belongs to a level of this machine.
    unsafe { (cpu.table().tanh)(x) }
}

/// Softmax in place. Elements of -∞ become 0; if all are, all become 0.
pub fn softmax(cpu: Cpu, x: &mut [f32]) {
    // SAFETY: the table belongs to a level of this machine.
    unsafe { (cpu.table().softmax)(x) }
}

/// log Σ e^x; -∞ if nothing is above -∞.
pub fn log_sum_exp(cpu: Cpu, x: &[f32]) -> f32 {
    // SAFETY: the table belongs to a level of this machine.
    unsafe { (cpu.table().log_sum_exp)(x) }
}

/// The dot product of two slices of equal length.
pub fn dot_f32(cpu: Cpu, a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "lengths differ");
    // SAFETY: the table belongs to a level of this machine.
    unsafe { (cpu.table().dot)(a, b) }
}

/// Converts to half precision, rounding to nearest even; slices of equal length.
pub fn to_f16(cpu: Cpu, x: &[f32], out: &mut [f16]) {
    assert_eq!(x.len(), out.len(), "lengths differ");
    // SAFETY: the table belongs to a level of this machine.
    unsafe { (cpu.table().to_f16)(x, out) }
}

/// Converts from half precision; slices of equal length.
pub fn from_f16(cpu: Cpu, x: &[f16], out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "lengths differ");
    // SAFETY: the table belongs to a level of this machine.
    unsafe { (cpu.table().from_f16)(x, out) }
}
