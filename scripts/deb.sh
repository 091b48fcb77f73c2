#!/usr/bin/env bash
# deb.sh amd64|arm64 [build|package|check]...: a Debian package of hark, for this machine's architecture
# or, from x86-64, for arm64.
#
#   build    the release binary; across with Debian's own compilers, as scripts/cross.sh sets them up
#   package  manual pages, completions and units around it: target/debian/hark_VERSION_ARCH.deb
#   check    the package holds what it should, and its daemon hears a recording (needs the model tiny.en);
#            across on an emulated Cortex-A76
#
# Without steps: all of them. Runs cargo-deb, and builds it below target/tools where it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

packager_version=3.8.0
clip=tests/data/speech/command/command_en_0224.flac
heard='garage door'
stage=target/package

say() { printf '== deb: %s\n' "$*"; }
fail() { printf 'deb: %s\n' "$*" >&2; exit 1; }

arch=${1:-}
shift || true
case "$arch" in
  "$(dpkg --print-architecture)")
    cargo=(cargo) target=() run=()
    hark=target/release/hark ;;
  arm64)
    triple=aarch64-unknown-linux-gnu
    export RUSTC=/usr/bin/rustc CARGO_TARGET_DIR=target/cross
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc
    export PKG_CONFIG_ALLOW_CROSS=1 PKG_CONFIG_PATH=/usr/lib/aarch64-linux-gnu/pkgconfig
    unset RUSTUP_TOOLCHAIN
    cargo=(/usr/bin/cargo) target=(--target "$triple")
    # The arm64 C library comes with ALSA's; the loader of another one must not be mixed in.
    run=(env -u QEMU_LD_PREFIX qemu-aarch64-static -cpu cortex-a76)
    hark=target/cross/$triple/release/hark ;;
  *) fail "which architecture? this machine's, or arm64" ;;
esac

build() {
  if [ "${#run[@]}" -gt 0 ]; then scripts/cross.sh setup; fi
  say "release build for $arch"
  "${cargo[@]}" build --release --locked "${target[@]}"
}

tools() {
  command -v dpkg-shlibdeps >/dev/null || fail "dpkg-shlibdeps is missing: install dpkg-dev"
  if command -v cargo-deb >/dev/null; then
    packager=$(command -v cargo-deb)
    return
  fi
  packager=target/tools/bin/cargo-deb
  [ ! -x "$packager" ] || return 0
  say "cargo-deb $packager_version"
  env -u RUSTC -u CARGO_TARGET_DIR cargo install cargo-deb --locked --quiet --debug --no-default-features \
    --version "$packager_version" --root target/tools --target-dir target/tools/build
}

package() {
  tools
  rm -rf "$stage"
  mkdir -p "$stage/completions"
  "${run[@]}" "$hark" manual --dir "$stage/man"
  "${run[@]}" "$hark" completions bash > "$stage/completions/hark"
  "${run[@]}" "$hark" completions zsh > "$stage/completions/_hark"
  "${run[@]}" "$hark" completions fish > "$stage/completions/hark.fish"
  sed 's|^ExecStart=.*/hark |ExecStart=/usr/bin/hark |' systemd/hark.service > "$stage/hark.service"
  mkdir -p target/debian
  rm -f target/debian/hark_*_"$arch".deb
  "$packager" --no-build --locked --strip --no-dbgsym "${target[@]}" --output target/debian/
}

# has FILE...: fails unless the package holds every one of them.
has() {
  local file
  for file in "$@"; do
    grep -qE " \./$file\$" <<<"$contents" || fail "$file is missing in $deb"
  done
}

check() {
  deb=$(echo target/debian/hark_*_"$arch".deb)
  [ -f "$deb" ] || fail "there is no package for $arch: scripts/deb.sh $arch build package"
  dpkg-deb --info "$deb"
  contents=$(dpkg-deb --contents "$deb")
  [ "$(dpkg-deb --field "$deb" Architecture)" = "$arch" ] || fail "$deb is not for $arch"
  dpkg-deb --field "$deb" Depends | grep -q libasound2 || fail "$deb does not depend on ALSA"
  has usr/bin/hark usr/lib/systemd/{system,user}/hark.service usr/share/man/man1/hark{,-run}.1.gz \
    usr/share/bash-completion/completions/hark usr/share/zsh/vendor-completions/_hark \
    usr/share/fish/vendor_completions.d/hark.fish usr/share/doc/hark/examples/config.toml \
    usr/share/doc/hark/copyright

  local root=$stage/root model=models/tiny.en text
  [ -e "$model" ] || model=tiny.en
  rm -rf "$root"
  dpkg-deb --extract "$deb" "$root"
  "${run[@]}" "$root/usr/bin/hark" --version
  # A single pass over the recording: an emulated CPU is slow.
  printf '[stream]\nstep_ms = 0\nspeculate_ms = 0\n' > "$stage/check.toml"
  say "$clip, heard by the daemon of $deb"
  text=$("${run[@]}" "$root/usr/bin/hark" run --source "$clip" --config "$stage/check.toml" \
    --model "$model" --threads 2)
  echo "$text"
  grep -qi "$heard" <<<"$text" || fail "the daemon heard something else"
}

if [ "$#" -eq 0 ]; then set -- build package check; fi
for step in "$@"; do
  case "$step" in
    build | package | check) "$step" ;;
    *) fail "unknown step $step; see the head of this file" ;;
  esac
done
