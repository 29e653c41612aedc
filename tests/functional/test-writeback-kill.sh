#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The worker is killed with -9 while it holds what it has acknowledged and not yet sent: twenty times under fio's verify, 50 to
# 300 ms after it serves again, with a write delay that leaves data dirty at each death.  The next worker takes it over.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
test_limit 150

requires fio
seed=${LUNFS_STRESS_SEED:-$RANDOM}
RANDOM=$seed
say "seed $seed"
start_target
add_target kill
disk=$(backing disk 32M)
add_lun "$disk"
mnt=$scratch/mnt
file=$mnt/lun1
mount_it () {
  start_lunfs "iscsi://$portal/$iqn" "$mnt" -o "cmd_timeout=10,$1"
  lun_up "$mnt" 1
}

say "what is answered and not sent outlives the worker"
mount_it cache_write_delay=60000
dd if=/dev/urandom of="$scratch/new" bs=4k count=256 status=none
dd if="$scratch/new" of="$file" bs=4k oflag=direct conv=notrunc status=none
[ "$(lun_get "$mnt" 1 .counters.dirty_bytes)" = 1048576 ] || fail "not dirty: the test is not one"
cmp -s -n 1048576 "$scratch/new" "$disk" && fail "it is on the disk already"
kill -KILL "$(worker "$mnt")"
cmp -n 1048576 "$scratch/new" "$file"
logged "$mnt" 'taken over from the last worker' || fail "nothing was taken over"
sync "$file"
cmp -n 1048576 "$scratch/new" "$disk"
stop_lunfs "$mnt"

say "also when the file system is unmounted at once; it is flushed before the login"
mount_it cache_write_delay=60000
dd if=/dev/urandom of="$scratch/new" bs=4k count=256 status=none
dd if="$scratch/new" of="$file" bs=4k oflag=direct conv=notrunc status=none
sup=$(supervisor "$mnt")
stop_answering
kill -KILL "$(worker "$mnt")"
umount "$mnt"
wait_for "logged '$mnt' 'taken over from the last worker'" 10
sleep 0.3 # nobody tells that the flush is waiting
answer_again
wait_for "! alive $sup" 20
cmp -n 1048576 "$scratch/new" "$disk"
! logged "$mnt" 'not synchronised' || fail "it says that it has not flushed everything"

kills=0 taken=0
round () { # FIO-OPTION...
  local n
  # Five deaths a mount: the supervisor waits longer after each short life.
  mount_it cache_write_delay=500
  fio --name=kill --filename="$file" --allow_file_create=0 --size=32m --io_size=2g --rw=randwrite --bsrange=512-64k \
    --blockalign=512 --time_based --runtime=$((60 * slow)) --verify=crc32c --verify_backlog=256 --verify_fatal=1 --randseed="$RANDOM" \
    "$@" >"$scratch/fio.out" 2>&1 &
  fio=$!
  cleanup_fn kill_quietly $fio
  for ((n = 2; n <= 6; n++)); do
    wait_for "[ \"\$(lun_get '$mnt' 1 .counters.writes)\" -gt 0 ] || ! alive $fio" 20
    sleep "0.$(printf %03d $((RANDOM % 250 + 50)))"
    alive $fio || fail "fio: $(cat "$scratch/fio.out")"
    kill -KILL "$(worker "$mnt")"
    kills=$((kills + 1))
    wait_for "[ \"\$(status_get '$mnt' .lunfs.workers_started)\" = $n ]" 15
    lun_up "$mnt" 1 20
  done
  kill -INT $fio
  wait $fio || : # of a signal
  grep -q 'err= 0' "$scratch/fio.out" || fail "fio: $(cat "$scratch/fio.out")"
  ! grep -E 'verify:|error=' "$scratch/fio.out" || fail "fio: $(cat "$scratch/fio.out")"
  expect_equal "$(lun_get "$mnt" 1 .counters.errors)" 0 "errors"
  sync "$file"
  same_data "$file" "$disk"
  taken=$((taken + $(grep -c 'taken over from the last worker' "${lunfs_logs[$mnt]}")))
  stop_lunfs "$mnt"
}
round --direct=1 --ioengine=libaio --iodepth=32
round --direct=1 --ioengine=io_uring --iodepth=4
round --direct=0 --ioengine=psync
round --direct=0 --ioengine=psync --fsync=50
say "$kills deaths, data was taken over after $taken of them"
expect_equal $kills 20 "deaths"
[ $taken -ge 16 ] || fail "data was taken over $taken times only"
