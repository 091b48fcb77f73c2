#!/usr/bin/env bash
# virtual-mic.sh start | env | play FILE [SINK] | FAULT | stop     a microphone without sound hardware (Linux).
#
# A PulseAudio server of its own with two null sinks: what is played into `vmic` is what a
# microphone hears, and `vspeaker` receives what the machine plays. Programs reach it with the
# environment that `start` and `env` print:
#
#   eval "$(scripts/virtual-mic.sh start)"
#   hark devices
#   hark caption --source mic & scripts/virtual-mic.sh play speech.wav
#   scripts/virtual-mic.sh stop
#
# Faults: `unplug` takes both away while programs listen, `plug` brings them back; `suspend` makes the
# microphone fall silent without an error, `resume` ends that; `crash` kills the server, `start` brings
# it back; `freeze` stops it in its tracks, `thaw` lets it go on; `default SINK` makes what that sink plays
# the default microphone.
#
# Everything lives in the folder HARK_VIRTUAL_MIC (default: /tmp/hark-virtual-mic-UID), and `stop` ends
# only the server that `start` began there.
set -euo pipefail

dir=${HARK_VIRTUAL_MIC:-/tmp/hark-virtual-mic-$(id -u)}
socket=$dir/run/pulse/native

fail() { printf 'virtual-mic: %s\n' "$*" >&2; exit 1; }

need() {
  [ "$(uname)" = Linux ] || fail "this needs Linux; on macOS a loopback device such as BlackHole serves"
  local tool missing=
  for tool in pulseaudio pactl paplay; do
    command -v "$tool" >/dev/null || missing="$missing $tool"
  done
  [ -z "$missing" ] || fail "missing:$missing; apt-get install -y pulseaudio pulseaudio-utils libasound2-plugins"
  find /usr/lib* -name libasound_module_pcm_pulse.so -print -quit 2>/dev/null | grep -q . ||
    fail "missing ALSA's plug-in for PulseAudio; apt-get install -y libasound2-plugins"
}

# Server and clients keep to the folder: their state, and the cookie that lets clients in.
private_env() {
  export HOME=$dir/home XDG_RUNTIME_DIR=$dir/run XDG_CONFIG_HOME=$dir/home/.config
  export PULSE_SERVER=unix:$socket PULSE_COOKIE=$dir/cookie
  unset PULSE_SINK PULSE_SOURCE
}

private() { (private_env; exec "$@"); }

print_env() {
  printf 'export HARK_VIRTUAL_MIC=%q\n' "$dir"
  printf 'export PULSE_SERVER=%q\n' "unix:$socket"
  printf 'export PULSE_COOKIE=%q\n' "$dir/cookie"
  printf 'export PULSE_SOURCE=vmic.monitor\n'
  printf 'export PULSE_SINK=vspeaker\n'
  printf 'export ALSA_CONFIG_PATH=%q\n' "$dir/asound.conf"
}

# The server's process, if it is still the one that was started here.
server() {
  local pid
  pid=$(cat "$dir/pid" 2>/dev/null) || return 1
  tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "$socket" || return 1
  printf '%s' "$pid"
}

start() {
  need
  if server >/dev/null; then print_env; return; fi
  mkdir -p "$dir/run/pulse" "$dir/home/.config"
  chmod 700 "$dir" "$dir/run"
  rm -f "$socket"
  cat >"$dir/asound.conf" <<CONF
</usr/share/alsa/alsa.conf>
pcm.!default { type pulse }
ctl.!default { type pulse }
CONF
  # `exec`, so that the process whose number is kept is the server and no shell around it.
  (private_env; exec pulseaudio -n --daemonize=no --use-pid-file=no --exit-idle-time=-1 --disallow-exit \
    --load="module-native-protocol-unix auth-anonymous=1 socket=$socket" \
    --load="module-null-sink sink_name=vmic rate=48000 norewinds=1" \
    --load="module-null-sink sink_name=vspeaker rate=48000 norewinds=1"
  ) </dev/null >"$dir/log" 2>&1 &
  echo $! >"$dir/pid"
  local _
  for _ in $(seq 100); do
    if private pactl info >/dev/null 2>&1; then print_env; return; fi
    kill -0 "$(cat "$dir/pid")" 2>/dev/null || break
    sleep 0.05
  done
  tail -5 "$dir/log" >&2
  fail "PulseAudio did not start; its log is $dir/log"
}

stop() {
  local pid _
  if pid=$(server); then
    kill "$pid"
    for _ in $(seq 100); do
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.05
    done
  fi
  rm -rf "$dir/pid" "$dir/run"
}

# Both sinks: with one left, the server would move the listeners over to it.
unplug() {
  local index
  for index in $(private pactl list short modules | awk '/sink_name=v(mic|speaker)/ { print $1 }'); do
    private pactl unload-module "$index"
  done
}

plug() {
  local name
  for name in vmic vspeaker; do
    private pactl load-module module-null-sink sink_name=$name rate=48000 norewinds=1 >/dev/null
  done
}

# The server's process gets a signal.
signal() {
  local pid
  pid=$(server) || fail "not running; virtual-mic.sh start"
  kill "-$1" "$pid"
}

case ${1:-} in
  start) start ;;
  env) server >/dev/null || fail "not running; virtual-mic.sh start"; print_env ;;
  play)
    [ $# -ge 2 ] || fail "usage: virtual-mic.sh play FILE.wav [SINK]"
    server >/dev/null || fail "not running; virtual-mic.sh start"
    private paplay --device="${3:-vmic}" "$2"
    ;;
  unplug) unplug ;;
  plug) plug ;;
  suspend) private pactl suspend-sink vmic 1 ;;
  resume) private pactl suspend-sink vmic 0 ;;
  crash) signal KILL ;;
  freeze) signal STOP ;;
  thaw) signal CONT ;;
  default) private pactl set-default-source "${2:?SINK}.monitor" ;;
  stop) stop ;;
  *) sed -n '2,20s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
