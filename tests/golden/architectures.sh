#!/bin/bash
# The long form of the golden_roots tests: architectures.sh BUILD_FOLDER. Compilers, optimisations that may change what a
# program with undefined behaviour does, and the architectures at more than one level. Ends with 1 if any differs.
set -uo pipefail
here=$(dirname "$0") build=$1 failed=0
try() {  # NAME ARGUMENTS...
  local name=$1
  shift
  python3 -B "$here/cross_build.py" --build "$build/$name" "$@"
  case $? in
    0) echo "$name: equal" ;;
    77) echo "$name: skipped" ;;
    *) echo "$name: DIFFERENT"; failed=1 ;;
  esac
}
for options in -O1 -O2 -Os "-Ofast -march=native" "-O2 -fwrapv -ftrapv" "-O2 -funsigned-char" "-O2 -fsanitize=undefined"; do
  try "gcc ${options//[ =]/_}" --compiler g++ "--options=$options"
  try "clang ${options//[ =]/_}" --compiler clang++ "--options=$options"
done
for level in -O0 -O3; do
  try "aarch64 $level" --compiler aarch64-linux-gnu-g++ "--options=$level" --portable --run qemu-aarch64-static
  try "riscv64 $level" --compiler riscv64-linux-gnu-g++ "--options=$level" --portable --run qemu-riscv64-static
  try "i686 $level" --compiler i686-linux-gnu-g++ "--options=$level" --portable --run qemu-i386-static
  try "s390x $level" --compiler s390x-linux-gnu-g++ "--options=$level" --portable --run qemu-s390x-static
done
exit $failed
