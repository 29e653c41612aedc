#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# mount -t fuse.lunfs, and a line in fstab, as root and as a user.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

private_mounts
requires mount.fuse3 setpriv
# mount(8) runs lunfs by name: from where an installed one would be.
mount -t tmpfs -o mode=755 tmpfs /usr/local/bin
cleanup_fn umount -l /usr/local/bin
cp "$(command -v lunfs)" /usr/local/bin/lunfs
start_target
add_target helper
disk=$(random_file disk 4M)
add_lun "$disk"
mnt=$scratch/mnt
mkdir "$mnt"
lunfs_pids[$mnt]=$scratch/lunfs1.pid
lunfs_logs[$mnt]=$scratch/lunfs1.log
own="log=$scratch/lunfs1.log,pidfile=$scratch/lunfs1.pid,initiator_name=$initiator"
cleanup_fn kill_lunfs "$mnt"

say "mount -t fuse.lunfs"
mount -t fuse.lunfs -o "$own,allow_other" "iscsi://$portal/$iqn" "$mnt"
lun_up "$mnt" 1
same_data "$mnt/lun1" "$disk"
expect_equal "$(findmnt -n -o SOURCE,FSTYPE "$mnt" | tr -s ' ')" "iscsi://$portal/$iqn fuse.lunfs" "the mount table"
stop_lunfs "$mnt"

say "a failure is mount's failure"
expect_fail mount -t fuse.lunfs -o "$own" "iscsi://$portal/iqn.2026-01.org.example:none" "$mnt"
expect_message 'iqn.2026-01.org.example:none'
! mounted "$mnt" || fail "mounted"

say "fstab, root"
fstab=$scratch/fstab
echo "iscsi://$portal/$iqn $mnt fuse.lunfs user,_netdev,nofail,noauto,x-systemd.automount,allow_other,$own 0 0" >"$fstab"
mount -T "$fstab" "$mnt"
lun_up "$mnt" 1
same_data "$mnt/lun1" "$disk"
stop_lunfs "$mnt"

say "fstab, an ordinary user"
if [ ! -u "$(command -v mount)" ]; then
  say "mount is not setuid here"
  exit 0
fi
touch /etc/fstab
mount --bind "$fstab" /etc/fstab
cleanup_fn umount -l /etc/fstab
chmod 644 "$fstab"
: >"$scratch/lunfs1.log"
: >"$scratch/lunfs1.pid"
mkdir -p "$scratch/home"
chown "$user_id" "$scratch/lunfs1.log" "$scratch/lunfs1.pid" "$mnt" "$scratch/home"
as_user mount "$mnt"
lun_up "$mnt" 1
as_user cmp "$mnt/lun1" "$disk"
grep " $mnt " /proc/self/mounts | grep -q nosuid,nodev || fail "without nosuid,nodev"
lunfs_as=(as_user)
stop_lunfs "$mnt"
