#!/usr/bin/env bash
# Writes contrib/link/runtime.ld: the functions that create, start, exec, delete and run execute, in the order of their first use, those of every command first.
# The linker places them beside one another. By their sections, which the linker's map tells, and not by their names: what Swift calls private has none. Needs root, cc and busybox;
# takes five minutes. A list that is older than the code does no harm: what it does not name stands behind, names that are gone are passed over.
set -euo pipefail
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
program=$repo/.build/release/berth-runtime
work=$(mktemp -d /tmp/berth-test-$$-XXXXXX)
id=order-$$
trap '"$program" delete -f "$id" 2>/dev/null || true; "$program" delete -f "$id-run" 2>/dev/null || true; rm -rf "$work"' EXIT

rm -f "$program"
(cd "$repo" && swift build -c release --product berth-runtime -Xlinker "-Map=$work/map")
cp "$program" "$work/berth-runtime"
program=$work/berth-runtime
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
rule = {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_EQ"}]}
spec["annotations"] = {"b": "1", "a": "2"}
spec["process"].update(oomScoreAdj=0, user={"uid": 0, "gid": 0, "additionalGids": [0, 10]})
spec["linux"]["namespaces"] = [{"type": kind} for kind in ("mount", "network", "uts", "pid", "ipc", "cgroup")]
# What the runtime calls behind its filter, and busybox.
names = """access arch_prctl brk capget capset chdir close clone dup dup2 execve execveat exit exit_group faccessat2 fchdir fcntl fstat futex getcwd getgid getpid getrandom getuid ioctl kill lseek
    madvise mmap mprotect munmap newfstatat openat pidfd_open poll prctl pread64 prlimit64 read readlink readlinkat recvmsg rseq rt_sigaction rt_sigprocmask rt_sigreturn sendmsg
    set_robust_list set_tid_address setgid setgroups setuid sigaltstack uname wait4 waitid write writev""".split()
spec["linux"]["seccomp"] = {
    "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}, rule],
}
spec["linux"]["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "0"}
spec["linux"]["resources"].update(memory={"limit": 1 << 30}, cpu={"shares": 512}, pids={"limit": 100})
spec["mounts"].append({"destination": "/etc", "type": "bind", "source": "/etc", "options": ["rbind", "ro", "rprivate"]})
json.dump(spec, open(sys.argv[1], "w"))
PY
step compile --root "$work/state" run -b "$work/bundle" "$id-run"
"$program" run -b "$work/bundle" "$id-run"
step engine run -b "$work/bundle" "$id-run"

# A section is named with its file where its own name says too little. All stay in one output section, as only such are folded into one when they are the same, and the map names the one
# that is kept. The part of libswiftCore that is one section of 1.6 MB, of which some is executed everywhere, comes behind what is placed one by one, the sections that are no functions before
# it: then what the kernel maps around a fault, half a megabyte where the page cache has it in one piece, is within these 2.5 MB and not all over the program.
python3 - "$work" >"$repo/contrib/link/runtime.ld" <<'PY'
import bisect, re, sys
work = sys.argv[1]
places = [re.match(r"\s*([0-9a-f]+)\s+[0-9a-f]+\s+([0-9a-f]+)\s+\d+\s+(\S+):\((\.text[^)]*)\)$", line) for line in open(f"{work}/map")]
sections = [(int(place[1], 16), int(place[2], 16), place[3], place[4]) for place in places if place]
starts = [start for start, _, _, _ in sections]
def pattern(address):
    start, size, file, name = sections[bisect.bisect_right(starts, address) - 1]
    if not start <= address < start + size or size > 1 << 20: return None
    if re.match(r"\.text\.(\$s|_Z)", name): return f"*({name})"
    member = re.search(r"([^/]+)\(([^)]+)\)$", file)
    return f"*{member[1]}:{member[2]}({name})" if member else f"*{'/'.join(file.split('/')[-2:])}({name})"
first, users = {}, {}
for command in ("create", "start", "exec", "delete", "run", "engine", "compile"):
    used = [pattern(int(line, 16)) for line in open(f"{work}/{command}.addresses")]
    for place in dict.fromkeys(place for place in used if place):
        first.setdefault(place, len(first))
        users[place] = users.get(place, 0) + 1
print("/* Written by contrib/dev/order-runtime.sh: what the commands of berth-runtime execute, beside one another. */")
print("SECTIONS {\n.init : { KEEP(*(.init)) } .fini : { KEEP(*(.fini)) } .iplt : { *(.iplt) }\n.text : {")
print("\n".join(sorted(first, key=lambda place: (-users[place], first[place]))))
print("*libswiftCore.a:Swift.o(.text)\n*(.text .text.*)\n} } INSERT BEFORE .tdata;")
PY
wc -l "$repo/contrib/link/runtime.ld"
