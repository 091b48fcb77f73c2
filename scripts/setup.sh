#!/usr/bin/env bash
# Makes sure this machine can build hark: Rust, a C compiler and, on Linux, ALSA's headers.
# Installs the latter two on Debian and its kin; elsewhere says what is missing. Quick when all is there.
set -euo pipefail

say() { printf '== setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

command -v cargo >/dev/null || fail "Rust is missing: install it from https://rustup.rs, then run make again"
minimum=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname "$0")/../Cargo.toml")
found=$(rustc --version | awk '{print $2}')
[ "$(printf '%s\n%s\n' "$minimum" "${found%%-*}" | sort -V | head -n 1)" = "$minimum" ] ||
  fail "Rust $minimum or newer is needed, this is $found: run 'rustup update'"

case "$(uname -s)" in
  Darwin)
    xcrun --find clang >/dev/null 2>&1 || fail "the command line tools are missing: run 'xcode-select --install'"
    exit 0 ;;
  Linux) ;;
  *) say "unknown system $(uname -s): trying without further set-up"; exit 0 ;;
esac

wanted=()
command -v cc >/dev/null || wanted+=(gcc libc6-dev)
case "${HARK_FEATURES:-}" in
  *--no-default-features*) ;;
  *)
    command -v pkg-config >/dev/null || wanted+=(pkg-config)
    pkg-config --exists alsa 2>/dev/null || wanted+=(libasound2-dev) ;;
esac
[ "${#wanted[@]}" -gt 0 ] || exit 0

without='or build without sound devices: make FEATURES="--no-default-features --features download,http,mqtt"'
if ! command -v apt-get >/dev/null; then
  fail "missing: ${wanted[*]} (Debian's names; Fedora: gcc pkgconf alsa-lib-devel, Arch: gcc pkgconf alsa-lib). Install them, $without"
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || fail "missing: ${wanted[*]}. Install them as root (apt-get install ${wanted[*]}), $without"
  as_root=(sudo)
fi
say "installing ${wanted[*]}"
"${as_root[@]}" apt-get update -qq || say "the package lists could not be refreshed, trying with the old ones"
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null ||
  fail "apt-get could not install ${wanted[*]}. Install them by hand, $without"
