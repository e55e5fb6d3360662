#!/usr/bin/env bash
# `make run`: starts an engine of its own, imports the machine's busybox as an image and runs containers from it.
# Nothing of it stays but the engine's folder, /var/tmp/berth-demo, when KEEP=1 leaves it running.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/engine.sh"
[[ $(id -u) -eq 0 ]] || { echo "containers need root: run 'sudo make run'" >&2; exit 1; }
dir=${DEMO_DIR:-/var/tmp/berth-demo}

say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; "$@"; }
finish() { [[ ${KEEP:-} ]] || { engine_stop "$dir"; rm -rf "$dir"; }; }
trap finish EXIT

engine_start "$dir"
export DOCKER_HOST=$ENGINE_HOST
berth=$BIN/berth
echo "berthd answers on $ENGINE_HOST"
"$here/make-busybox-image.sh" | "$berth" import -c 'CMD ["sh"]' - busybox:latest >/dev/null
say "$berth" images
say "$berth" run --rm busybox echo "hello from a container"
say "$berth" run --rm --memory 64m --hostname demo busybox sh -c 'echo "$(hostname): pid $$, $(ip -4 -o addr show eth0 | cut -d" " -f7)"'
say "$berth" run -d --name web -p 127.0.0.1::80 busybox sh -c 'mkdir -p /www; echo served by berth >/www/index.html; exec httpd -f -p 80 -h /www'
say "$berth" ps
port=$("$berth" port web 80 | head -1)
for _ in $(seq 100); do curl -fs "http://$port/" >/dev/null && break; sleep 0.05; done
say curl -s "http://$port/"
echo
echo "killing both daemons with SIGKILL while the container serves:"
engine_kill "$dir" berthd; engine_kill "$dir" supervisor
say curl -s "http://$port/"
engine_start "$dir"
say "$berth" ps
say "$berth" rm -f web
[[ ${KEEP:-} ]] && echo "the engine keeps running: export DOCKER_HOST=$ENGINE_HOST" || echo "the demo is over; KEEP=1 make run leaves the engine running"
