//! f16 ↔ f32, eight numbers at a time; the intrinsics for it are not in stable Rust.

use std::arch::aarch64::*;
use std::arch::asm;

use half::f16;

neon! {
    /// Widens; slices of equal length.
    #[inline]
    pub(super) fn from_f16(x: &[f16], out: &mut [f32]) {
        let (x_chunks, x_rest) = x.as_chunks::<8>();
        let (out_chunks, out_rest) = out.as_chunks_mut::<8>();
        for (x, out) in x_chunks.iter().zip(out_chunks) {
            // SAFETY: both chunks have eight numbers; the conversions touch only registers.
            unsafe {
                let x = vld1q_u16(x.as_ptr().cast());
                let (low, high): (float32x4_t, float32x4_t);
                asm!("fcvtl {out:v}.4s, {x:v}.4h", out = out(vreg) low, x = in(vreg) x,
                    options(pure, nomem, nostack, preserves_flags));
                asm!("fcvtl2 {out:v}.4s, {x:v}.8h", out = out(vreg) high, x = in(vreg) x,
                    options(pure, nomem, nostack, preserves_flags));
                vst1q_f32(out.as_mut_ptr(), low);
                vst1q_f32(out.as_mut_ptr().add(4), high);
            }
        }
        for (x, out) in x_rest.iter().zip(out_rest) {
            *out = x.to_f32();
        }
    }
}

neon! {
    /// Narrows, rounding to nearest even; slices of equal length.
    #[inline]
    pub(super) fn to_f16(x: &[f32], out: &mut [f16]) {
        let (x_chunks, x_rest) = x.as_chunks::<8>();
        let (out_chunks, out_rest) = out.as_chunks_mut::<8>();
        for (x, out) in x_chunks.iter().zip(out_chunks) {
            // SAFETY: both chunks have eight numbers; the conversions touch only registers.
            unsafe {
                let (low, high) = (vld1q_f32(x.as_ptr()), vld1q_f32(x.as_ptr().add(4)));
                let mut halves: uint16x8_t;
                asm!("fcvtn {out:v}.4h, {x:v}.4s", out = out(vreg) halves, x = in(vreg) low,
                    options(pure, nomem, nostack, preserves_flags));
                asm!("fcvtn2 {out:v}.8h, {x:v}.4s", out = inout(vreg) halves, x = in(vreg) high,
                    options(pure, nomem, nostack, preserves_flags));
                vst1q_u16(out.as_mut_ptr().cast(), halves);
            }
        }
        for (x, out) in x_rest.iter().zip(out_rest) {
            *out = f16::from_f32(*x);
        }
    }
}
