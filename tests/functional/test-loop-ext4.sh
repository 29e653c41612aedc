#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# ext4 on a loop device on a LUN: mkfs, files, fstrim, umount, checked clean; and the same after a new mount.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
test_limit 180

private_mounts
requires mkfs.ext4 e2fsck losetup fstrim
modprobe ext4 2>/dev/null || :
grep -qw ext4 /proc/filesystems || skip "this kernel has no ext4"
one_lun 64M 512 thin_provisioning=1
attach_loop "$file" --direct-io=on
expect_equal "$(losetup -n -O DIO "$loop" | tr -d ' ')" 1 "direct I/O of the loop device"
mkfs.ext4 -q -E nodiscard "$loop"
fs=$scratch/fs
mkdir "$fs"
cleanup_fn umount -l "$fs"
mount "$loop" "$fs"
mkdir "$fs/a" "$fs/b"
cp -r /usr/include/linux "$fs/a/tests"; cp -r "$top_srcdir/include" "$fs/a/"
random_file big 24M >/dev/null
cp "$scratch/big" "$fs/b/big"
for ((i = 0; i < 200; i++)); do echo "file $i" >"$fs/b/f$i"; done
sync -f "$fs"
rm -rf "$fs/a/tests"
trims=$(lun_get "$mnt" 1 ".counters | .unmaps + .write_sames")
fstrim -v "$fs"
[ "$(lun_get "$mnt" 1 ".counters | .unmaps + .write_sames")" -gt "$trims" ] || fail "fstrim did not reach the target as UNMAP or WRITE SAME"
cmp "$scratch/big" "$fs/b/big"
umount "$fs"
e2fsck -fn "$loop"
[ "$(lun_get "$mnt" 1 .counters.sync_cache)" -gt 0 ] || fail "no SYNCHRONIZE CACHE at all"
detach_loop "$loop"
stop_lunfs "$mnt"

say "mounted anew"
start_lunfs "iscsi://$portal/$iqn" "$mnt"
lun_up "$mnt" 1
attach_loop "$file" --direct-io=on
e2fsck -fn "$loop"
mount "$loop" "$fs"
cmp "$scratch/big" "$fs/b/big"
diff -r "$top_srcdir/include" "$fs/a/include"
expect_equal "$(cat "$fs/b/f199")" "file 199" "a small file"
umount "$fs"
expect_equal "$(lun_get "$mnt" 1 .counters.errors)" 0 "errors"
detach_loop "$loop"
stop_lunfs "$mnt"
