#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# An ordinary user mounts, uses and unmounts with fusermount3; others stay out unless allow_other says so.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

private_mounts
requires fusermount3 setpriv
share_programs
start_target
add_target user
disk=$(random_file disk 4M)
add_lun "$disk"
lunfs_as=(as_user)
mnt=$scratch/mnt
start_lunfs "iscsi://$portal/$iqn" "$mnt"
wait_for "as_user jq -e '.targets[0].luns[0].state == \"up\"' '$mnt/.lunfs/status.json'" 15
expect_equal "$(as_user stat -c '%u:%g %a %F' "$mnt/lun1")" "$user_id:$user_id 600 regular file" "the file"
as_user cmp "$mnt/lun1" "$disk"
as_user dd if=/dev/urandom of="$mnt/lun1" bs=64k count=3 seek=5 conv=notrunc,fsync status=none
as_user cmp "$mnt/lun1" "$disk"
grep -q " $mnt fuse.lunfs .*user_id=$user_id" /proc/self/mounts || fail "$(grep " $mnt " /proc/self/mounts)"
! ls "$mnt" 2>/dev/null || fail "root can look into a user's mount without allow_other"
stop_lunfs "$mnt"

say "allow_other, uid, gid and umask"
lunfs_as=(as_user)
start_lunfs "iscsi://$portal/$iqn" "$mnt" -o allow_other -o umask=0133
lun_up "$mnt" 1
expect_equal "$(stat -c '%u:%g %a' "$mnt/lun1")" "$user_id:$user_id 644" "the file"
user_id=$((user_id + 1)) as_user cmp "$mnt/lun1" "$disk"
! user_id=$((user_id + 1)) as_user dd if=/dev/zero of="$mnt/lun1" bs=512 count=1 conv=notrunc 2>/dev/null ||
  fail "another user could write"
stop_lunfs "$mnt"

say "a name of its own, made once and kept, when neither option nor host gives one"
rm -rf "${scratch:?}/home"
if [ ! -e /etc/iscsi/initiatorname.iscsi ]; then
  for round in 1 2; do
    initiator_option=none start_lunfs "iscsi://$portal/$iqn" "$mnt" -o allow_other
    lun_up "$mnt" 1
    tgt --mode conn --op show --tid "$tid" >/dev/null
    tgt --mode target --op show | sed -n 's/.*Initiator: \(iqn[^ ]*\).*/\1/p' | sort -u >"$scratch/name$round"
    [ -s "$scratch/name$round" ] || fail "the target saw no name"
    stop_lunfs "$mnt"
  done
  cmp "$scratch/name1" "$scratch/name2"
fi

say "why a user may not mount: the device, its group, fusermount3 without its rights"
refused () { # MESSAGE
  expect_fail as_user lunfs "iscsi://$portal/$iqn" "$mnt"
  expect_status 13
  expect_message "cannot mount $mnt: $1"
}
chmod 600 "$scratch/dev/fuse"
refused 'no permission for /dev/fuse: its mode is 0600.*chmod 0666'
chmod 660 "$scratch/dev/fuse"
chgrp daemon "$scratch/dev/fuse"
refused 'no permission for /dev/fuse: it is for group daemon.*usermod -aG daemon'
chmod 666 "$scratch/dev/fuse"
cp "$(command -v fusermount3)" "$scratch/fusermount3"
chmod 755 "$scratch/fusermount3"
mount --bind "$scratch/fusermount3" "$(command -v fusermount3)"
refused 'fusermount3 may not mount: it is not setuid root'
