#!/usr/bin/env bash
# Prints a root file system with the machine's own static busybox as a tar stream, for `berth import -`.
set -euo pipefail
busybox=$(command -v busybox)
file -L "$busybox" 2>/dev/null | grep -q dynamically && { echo "$busybox is not static: install busybox-static" >&2; exit 1; }
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,dev,etc,home,proc,root,sys,tmp,usr/bin,usr/sbin,sbin,var/www}
chmod 1777 "$root/tmp"; chmod 700 "$root/root"
chmod 755 "$root"
cp "$busybox" "$root/bin/busybox"
for applet in $("$busybox" --list); do [[ $applet == busybox ]] || ln -s busybox "$root/bin/$applet"; done
printf 'root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\nnobody:x:65534:65534:nobody:/home:/bin/false\n' >"$root/etc/passwd"
printf 'root:x:0:\ndaemon:x:1:\nwheel:x:10:root\nnobody:x:65534:\n' >"$root/etc/group"
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$root" -cf - .
