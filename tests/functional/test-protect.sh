#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What protects lunfs when memory is short: one line at the start says what was refused and what helps, and none where nothing
# was or nothing was asked for.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
private_mounts
requires setpriv prlimit
share_programs
start_ramtgt --size 16m
mnt=$scratch/mnt
warnings () { grep -c 'warning: lunfs is not protected' "${lunfs_logs[$mnt]}" || :; }
locked () { awk '/^VmLck/ {print $2}' "/proc/$(worker "$mnt")/status"; }

say "an ordinary user: one line, for all workers"
lunfs_as=(as_user prlimit --memlock=8388608:8388608)
start_lunfs "iscsi://$portal/$iqn" "$mnt" -o allow_other
lun_up "$mnt" 0
expect_equal "$(warnings)" 1 "warnings"
logged "$mnt" 'may be swapped out \(LimitMEMLOCK=infinity' || fail "nothing is said of memory"
logged "$mnt" 'the OOM killer may choose it \(OOMScoreAdjust' || fail "nothing is said of the OOM killer"
logged "$mnt" 'PR_SET_IO_FLUSHER' || fail "nothing is said of PR_SET_IO_FLUSHER"
old=$(worker "$mnt")
kill -KILL "$old"
wait_for "[ \"\$(status_get '$mnt' .lunfs.workers_started)\" = 2 ]" 15
lun_up "$mnt" 0
expect_equal "$(warnings)" 1 "warnings after a worker's death"
expect_equal "$(locked)" 0 "locked memory"
stop_lunfs "$mnt"

say "no_mlock: nothing is said of what was not asked for"
start_lunfs "iscsi://$portal/$iqn" "$mnt" -o allow_other,no_mlock
expect_equal "$(warnings)" 1 "warnings"
! logged "$mnt" 'may be swapped out' || fail "it speaks of memory"
stop_lunfs "$mnt"

say "a limit that suffices"
lunfs_as=(as_user)
if prlimit --memlock=unlimited:unlimited true; then
  lunfs_as=(prlimit --memlock=unlimited:unlimited setpriv --reuid="$user_id" --regid="$user_id" --clear-groups
    --inh-caps=-all env -u XDG_RUNTIME_DIR HOME="$scratch/home")
  start_lunfs "iscsi://$portal/$iqn" "$mnt" -o allow_other
  ! logged "$mnt" 'may be swapped out' || fail "it speaks of memory"
  [ "$(locked)" -gt 0 ] || fail "nothing is locked"
  lunfs_as=(as_user)
  stop_lunfs "$mnt"
fi

say "root with all capabilities: nothing"
lunfs_as=()
start_lunfs "iscsi://$portal/$iqn" "$mnt"
[ "$(locked)" -gt 0 ] || fail "nothing is locked"
if setpriv --dump | grep -q 'Capability bounding set:.*sys_resource'; then
  expect_equal "$(warnings)" 0 "warnings"
fi
stop_lunfs "$mnt"
