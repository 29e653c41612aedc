#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The examples of README and of the manual page are run as they stand, but for the host, which is a target of our own.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
requires_root
requires losetup fusermount3 mkfs.ext4 qemu-img
private_mounts

start_ramtgt --iqn iqn.2026-01.org.example:t1 --luns 2 --size 16m
export HOME=$scratch/home STATE_DIRECTORY=$scratch/state
mkdir -p "$HOME" "$STATE_DIRECTORY" "$scratch/etc"
cd "$scratch"
# mount(8) runs lunfs by name: from where an installed one would be.
mount -t tmpfs -o mode=755 tmpfs /usr/local/bin
cleanup_fn umount -l /usr/local/bin
cp "$(command -v lunfs)" /usr/local/bin/lunfs

here () {
  sed -e "s/san\.example/$portal/g" -e "s,iscsi://san/,iscsi://$portal/," -e "s,/etc/lunfs/,$scratch/etc/,g" \
    -e "s,MNT,$scratch/MNT,g" -e "s,/srv\b,$scratch/srv,g"
}
unmount_all () {
  local m
  for m in "$scratch/disk.img" "$scratch/san" "$HOME/san" "$scratch/srv/san" "$scratch/srv/t1" "$scratch/srv" \
    "$scratch/MNT" "$HOME/disk"; do
    umount -l "$m" 2>/dev/null || :
  done
}
cleanup_fn unmount_all
supervisors () {
  local m
  awk '$3 == "fuse.lunfs" {print $2}' /proc/self/mounts | while read -r m; do lunfsctl status --json "$m" | jq -r .lunfs.supervisor_pid; done
}
# The next command comes when the lunfs of a mount that went away has flushed: its LUN is in use until then.
run_line () {
  local before after pid
  before=$(supervisors)
  say "$1"
  eval "$1" || fail "the example failed: $1"
  after=$(supervisors)
  for pid in $before; do
    grep -qx "$pid" <<<"$after" || wait_for "! alive $pid" 15
  done
}
run () { # FILE: one command a line, each must succeed
  local line
  while read -r line <&8; do run_line "$line"; done 8<"$1"
}

readme () { # FROM TO: the commands of that part
  sed -n "/^$1/,/^$2/p" "$top_srcdir/README" | sed -n 's/^    //p' | here
}
mkdir "$scratch/MNT" "$scratch/srv"
truncate -s 16M image.raw
head -c 1000000 /dev/urandom | dd of=image.raw conv=notrunc status=none
qemu-img convert -f raw -O qcow2 image.raw image.qcow2

say "README: a LUN as a file"
readme lunfs: 'Try it' >"$scratch/readme"
[ "$(wc -l <"$scratch/readme")" = 1 ] || fail "it is not one line any more"
run "$scratch/readme"
[ "$(stat -c %s "$HOME/disk")" = $((16 << 20)) ] || fail "disk is not the LUN"
run_line "umount $HOME/disk"

say "README: first mount"
readme 'First mount in five lines' 'The command returns' >"$scratch/readme"
[ "$(wc -l <"$scratch/readme")" = 5 ] || fail "it is not five lines any more"
run "$scratch/readme" >"$scratch/out"
grep -q lun1 "$scratch/out" || fail "ls did not show lun1"

say "README: a file system on a loop device"
lunfs "iscsi://$portal/iqn.2026-01.org.example:t1" "$scratch/MNT"
detach () { losetup --detach "${dev:-}" 2>/dev/null || :; }
cleanup_fn detach
readme 'As a file system' 'Without --direct-io' >"$scratch/readme"
[ "$(wc -l <"$scratch/readme")" = 2 ] || fail "they are not two lines any more"
run "$scratch/readme"

say "README: as a VM disk"
readme 'As a VM disk' 'O_DIRECT' >"$scratch/readme"
sed -n '1s/ &&$//p' "$scratch/readme" >"$scratch/mount"
sed -n '/^qemu-img/p' "$scratch/readme" >>"$scratch/mount"
[ "$(wc -l <"$scratch/mount")" = 2 ] || fail "the lines were not found"
run "$scratch/mount"
same_data "$scratch/MNT/lun1" image.raw
dd if=/dev/zero of="$scratch/MNT/lun1" bs=1M count=1 conv=notrunc,fsync status=none
run_line "umount $scratch/MNT"

say "manual page"
# Requests and escapes of the man macros out; what follows "$ " is a command.
sed -n '/^\.SH EXAMPLES/,/^\.SH NOTES/p' "$top_srcdir/src/lunfs.1" | sed -e 's/\\-/-/g' -e 's/\\e/\\/g' >"$scratch/man"
sed -n 's/^\$ //p' "$scratch/man" | here >"$scratch/commands"
[ "$(wc -l <"$scratch/commands")" = 9 ] || fail "the examples were not found"
run "$scratch/commands" >"$scratch/out"
grep -q lun1 "$scratch/out" || fail "ls did not show lun1"
[ "$(stat -c %s disk.img)" = $((16 << 20)) ] || fail "disk.img is not the LUN"
same_data disk.img image.raw
run_line 'fusermount3 -u disk.img'

say "manual page: loop device"
lunfs "iscsi://$portal/iqn.2026-01.org.example:t1" san
command=$(sed -n 's/^# //p' "$scratch/man" | grep losetup | here)
say "$command"
loop=$(eval "$command")
loops[$loop]=attached
cleanup_fn detach_loop "$loop"
expect_equal "$(blockdev --getsize64 "$loop")" $((16 << 20)) "size of the loop device"
detach_loop "$loop"
run_line "umount san"

say "fstab lines of README and manual page"
(umask 077; printf 'user=joe\npassword=twelve bytes!\n' >"$scratch/etc/t1.cred")
{ grep -h 'fuse\.lunfs  *_netdev' "$scratch/man"; grep -h '^ .*fuse\.lunfs  *_netdev' "$top_srcdir/README"; } |
  here >"$scratch/fstab"
[ "$(wc -l <"$scratch/fstab")" = 2 ] || fail "the fstab lines were not found"
mkdir -p "$scratch/srv/san" "$scratch/srv/t1"
for dir in san t1; do
  mount -T "$scratch/fstab" "$scratch/srv/$dir"
  wait_for "ls '$scratch/srv/$dir' | grep -q lun" 10
  run_line "umount $scratch/srv/$dir"
done
