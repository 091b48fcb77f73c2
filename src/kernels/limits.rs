//! What the machine could do at best, to measure the kernels by: loops that multiply and add in
//! registers only, and one that reads memory.
//!
//! They work on the caller's thread, know no clock, and compute nothing of use. A level without
//! a register loop of its own gets the product of matrices that stay in the cache, with all its
//! overhead: a lower bound of the limit, and named so.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use std::arch::asm;
use std::hint::black_box;

use super::packed::RowFormat;
use super::{Cpu, Epilogue, Exec, Level, PackedF32, PackedI8, QuantizedRows};

/// Rounds of a register loop in one call.
const ROUNDS: usize = 10_000;

/// Rows, inputs and outputs of the product that stands in for a register loop.
const ROWS: usize = 48;
const SIDE: usize = 256;

/// How a limit was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitBy {
    /// Nothing but the instruction, on registers.
    Registers,
    /// A matrix product in the cache.
    Product,
}

impl LimitBy {
    /// The name used in reports.
    pub fn name(self) -> &'static str {
        match self {
            LimitBy::Registers => "registers",
            LimitBy::Product => "product in the cache",
        }
    }
}

/// A loop of multiplications and additions.
pub struct Peak {
    /// How its figure is to be read.
    pub by: LimitBy,
    /// Multiplications with addition of one call.
    pub macs: usize,
    run: Box<dyn Fn() + Sync>,
}

impl Peak {
    /// Does the work once: some tens to hundreds of microseconds.
    pub fn run(&self) {
        (self.run)();
    }

    /// A loop of `macs` a round.
    ///
    /// # Safety
    /// This CPU runs `round_trip`.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    unsafe fn registers(macs: usize, round_trip: unsafe fn(usize)) -> Peak {
        Peak {
            by: LimitBy::Registers,
            macs: macs * ROUNDS,
            // SAFETY: the caller's word.
            run: Box::new(move || unsafe { round_trip(ROUNDS) }),
        }
    }

    fn product(run: impl Fn() + Sync + 'static) -> Peak {
        Peak {
            by: LimitBy::Product,
            macs: ROWS * SIDE * SIDE,
            run: Box::new(run),
        }
    }
}

/// The most that one core can do in f32.
pub fn peak_f32(cpu: Cpu) -> Peak {
    // SAFETY: `cpu` proves the features of its level.
    unsafe {
        match cpu.level() {
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => Peak::registers(12 * 8, x86::fma_256),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 | Level::Avx512Vnni | Level::Amx => {
                Peak::registers(12 * 16, x86::fma_512)
            }
            #[cfg(target_arch = "aarch64")]
            Level::Neon | Level::NeonDotprod | Level::NeonI8mm => {
                Peak::registers(16 * 4, neon::fma)
            }
            _ => product_f32(cpu),
        }
    }
}

/// The most that one core can do in the int8 products of its level.
pub fn peak_i8(cpu: Cpu) -> Peak {
    // SAFETY: `cpu` proves the features of its level.
    unsafe {
        match cpu.level() {
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => Peak::registers(12 * 16, x86::words_256),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => Peak::registers(12 * 32, x86::words_512),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Vnni => Peak::registers(12 * 64, x86::dot_512),
            #[cfg(target_arch = "x86_64")]
            Level::Amx => Peak::registers(4 * 16 * 16 * 64, x86::bytes),
            #[cfg(target_arch = "aarch64")]
            Level::NeonDotprod => Peak::registers(16 * 16, neon::dot),
            #[cfg(target_arch = "aarch64")]
            Level::NeonI8mm => Peak::registers(16 * 32, neon::matrix),
            _ => product_i8(cpu),
        }
    }
}

/// The most that one core can do in bf16, where a level computes in it.
pub fn peak_bf16(cpu: Cpu) -> Option<Peak> {
    match cpu.level() {
        #[cfg(target_arch = "x86_64")]
        Level::Amx => {
            // SAFETY: `cpu` proves the features of its level.
            Some(unsafe { Peak::registers(4 * 16 * 16 * 32, x86::bf16) })
        }
        _ => None,
    }
}

/// Reads all of `memory`, at the speed of one core.
pub fn read(cpu: Cpu, memory: &[u64]) {
    match cpu.level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 | Level::Avx512 | Level::Avx512Vnni | Level::Amx => {
            // SAFETY: `cpu` proves the feature.
            unsafe { x86::read(memory) }
        }
        _ => read_streams(memory),
    }
}

/// Four places at once: what fetches ahead does so within a page.
#[inline(always)]
fn read_streams(memory: &[u64]) {
    const N: usize = 8;
    let quarter = memory.len() / 4 / N * N;
    let (first, rest) = memory.split_at(quarter);
    let (second, rest) = rest.split_at(quarter);
    let (third, rest) = rest.split_at(quarter);
    let (fourth, rest) = rest.split_at(quarter);
    // Sums that do not wait for each other.
    let mut sums = [[0_u64; N]; 4];
    let streams = [first, second, third, fourth].map(|stream| stream.as_chunks::<N>().0);
    for i in 0..quarter / N {
        for (sums, stream) in sums.iter_mut().zip(streams) {
            for (sum, value) in sums.iter_mut().zip(&stream[i]) {
                *sum ^= value;
            }
        }
    }
    black_box((sums, rest.iter().fold(0, |sum, value| sum ^ value)));
}

/// The names of the f32 and the int8 tile of a level: rows × columns, and how activations lie.
pub fn tile_names(cpu: Cpu) -> [String; 2] {
    let table = cpu.table();
    let (level, i8) = (cpu.name(), table.i8);
    let rows = match i8.format {
        RowFormat::I8 => "i8",
        RowFormat::U8 => "u8",
        RowFormat::I16 => "i16",
    };
    [
        format!("{level} f32 {}x{}", table.f32_rows, table.f32_columns),
        format!("{level} {rows}·i8 {}x{}", i8.rows, i8.columns),
    ]
}

fn product_f32(cpu: Cpu) -> Peak {
    let exec = Exec::new(cpu, 1);
    let w = PackedF32::new(cpu, &vec![0.5; SIDE * SIDE], SIDE, SIDE);
    let x = vec![0.25; ROWS * SIDE];
    Peak::product(move || {
        let mut out = [0.0; ROWS * SIDE];
        super::matmul_f32(&exec, &x, &w, &Epilogue::default(), &mut out);
        black_box(&out);
    })
}

fn product_i8(cpu: Cpu) -> Peak {
    let exec = Exec::new(cpu, 1);
    let w = PackedI8::new(cpu, &vec![0.5; SIDE * SIDE], SIDE, SIDE);
    let mut x = QuantizedRows::with_capacity(ROWS, SIDE);
    x.quantize(&exec, &vec![0.25; ROWS * SIDE], SIDE);
    Peak::product(move || {
        let mut out = [0.0; ROWS * SIDE];
        super::matmul_i8(&exec, &x, &w, &Epilogue::default(), &mut out);
        black_box(&out);
    })
}

/// One loop: an instruction on each of the sums, none of which waits for another, in assembly, so
/// that the compiler can neither leave it out nor move it. Its text has `{s}` for the sum, `{a}`
/// for both factors and, where a scratch register is named, that.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! register_loop {
    ($name:ident, $features:literal, $zero:expr, $class:ident, $sums:literal,
        $($text:literal),+ $(; $scratch:ident)?) => {
        /// # Safety
        /// The CPU has the features.
        #[target_feature(enable = $features)]
        pub(super) unsafe fn $name(n_rounds: usize) {
            let (mut sums, factor) = ([$zero; $sums], $zero);
            for _ in 0..n_rounds {
                for sum in &mut sums {
                    // SAFETY: the CPU has the instruction, which touches nothing but registers.
                    unsafe {
                        asm!($($text),+, s = inout($class) *sum, a = in($class) factor,
                            $($scratch = out($class) _,)?
                            options(nomem, nostack, preserves_flags));
                    }
                }
            }
            black_box(sums);
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{asm, black_box};
    use std::arch::x86_64::{_mm256_setzero_si256, _mm512_setzero_si512};

    /// As it is written, with vectors of 32 bytes.
    ///
    /// # Safety
    /// The CPU has the feature.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn read(memory: &[u64]) {
        super::read_streams(memory);
    }

    /// All eight matrix registers in full: 16 rows of 64 bytes.
    static FULL: [u8; 64] = {
        let mut bytes = [0; 64];
        bytes[0] = 1;
        let mut i = 0;
        while i < 8 {
            bytes[16 + 2 * i] = 64;
            bytes[48 + i] = 16;
            i += 1;
        }
        bytes
    };

    /// Products of matrix registers with one instruction, in the order of the kernel.
    macro_rules! matrix_loop {
        ($name:ident, $instruction:literal) => {
            /// # Safety
            /// The CPU has AMX and the system lets this process use it.
            pub(super) unsafe fn $name(n_rounds: usize) {
                // SAFETY: the caller's word; the registers belong to nobody else in between.
                unsafe {
                    asm!(
                        "ldtilecfg [{config}]",
                        "2:",
                        concat!($instruction, " tmm0, tmm4, tmm6"),
                        concat!($instruction, " tmm1, tmm4, tmm7"),
                        concat!($instruction, " tmm2, tmm5, tmm6"),
                        concat!($instruction, " tmm3, tmm5, tmm7"),
                        "dec {n}",
                        "jnz 2b",
                        "tilerelease",
                        config = in(reg) &raw const FULL,
                        n = inout(reg) n_rounds.max(1) => _,
                        options(nostack, readonly),
                    );
                }
            }
        };
    }

    matrix_loop!(bytes, "tdpbusd");
    matrix_loop!(bf16, "tdpbf16ps");
    register_loop!(
        fma_256,
        "avx2,fma",
        _mm256_setzero_si256(),
        ymm_reg,
        12,
        "vfmadd231ps {s}, {a}, {a}"
    );
    register_loop!(words_256, "avx2", _mm256_setzero_si256(), ymm_reg, 12,
        "vpmaddwd {t}, {a}, {a}", "vpaddd {s}, {s}, {t}"; t);
    register_loop!(
        fma_512,
        "avx512f",
        _mm512_setzero_si512(),
        zmm_reg,
        12,
        "vfmadd231ps {s}, {a}, {a}"
    );
    register_loop!(words_512, "avx512f,avx512bw", _mm512_setzero_si512(), zmm_reg, 12,
        "vpmaddwd {t}, {a}, {a}", "vpaddd {s}, {s}, {t}"; t);
    register_loop!(
        dot_512,
        "avx512f,avx512vnni",
        _mm512_setzero_si512(),
        zmm_reg,
        12,
        "vpdpbusd {s}, {a}, {a}"
    );
}

#[cfg(target_arch = "aarch64")]
mod neon {
    use super::{asm, black_box};
    use std::arch::aarch64::vdupq_n_s32;

    register_loop!(
        fma,
        "neon",
        vdupq_n_s32(0),
        vreg,
        16,
        "fmla {s:v}.4s, {a:v}.4s, {a:v}.4s"
    );
    register_loop!(
        dot,
        "neon,dotprod",
        vdupq_n_s32(0),
        vreg,
        16,
        "sdot {s:v}.4s, {a:v}.16b, {a:v}.16b"
    );
    register_loop!(
        matrix,
        "neon,i8mm",
        vdupq_n_s32(0),
        vreg,
        16,
        "smmla {s:v}.4s, {a:v}.16b, {a:v}.16b"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_has_its_limits_and_names() {
        for cpu in Cpu::available() {
            let peaks = [Some(peak_f32(cpu)), Some(peak_i8(cpu)), peak_bf16(cpu)];
            assert_eq!(peaks[2].is_some(), cpu.prefers_bf16());
            for peak in peaks.into_iter().flatten() {
                assert!(peak.macs > 0);
                peak.run();
            }
            assert_eq!(
                tile_names(cpu).map(|name| name.starts_with(cpu.name())),
                [true; 2]
            );
        }
    }

    #[test]
    fn memory_of_any_length_is_read() {
        for n in [0, 1, 31, 32, 65] {
            for cpu in Cpu::available() {
                read(cpu, &vec![1; n]);
            }
        }
    }
}
