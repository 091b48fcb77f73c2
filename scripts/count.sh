#!/usr/bin/env bash
# count.sh [x86|arm]...: instructions of the engine at every level, against the scalar reference.
#
#   x86  this machine's levels up to AVX2, counted by valgrind's callgrind (which knows no AVX-512)
#   arm  emulated CPUs, counted by QEMU with a plugin (scripts/count); built by scripts/cross.sh
#
# Prints, tab-separated: level, its kernels, instructions of an encoder window and of a decoder step
# in millions, and how many times fewer than scalar. Unlike times these figures are the same on a
# busy machine. FRAMES (default 250: 5 s) is the window's length, MODEL the model (tiny.en).
set -euo pipefail
cd "$(dirname "$0")/.."

frames=${FRAMES:-250}
model=${MODEL:-models/tiny.en}
steps=4

fail() { printf 'count: %s\n' "$*" >&2; exit 1; }

# count LEVEL ENGINE_WORK_ARGUMENTS...: sets $instructions and $kernels. The runner is in $program.
count() {
  local level=$1 log; shift
  log=$(mktemp)
  kernels=$(HARK_SIMD=$level "${program[@]}" "$model" "$frames" "$@" 2>"$log") || { cat "$log" >&2; fail "$level failed"; }
  instructions=$(sed -n 's/.*\(Collected :\|^instructions\) *//p' "$log" | tr -d ', ')
  rm -f "$log"
  [ -n "$instructions" ] || fail "$level: nothing was counted"
}

# row LEVEL: what a window and a step cost, from runs that differ in one number.
row() {
  local none window first more
  count "$1" 0 0; none=$instructions
  count "$1" 1 0; window=$((instructions - none))
  count "$1" 0 1; first=$instructions
  count "$1" 0 $((1 + steps)); more=$(((instructions - first) / steps))
  if [ "$1" = scalar ]; then scalar_window=$window scalar_step=$more; fi
  awk -v OFS='\t' -v l="$1" -v k="$kernels" -v w="$window" -v s="$more" -v sw="$scalar_window" -v ss="$scalar_step" \
    'BEGIN { print l, k, sprintf("%.1f", w / 1e6), sprintf("%.2f", s / 1e6), sprintf("%.1f", sw / w), sprintf("%.1f", ss / s) }'
}

header() {
  printf '# %s, %s, int8, window of %s frames, decoder step over them, one thread\n' "$1" "$model" "$frames"
  printf 'level\tkernels\twindow_M\tstep_M\twindow_ratio\tstep_ratio\n'
}

x86() {
  command -v valgrind >/dev/null || fail "valgrind is missing"
  cargo build --locked --release --no-default-features --example engine_work
  program=(valgrind --tool=callgrind --callgrind-out-file=/dev/null target/release/examples/engine_work)
  header "x86-64 under callgrind"
  row scalar
  row avx2
}

arm() {
  command -v qemu-aarch64 >/dev/null || fail "qemu-aarch64 is missing (Debian: qemu-user; the static one takes no plugins)"
  scripts/cross.sh setup count-build >&2
  local plugin=target/cross/instructions.so
  cc -O2 -shared -fPIC -Wall -o "$plugin" scripts/count/instructions.c
  local work=target/cross/aarch64-unknown-linux-gnu/debug/examples/engine_work
  header "aarch64 under QEMU"
  local cpu
  for cpu in max=scalar cortex-a72=neon cortex-a76=neon+dotprod max=neon+i8mm; do
    program=(env -u QEMU_LD_PREFIX qemu-aarch64 -cpu "${cpu%%=*}" -plugin "$plugin" "$work")
    row "${cpu#*=}"
  done
}

if [ "$#" -eq 0 ]; then set -- x86 arm; fi
for family in "$@"; do
  case "$family" in
    x86 | arm) "$family" ;;
    *) fail "unknown family $family; see the head of this file" ;;
  esac
done
