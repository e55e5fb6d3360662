#!/usr/bin/env bash
# Runs every line of cli-compare.cases with the stock docker client and with berth against one engine, and compares standard output, standard error and exit
# status byte by byte.
#
#   cli-compare.sh [HOST [PATTERN]]     HOST such as unix:///run/peers/docker.sock (default: $DOCKER_HOST)
#
# BERTH and DOCKER name the two programs. berth is called through a link named `docker`, since it names itself by what it was called.
# In a case, $N is a name of its own for each client and $IMAGE an image with a shell (default busybox); ids, dates and $N are evened out before the comparison.
# A case that starts with `!` is known to differ: it is run, reported as such, and does not count.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export DOCKER_HOST=${1:-${DOCKER_HOST:?an engine is needed}}
pattern=${2:-}
berth=$(realpath "${BERTH:-$here/../../bin/berth}")
docker=$(realpath "${DOCKER:-$(command -v docker)}")
export IMAGE=${IMAGE:-busybox}
work=$(mktemp -d /tmp/berth-cli-compare.XXXXXX)
trap 'cleanup; rm -rf "$work"' EXIT
mkdir -p "$work"/{a,b}/{bin,out}
ln -s "$docker" "$work/a/bin/docker"
ln -s "$berth" "$work/b/bin/docker"
export DOCKER_CONFIG=$work/config
mkdir -p "$DOCKER_CONFIG"
tag=cmp$$

cleanup() {
  for side in a b; do
    "$docker" ps -aq --filter "name=$tag$side" | xargs -r "$docker" rm -fv >/dev/null 2>&1
    "$docker" network ls -q --filter "name=$tag$side" | xargs -r "$docker" network rm >/dev/null 2>&1
    "$docker" volume ls -q --filter "name=$tag$side" | xargs -r "$docker" volume rm >/dev/null 2>&1
    "$docker" images -q --filter "reference=$tag$side*" | xargs -r "$docker" rmi -f >/dev/null 2>&1
  done
}

even() { # SIDE: what may differ between two runs
  sed -E -e "s/$tag$1/NAME/g" -e 's/(sha256:)?[0-9a-f]{64}/LONGID/g' -e 's/\b[0-9a-f]{12}\b/SHORTID/g' \
    -e 's/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9:]{5})/TIME/g' -e 's/[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:.]+ [+-][0-9]{4} [A-Z]+/TIME/g' \
    -e 's/(Less than a second|About a minute|About an hour|[0-9]+ (second|minute|hour)s?)( ago)?/AGO/g' -e 's/ +$//' -e 's/ {2,}/  /g' \
    -e 's|172\.[0-9]+\.[0-9]+\.[0-9]+|IP|g' -e 's/([0-9a-f]{2}:){5}[0-9a-f]{2}/MAC/g' -e "s|$work/[ab]|WORK|g" -e 's/pid=[0-9]+/pid=N/'
}

total=0 bad=0 known=0
while IFS= read -r line <&3; do
  [[ -z $line || $line == \#* ]] && continue
  [[ -n $pattern && $line != *$pattern* ]] && continue
  expect=same
  [[ $line == !* ]] && { expect=differ; line=${line#!}; line=${line# }; }
  total=$((total + 1))
  for side in a b; do
    mkdir -p "$work/$side/cwd"
    (cd "$work/$side/cwd" && N=$tag$side PATH=$work/$side/bin:$PATH timeout 60 bash -c "$line") \
      </dev/null >"$work/$side/out/stdout" 2>"$work/$side/out/stderr"
    echo $? >"$work/$side/out/status"
    for f in stdout stderr; do even $side <"$work/$side/out/$f" >"$work/$side/out/$f.even"; done
  done
  report=""
  for f in status stdout.even stderr.even; do
    d=$(diff "$work/a/out/$f" "$work/b/out/$f") || report+="  ${f%.even}:"$'\n'"$(sed 's/^/    /' <<<"$d")"$'\n'
  done
  if [[ -n $report && $expect == same ]]; then
    bad=$((bad + 1)); printf 'DIFFERENT  %s\n%s' "$line" "$report"
  elif [[ -n $report ]]; then known=$((known + 1)); fi
done 3<"$here/cli-compare.cases"
echo "$total commands compared, $bad differ, $known differ as documented"
[[ $bad == 0 ]]
