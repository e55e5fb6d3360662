#!/usr/bin/env bash
# Installs the Debian packages that building (`build`), or building and testing (`test`), needs and that are missing.
# Only what is missing is asked for, so a second call costs nothing and needs no network.
set -euo pipefail

build=(libseccomp-dev libcap-dev libprotobuf-c-dev libsqlite3-dev libisal-dev libzstd-dev zlib1g-dev busybox-static pkg-config binutils)
test=(nftables iproute2 curl jq procps util-linux docker-registry strace gcc libc6-dev file python3-pytest btrfs-progs xfsprogs attr skopeo umoci gzip bzip2 xz-utils zstd)

wanted=("${build[@]}")
[[ ${1:-build} == test ]] && wanted+=("${test[@]}")

missing=()
for package in "${wanted[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[[ ${#missing[@]} -eq 0 ]] && exit 0

if [[ $(id -u) -ne 0 ]]; then
  echo "these packages are missing and only root can install them: ${missing[*]}" >&2
  exit 1
fi
echo "installing ${missing[*]}"
# Another package manager may hold a lock for a moment: wait instead of failing. apt waits for dpkg's by itself, for that of the lists it does not.
apt=(apt-get -qq -o DPkg::Lock::Timeout=120)
for _ in $(seq 120); do
  complaint=$("${apt[@]}" update 2>&1) && break
  [[ $complaint == *"Could not get lock"* ]] || { echo "$complaint" >&2; exit 1; }
  sleep 1
done
DEBIAN_FRONTEND=noninteractive "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null
