#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The examples of README and of the manual pages are run as they stand, but for the host, which is a target of our own.
# A command in README that is not run here must be among those at the end, with the reason.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
requires_root
requires losetup fusermount3 mkfs.ext4 qemu-img
private_mounts

start_ramtgt --iqn iqn.2026-01.org.example:t1 --luns 2 --size 16m
mkdir -p /run/lunfs
mount -t tmpfs -o mode=755 tmpfs /run/lunfs # other tests' mounts are not among "all"
cleanup_fn umount -l /run/lunfs
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
  for m in "$scratch/disk.img" "$scratch/san" "$HOME/san" "$scratch/srv/san" "$scratch/srv/t1" "$scratch/srv/lun" \
    "$scratch/srv" "$scratch/MNT" "$HOME/disk"; do
    umount -l "$m" 2>/dev/null || :
  done
}
cleanup_fn unmount_all
supervisors () {
  local m
  awk '$3 == "fuse.lunfs" {print $2}' /proc/self/mounts | while read -r m; do { lunfsctl status --json "$m" || :; } | jq -r .lunfs.supervisor_pid; done 2>/dev/null || : # other tests have mounts, too
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
  sed -n "/^$1/,/^$2/p" "$top_srcdir/README" | sed -n 's/^    //p' | tee -a "$scratch/seen" | here
}
manual () { # PAGE: its EXAMPLES, without the requests and escapes of the man macros
  sed -n '/^\.SH EXAMPLES/,/^\.SH [^E]/p' "$(find "$top_srcdir/src" -maxdepth 1 -name "$1.[1-9]")" | sed -e 's/\\-/-/g' -e 's/\\e/\\/g'
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
if command -v qemu-system-x86_64 >/dev/null; then
  # "..." is a machine that stops before its first instruction and is told to quit; it has opened the disk by then.
  drive=$(sed -n 's/^ *qemu-system-x86_64 \.\.\. \(.*\)/\1/p' "$scratch/readme")
  [ -n "$drive" ] || fail "the options of qemu were not found"
  say "qemu-system-x86_64 $drive"
  # shellcheck disable=SC2086 # several words
  printf 'info block\nquit\n' | qemu-system-x86_64 -display none -S -monitor stdio $drive >"$scratch/out" 2>&1 ||
    fail "$(cat "$scratch/out")"
  grep -q "MNT/lun1 (raw)" "$scratch/out" || fail "qemu does not have the LUN: $(cat "$scratch/out")"
fi
dd if=/dev/zero of="$scratch/MNT/lun1" bs=1M count=1 conv=notrunc,fsync status=none
run_line "umount $scratch/MNT"

say "manual page"
# What follows "$ " is a command.
manual lunfs >"$scratch/man"
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

# saved, check and import need files and targets that tests of their own make.
say "manual page of lunfsctl"
manual lunfsctl | sed -e 's/^[$#] //' | grep '^lunfsctl ' | grep -vE '^lunfsctl (saved|check|import)' | here >"$scratch/commands"
[ "$(wc -l <"$scratch/commands")" -ge 4 ] || fail "the examples were not found"
mkdir "$scratch/srv/lun"
(umask 077; printf 'user=joe\npassword=twelve bytes!\n' >"$scratch/etc/discovery.cred")
lunfs "iscsi://$portal/iqn.2026-01.org.example:t1" "$scratch/srv/lun"
run "$scratch/commands"
run_line "umount $scratch/srv/lun"

say "README: a setting of tgtd"
start_target
add_target settings
command=$(sed -n 's/^ *\(tgtadm .*MaxRecvDataSegmentLength.*\)/\1/p' "$top_srcdir/README")
[ -n "$command" ] || fail "the command was not found"
echo "$command" >>"$scratch/seen"
TGT_IPC_SOCKET=$scratch/$tgt.ctl run_line "${command/tgtadm/tgtadm -C 0}"
tgt --mode target --op show --tid 1 | grep -q 'MaxRecvDataSegmentLength=262144' || fail "tgtd has not taken it"

say "README: building"
while read -r package; do
  [ "$package" = debhelper-compat ] || grep -qE "^ *apt-get install .* $package( |\$)" "$top_srcdir/README" ||
    fail "README does not say that $package is needed"
done < <(sed -n '/^Build-Depends:/,/^[A-Z].*: /s/^ \([a-z0-9.+-]*\).*/\1/p' "$top_srcdir/packaging/debian/control")

say "every command of README"
# What begins like a command.  Run elsewhere (podman: tests/long), or not at all: the programs that other tests are about, and the
# build.
sed -nE 's/^ {4,6}((\.\/|apt-get|autoreconf|dev=|docker|fusermount3|losetup|ls|lunfs|lunfsctl|mkdir|mount|podman|printf|qemu-[a-z0-9_-]*|systemctl|tgtadm|touch|umount|virsh)( .*|[^ ]+ .*))$/\1/p' \
  "$top_srcdir/README" >"$scratch/all"
grep -vE '^(\./contrib/(quickstart|check)\.sh|apt-get install|autoreconf|podman (build|run)) ?' "$scratch/all" >"$scratch/commands"
sed 's/^ *//' "$scratch/seen" | grep -vxFf - "$scratch/commands" >"$scratch/missed" || :
[ ! -s "$scratch/missed" ] || fail "commands in README that are not run: $(cat "$scratch/missed")"
[ "$(wc -l <"$scratch/commands")" -ge 10 ] || fail "the commands were not found: $(cat "$scratch/commands")"
