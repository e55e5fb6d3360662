#!/usr/bin/env bash
# The root tests: real mounts, namespaces, cgroups and links. They run in one process after another, since the kernel's state is shared.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[[ $(id -u) -eq 0 ]] || { echo "root tests need root" >&2; exit 1; }
export BERTH_BIN=${BERTH_BIN:-$PWD/bin}
export BERTH_TESTING=1
swift build --scratch-path "${TEST_SCRATCH:-.build-test}" --product berthPackageTests
exec swift test --scratch-path "${TEST_SCRATCH:-.build-test}" --skip-build --no-parallel --filter RootTests
