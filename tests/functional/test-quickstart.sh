#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# contrib/quickstart.sh: as root and as an ordinary user, twice in a row, with a target of one's own, and --stop.
# It uses this build (LUNFS_BUILD_DIR) and installs nothing, for all it needs is here.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
private_mounts
requires tgtd losetup mkfs.ext4 debugfs fusermount3
not_under_valgrind "quickstart runs its own lunfs"
export LUNFS_BUILD_DIR=$top_builddir
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

say "root"
run "$quickstart"
grep -q 'read back' "$out"
file=$(find "$state/mnt" -name lun1)
[ -f "$file" ] || fail "no LUN"
grep -q -- "$file" "$out" || fail "the file is not shown"
say "again: nothing to do"
run "$quickstart"
grep -q 'running already' "$out"
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
