#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The examples of README and of the manual page are run as they stand, but for the host, which is a target of our own.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
requires_root
requires losetup fusermount3
private_mounts

start_ramtgt --iqn iqn.2026-01.org.example:t1 --luns 2 --size 16m
export HOME=$scratch/home STATE_DIRECTORY=$scratch/state
mkdir -p "$HOME" "$STATE_DIRECTORY" "$scratch/etc"
cd "$scratch"
# mount(8) runs lunfs by name: from where an installed one would be.
mount -t tmpfs -o mode=755 tmpfs /usr/local/bin
cleanup_fn umount -l /usr/local/bin
cp "$(command -v lunfs)" /usr/local/bin/lunfs

here () { sed -e "s/san\.example/$portal/g" -e "s,/srv/,$scratch/srv/,g" -e "s,/etc/lunfs/,$scratch/etc/,g"; }
unmount_all () {
  local m
  for m in "$scratch/disk.img" "$scratch/san" "$HOME/san" "$scratch/srv/san" "$scratch/srv/t1"; do
    umount -l "$m" 2>/dev/null || :
  done
}
cleanup_fn unmount_all
run () { # FILE: one command a line, each must succeed
  local line
  while read -r line; do
    say "$line"
    eval "$line" || fail "the example failed: $line"
  done <"$1"
}

say "README: first mount"
sed -n '/^First mount in five lines/,/^The command returns/p' "$top_srcdir/README" | sed -n 's/^    //p' | here >"$scratch/readme"
[ "$(wc -l <"$scratch/readme")" = 5 ] || fail "it is not five lines any more"
run "$scratch/readme" >"$scratch/out"
grep -q lun1 "$scratch/out" || fail "ls did not show lun1"

say "manual page"
# Requests and escapes of the man macros out; what follows "$ " is a command.
sed -n '/^\.SH EXAMPLES/,/^\.SH NOTES/p' "$top_srcdir/src/lunfs.1" | sed -e 's/\\-/-/g' -e 's/\\e/\\/g' >"$scratch/man"
sed -n 's/^\$ //p' "$scratch/man" | here >"$scratch/commands"
[ "$(wc -l <"$scratch/commands")" -ge 6 ] || fail "the examples were not found"
run "$scratch/commands" >"$scratch/out"
grep -q lun1 "$scratch/out" || fail "ls did not show lun1"
[ "$(stat -c %s disk.img)" = $((16 << 20)) ] || fail "disk.img is not the LUN"
fusermount3 -u disk.img

say "manual page: loop device"
lunfs "iscsi://$portal/iqn.2026-01.org.example:t1" san
command=$(sed -n 's/^# //p' "$scratch/man" | grep losetup | here)
say "$command"
loop=$(eval "$command")
cleanup_fn detach_loop "$loop"
expect_equal "$(blockdev --getsize64 "$loop")" $((16 << 20)) "size of the loop device"
detach_loop "$loop"
umount san

say "fstab lines of README and manual page"
(umask 077; printf 'user=joe\npassword=twelve bytes!\n' >"$scratch/etc/t1.cred")
{ grep -h 'fuse\.lunfs  *_netdev' "$scratch/man"; grep -h '^ .*fuse\.lunfs  *_netdev' "$top_srcdir/README"; } |
  sed -e "s,iscsi://san/,iscsi://san.example/," | here >"$scratch/fstab"
[ "$(wc -l <"$scratch/fstab")" = 2 ] || fail "the fstab lines were not found"
mkdir -p "$scratch/srv/san" "$scratch/srv/t1"
for dir in san t1; do
  mount -T "$scratch/fstab" "$scratch/srv/$dir"
  wait_for "ls '$scratch/srv/$dir' | grep -q lun" 10
  umount "$scratch/srv/$dir"
done
