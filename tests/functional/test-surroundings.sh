#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What others do around a mount: rename its parent, mount on top, close descriptors, leave little memory.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
private_mounts
start_ramtgt --iqn iqn.2026-01.org.example:ram --size 256m
source=iscsi://$portal/$iqn
mnt=$scratch/mnt

say "the least buffers: nothing waits for ever"
start_lunfs "$source" "$mnt" -o buffer_size=8M,cache_max_dirty=64M
lun_up "$mnt" 0
timeout $((30 * slow)) dd if=/dev/zero of="$mnt/lun0" bs=1M count=200 conv=notrunc status=none || fail "the mount hangs"
stop_lunfs "$mnt"

say "the parent directory is renamed, something else is mounted at the old path"
mkdir "$scratch/a"
start_lunfs "$source" "$scratch/a/m"
pid=$(supervisor "$scratch/a/m")
mv "$scratch/a" "$scratch/b"
mkdir -p "$scratch/a/m"
mount -t tmpfs other "$scratch/a/m"
cleanup_fn umount -l "$scratch/a/m"
kill -TERM "$pid"
wait_for "! alive $pid" 20
expect_equal "$(findmnt -n -o SOURCE "$scratch/a/m")" other "the other's mount"
! mounted "$scratch/b/m" || fail "ours is still there"

say "another mount on top of ours is left alone"
start_lunfs "$source" "$mnt"
pid=$(supervisor "$mnt")
mount -t tmpfs other "$mnt"
cleanup_fn umount -l "$mnt"
kill -TERM "$pid"
wait_for "! alive $pid" 20
expect_equal "$(findmnt -n -o SOURCE "$mnt" | tail -n 1)" other "the mount on top"
umount "$mnt"
umount -l "$mnt" 2>/dev/null || :

say "standard descriptors closed"
for closed in '0<&- 1>&-' '0<&- 1>&- 2>&-' '1>&- 2>&-'; do
  eval "timeout $((20 * slow)) lunfs -o log=$scratch/fds.log,pidfile=$scratch/fds.pid,initiator_name=$initiator '$source' '$mnt' $closed" ||
    fail "with $closed"
  pid=$(cat "$scratch/fds.pid")
  umount "$mnt"
  wait_for "! alive $pid" 20
done

say "a pid file that cannot be written"
expect_fail start_lunfs "$source" "$mnt" -o "pidfile=$scratch/none/pid"
expect_status 7
expect_message "pid file '$scratch/none/pid': No such file"
ln -s /etc/passwd "$scratch/link.pid"
expect_fail start_lunfs "$source" "$mnt" -o "pidfile=$scratch/link.pid"
expect_status 13

say "a log file that cannot be written"
expect_fail start_lunfs "$source" "$mnt" -o "log=$scratch/none/log"
expect_status 7
expect_message "log file '$scratch/none/log': No such file"
