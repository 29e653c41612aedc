#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# 13: the target sends us elsewhere: to another portal, to one that refuses, to a name nobody knows, to nonsense, and
# round in circles.  Each attempt ends within login_timeout, the status says why, and the next one begins at the
# portal that the user named.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

disk=$scratch/disk
start_fake --lun "8M,file=$disk" --portal 127.0.0.1 --portal 127.0.0.1:0
mnt=$scratch/mnt
file=$mnt/lun0
random_file new 1M >/dev/null
up () {
  start_lunfs "iscsi://$portal/$iqn/0" "$mnt" -o login_timeout=2
  lun_up "$mnt" 0
}
fake_rule "login port=0 times=all : redirect ${portals[1]},1"
up
dd if="$scratch/new" of="$file" bs=64k conv=notrunc,fsync status=none
cmp -n 1048576 "$scratch/new" "$disk"
stop_lunfs "$mnt"
fake clear

for where in 127.0.0.1:9,1 no-such-host.invalid:3260,1 127.0.0.1:notaport '[::1,1' "$portal,1"; do
  say "redirected to $where"
  up
  tried=$(fake_get .connections)
  fake_rule "login times=all : redirect $where"
  fake drop
  wait_for "[ \"\$(lun_get '$mnt' 0 .counters.login_failures)\" -gt 1 ]" 15
  lun_get "$mnt" 0 '.error | length > 0' >/dev/null || fail "the status gives no reason"
  lun_get "$mnt" 0 .error
  # A circle is left after some logins, and a failed attempt is followed by a pause.
  tried=$(($(fake_get .connections) - tried))
  [ "$tried" -le 60 ] || fail "$tried connections"
  fake clear
  lun_up "$mnt" 0 20
  cmp -n 1048576 "$scratch/new" "$file"
  expect_equal "$(lun_get "$mnt" 0 .counters.errors)" 0 "errors"
  logged "$mnt" 'trying again' || fail "the log says nothing"
  stop_lunfs "$mnt"
done
fake_no_violations
