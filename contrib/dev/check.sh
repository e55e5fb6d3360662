#!/usr/bin/env bash
# The rules that a compiler does not know: imports only go down, the two static programs stay free of heavy modules, files keep one subject.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
failed=0
complain() { printf '%s\n' "$*" >&2; failed=$((failed + 1)); }
passed=0
rule() { # TITLE OUTPUT: a rule holds when its output is empty
  if [[ -n $2 ]]; then complain "$1:"$'\n'"$2"; else passed=$((passed + 1)); fi
}

import='^(internal |package |public |private |fileprivate |@_?[a-zA-Z]+ )*import '
light=(Sources/berth-shim Sources/berth-runtime Sources/Linux Sources/Contracts/{OCISpec,JSONCodec,TaskAPI,BerthDefaults,OCILayer})
rule "the static programs and what they stand on use no Foundation, Dispatch or NIO" \
  "$(grep -rnE "$import(Foundation|FoundationEssentials|Dispatch|NIO[A-Za-z]*|_Concurrency)" "${light[@]}" --include=*.swift)"
rule "the static programs are linked without Unicode's properties: ASCII only (isDigit, contains(text:))" \
  "$(grep -rnE '\.(isLetter|isWhitespace|isNewline|isNumber|isUppercase|isLowercase|isCased|isPunctuation|isSymbol|wholeNumberValue|properties\.)\b' "${light[@]}" Sources/berth-init --include=*.swift)"
rule "a program imports another program" \
  "$(grep -rnE "${import}(berth|berthd|berth_supervisor|berth_shim|berth_runtime)\$" Sources --include=*.swift)"
rule "a contract or a kernel wrapper imports something above it" \
  "$(grep -rnE "${import}(DockerAPI|ContainerdAPI|GRPCSocket|OCILayer|TaskAPI|OCISpec|JSONCodec)\$" Sources/Linux --include=*.swift)"
rule "full Foundation where FoundationEssentials would do" \
  "$(grep -rnE "${import}Foundation\$" Sources --include=*.swift | grep -v /Generated/)"
rule "files past 500 lines; look for the second subject in each" \
  "$(git ls-files 'Sources/*.swift' | grep -v Generated | xargs -r wc -l | awk '$2!="total" && $1>500 {print $1, $2}')"
rule "unfinished or crashing spots" \
  "$(git grep -nE '\b(TODO|FIXME|XXX)\b|fatalError\(|try!' -- 'Sources/*.swift' | grep -v Generated)"
rule "build results or lock files in git" "$(git ls-files | grep -E '(^|/)(\.build|bin)/|Package\.resolved')"
for script in contrib/dev/*.sh Tests/EndToEnd/*.sh .ci/run; do
  rule "$script does not parse" "$(bash -n "$script" 2>&1)"
done
for program in berth-shim berth-runtime; do
  [[ -x bin/$program ]] || continue
  rule "$program is not static" "$(file -L "bin/$program" 2>/dev/null | grep -v 'statically linked')"
done
# Where Sources/Linux/StaticStart/LibraryStart.c stands in for glibc's start.
if [[ -x bin/berth-init && $(getconf GNU_LIBC_VERSION) == "glibc 2.36" && $(uname -m) == x86_64 ]]; then
  rule "berth-init asks the processor what it can do" "$(objdump -d --no-show-raw-insn bin/berth-init | grep -m3 -w cpuid)"
fi
[[ -x bin/berth-runtime ]] && rule "berth-runtime, stripped, is larger than 8 MB" "$(stat -L -c %s bin/berth-runtime | awk '$1 > 8000000')"
unstripped=$(swift build -c release --show-bin-path 2>/dev/null)
for program in berth-shim berth-runtime; do
  [[ -x $unstripped/$program ]] || continue
  rule "$program holds Concurrency or Dispatch" "$(nm "$unstripped/$program" 2>/dev/null | grep -E ' T (swift_task_create|dispatch_queue_create)' | head -3)"
done
echo "check: $passed passed, $failed failed"
[[ $failed -eq 0 ]]
