#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# ext4 on LUNs as the example fstab and lunfs-loop@.service bring it up and take it down, their commands run by hand; lunfs with
# the capabilities that lunfs@.service leaves it.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
private_mounts
requires mount.fuse3 mkfs.ext4 losetup setpriv blkid
[ -e /dev/loop-control ] || modprobe loop 2>/dev/null || skip "no loop devices"
modprobe ext4 2>/dev/null || :
grep -qw ext4 /proc/filesystems || skip "this kernel has no ext4"
contrib=$top_srcdir/contrib/systemd
# mount(8) runs lunfs by name: from where an installed one would be.
mount -t tmpfs -o mode=755 tmpfs /usr/local/bin
cleanup_fn umount -l /usr/local/bin
cp "$(command -v lunfs)" /usr/local/bin/lunfs
start_target
add_target t1
add_lun "$(backing disk1 16M)"
add_lun "$(backing disk2 16M)"
mnt=$scratch/srv/t1
mkdir -p "$mnt" "$scratch/srv/data" "$scratch/srv/archive"
lunfs_pids[$mnt]=$scratch/lunfs1.pid
lunfs_logs[$mnt]=$scratch/lunfs1.log
cleanup_fn kill_lunfs "$mnt"
uuid=$(sed -n 's/^UUID=\([^ ]*\) .*/\1/p' "$contrib/examples/fstab")
own="log=$scratch/lunfs1.log,pidfile=$scratch/lunfs1.pid,initiator_name=$initiator"
fstab=$scratch/fstab
sed "s#san.example/#$portal/#; s# /srv/# $scratch/srv/#; s#^/srv/#$scratch/srv/#; s#credentials=[^,]*#$own#; /t2/d" \
  "$contrib/examples/fstab" >"$fstab"

# What a line of the unit does for a path.
unit_runs () { # KEY PATH
  local line
  line=$(sed -n "s/^$1=//p" "$contrib/lunfs-loop@.service")
  [ -n "$line" ] || fail "$1 is not in the unit"
  eval "${line//%f/$2}"
}
attach () {
  lun_up "$mnt" 1
  unit_runs ExecStartPre "$mnt/lun1"
  loop=$(unit_runs ExecStart "$mnt/lun1")
  loops[$loop]=attached
  cleanup_fn detach_loop "$loop"
  expect_equal "$(losetup -n -O DIO "$loop" | tr -d ' ')" 1 "direct I/O of the loop device"
  # Without udev mount(8) would look for the UUID on the devices of everybody.
  sed -i "s#^[^ ]* $scratch/srv/data #$loop $scratch/srv/data #" "$fstab"
}
detach () {
  unit_runs ExecStop "$mnt/lun1"
  wait_for "[ -z \"\$(losetup --associated '$mnt/lun1')\" ]" 10
  loops[$loop]=
}

say "made once"
mount -T "$fstab" "$mnt"
attach
mkfs.ext4 -q -U "$uuid" "$loop"
lun_up "$mnt" 2
mkfs.ext4 -q -F "$mnt/lun2"

expect_equal "$(blkid -p -s UUID -o value "$loop")" "$uuid" "the UUID"

say "up: on the loop device, and with the option loop"
cleanup_fn umount -l "$scratch/srv/data"
cleanup_fn umount -l "$scratch/srv/archive"
mount -T "$fstab" "$scratch/srv/data"
mount -T "$fstab" "$scratch/srv/archive"
random_file data 2M >/dev/null
cp "$scratch/data" "$scratch/srv/data/kept"
cp "$scratch/data" "$scratch/srv/archive/kept"

say "down, in the order of the units: nothing is in anybody's way, and nothing is lost"
umount "$scratch/srv/archive"
umount "$scratch/srv/data"
detach
stop_lunfs "$mnt"

say "and up again"
mount -T "$fstab" "$mnt"
attach
mount -T "$fstab" "$scratch/srv/data"
wait_for "[ -e '$mnt/lun2' ]" 15
mount -T "$fstab" "$scratch/srv/archive"
cmp "$scratch/data" "$scratch/srv/data/kept"
cmp "$scratch/data" "$scratch/srv/archive/kept"
umount "$scratch/srv/archive" "$scratch/srv/data"
detach
stop_lunfs "$mnt"

say "as lunfs@.service restricts it"
left=" $(sed -n 's/^CapabilityBoundingSet=//p' "$contrib/lunfs@.service" | tr '[:upper:]' '[:lower:]' | sed 's/cap_//g') "
taken=$(setpriv --list-caps | while read -r cap; do case $left in *" $cap "*) ;; *) printf ',-%s' "$cap" ;; esac; done)
umask 0077
lunfs_as=(setpriv --bounding-set="${taken#,}" --no-new-privs)
set_lunfs_cmd
"${lunfs_cmd[@]}" -o "$own" "iscsi://$portal/$iqn" "$mnt"
lunfs_as=()
lun_up "$mnt" 1
attach
mount -T "$fstab" "$scratch/srv/data"
cmp "$scratch/data" "$scratch/srv/data/kept"
umount "$scratch/srv/data"
detach
pid=$(supervisor "$mnt")
kill -TERM "$pid"
wait_for "! alive $pid" 20
! mounted "$mnt" || fail "it could not unmount"
