#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# contrib/quickstart.sh: as root and as an ordinary user, twice in a row, with a target of one's own, and --stop.
# It uses this build (LUNFS_BUILD_DIR) and installs nothing, for all it needs is here.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
private_mounts
requires tgtd losetup mkfs.ext4 debugfs fusermount3 fio
not_under_valgrind "quickstart runs its own lunfs"
export LUNFS_BUILD_DIR=$top_builddir STATE_DIRECTORY=$scratch/state
mkdir "$STATE_DIRECTORY"
export LUNFS_QUICKSTART_DIR=$scratch/root
state=$LUNFS_QUICKSTART_DIR
quickstart=$top_srcdir/contrib/quickstart.sh
out=$scratch/quickstart.out
run () {
  "$@" >"$out" 2>&1 || {
    cat "$out" "$LUNFS_QUICKSTART_DIR/lunfs.log"
    fail "$*"
  }
  cat "$out"
}
stop_left () { [ ! -e "$state" ] || LUNFS_QUICKSTART_DIR=$state "$quickstart" --stop; }
cleanup_fn stop_left

try_status () {
  local line
  line=$(sed -n 's/^its state: *\(.*\); or top$/\1/p' "$out")
  say "$line"
  eval "$line" | grep -q "$LUNFS_QUICKSTART_DIR/mnt: iscsi://" || fail "the state is not shown by: $line"
}
try_fio () { # the line it prints works as it stands
  local line
  line=$(sed -n 's/^ *fio /fio /p' "$out")
  say "$line"
  eval "$line --runtime=1" >"$scratch/fio.out" 2>&1 || fail "$(cat "$scratch/fio.out")"
}

say "arguments"
run "$quickstart" --help
head -n 1 "$out" | grep -q '^ *contrib/quickstart.sh ' || fail "--help begins with another line"
grep -q -- '--stop' "$out" || fail "--help does not name --stop"
for wrong in --bogus http://127.0.0.1 -o; do
  expect_fail "$quickstart" --write $wrong
  expect_status 7
  head -n 1 "$scratch/message" | grep -q -- "$wrong" || fail "$wrong is not named"
done
[ ! -e "$state" ] || fail "it did something"
expect_fail "$top_srcdir/contrib/check.sh" --bogus
expect_status 7
head -n 1 "$scratch/message" | grep -q -- "--bogus" || fail "--bogus is not named"
run "$top_srcdir/contrib/check.sh" --help
head -n 1 "$out" | grep -q '^ *contrib/check.sh ' || fail "check.sh --help begins with another line"
! grep -q '==>' "$out" || fail "--help runs something"

say "root"
run "$quickstart"
try_status
grep -q 'read back' "$out"
file=$state/mnt/lun1
[ -f "$file" ] || fail "no LUN"
grep -q -- "$file" "$out" || fail "the file is not shown"
try_fio
say "again: nothing to do"
run "$quickstart"
grep -q 'running already' "$out"
say "--stop while a loop device is attached, and a file system mounted from it"
attach_loop "$file" --direct-io=on
mkfs.ext4 -q "$loop"
mkdir "$scratch/fs"
mount "$loop" "$scratch/fs"
cleanup_fn umount -q "$scratch/fs"
expect_fail "$quickstart" --stop
expect_message "$loop is attached to $file"
expect_message "umount $scratch/fs"
expect_message "losetup --detach $loop"
sed -n 's/^    //p' "$scratch/message" >"$scratch/commands"
. "$scratch/commands"
tgtd=$(cat "$state/tgtd.pid")
supervisor=$(cat "$state/lunfs.pid")
run "$quickstart" --stop
wait_for "! alive $tgtd" 5 || fail "tgtd still runs"
! alive "$supervisor" || fail "lunfs still runs"
[ ! -e "$state" ] || fail "$state is still there"
run "$quickstart" --stop

say "a target of one's own: read-only, and nothing is written to it"
start_target
add_target own
own=$scratch/own
head -c 4M /dev/urandom >"$own"
cp "$own" "$own.before"
add_lun "$own"
run "$quickstart" "iscsi://$portal/$iqn"
cmp "$state/mnt/lun1" "$own"
! dd if=/dev/zero of="$state/mnt/lun1" bs=512 count=1 conv=notrunc 2>/dev/null || fail "it is writable"
run "$quickstart" --stop
say "-o, and a path with colons"
(umask 077; printf 'user=joe\npassword=twelve-bytes\n' >"$scratch/cred")
add_account joe twelve-bytes
run "$quickstart" --write -o "credentials=$scratch/cred" -o noatime "iscsi://$portal"
cmp "$state/mnt/$iqn/lun1" "$own"
grep -q "$state/mnt.*noatime" /proc/self/mounts
try_fio
grep -q "^note:.*':'" "$out"
run "$quickstart" --stop
cmp "$own" "$own.before"
tgt --mode account --op unbind --tid "$tid" --user joe
run "$quickstart" --write "iscsi://$portal/$iqn"
cmp "$own" "$own.before"
dd if=/dev/urandom of="$state/mnt/lun1" bs=512 count=1 conv=notrunc,fsync status=none
cmp "$state/mnt/lun1" "$own"
run "$quickstart" --stop

say "an ordinary user"
if ! as_user test -x "$quickstart" || ! as_user test -x "$top_builddir/lunfs"; then
  say "the tree is closed to other users: using a copy"
  tree=$scratch/tree
  mkdir -p "$tree/contrib" "$tree/tests/tools"
  cp "$top_srcdir/contrib/"*.sh "$tree/contrib/"
  cp "$top_srcdir/README" "$top_builddir/lunfs" "$tree/"
  cp "$top_builddir/tests/tools/ramtgt" "$tree/tests/tools/"
  : >"$tree/config.status"
  printf 'lunfs tests/tools/ramtgt:\n' >"$tree/Makefile"
  chmod -R a+rX "$tree"
  quickstart=$tree/contrib/quickstart.sh
  LUNFS_BUILD_DIR=$tree
fi
as_user true
LUNFS_QUICKSTART_DIR=$scratch/home/quickstart
run as_user "$quickstart"
grep -q 'read back' "$out"
run as_user "$quickstart" --stop
