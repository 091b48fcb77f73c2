//! Which instructions the kernels may use, found out once at start.
//!
//! A [`Cpu`] is proof that this machine can run a level: only detection makes one. Every kernel
//! takes its code from the table that belongs to the level.

use super::table::Table;
use crate::error::{Classify, Kind};

/// The environment variable that lowers the level.
pub const SIMD_VARIABLE: &str = "HARK_SIMD";

/// A set of instructions for which kernels exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// Plain Rust, the reference for all others.
    Scalar,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// x86-64 with AVX-512 F, BW, VL and DQ.
    Avx512,
    /// The same with the 8-bit dot product VNNI.
    Avx512Vnni,
    /// The same with the matrix registers AMX (8-bit and bf16).
    Amx,
    /// 64-bit Arm.
    Neon,
    /// The same with `sdot`.
    NeonDotprod,
    /// The same with `smmla`.
    NeonI8mm,
}

/// All levels; within one family of machines from slow to fast.
const ALL: [Level; 8] = [
    Level::Scalar,
    Level::Avx2,
    Level::Avx512,
    Level::Avx512Vnni,
    Level::Amx,
    Level::Neon,
    Level::NeonDotprod,
    Level::NeonI8mm,
];

impl Level {
    /// The name used in `HARK_SIMD` and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Level::Scalar => "scalar",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
            Level::Avx512Vnni => "avx512vnni",
            Level::Amx => "amx",
            Level::Neon => "neon",
            Level::NeonDotprod => "neon+dotprod",
            Level::NeonI8mm => "neon+i8mm",
        }
    }

    /// The level of this name.
    pub fn from_name(name: &str) -> Option<Level> {
        ALL.into_iter().find(|level| level.name() == name)
    }
}

/// `HARK_SIMD` asks for something that cannot be had.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LevelError {
    /// No level has this name.
    #[error("{SIMD_VARIABLE}={0}: no such level (this machine has: {1})")]
    Unknown(String, String),
    /// The level exists, but not on this machine.
    #[error("{SIMD_VARIABLE}={0}: not on this machine (it has: {1})")]
    Missing(String, String),
}

impl Classify for LevelError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }
}

/// A level that this machine can run.
#[derive(Clone, Copy)]
pub struct Cpu {
    level: Level,
    table: &'static Table,
}

impl std::fmt::Debug for Cpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cpu({})", self.name())
    }
}

impl Cpu {
    /// The best level of this machine, or the lower one that `HARK_SIMD` names. A value that
    /// cannot be followed is logged and ignored.
    pub fn detect() -> Cpu {
        Cpu::from_env().unwrap_or_else(|error| {
            log::warn!("{error}; using the best");
            Cpu::best()
        })
    }

    /// As [`Cpu::detect`], but a value that cannot be followed is an error.
    pub fn from_env() -> Result<Cpu, LevelError> {
        match std::env::var(SIMD_VARIABLE) {
            Ok(name) if !name.is_empty() => Cpu::named(&name),
            _ => Ok(Cpu::best()),
        }
    }

    /// The level of this name, if this machine has it.
    pub fn named(name: &str) -> Result<Cpu, LevelError> {
        let available = Cpu::available();
        let names = || {
            available
                .iter()
                .map(|cpu| cpu.name())
                .collect::<Vec<_>>()
                .join(" ")
        };
        let Some(level) = Level::from_name(name) else {
            return Err(LevelError::Unknown(name.to_string(), names()));
        };
        match available.iter().find(|cpu| cpu.level == level) {
            Some(cpu) => Ok(*cpu),
            None => Err(LevelError::Missing(name.to_string(), names())),
        }
    }

    /// The reference level, which every machine has.
    pub fn scalar() -> Cpu {
        Cpu {
            level: Level::Scalar,
            table: &super::scalar::TABLE,
        }
    }

    /// Every level that this machine can run, from slow to fast.
    pub fn available() -> Vec<Cpu> {
        ALL.into_iter()
            .filter_map(|level| {
                Some(Cpu {
                    level,
                    table: table_of(level)?,
                })
            })
            .collect()
    }

    /// The level.
    pub fn level(self) -> Level {
        self.level
    }

    /// The name of the level.
    pub fn name(self) -> &'static str {
        self.level.name()
    }

    /// Whether attention is faster over keys and values in bf16 than in f32.
    pub fn prefers_bf16(self) -> bool {
        self.table.bf16
    }

    /// The kernels of this level.
    pub(super) fn table(self) -> &'static Table {
        self.table
    }

    fn best() -> Cpu {
        let mut best = Cpu::scalar();
        for level in ALL {
            if let Some(table) = table_of(level) {
                best = Cpu { level, table };
            }
        }
        best
    }
}

/// The kernels of a level if this machine can run them. New levels are added here.
fn table_of(level: Level) -> Option<&'static Table> {
    match level {
        Level::Scalar => Some(&super::scalar::TABLE),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 | Level::Avx512 | Level::Avx512Vnni | Level::Amx => super::x86::table_of(level),
        #[cfg(target_arch = "aarch64")]
        Level::Neon | Level::NeonDotprod | Level::NeonI8mm => super::neon::table_of(level),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for level in ALL {
            assert_eq!(Level::from_name(level.name()), Some(level));
        }
    }

    #[test]
    fn scalar_is_first_and_best_is_last() {
        let available = Cpu::available();
        assert_eq!(available[0].level(), Level::Scalar);
        assert_eq!(available.last().unwrap().level(), Cpu::best().level());
    }

    #[test]
    fn the_level_asked_for_is_there() {
        // Holds whoever runs the suite with the variable set to what they meant to test.
        if let Ok(name) = std::env::var(SIMD_VARIABLE) {
            assert_eq!(Cpu::from_env().unwrap().name(), name);
        }
    }

    #[test]
    fn unknown_and_missing_levels_are_told_apart() {
        assert!(matches!(Cpu::named("sse9"), Err(LevelError::Unknown(..))));
        let foreign = if cfg!(target_arch = "x86_64") {
            "neon"
        } else {
            "avx2"
        };
        assert!(matches!(Cpu::named(foreign), Err(LevelError::Missing(..))));
        assert_eq!(Cpu::named("scalar").unwrap().level(), Level::Scalar);
    }
}
