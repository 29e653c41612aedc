#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# contrib/quickstart.sh: as root and as an ordinary user, twice in a row, with a target of one's own, and --stop.
# It uses this build (LUNFS_BUILD_DIR) and installs nothing, for all it needs is here.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
private_mounts
requires tgtd losetup mkfs.ext4 debugfs fusermount3
not_under_valgrind "quickstart runs its own lunfs"
# A /tmp of its own: quickstart's directory there belongs to whoever uses it on this machine.
mkdir "$scratch/tmp"
chmod 1777 "$scratch/tmp"
saved=$scratch
mount --bind "$scratch/tmp" /tmp
case $saved in /tmp/*) saved=/tmp ;; esac
export LUNFS_BUILD_DIR=$top_builddir
quickstart=$top_srcdir/contrib/quickstart.sh
out=$saved/quickstart.out
run () {
  "$@" >"$out" 2>&1 || {
    cat "$out" /tmp/lunfs-quickstart-*/lunfs.log
    fail "$*"
  }
  cat "$out"
}
stop_left () { for id in 0 "$user_id"; do [ ! -e "/tmp/lunfs-quickstart-$id" ] || "$quickstart" --stop; done; umount -l /tmp; }
cleanup_fn stop_left
state=/tmp/lunfs-quickstart-0

say "root"
run "$quickstart"
grep -q 'read back' "$out"
file=$(find "$state/mnt" -name lun1)
[ -f "$file" ] || fail "no LUN"
grep -q -- "$file" "$out" || fail "the file is not shown"
say "again: nothing to do"
run "$quickstart"
grep -q 'running already' "$out"
portal=$(jq -r '.targets[0] | "\(.host):\(.port)"' "$state/mnt/.lunfs/status.json")
cp "$(dirname "$(dirname "$(find "$state/mnt" -name lun1)")")/.lunfs/status.json" "$saved/status.json"
tgtd=$(cat "$state/tgtd.pid")
supervisor=$(cat "$state/lunfs.pid")
run "$quickstart" --stop
! alive "$tgtd" || fail "tgtd still runs"
! alive "$supervisor" || fail "lunfs still runs"
[ ! -e "$state" ] || fail "$state is still there"
run "$quickstart" --stop

say "a target of one's own: read-only, and nothing is written to it"
start_target
add_target own
own=$saved/own
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
  mkdir -p /tmp/tree/contrib /tmp/tree/tests/tools
  cp "$top_srcdir/contrib/"*.sh /tmp/tree/contrib/
  cp "$top_srcdir/README" "$top_builddir/lunfs" /tmp/tree/
  cp "$top_builddir/tests/tools/ramtgt" /tmp/tree/tests/tools/
  : >/tmp/tree/config.status
  printf 'lunfs tests/tools/ramtgt:\n' >/tmp/tree/Makefile
  chmod -R a+rX /tmp/tree
  quickstart=/tmp/tree/contrib/quickstart.sh
  LUNFS_BUILD_DIR=/tmp/tree
fi
run as_user "$quickstart"
grep -q 'read back' "$out"
run as_user "$quickstart" --stop
