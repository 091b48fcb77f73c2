#!/usr/bin/env bash
# cross.sh [setup|lint|build|kernels|transcribe|check-mac|count-build]...: Arm without an Arm machine (Debian, x86-64).
#
#   setup       Debian's Rust with its arm64 standard library, the C cross compiler and QEMU
#   lint        clippy on the Arm code
#   build       hark for aarch64 Linux: without sound devices, and the daemon with ALSA
#   kernels     the kernels' unit tests on an emulated Cortex-A72 (Pi 4), Cortex-A76 (Pi 5) and
#               a CPU with everything (i8mm), each at its own level
#   transcribe  a clip of two seconds, transcribed with tiny.en in int8 on the first two
#   check-mac   type check for aarch64-apple-darwin (nothing is linked)
#   count-build the engine's bare work for aarch64, for scripts/count.sh
#
# Without arguments: all but the last, in this order. Results go to target/cross.
set -euo pipefail
cd "$(dirname "$0")/.."

triple=aarch64-unknown-linux-gnu
out=target/cross
clip=tests/data/speech/command/command_en_0224.flac
# Emulated CPUs and the kernels they are to run.
cpus=(cortex-a72=neon cortex-a76=neon+dotprod max=neon+i8mm)
# Debian's compiler, not rustup's: it is the one with the arm64 standard library.
export RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc CARGO_TARGET_DIR=$out
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
cargo=/usr/bin/cargo
# One profile for all, fast to build and fast to emulate.
export CARGO_PROFILE_DEV_OPT_LEVEL=3 CARGO_PROFILE_DEV_DEBUG=false
export CARGO_PROFILE_DEV_DEBUG_ASSERTIONS=false
unset RUSTUP_TOOLCHAIN

say() { printf '== cross: %s\n' "$*"; }
fail() { printf 'cross: %s\n' "$*" >&2; exit 1; }

packages=(rustc-web cargo-web rust-web-src rust-web-clippy libstd-rust-web-dev:arm64 gcc-aarch64-linux-gnu
  libc6-dev-arm64-cross qemu-user-static pkg-config libasound2-dev:arm64)

setup() {
  if dpkg -s "${packages[@]}" >/dev/null 2>&1; then return; fi
  command -v apt-get >/dev/null || fail "this needs Debian: ${packages[*]}"
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "install as root, with arm64 as a foreign architecture: ${packages[*]}"
    as_root=(sudo)
  fi
  say "installing ${packages[*]}"
  "${as_root[@]}" dpkg --add-architecture arm64
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
}

lint() {
  say "clippy for $triple"
  # Debian's clippy, which knows where that standard library is, also where rustup is first in PATH.
  PATH=/usr/bin:$PATH "$cargo" clippy --locked --no-default-features --target "$triple" --all-targets -- -D warnings
}

build() {
  say "hark for a Raspberry Pi, with sound devices (linked against ALSA for arm64)"
  PKG_CONFIG_ALLOW_CROSS=1 PKG_CONFIG_PATH=/usr/lib/aarch64-linux-gnu/pkgconfig \
    "$cargo" build --locked --target "$triple"
  cp "$out/$triple/debug/hark" "$out/hark-with-mic"
  say "hark without sound devices, for the emulator"
  "$cargo" build --locked --no-default-features --target "$triple"
}

# emulate CPU=LEVEL PROGRAM ARGUMENTS...: fails if the CPU has not got the level.
emulate() {
  local cpu=${1%%=*} level=${1#*=}; shift
  # The arm64 C library comes with ALSA's; the loader of another one must not be mixed in.
  env -u QEMU_LD_PREFIX HARK_SIMD="$level" qemu-aarch64-static -cpu "$cpu" "$@"
}

kernels() {
  local log=$out/tests.log
  mkdir -p "$out"
  "$cargo" test --locked --no-default-features --target "$triple" --lib --no-run 2>&1 | tee "$log"
  local tests
  tests=$(sed -n 's/.*Executable unittests src.lib.rs (\(.*\))$/\1/p' "$log")
  for cpu in "${cpus[@]}"; do
    say "kernels on an emulated $cpu"
    emulate "$cpu" "$tests" kernels:: --quiet
  done
}

transcribe() {
  local model=models/tiny.en
  [ -e "$model" ] || model=tiny.en
  for cpu in "${cpus[@]:0:2}"; do
    say "$clip on an emulated $cpu"
    local text
    text=$(emulate "$cpu" "$out/$triple/debug/hark" transcribe "$clip" --model "$model" --threads 2)
    echo "$text"
    grep -qi 'garage door' <<<"$text" || fail "the emulated $cpu heard something else"
  done
}

check-mac() {
  say "type check for Apple silicon"
  # Dependencies with C inside want a compiler for the Mac; as nothing is linked, none is needed.
  CC_aarch64_apple_darwin=true AR_aarch64_apple_darwin=true RUSTC_BOOTSTRAP=1 \
    "$cargo" check --locked -Zbuild-std=std,panic_abort --target aarch64-apple-darwin
}

count-build() {
  "$cargo" build --locked --no-default-features --target "$triple" --example engine_work
}

if [ "$#" -eq 0 ]; then set -- setup lint build kernels transcribe check-mac; fi
for step in "$@"; do
  case "$step" in
    setup | lint | build | kernels | transcribe | check-mac | count-build) "$step" ;;
    *) fail "unknown step $step; see the head of this file" ;;
  esac
done
