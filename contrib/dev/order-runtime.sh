#!/usr/bin/env bash
# Writes contrib/link/runtime.order: the functions that create, start, exec, delete and run execute, in the order of their first use, those of every command first.
# The linker places them beside one another. Needs root, cc, binutils, busybox and a release build of berth-runtime that is not stripped; takes six minutes.
# A list that is older than the code does no harm: what it does not name stands behind, names that are gone are passed over.
set -euo pipefail
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
program=${1:-$repo/.build/release/berth-runtime}
work=$(mktemp -d /tmp/berth-test-$$-XXXXXX)
id=order-$$
trap '"$program" delete -f "$id" 2>/dev/null || true; "$program" delete -f "$id-run" 2>/dev/null || true; rm -rf "$work"' EXIT

cc -O2 -o "$work/executed" "$repo/contrib/dev/executed.c"
mkdir -p "$work"/bundle/rootfs/{bin,proc,sys,dev,etc}
cp "$(command -v busybox)" "$work/bundle/rootfs/bin/busybox"
ln -s busybox "$work/bundle/rootfs/bin/sleep"
ln -s busybox "$work/bundle/rootfs/bin/true"
spec() { rm -f "$work/bundle/config.json" && "$program" spec -b "$work/bundle" && sed -i "s/\"terminal\": true/\"terminal\": false/; s/^\(\s*\)\"sh\"/\1$1/" "$work/bundle/config.json"; }
step() { "$work/executed" "$work/$1.addresses" "$program" "${@:2}"; }

spec '"sleep", "900"'
step create create -b "$work/bundle" "$id"
"$program" delete -f "$id"
# What was stepped is let go when its runtime ends, which ends it: the others get a container that was made at full speed.
"$program" create -b "$work/bundle" "$id"
step start start "$id"
step exec exec "$id" true
step delete delete -f "$id"
spec '"true"'
step run run -b "$work/bundle" "$id-run"
# What an engine adds to the default. A filter is compiled once and taken from the cache from then on.
python3 - "$work/bundle/config.json" <<'PY'
import json, sys
spec = json.load(open(sys.argv[1]))
rule = {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_EQ"}]}
spec["process"].update(oomScoreAdj=0, user={"uid": 0, "gid": 0, "additionalGids": [0, 10]})
spec["linux"]["namespaces"] = [{"type": kind} for kind in ("mount", "network", "uts", "pid", "ipc", "cgroup")]
spec["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [rule]}
spec["linux"]["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "0"}
spec["linux"]["resources"].update(memory={"limit": 1 << 30}, cpu={"shares": 512}, pids={"limit": 100})
spec["mounts"].append({"destination": "/etc", "type": "bind", "source": "/etc", "options": ["rbind", "ro", "rprivate"]})
json.dump(spec, open(sys.argv[1], "w"))
PY
"$program" run -b "$work/bundle" "$id-run"
step engine run -b "$work/bundle" "$id-run"

# The parts of libswiftCore that are compiled as one section of 1.6 MB cannot be moved apart, and must not be pulled to the front as a whole.
(cd "$work" && ar x "$(dirname "$(dirname "$(readlink -f "$(command -v swiftc)")")")/lib/swift_static/linux/libswiftCore.a" Swift.o)
objdump -t "$work/Swift.o" | awk '/ \.text\t/ { print $NF }' >"$work/fixed"
nm -n --defined-only "$program" | awk '$2 ~ /[tTwW]/ { print $1, $3 }' >"$work/names"
python3 - "$work" >"$repo/contrib/link/runtime.order" <<'PY'
import bisect, sys
work = sys.argv[1]
names = [line.split() for line in open(f"{work}/names")]
starts = [int(address, 16) for address, _ in names]
fixed = set(open(f"{work}/fixed").read().split())
first, users = {}, {}
for command in ("create", "start", "exec", "delete", "run", "engine"):
    used = []
    for line in open(f"{work}/{command}.addresses"):
        name = names[bisect.bisect_right(starts, int(line, 16)) - 1][1]
        if name not in fixed: used.append(name)
    for name in dict.fromkeys(used):
        first.setdefault(name, len(first))
        users[name] = users.get(name, 0) + 1
print("\n".join(sorted(first, key=lambda name: (-users[name], first[name]))))
PY
wc -l "$repo/contrib/link/runtime.order"
