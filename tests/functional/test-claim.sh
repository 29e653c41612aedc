#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# One mount of a host writes to a LUN: the second one is refused, and takes over by itself when the first is gone.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

# A second mount says why it does not serve LUN 1.  (It tries again now and then: for a moment it is not fenced.)
is_fenced () {
  wait_for "lun_get '$second' 1 'select (.state == \"fenced\") | .error' | grep -q 'in use by another mount'" 10
}

start_target
add_target claim
add_lun "$(backing one 8M)"
add_lun "$(backing two 8M)"
first=$scratch/first second=$scratch/second third=$scratch/third
touch "$scratch/plain"
start_lunfs "iscsi://$portal/$iqn/1" "$first"
lun_up "$first" 1

say "unmounted a moment ago: the next mount waits for the end of its flush"
old=$(supervisor "$first")
kill -STOP "$(worker "$first")"
umount -l "$first"
(sleep 1 && kill -CONT "$(tr -d ' ' <"/proc/$old/task/$old/children")") &
start_lunfs "iscsi://$portal/$iqn/1" "$first"
wait_for "! alive $old" 10
lun_up "$first" 1

say "the same LUN: exit status 15, and by whom it is used"
expect_fail start_lunfs "iscsi://localhost:$port/$iqn/1" "$scratch/plain"
expect_status 15
expect_message "in use by another mount of this host, $first"
! mounted "$scratch/plain" || fail "mounted"

say "the whole target: the LUN that is free can be used"
start_lunfs "iscsi://$portal/$iqn" "$second"
lun_up "$second" 2
is_fenced
[ ! -e "$second/lun1" ] || fail "lun1 is there"

say "read-only: nobody's claim is touched"
start_lunfs "iscsi://$portal/$iqn/1" "$third" -o ro
lun_up "$third" 1
head -c 4096 "$third/lun1" | cmp -n 4096 - "$first/lun1"

say "a worker's death does not give the claim away"
old=$(worker "$first")
kill -KILL "$old"
wait_for "new=\$(worker '$first') && [ -n \"\$new\" ] && [ \"\$new\" != $old ]" 10
lun_up "$first" 1
is_fenced

say "when it is gone, the other takes over; after kill -9, too"
stop_lunfs "$first"
lun_up "$second" 1 20
head -c 4096 /dev/urandom >"$scratch/data"
dd if="$scratch/data" of="$second/lun1" conv=notrunc,fsync status=none
cmp -n 4096 "$scratch/data" "$scratch/one"
start_lunfs "iscsi://$portal/$iqn/2" "$first" || :
kill_both "$second"
start_lunfs "iscsi://$portal/$iqn/1" "$first"
lun_up "$first" 1
stop_lunfs "$first"
stop_lunfs "$third"
