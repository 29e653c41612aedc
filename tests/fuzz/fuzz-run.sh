#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# fuzz-run.sh BUILD SOURCES SECONDS HARNESS...: each harness with libFuzzer for that long, one after another.
#
# What reaches new code is kept in BUILD/corpus, so that the next run goes on from there; what ends a harness is left in
# BUILD/found and makes this fail, at the end.
set -euo pipefail
build=$1 sources=$2 seconds=$3
shift 3
status=0
mkdir -p "$build/found"
for what in "$@"; do
  mkdir -p "$build/corpus/$what"
  log=$build/$what.log
  echo "fuzz_$what: $seconds s, see $log"
  # An allocation of more than 1 GiB is an error too.  Short inputs: nothing that is parsed here is long.
  G_SLICE=always-malloc UBSAN_OPTIONS=print_stacktrace=1 nice -n 15 \
    "$build/build/tests/fuzz/fuzz_$what" -max_total_time="$seconds" -timeout=25 -rss_limit_mb=2048 -malloc_limit_mb=1024 \
    -max_len=2048 -print_final_stats=1 -artifact_prefix="$build/found/$what-" \
    "$build/corpus/$what" "$sources/tests/fuzz/corpus/$what" >"$log" 2>&1 || status=1
  grep -E 'ERROR:|SUMMARY:|not true:|CRITICAL|stat::number_of_executed_units|stat::average_exec' "$log" || true
  { grep -E '^#[0-9]+.*cov:' "$log" || true; } | tail -n 1
done
exit "$status"
