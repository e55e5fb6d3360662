#!/usr/bin/env bash
# `make bench`: Berth beside dockerd, runc and crun, engines in turn in one run, medians and ratios.
# The real ones come from ../shared/tools/peers.sh (PEERS names another); without it only Berth is measured.
# N (runs per figure), CONTAINERS (started at once through ctr), ONLY (none,bridge,port,throughput,cli,exec,logs,density) and RUNTIMES_ONLY=1 make it shorter.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/engine.sh"
peers=${PEERS:-$repo/../shared/tools/peers.sh}
tools=${BENCH_TOOLS:-$repo/../shared/tools}
[[ -x $peers && -e $tools/engine-bench.py ]] || { echo "the benchmark needs peers.sh and engine-bench.py in $tools" >&2; exit 1; }
"$peers" setup

echo "== runtimes (default spec)"
mkdir -p /tmp/berth-bench
# a copy on a path without symlinks, so that the same file name works in the peers' root
install -m 0755 "$BIN/berth-runtime" /tmp/berth-bench/berth-runtime
cp "$tools/runtime-bench.py" /tmp/berth-bench/
python3 "$tools/runtime-bench.py" --n "${N:-30}" "$BIN/berth-runtime" 2>/dev/null || true
"$peers" run sh -c 'command -v python3 cc >/dev/null || { apt-get install -y -qq --no-install-recommends python3 gcc libc6-dev >/dev/null 2>&1; }; python3 /tmp/berth-bench/runtime-bench.py --n '"${N:-30}"' /tmp/berth-bench/berth-runtime crun runc'
"$here/../bench/steps.py" --n "${N:-30}" "$BIN/berth-runtime"
[[ ${RUNTIMES_ONLY:-} ]] && exit 0

echo "== tasks: berth-supervisor beside containerd"
python3 "$here/../bench/tasks.py" "${N:-20}" "${CONTAINERS:-500}"

echo "== engines"
dir=$(mktemp -d /tmp/berth-test-$$-XXXXXX)
# where it is on a machine that Berth is installed on: in memory, as the other engine's
run=$(mktemp -d /run/berth-bench-XXXXXX) && ln -s "$run" "$dir/run"
trap 'engine_stop "$dir"; rm -rf "$dir" "$run" /tmp/berth-bench' EXIT
engine_start "$dir"
"$peers" dockerd start >/dev/null
for host in "$ENGINE_HOST" unix:///run/peers/docker.sock; do
  "$here/make-busybox-image.sh" | "$BIN/berth" -H "$host" import -c 'CMD ["sh"]' -c 'ENV PATH=/usr/bin:/bin' - busybox:latest >/dev/null
done
engines=(
  "berth=$ENGINE_HOST,$dir/berthd|$dir/run|berth-shim|berth-supervisor"
  "docker=unix:///run/peers/docker.sock,^(/usr/s?bin/)?(dockerd|containerd|docker-proxy|containerd-shim)"
)
python3 "$tools/engine-bench.py" --n "${N:-15}" ${ONLY:+--only "$ONLY"} "${engines[@]}"
[[ ${ONLY:-} ]] || { echo "== fifty idle containers"; python3 "$here/../bench/idle.py" "${engines[@]}"; }
[[ ${KEEP_PEERS:-} ]] || "$peers" dockerd stop
