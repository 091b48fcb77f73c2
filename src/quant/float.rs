//! The float types: `f32`, `f16`, `bf16`.

use half::bf16;
use half::f16;
use half::slice::HalfFloatSliceExt;

/// Halves converted in one go: on the stack, and enough for the vector instructions that `half`
/// picks at run time.
const STEP: usize = 64;

pub(super) fn read_f32(bytes: &[u8], out: &mut [f32]) {
    for (value, raw) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *value = f32::from_le_bytes(*raw);
    }
}

pub(super) fn read_f16(bytes: &[u8], out: &mut [f32]) {
    let mut step = [f16::ZERO; STEP];
    for (values, raw) in out.chunks_mut(STEP).zip(bytes.chunks(2 * STEP)) {
        let halves = &mut step[..values.len()];
        for (half, pair) in halves.iter_mut().zip(raw.as_chunks::<2>().0) {
            *half = f16::from_le_bytes(*pair);
        }
        halves.convert_to_f32_slice(values);
    }
}

pub(super) fn read_bf16(bytes: &[u8], out: &mut [f32]) {
    for (value, raw) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
        *value = f32::from_bits(u32::from(u16::from_le_bytes(*raw)) << 16);
    }
}

pub(super) fn write_f32(x: &[f32], out: &mut Vec<u8>) {
    for value in x {
        out.extend_from_slice(&value.to_le_bytes());
    }
}

pub(super) fn write_f16(x: &[f32], out: &mut Vec<u8>) {
    let mut step = [f16::ZERO; STEP];
    for values in x.chunks(STEP) {
        let halves = &mut step[..values.len()];
        halves.convert_from_f32_slice(values);
        for half in halves {
            out.extend_from_slice(&half.to_le_bytes());
        }
    }
}

pub(super) fn write_bf16(x: &[f32], out: &mut Vec<u8>) {
    for value in x {
        out.extend_from_slice(&bf16::from_f32(*value).to_le_bytes());
    }
}
