#!/usr/bin/env bash
# check-no-network.sh [FEATURES]     that a build without network code has none (Linux).
#
# Builds the debug binary with these features only (default: mic,ledger) and looks for network code in
# what it is built from, in its symbols and, where strace and the model tiny.en are there, in the
# system calls of a short run. Sockets of the machine itself (AF_UNIX) are allowed: the control socket,
# the service manager and the sound server use them. With a feature that has network code it fails:
#
#   scripts/check-no-network.sh mic,ledger,tcp
#
# Afterwards target/debug/hark is this build.
set -euo pipefail
cd "$(dirname "$0")/.."

features=${1:-mic,ledger}
read -ra cargo <<<"${CARGO:-cargo}"
say() { printf '== no network: %s\n' "$*"; }
fail() { printf 'check-no-network: %s\n' "$*" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say "build with $features"
build=(--locked --no-default-features --features "$features")
"${cargo[@]}" build "${build[@]}"
binary=${CARGO_TARGET_DIR:-target}/debug/hark

say "crates"
crates='ureq|rustls|webpki-roots|httparse|hyper|socket2|mio|tokio|curl|native-tls|openssl'
"${cargo[@]}" tree "${build[@]}" --edges normal --prefix none >"$work/crates"
if grep -E "^($crates) " "$work/crates"; then
  fail "these crates are network code"
fi

# Names of the standard library stand in symbols as they are, however they are mangled. Only what opens
# a connection is looked for: what TCP and Unix sockets do alike, such as setting a timeout, is one piece
# of code under both names.
say "symbols"
symbols='(TcpStream|TcpListener|UdpSocket)[0-9]+(connect|bind)|ToSocketAddrs|LookupHost'
symbols="$symbols|getaddrinfo|gethostbyname|rustls|ureq"
{ nm "$binary"; nm --dynamic "$binary"; } >"$work/symbols" 2>/dev/null || true
grep -q UnixStream "$work/symbols" || fail "$binary has no symbols to look at"
if grep -m 20 -E "$symbols" "$work/symbols"; then
  fail "$binary has network code"
fi

if ! command -v strace >/dev/null; then
  say "no strace: system calls were not looked at"
elif [ ! -e models/tiny.en/model.bin ]; then
  say "no model (hark models pull tiny.en): system calls were not looked at"
else
  say "system calls of a short run"
  cat >"$work/config.toml" <<'TOML'
ledger = { enabled = true, file = "ledger.sqlite" }

[[command]]
name = "door"
sentences = ["is the garage door open"]
action = { program = "true" }
TOML
  # The program's own models and nothing of this user.
  HARK_MODELS=$PWD/models XDG_RUNTIME_DIR=$work XDG_STATE_HOME=$work timeout 120 \
    strace -f -qq -e trace=network -o "$work/calls" \
    "$binary" run --config "$work/config.toml" \
    --source tests/data/speech/command/command_en_0224.flac >"$work/said" || fail "the run failed"
  grep -qi garage "$work/said" || fail "the run heard nothing: $(cat "$work/said")"
  if grep -E 'socket\(|AF_[A-Z0-9]+' "$work/calls" | grep -m 20 -v AF_UNIX; then
    fail "the run opened sockets other than AF_UNIX"
  fi
fi
say "$binary has none"
