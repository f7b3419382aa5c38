#!/bin/sh
# Checks the NEON kernels on an x86-64 machine: cross-compiles all native files for aarch64 without a warning, then
# runs every kernel in QEMU and compares the results with those of the x86-64 baseline kernels, which the tests hold
# to the portable ones. On an aarch64 machine the ordinary tests do all this.
#
# Needs aarch64-linux-gnu-g++ and qemu-aarch64 (Debian: g++-aarch64-linux-gnu, qemu-user); without them it says so and
# exits 0.
set -eu
cd "$(dirname "$0")/.."

if [ "$(uname -m)" != x86_64 ]; then
  echo "check-neon: only for x86-64 machines; on aarch64, npm test runs the NEON kernels themselves."
  exit 0
fi
for tool in g++ aarch64-linux-gnu-g++ qemu-aarch64; do
  if ! command -v "$tool" >/dev/null; then
    echo "check-neon: skipped, $tool is missing."
    exit 0
  fi
done

build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
flags="-std=c++20 -fno-math-errno -fno-trapping-math -ffp-contract=fast -Wall -Wextra"
headers=$(node -p "require('node-api-headers').include_dir")

# compile COMPILER ISA LEVEL OUTPUT: the program of native/check/kernels.cc with one instruction set's kernels, on all cores.
compile() {
  compiler=$1 isa=$2 output=$4
  mkdir "$build/$isa-objects"
  ls native/*.cc native/check/kernels.cc | grep -vE '/(binding|cpu|recorded_calls|[a-z]+_entries)\.cc$' |
    xargs -P "$(nproc)" -I FILE sh -c \
      '"$1" $2 -Werror -DFLICKER_ISA="$3" -c "$4" -o "$5/$(basename "$4" .cc).o"' sh \
      "$compiler" "$flags $3" "$isa" FILE "$build/$isa-objects"
  "$compiler" -static -pthread "$build/$isa-objects"/*.o -o "$output"
}

# The boundary to Node has no program to run in: the compiler only reads it.
ls native/cpu.cc native/binding.cc native/recorded_calls.cc native/*_entries.cc |
  xargs -P "$(nproc)" -n 1 aarch64-linux-gnu-g++ $flags -Werror -fsyntax-only -DNAPI_VERSION=8 -I"$headers"
compile aarch64-linux-gnu-g++ neon -O1 "$build/neon"
# Without optimization: it takes half the time, and there is nothing here that could change the results.
compile g++ x86_64 -O0 "$build/baseline"
"$build/baseline" write "$build/results"
qemu-aarch64 "$build/neon" compare "$build/results"
