#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# No target name: all targets by SendTargets.  No LUN: all LUNs by REPORT LUNS.  Names that do not exist: clear errors.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

start_target
add_target first
add_lun "$(random_file a 1M)"
add_lun "$(random_file b 2M)"
first=$iqn
add_target second
add_lun "$(random_file c 3M)"
second=$iqn
mnt=$scratch/mnt

say "the portal alone: a directory for every target"
start_lunfs "iscsi://$portal" "$mnt"
wait_for "[ -f '$mnt/$first/lun1' ] && [ -f '$mnt/$first/lun2' ] && [ -f '$mnt/$second/lun1' ]" 15
expect_equal "$(cd "$mnt" && ls -d iqn*)" "$first
$second" "targets"
expect_equal "$(ls "$mnt/$first")" "lun1
lun2" "LUNs of the first target"
same_data "$mnt/$first/lun1" "$scratch/a"
same_data "$mnt/$first/lun2" "$scratch/b"
same_data "$mnt/$second/lun1" "$scratch/c"
expect_equal "$(status_get "$mnt" '.targets | length')" 2 "targets in the status"
expect_equal "$(status_get "$mnt" '[.targets[].luns[]] | length')" 3 "LUNs in the status"
stop_lunfs "$mnt"

say "a target: its LUNs at the top"
start_lunfs "iscsi://$portal/$first" "$mnt"
lun_up "$mnt" 1
lun_up "$mnt" 2
expect_equal "$(cd "$mnt" && ls -d lun*)" "lun1
lun2" "LUNs"
stop_lunfs "$mnt"

say "one LUN: only that file"
start_lunfs "iscsi://$portal/$first/2" "$mnt"
lun_up "$mnt" 2
expect_equal "$(cd "$mnt" && ls -d lun*)" lun2 "files"
same_data "$mnt/lun2" "$scratch/b"
stop_lunfs "$mnt"

say "a target that is not there"
expect_fail start_lunfs "iscsi://$portal/iqn.2026-01.org.example:none" "$mnt"
expect_status 2
expect_message 'iqn.2026-01.org.example:none'
! mounted "$mnt" || fail "still mounted"

say "a LUN that is not there"
expect_fail start_lunfs "iscsi://$portal/$first/77" "$mnt"
expect_status 2
expect_message '77'
! mounted "$mnt" || fail "still mounted"

say "tgtd's LUN 0 is no disk"
expect_fail start_lunfs "iscsi://$portal/$first/0" "$mnt"
expect_status 2
expect_message "not a disk .*tgtd's disks begin at LUN 1; iscsi://HOST/TARGET mounts all"
! mounted "$mnt" || fail "still mounted"

say "a portal without targets for us"
start_target empty
add_target hidden
tgt --mode target --op unbind --tid "$tid" --initiator-address ALL
expect_fail start_lunfs "iscsi://$portal" "$mnt"
expect_status 21
! mounted "$mnt" || fail "still mounted"
