#!/usr/bin/env bash
# Other people's suites, where they are present in ../shared/suites: crun's, OCI runtime-tools', docker-py's and the API's surface.
# Prints the score of each; results go to SUITES_OUT (default /tmp/berth-suites).
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/engine.sh"
suites=${SUITES:-$repo/../shared/suites}
[[ -d $suites ]] || { echo "no suites in $suites"; exit 0; }
export SUITES_OUT=${SUITES_OUT:-/tmp/berth-suites}
mkdir -p "$SUITES_OUT"
only=${1:-runtime-crun runtime-oci-validation api-surface docker-py}
for suite in $only; do
  echo "== $suite"
  case $suite in
    runtime-*) "$suites/$suite.sh" "$BIN/berth-runtime" >"$SUITES_OUT/$suite.log" 2>&1 ;;
    *)
      dir=$(mktemp -d /tmp/berth-test-$$-XXXXXX)
      # short names are pulled from the suites' registry on loopback, as a mirror of the default one
      engine_start "$dir" --registry-mirror http://127.0.0.1:5050 >"$SUITES_OUT/$suite.engine.log" 2>&1 || { cat "$SUITES_OUT/$suite.engine.log"; continue; }
      if [[ $suite == api-surface ]]; then "$suites/api-surface.py" "$ENGINE_HOST" >"$SUITES_OUT/$suite.log" 2>&1
      else "$suites/$suite.sh" "$ENGINE_HOST" >"$SUITES_OUT/$suite.log" 2>&1; fi
      cp "$dir/berthd.log" "$SUITES_OUT/$suite.berthd.log"
      engine_stop "$dir" && rm -rf "$dir" ;;
  esac
  tail -1 "$SUITES_OUT/$suite.log"
done
