#!/usr/bin/env bash
# Starts and stops an engine of its own: private data root, private run root, private bridge. Sourced by the demo, the tests and the benchmark.
#
#   engine_start DIR [berthd flags]   start berthd (and so its supervisor) with everything below DIR; sets ENGINE_HOST
#   engine_stop DIR                   stop both daemons; containers are removed first
#   engine_kill DIR berthd|supervisor SIGKILL to one of them, as a crash would
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BIN=${BERTH_BIN:-$repo/bin}

engine_start() {
  local dir=$1; shift
  mkdir -p "$dir"
  ENGINE_HOST=unix://$dir/berthd.sock
  setsid "$BIN/berthd" -H "$ENGINE_HOST" --data-root "$dir/data" --exec-root "$dir/run" --pidfile "$dir/berthd.pid" "$@" \
    >>"$dir/berthd.log" 2>&1 </dev/null &
  local pid=$!
  for _ in $(seq 300); do
    curl -fs --unix-socket "$dir/berthd.sock" http://berth/_ping >/dev/null 2>&1 && return 0
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.05
  done
  echo "the engine did not start; the end of $dir/berthd.log:" >&2
  tail -20 "$dir/berthd.log" >&2
  return 1
}

engine_pid() { # DIR berthd|supervisor
  case $2 in
    berthd) cat "$1/berthd.pid" ;;
    supervisor) cat "$1/run/supervisor.pid" ;;
  esac
}

engine_kill() { kill -9 "$(engine_pid "$1" "$2")"; }

engine_wait_gone() { # PID
  for _ in $(seq 200); do kill -0 "$1" 2>/dev/null || return 0; sleep 0.05; done
  return 1
}

engine_stop() {
  local dir=$1 ids
  if curl -fs --unix-socket "$dir/berthd.sock" http://berth/_ping >/dev/null 2>&1; then
    ids=$("$BIN/berth" -H "unix://$dir/berthd.sock" ps -aq) && [[ -n $ids ]] && "$BIN/berth" -H "unix://$dir/berthd.sock" rm -f -v $ids >/dev/null
  fi
  local d s
  d=$(engine_pid "$dir" berthd 2>/dev/null) || d=
  s=$(engine_pid "$dir" supervisor 2>/dev/null) || s=
  if [[ -n $d ]]; then kill "$d" 2>/dev/null && engine_wait_gone "$d"; fi
  if [[ -n $s ]]; then kill "$s" 2>/dev/null && engine_wait_gone "$s"; fi
  return 0
}
