#!/usr/bin/env bash
# Removes what interrupted tests left: only processes, mounts and folders that carry the tests' name, /tmp/berth-test-*.
set -uo pipefail
for pid in $(grep -lsE 'berth-test-[0-9]+-' /proc/[0-9]*/cmdline 2>/dev/null | cut -d/ -f3); do
  [[ $pid == "$$" ]] || kill -9 "$pid" 2>/dev/null
done
awk '$5 ~ /\/tmp\/berth-test-/ {print $5}' /proc/self/mountinfo | sort -r | while read -r target; do umount -l "$target"; done
rm -rf /tmp/berth-test-*
