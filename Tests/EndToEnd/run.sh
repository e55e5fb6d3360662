#!/usr/bin/env bash
# End-to-end tests: the built programs in bin/, driven by the stock docker client and by berth, against the real kernel. Needs root.
# Arguments go to pytest. BERTH_BIN names another folder of programs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
[[ $(id -u) -eq 0 ]] || { echo "end-to-end tests need root" >&2; exit 1; }
python=python3
python3 -c "import pytest" 2>/dev/null || python=/usr/bin/python3 # Debian's own, where python3-pytest went
# The chaos test takes its time and finds what nobody looks for: `make test-chaos` runs it.
without=(--ignore=test_chaos.py)
[[ ${CHAOS:-} ]] && without=()
exec $python -m pytest -q -rfE --durations=8 -p no:cacheprovider "${without[@]}" "$@" .
