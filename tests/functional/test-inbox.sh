#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Kernels before 6.9 cannot send again what a dead worker had read: lunfs finds it in its own memory (crash_recovery=inbox).
# The worker is killed with -9 at random under fio's verify, with and without a cache, and under the stress program.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
test_limit 240

requires fio stress
seed=${LUNFS_STRESS_SEED:-$RANDOM}
RANDOM=$seed
say "seed $seed"
start_target
add_target kill
disk=$(backing disk 64M)
add_lun "$disk"
mnt=$scratch/mnt
file=$mnt/lun1
kills=0 replayed=0
kill_workers () { # TIMES PID: while the process runs
  local n started
  for ((n = 0; n < $1; n++)); do
    wait_for "[ \"\$(lun_get '$mnt' 1 .counters.writes)\" -gt 0 ] || ! alive $2" 20
    sleep "0.$(printf %03d $((RANDOM % 250 + 50)))"
    alive "$2" || fail "the load ended"
    started=$(status_get "$mnt" .lunfs.worker.started)
    kill -KILL "$(worker "$mnt")"
    kills=$((kills + 1))
    wait_for "[ \"\$(status_get '$mnt' .lunfs.worker.started)\" = $((started + 1)) ]" 20
    lun_up "$mnt" 1 20
  done
}
# What was replayed, and that nothing went the other way.
settle () {
  expect_equal "$(lun_get "$mnt" 1 .counters.errors)" 0 "errors"
  expect_equal "$(status_get "$mnt" '.lunfs.worker | "\(.recovery) \(.resent) \(.poisoned) \(.crashes) \(.last_end)"')" \
    "inbox 0 0 0 signal 9 (Killed)" "recovery"
  replayed=$((replayed + $(status_get "$mnt" .lunfs.worker.replayed)))
  sync "$file"
  same_data "$file" "$disk"
  stop_lunfs "$mnt"
}
mount_it () {
  start_lunfs "iscsi://$portal/$iqn" "$mnt" -o "crash_recovery=inbox,cmd_timeout=10,$1"
  lun_up "$mnt" 1
}
round () { # OPTIONS FIO-OPTION...
  mount_it "$1"
  shift
  fio --name=kill --filename="$file" --allow_file_create=0 --size=64m --io_size=8g --rw=randwrite --time_based \
    --runtime=$((60 * slow)) --verify=crc32c --verify_backlog=64 --verify_fatal=1 --randseed="$RANDOM" "$@" \
    >"$scratch/fio.out" 2>&1 &
  fio=$!
  cleanup_fn kill_quietly $fio
  kill_workers 5 $fio
  kill -INT $fio || fail "fio has ended: $(cat "$scratch/fio.out")"
  wait $fio || : # of a signal
  grep -q 'err= 0' "$scratch/fio.out" || fail "fio: $(cat "$scratch/fio.out")"
  ! grep -E 'verify:|error=' "$scratch/fio.out" || fail "fio: $(cat "$scratch/fio.out")"
  settle
}
mixed=(--direct=1 --ioengine=libaio --iodepth=16 --bsrange=4k-1m)
for cache in writeback none; do
  say "cache=$cache: libaio, 4 KiB to 1 MiB"
  round cache=$cache "${mixed[@]}"
  say "cache=$cache: psync with fsync"
  round cache=$cache --direct=0 --ioengine=psync --bs=16k --fsync=4 --numjobs=1
done
say "several lanes, writes with O_DSYNC"
round lanes=2,cache=writeback --direct=1 --ioengine=libaio --iodepth=16 --bsrange=32k-256k --sync=dsync

say "the stress program: overlapping writes, reads, fsync, zeroes"
mount_it cache=writeback
begin_load
kill_workers 5 "$load"
halt_load
settle

say "$kills workers killed, $replayed requests replayed"
[ "$replayed" -ge 10 ] || fail "hardly any request was replayed: the test is none"
