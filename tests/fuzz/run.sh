#!/bin/bash
# libFuzzer on every target for so many seconds each: run.sh PROGRAM SECONDS. New inputs go to build/corpus; what breaks a
# promise lies beside it as crash-*.
set -euo pipefail
program=$(realpath "$1") seconds=$2 corpus=$(dirname "$0")/corpus
corpus=$(realpath "$corpus")
for folder in "$corpus"/*/; do
  target=$(basename "$folder")
  mkdir -p "build/corpus/$target"
  printf '%s: ' "$target"
  STELE_FUZZ_TARGET=$target ASAN_OPTIONS=detect_leaks=0 "$program" -max_total_time="$seconds" -max_len=8192 -timeout=20 \
    -artifact_prefix="build/corpus/crash-$target-" -print_final_stats=1 "build/corpus/$target" "$folder" 2>&1 |
    grep -E 'set STELE_FUZZ_TARGET|number_of_executed_units|ERROR|broken|Test unit written' || { echo failed; exit 1; }
done
