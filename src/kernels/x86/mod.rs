//! x86-64 levels. A level's list of features is written once, here; it serves both detection and
//! compilation.

use super::Level;
use super::table::{Table, level_features, level_table};

level_features! { $ avx2 has_avx2 "avx2" "fma" "f16c" }
level_features! { $ avx512 has_avx512
"avx2" "fma" "f16c" "avx512f" "avx512bw" "avx512vl" "avx512dq" }
level_features! { $ avx512vnni has_avx512vnni
"avx2" "fma" "f16c" "avx512f" "avx512bw" "avx512vl" "avx512dq" "avx512vnni" }

mod avx2_block_rows;
mod avx2_blocks;
mod avx2_rows;
mod avx512_rows;

mod amx;
#[path = "avx2.rs"]
mod avx2_tiles;
#[path = "avx512.rs"]
mod avx512_tiles;

#[path = "avx512vnni.rs"]
mod avx512vnni_tiles;

static AVX2: Table = level_table!(crate::kernels::x86::avx2_tiles::Avx2, avx2);
static AVX512: Table = level_table!(crate::kernels::x86::avx512_tiles::Avx512, avx512);
static AVX512VNNI: Table = level_table!(
    crate::kernels::x86::avx512vnni_tiles::Avx512Vnni,
    avx512vnni
);

static AMX: Table = level_table!(crate::kernels::x86::amx::Amx, avx512vnni);

/// The kernels of a level if this machine can run them.
pub(super) fn table_of(level: Level) -> Option<&'static Table> {
    match level {
        Level::Avx2 if has_avx2() => Some(&AVX2),
        Level::Avx512 if has_avx512() => Some(&AVX512),
        Level::Avx512Vnni if has_avx512vnni() => Some(&AVX512VNNI),
        Level::Amx if has_avx512vnni() && amx::is_available() => Some(&AMX),
        _ => None,
    }
}
