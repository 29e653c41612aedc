#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The supervisor is killed with -9 and nobody keeps the mount for a successor: the worker serves on while the mount is in use,
# then flushes and unmounts; nothing is left behind.  As root and as an ordinary user, idle and under load.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
private_mounts
requires fio fusermount3 setpriv
test_limit 240
share_programs
start_target
add_target super
disk=$(backing disk 32M)
add_lun "$disk"
mnt=$scratch/mnt
file=$mnt/lun1

# kill_supervisor: sets $sup, $work.
kill_supervisor () {
  sup=$(supervisor "$mnt")
  work=$(worker "$mnt")
  kill -KILL "$sup"
}
# all_gone SECONDS: in that time, and nothing is left.
all_gone () {
  wait_for "! alive $work" "$1"
  ! mounted "$mnt" || fail "still mounted"
  # An ordinary user may not remove files from $scratch.
  [ ! -e "${lunfs_pids[$mnt]}" ] || [ "${#lunfs_as[@]}" != 0 ] || fail "the pid file is there"
  expect_equal "$(count_connections)" 0 "connections left on the target"
}
# mount_it OPTIONS
mount_it () {
  start_lunfs "iscsi://$portal/$iqn" "$mnt" -o "allow_other,$1"
  lun_up "$mnt" 1
}

for who in root user; do
  lunfs_as=()
  [ $who = root ] || lunfs_as=(as_user)

  say "$who: idle, with dirty data"
  mount_it cache_write_delay=60000
  dd if=/dev/urandom of="$scratch/new" bs=4k count=256 status=none
  dd if="$scratch/new" of="$file" bs=4k oflag=direct conv=notrunc status=none
  [ "$(lun_get "$mnt" 1 .counters.dirty_bytes)" = 1048576 ] || fail "not dirty: the test is not one"
  kill_supervisor
  all_gone 15
  cmp -n 1048576 "$scratch/new" "$disk"
  logged "$mnt" 'the supervisor is gone' || fail "the log says nothing of it"

  say "$who: under load, which goes on until it is done"
  mount_it cache_write_delay=500,stop_timeout=60
  fio --name=load --filename="$file" --allow_file_create=0 --size=32m --io_size=2g --rw=randwrite --bsrange=512-64k \
    --blockalign=512 --time_based --runtime=60 --verify=crc32c --verify_backlog=256 --verify_fatal=1 --direct=1 \
    --ioengine=libaio --iodepth=16 >"$scratch/fio.out" 2>&1 &
  fio=$!
  cleanup_fn kill_quietly $fio
  wait_for "[ \"\$(lun_get '$mnt' 1 .counters.writes)\" -gt 100 ]" 20
  exec 7<"$file"
  kill_supervisor
  wait_for "logged '$mnt' 'the supervisor is gone'" 10
  load_works_on=$(lun_get "$mnt" 1 .counters.writes)
  wait_for "[ \"\$(lun_get '$mnt' 1 .counters.writes)\" -gt $((load_works_on + 100)) ]" 20
  kill -INT $fio
  wait $fio || : # of a signal
  grep -q 'err= 0' "$scratch/fio.out" || fail "fio: $(cat "$scratch/fio.out")"
  ! grep -E 'verify:|error=' "$scratch/fio.out" || fail "fio: $(cat "$scratch/fio.out")"
  cat <&7 >"$scratch/seen"
  exec 7<&-
  all_gone 40
  same_data "$scratch/seen" "$disk"

  say "$who: in use for longer than half of stop_timeout"
  mount_it cache_write_delay=60000,stop_timeout=6
  exec 7<"$file"
  dd if=/dev/urandom of="$scratch/new" bs=4k count=256 status=none
  dd if="$scratch/new" of="$file" bs=4k oflag=direct conv=notrunc status=none
  kill_supervisor
  all_gone 20
  exec 7<&-
  cmp -n 1048576 "$scratch/new" "$disk"
  logged "$mnt" 'its users lose it now' || fail "the log says nothing of it"
done

say "what it unmounts in the end is its own: its device number is another mount's by now"
lunfs_as=()
mount_it cache_write_delay=60000,stop_timeout=60
device=$(mountpoint -d "$mnt")
dd if=/dev/zero of="$file" bs=4k count=16 oflag=direct conv=notrunc status=none
stop_answering
kill_supervisor
wait_for "! mounted '$mnt'" 15
take_number "$device"
alive "$work" || fail "it has ended too soon: the test is not one"
answer_again
all_gone 60
mountpoint -q "$scratch/other$others" || fail "it has unmounted what is not its own"
for ((n = 1; n <= others; n++)); do umount "$scratch/other$n"; done

say "its claim holds until it has flushed, and not longer"
lunfs_as=()
first=$mnt
mount_it stop_timeout=60
exec 7<"$file"
kill_supervisor
wait_for "logged '$mnt' 'the supervisor is gone'" 10
touch "$scratch/second"
expect_fail start_lunfs "iscsi://$portal/$iqn/1" "$scratch/second"
expect_message "in use by another mount of this host, $first"
exec 7<&-
mnt=$first
all_gone 40
start_lunfs "iscsi://$portal/$iqn/1" "$mnt"
lun_up "$mnt" 1
stop_lunfs "$mnt"
