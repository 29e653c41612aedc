#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# SIGTERM and SIGINT: what was written is on the target, the mount is gone, in time; also in mid-load and with a
# dead target.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
test_limit 180

requires fio
start_target
add_target term
disk=$(backing disk 64M)
add_lun "$disk"
mnt=$scratch/mnt
for signal in TERM INT; do
  for mode in daemon foreground; do
    say "SIG$signal, $mode"
    if [ $mode = daemon ]; then start_lunfs "iscsi://$portal/$iqn" "$mnt"; else
      start_lunfs_foreground "iscsi://$portal/$iqn" "$mnt"
    fi
    lun_up "$mnt" 1
    random_file new 4M >/dev/null
    dd if="$scratch/new" of="$mnt/lun1" bs=128k conv=notrunc status=none
    pid=$(supervisor "$mnt")
    work=$(worker "$mnt")
    kill -"$signal" "$pid"
    wait_for "! alive $pid && ! alive $work" 12
    ! mounted "$mnt" || fail "still mounted"
    cmp -n 4194304 "$scratch/new" "$disk"
    if [ $mode = foreground ]; then wait "$pid" || fail "status $?"; fi
    expect_equal "$(count_connections)" 0 "connections left on the target"
  done
done

say "in use: served on until nobody uses it, by a loop device with a file system at that"
start_lunfs_foreground "iscsi://$portal/$iqn" "$mnt" -o stop_timeout=60
lun_up "$mnt" 1
attach_loop "$mnt/lun1" --direct-io=on
mkfs.ext4 -q "$loop"
mkdir "$scratch/fs"
mount "$loop" "$scratch/fs"
cleanup_fn umount -q "$scratch/fs"
dd if=/dev/urandom of="$scratch/fs/file" bs=64k count=16 status=none
cp "$scratch/fs/file" "$scratch/file"
pid=$(supervisor "$mnt")
kill -TERM "$pid"
wait_for "logged '$mnt' 'is in use'" 5
dd if=/dev/urandom of="$scratch/fs/file2" bs=64k count=16 conv=fsync status=none
umount "$scratch/fs"
alive "$pid" || fail "ended while in use"
detach_loop "$loop"
wait_for "! alive $pid" 10
wait "$pid" || fail "status $?"
e2fsck -fn "$disk" >/dev/null
debugfs -R "dump file $scratch/file.there" "$disk" 2>/dev/null
cmp "$scratch/file" "$scratch/file.there"

say "under load: for half of stop_timeout, or until told again"
start_lunfs_foreground "iscsi://$portal/$iqn" "$mnt" -o stop_timeout=10
lun_up "$mnt" 1
fio --name=load --filename="$mnt/lun1" --allow_file_create=0 --direct=1 --ioengine=libaio --iodepth=32 --rw=randrw \
  --bs=16k --size=64m --time_based --runtime=60 >"$scratch/fio.out" 2>&1 &
fio=$!
disown
cleanup_fn kill_quietly $fio
wait_for "[ \"\$(lun_get '$mnt' 1 .counters.writes)\" -gt 100 ]" 20
pid=$(supervisor "$mnt")
kill -TERM "$pid"
wait_for "logged '$mnt' 'is in use'" 5
kill -TERM "$pid"
wait_for "! alive $pid" 15
wait_for "! alive $fio" 15
! mounted "$mnt" || fail "still mounted"

say "a target that does not answer: ended within the limit, with status 33, since what was answered from memory is left"
start_lunfs_foreground "iscsi://$portal/$iqn" "$mnt" -o stop_timeout=5
lun_up "$mnt" 1
stop_answering
dd if=/dev/zero of="$mnt/lun1" bs=4k count=1 conv=notrunc status=none
pid=$(supervisor "$mnt")
kill -TERM "$pid"
wait_for "! alive $pid" 12
status=0
wait "$pid" || status=$?
[ "$status" = 33 ] || fail "status $status"
logged "$mnt" 'lun 1: up to 4 KiB written but not synchronised'
! mounted "$mnt" || fail "still mounted"
answer_again
