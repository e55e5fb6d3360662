#!/usr/bin/env bash
# Generates the C of protos/ into Sources/Linux/CProtobufC. `generate.sh DIR` writes below DIR instead, for `make check-protos`.
set -euo pipefail
cd "$(dirname "$0")/protos"
target=${1:-../../../Linux/CProtobufC}
mkdir -p "$target/generated" "$target/include"
protoc -I. --c_out="$target/generated" ./*.proto
mv "$target"/generated/*.pb-c.h "$target/include/"
