//! What keys and values are stored as.
//!
//! What enters are rows of f32 as a linear layer leaves them; what leaves is f32 again, rounded to the type.

use half::{bf16, f16};

use super::Exec;

/// Numbers that share a scale.
const Q8_LEN: usize = 32;

/// 32 numbers as q8_0 stores them: a scale, and a code between -127 and 127 for each.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub struct Q8Block {
    scale: f16,
    codes: [i8; Q8_LEN],
}

const _: () = assert!(size_of::<Q8Block>() == 34);

/// Quantises; x holds [`Q8_LEN`] numbers for each block of `out`. What is halfway goes to the even code, so that
/// it is one addition; what is no number becomes 0 or none.
#[inline(always)]
pub(super) fn to_q8(x: &[f32], out: &mut [Q8Block]) {
    /// Adding this rounds to an integer, which then is in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    for (x, block) in x.as_chunks::<Q8_LEN>().0.iter().zip(out) {
        let mut largest = [0.0_f32; 8];
        for x in x.as_chunks::<8>().0 {
            for (largest, x) in largest.iter_mut().zip(x) {
                *largest = if x.abs() > *largest {
                    x.abs()
                } else {
                    *largest
                };
            }
        }
        let largest = largest.iter().fold(0.0_f32, |most, x| most.max(*x));
        let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        block.scale = f16::from_f32(largest / 127.0);
        for (code, x) in block.codes.iter_mut().zip(x) {
            *code = (x * inverse + ROUND).to_bits() as i8;
        }
    }
}

/// The numbers of the blocks; `out` holds [`Q8_LEN`] for each.
#[inline(always)]
pub(super) fn from_q8(x: &[Q8Block], out: &mut [f32]) {
    for (block, out) in x.iter().zip(out.as_chunks_mut::<Q8_LEN>().0) {
        // A scale is not negative: its exponent moves, and is 112 too small.
        let scale = f32::from_bits(u32::from(block.scale.to_bits()) << 13) * 2_f32.powi(112);
        for (out, code) in out.iter_mut().zip(block.codes) {
            *out = scale * f32::from(code);
        }
    }
}

/// Stores numbers: `x` holds as many for each element as it has.
pub fn kv_narrow<T: KvElem>(exec: &Exec, x: &[f32], out: &mut [T]) {
    assert_eq!(x.len(), out.len() * T::LEN, "lengths differ");
    T::store(exec.cpu().table(), x, out);
}

/// What is stored, as numbers.
pub fn kv_widen<T: KvElem>(exec: &Exec, x: &[T], out: &mut [f32]) {
    assert_eq!(out.len(), x.len() * T::LEN, "lengths differ");
    T::load(exec.cpu().table(), x, out);
}

/// What keys and values may be stored as: `f32`, `half::f16`, `half::bf16` or [`Q8Block`]. In bf16 values lie
/// transposed, and the room for positions and d_head are multiples of 32; in blocks d_head is.
pub trait KvElem: sealed::Elem {}
impl KvElem for f32 {}
impl KvElem for f16 {}
impl KvElem for bf16 {}
impl KvElem for Q8Block {}

/// Nobody else can name this trait, so what it mentions may be private.
#[allow(private_interfaces, private_bounds)]
pub(super) mod sealed {
    use half::{bf16, f16};

    use super::super::attention::{self, AttentionJob, Mask};
    use super::super::attention_bf16;
    use super::super::table::{Table, Tiles};
    use super::{Q8_LEN, Q8Block};

    pub trait Elem: Copy + Default + Send + Sync + 'static {
        /// Whether values lie `[n_head][d_head][capacity]`, and what capacity and d_head are
        /// multiples of.
        const TRANSPOSED_VALUES: bool = false;
        const ALIGN: usize = 1;
        /// Numbers of an element.
        const LEN: usize = 1;
        /// Queries of a tile; none where queries are taken one by one.
        fn tile_queries(table: &'static Table, mask: Mask) -> Option<usize>;
        fn entry(table: &'static Table) -> unsafe fn(&AttentionJob<Self>, usize)
        where
            Self: super::KvElem;
        /// # Safety
        /// As for `attention::task`.
        unsafe fn run<L: Tiles>(job: &AttentionJob<Self>, task: usize)
        where
            Self: super::KvElem;
        fn store(table: &'static Table, x: &[f32], out: &mut [Self]);
        /// What was stored.
        fn load(table: &'static Table, x: &[Self], out: &mut [f32]);
    }

    /// What can be taken one query at a time.
    pub(in crate::kernels) trait Widen: Elem {
        /// # Safety
        /// The CPU runs level L.
        unsafe fn widen<'a, L: Tiles>(x: &'a [Self], scratch: &'a mut [f32]) -> &'a [f32];
    }

    impl Elem for f32 {
        fn tile_queries(table: &'static Table, mask: Mask) -> Option<usize> {
            (mask == Mask::None).then_some(table.f32_columns)
        }
        fn entry(table: &'static Table) -> unsafe fn(&AttentionJob<f32>, usize) {
            table.attention_f32
        }
        #[inline(always)]
        unsafe fn run<L: Tiles>(job: &AttentionJob<f32>, task: usize) {
            // SAFETY: passed on.
            unsafe {
                if job.a.mask == Mask::None {
                    let (head, queries) = job.tile(task);
                    attention::tiled::<L>(job, head, queries);
                } else {
                    attention::one_by_one::<L, f32>(job, task);
                }
            }
        }
        fn store(_: &'static Table, x: &[f32], out: &mut [f32]) {
            out.copy_from_slice(x);
        }
        fn load(_: &'static Table, x: &[f32], out: &mut [f32]) {
            out.copy_from_slice(x);
        }
    }

    impl Widen for f32 {
        #[inline(always)]
        unsafe fn widen<'a, L: Tiles>(x: &'a [f32], _: &'a mut [f32]) -> &'a [f32] {
            x
        }
    }

    impl Elem for f16 {
        fn tile_queries(_: &'static Table, _: Mask) -> Option<usize> {
            None
        }
        fn entry(table: &'static Table) -> unsafe fn(&AttentionJob<f16>, usize) {
            table.attention_f16
        }
        #[inline(always)]
        unsafe fn run<L: Tiles>(job: &AttentionJob<f16>, task: usize) {
            // SAFETY: passed on.
            unsafe { attention::one_by_one::<L, f16>(job, task) }
        }
        fn store(table: &'static Table, x: &[f32], out: &mut [f16]) {
            // SAFETY: the table belongs to a level of this machine.
            unsafe { (table.to_f16)(x, out) }
        }
        fn load(table: &'static Table, x: &[f16], out: &mut [f32]) {
            // SAFETY: the table belongs to a level of this machine.
            unsafe { (table.from_f16)(x, out) }
        }
    }

    impl Widen for f16 {
        #[inline(always)]
        unsafe fn widen<'a, L: Tiles>(x: &'a [f16], scratch: &'a mut [f32]) -> &'a [f32] {
            let scratch = &mut scratch[..x.len()];
            // SAFETY: the caller vouches for the level.
            unsafe { L::from_f16(x, scratch) };
            scratch
        }
    }

    impl Elem for bf16 {
        const TRANSPOSED_VALUES: bool = true;
        const ALIGN: usize = attention_bf16::ROOM_ALIGN;
        fn tile_queries(_: &'static Table, _: Mask) -> Option<usize> {
            Some(attention_bf16::LANES)
        }
        fn entry(table: &'static Table) -> unsafe fn(&AttentionJob<bf16>, usize) {
            table.attention_bf16
        }
        #[inline(always)]
        unsafe fn run<L: Tiles>(job: &AttentionJob<bf16>, task: usize) {
            let (head, queries) = job.tile(task);
            // SAFETY: passed on.
            unsafe { attention_bf16::tiled::<L>(job, head, queries) }
        }
        fn store(table: &'static Table, x: &[f32], out: &mut [bf16]) {
            // SAFETY: the table belongs to a level of this machine.
            unsafe { (table.kv_to_bf16)(x, out) }
        }
        fn load(_: &'static Table, x: &[bf16], out: &mut [f32]) {
            for (out, x) in out.iter_mut().zip(x) {
                *out = x.to_f32();
            }
        }
    }

    impl Elem for Q8Block {
        const LEN: usize = Q8_LEN;
        fn tile_queries(_: &'static Table, _: Mask) -> Option<usize> {
            None
        }
        fn entry(table: &'static Table) -> unsafe fn(&AttentionJob<Q8Block>, usize) {
            table.attention_q8
        }
        #[inline(always)]
        unsafe fn run<L: Tiles>(job: &AttentionJob<Q8Block>, task: usize) {
            // SAFETY: passed on.
            unsafe { attention::one_by_one::<L, Q8Block>(job, task) }
        }
        fn store(table: &'static Table, x: &[f32], out: &mut [Q8Block]) {
            // SAFETY: the table belongs to a level of this machine.
            unsafe { (table.to_q8)(x, out) }
        }
        fn load(table: &'static Table, x: &[Q8Block], out: &mut [f32]) {
            // SAFETY: the table belongs to a level of this machine.
            unsafe { (table.from_q8)(x, out) }
        }
    }

    impl Widen for Q8Block {
        #[inline(always)]
        unsafe fn widen<'a, L: Tiles>(x: &'a [Q8Block], scratch: &'a mut [f32]) -> &'a [f32] {
            let scratch = &mut scratch[..x.len() * Q8_LEN];
            super::from_q8(x, scratch);
            scratch
        }
    }
}
