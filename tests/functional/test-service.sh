#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# As a service (Type=notify) under a stand-in for systemd: the supervisor is killed, alone and with its worker, again and
# again under fio's verify; the next one is handed the mount and goes on with it.  No error, no wrong byte, no second worker.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
# shellcheck source=tests/functional/service.sh
. "$srcdir/service.sh"
test_limit 150

requires fio fusermount3
start_target
add_target service
disk=$(backing disk 32M)
add_lun "$disk"
mnt=$scratch/mnt
file=$mnt/lun1
mkdir "$mnt"

begin_service -o cache_write_delay=500 "iscsi://$portal/$iqn" "$mnt"
service_ready
lun_up "$mnt" 1
wait_for "[ \"\$(service_get '.stored | join (\" \")')\" = 'lunfs-arena lunfs-fuse lunfs-probe lunfs-settings' ]" 10
expect_equal "$(service_get .main)" "$(supervisor "$mnt")" "MAINPID"

say "killed under load"
fio --name=kill --filename="$file" --allow_file_create=0 --size=32m --io_size=4g --rw=randwrite --bsrange=512-64k \
  --blockalign=512 --time_based --runtime=$((100 * slow)) --verify=crc32c --verify_backlog=256 --verify_fatal=1 \
  --direct=1 --ioengine=libaio --iodepth=32 >"$scratch/fio.out" 2>&1 &
fio=$!
cleanup_fn kill_quietly $fio
for n in 2 3 4 5 6; do
  wait_for "[ \"\$(lun_get '$mnt' 1 .counters.writes)\" -gt 50 ] || ! alive $fio" 20
  alive $fio || fail "fio: $(cat "$scratch/fio.out")"
  old=$(worker "$mnt")
  if [ $((n % 2)) = 0 ]; then service kill; else service kill all; fi
  service_ended
  begun=$(date +%s%N)
  service start >/dev/null
  service_ready
  say "serves again after $((($(date +%s%N) - begun) / 1000000)) ms"
  ! alive "$old" || fail "the old worker still runs"
  expect_equal "$(status_get "$mnt" .lunfs.workers_started)" $n "workers"
  lun_up "$mnt" 1 20
done
kill -INT $fio
wait $fio || : # of a signal
grep -q 'err= 0' "$scratch/fio.out" || fail "fio: $(cat "$scratch/fio.out")"
! grep -E 'verify:|error=' "$scratch/fio.out" || fail "fio: $(cat "$scratch/fio.out")"
expect_equal "$(lun_get "$mnt" 1 .counters.errors)" 0 "errors"
sync "$file"
same_data "$file" "$disk"
logged "$mnt" 'leaving .* to the next one' || fail "no worker was left alone"
logged "$mnt" 'going on with' || fail "nothing was gone on with"

say "a worker that does not leave is killed before there is another"
old=$(worker "$mnt")
kill -STOP "$old"
service kill
service_ended
dd if=/dev/urandom of="$scratch/new" bs=4k count=1 status=none
dd if="$scratch/new" of="$file" bs=4k count=1 oflag=direct conv=notrunc status=none &
writer=$!
service start >/dev/null
service_ready
! alive "$old" || fail "two workers at once"
logged "$mnt" "worker $old has not left" || fail "the log says nothing of it"
wait $writer || fail "the write failed"

say "other options: timeouts count at once, the size of the memory stays as it is, and so does the mount"
service kill all
service_ended
service_arguments -o replacement_timeout=77,cache_size=16M -o ro "iscsi://$portal/$iqn" "$mnt"
service start >/dev/null
service_ready
lun_up "$mnt" 1
expect_equal "$(lun_get "$mnt" 1 .replacement_timeout)" 77 "replacement_timeout"
logged "$mnt" 'goes on as it was mounted: what differs now \(ro, cache_size\)' || fail "the log says nothing of it"
cmp -n 4096 "$scratch/new" "$file"

say "unmounted while nobody runs: what is not written yet is written by the next one"
dd if=/dev/urandom of="$scratch/new" bs=4k count=16 status=none
service_arguments -o cache_write_delay=60000 "iscsi://$portal/$iqn" "$mnt"
service kill all
service_ended
service start >/dev/null
service_ready
lun_up "$mnt" 1
dd if="$scratch/new" of="$file" bs=4k oflag=direct conv=notrunc status=none
! cmp -s -n 65536 "$scratch/new" "$disk" || fail "it is on the disk already: the test is not one"
service kill all
service_ended
fusermount3 -u "$mnt" # umount would ask for its attributes, and nobody answers
wait_for "! service_get '.stored[]' | grep -q lunfs-fuse" 10
service start >/dev/null
service_ready
logged "$mnt" 'was unmounted while no lunfs ran: mounting it again' || fail "the log says nothing of it"
lun_up "$mnt" 1
cmp -n 65536 "$scratch/new" "$file"
sync "$file"
cmp -n 65536 "$scratch/new" "$disk"

say "the same with nothing left to write: a new mount"
service kill all
service_ended
fusermount3 -u "$mnt"
service start >/dev/null
service_ready
expect_equal "$(status_get "$mnt" .lunfs.workers_started)" 1 "workers"
service kill all
service_ended
service start >/dev/null
service_ready
expect_equal "$(status_get "$mnt" .lunfs.workers_started)" 2 "workers after the new mount's supervisor was killed"

say "an orderly end takes everything out of the store"
service term
service_ended
expect_equal "$(service_get .status)" 0 "status"
! mounted "$mnt" || fail "still mounted"
wait_for "[ \"\$(service_get '.stored | length')\" = 0 ]" 10
