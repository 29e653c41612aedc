#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# /dev/fd/N as mount point: somebody else has opened /dev/fuse and mounted (mount.fuse3 -o drop_privileges,
# CSI drivers); lunfs only serves.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

requires python3
requires_root
start_target
add_target fd
disk=$(random_file disk 4M)
add_lun "$disk"
mnt=$scratch/mnt
mkdir "$mnt"
lunfs_pids[$mnt]=$scratch/lunfs1.pid
lunfs_logs[$mnt]=$scratch/lunfs1.log
cleanup_fn kill_lunfs "$mnt"
cat >"$scratch/mount.py" <<'PY'
import ctypes, os, sys
mnt, source, *command = sys.argv[1:]
fd = os.open("/dev/fuse", os.O_RDWR)
os.set_inheritable(fd, True)
libc = ctypes.CDLL(None, use_errno=True)
opts = "fd=%d,rootmode=40000,user_id=%d,group_id=%d,default_permissions,allow_other" % (fd, os.getuid(), os.getgid())
if libc.mount(source.encode(), mnt.encode(), b"fuse.lunfs", 6, opts.encode()):
    sys.exit("mount: " + os.strerror(ctypes.get_errno()))
os.execvp(command[0], [a.replace("@FD@", "/dev/fd/%d" % fd) for a in command])
PY
python3 "$scratch/mount.py" "$mnt" "iscsi://$portal/$iqn" "$(command -v lunfs)" -o "log=$scratch/lunfs1.log" \
  -o "pidfile=$scratch/lunfs1.pid" -o "initiator_name=$initiator" "iscsi://$portal/$iqn" @FD@
lun_up "$mnt" 1
same_data "$mnt/lun1" "$disk"
dd if=/dev/urandom of="$mnt/lun1" bs=64k count=3 conv=notrunc,fsync status=none
same_data "$mnt/lun1" "$disk"
stop_lunfs "$mnt"

say "with no privilege at all"
requires setpriv
share_programs
mkdir -p "$scratch/home"
chown "$user_id" "$scratch/home"
: >"$scratch/lunfs2.log"
: >"$scratch/lunfs2.pid"
chown "$user_id" "$scratch/lunfs2.log" "$scratch/lunfs2.pid"
lunfs_pids[$mnt]=$scratch/lunfs2.pid
lunfs_logs[$mnt]=$scratch/lunfs2.log
python3 "$scratch/mount.py" "$mnt" "iscsi://$portal/$iqn" setpriv --reuid="$user_id" --regid="$user_id" --clear-groups \
  --inh-caps=-all --bounding-set=-all --no-new-privs env HOME="$scratch/home" "$scratch/bin/lunfs" \
  -o "log=$scratch/lunfs2.log" -o "pidfile=$scratch/lunfs2.pid" -o "initiator_name=$initiator" \
  "iscsi://$portal/$iqn" @FD@
lun_up "$mnt" 1
same_data "$mnt/lun1" "$disk"
stop_lunfs "$mnt"
