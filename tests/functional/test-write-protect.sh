#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A write-protected LUN: a read-only file, EROFS for writers; also when it becomes so while in use.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

start_target
add_target wp
disk=$(random_file disk 4M)
add_lun "$disk" 512 readonly=1
add_lun "$(random_file disk2 4M)"
cp "$disk" "$scratch/before"
mnt=$scratch/mnt
start_lunfs "iscsi://$portal/$iqn" "$mnt"
lun_up "$mnt" 1
lun_up "$mnt" 2
expect_equal "$(lun_get "$mnt" 1 '.read_only | tostring')" true "read_only"
expect_equal "$(lun_get "$mnt" 2 '.read_only | tostring')" false "read_only of the other"
same_data "$mnt/lun1" "$disk"
expect_fail dd if=/dev/zero of="$mnt/lun1" bs=4k count=1 conv=notrunc status=none
expect_message 'read-only file system'
expect_fail dd if=/dev/zero of="$mnt/lun1" bs=4k count=1 conv=notrunc oflag=direct status=none
expect_message 'read-only file system'
expect_fail fallocate --punch-hole --offset 0 --length 65536 "$mnt/lun1"
expect_message 'read-only file system'
cmp "$disk" "$scratch/before"

say "protected while open for writing"
exec 8<>"$mnt/lun2"
printf hello >&8
sync "$mnt/lun2"
lun_params 2 readonly=1
expect_fail dd if="$scratch/before" of=/proc/self/fd/8 bs=4k count=1 seek=2 conv=notrunc,fsync status=none
expect_message 'read-only file system'
head -c 5 "$mnt/lun2" | grep -q hello
say "writable again: seen at the next login at the latest, as no target announces it"
lun_params 2 readonly=0
cut_connections
wait_for "dd if=/dev/zero of='$mnt/lun2' bs=4k count=1 seek=1 conv=notrunc,fsync status=none" 15
dd if="$scratch/disk2" bs=4k skip=2 count=1 status=none | cmp -n 4096 - "$scratch/before" # answered while it was protected
exec 8>&-
stop_lunfs "$mnt"

say "the option ro"
start_lunfs "iscsi://$portal/$iqn" "$mnt" -o ro
lun_up "$mnt" 2
expect_fail dd if=/dev/zero of="$mnt/lun2" bs=4k count=1 conv=notrunc status=none
expect_message 'read-only file system'
stop_lunfs "$mnt"
