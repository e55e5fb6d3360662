#!/bin/sh
# Generates Sources/Contracts/ContainerdAPI/Generated from the protos beside it; with --check, fails when that folder is not what would be generated.
# Needs protoc with the well-known types (apt: protobuf-compiler libprotobuf-dev), python3, and protoc-gen-swift of the swift-protobuf version in
# Package.resolved; PROTOC_GEN_SWIFT names it, otherwise it is built from the package's checkout.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
api=$here/Sources/Contracts/ContainerdAPI
plugin=${PROTOC_GEN_SWIFT:-$(command -v protoc-gen-swift || true)}
if [ -z "$plugin" ]; then
    swift build --package-path "$here/.build/checkouts/swift-protobuf" --scratch-path "$here/.build/protoc-gen-swift" -c release --product protoc-gen-swift
    plugin=$here/.build/protoc-gen-swift/release/protoc-gen-swift
fi
new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT
protoc -I "$api/protos" -I "${WELL_KNOWN_TYPES:-/usr/include}" \
    --plugin="protoc-gen-swift=$plugin" \
    --swift_out="$new" --swift_opt=Visibility=Package --swift_opt=UseAccessLevelOnImports=true \
    "$api"/protos/*.proto
python3 "$here/contrib/protos/methods.py" "$api/protos" "$new"
if [ "${1:-}" = --check ]; then
    diff -r "$new" "$api/Generated" >/dev/null || { echo "Sources/Contracts/ContainerdAPI/Generated is not current: run make protos" >&2; exit 1; }
    exit 0
fi
mkdir -p "$api/Generated"
for file in "$api"/Generated/*; do [ -e "$new/$(basename "$file")" ] || rm -f "$file"; done
for file in "$new"/*; do cmp -s "$file" "$api/Generated/$(basename "$file")" || cp "$file" "$api/Generated/"; done
