#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# One-way and mutual CHAP; a wrong or missing secret gives a message that says so and exit status 24.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

start_target
add_target chap
add_lun "$(random_file a 1M)"
add_account joe one-way-secret
mnt=$scratch/mnt
credentials () { # LINE...
  rm -f "$scratch/cred"
  (umask 077 && printf '%s\n' "$@" >"$scratch/cred")
}
refused () {
  expect_fail start_lunfs "iscsi://$portal/$iqn" "$mnt" "$@"
  expect_status 24
  expect_message authentication
  ! grep -q secret "$scratch/message" || fail "the message shows a secret"
  ! mounted "$mnt" || fail "mounted"
}

say "one-way"
credentials user=joe password=one-way-secret
start_lunfs "iscsi://$portal/$iqn" "$mnt" -o "credentials=$scratch/cred"
lun_up "$mnt" 1
same_data "$mnt/lun1" "$scratch/a"
stop_lunfs "$mnt"

say "wrong secret, wrong user, none at all"
credentials user=joe password=another-secret
refused -o "credentials=$scratch/cred"
credentials user=jack password=one-way-secret
refused -o "credentials=$scratch/cred"
expect_message 'check user'
refused
expect_message 'no user and password were given .credentials=FILE'

say "mutual"
credentials user=joe password=one-way-secret target_user=the-target target_password=mutual-secret-1
refused -o "credentials=$scratch/cred" # tgtd has no account yet to prove itself with, and says so to nobody
add_account the-target mutual-secret-1 outgoing
credentials user=joe password=one-way-secret target_user=the-target target_password=mutual-secret-1
start_lunfs "iscsi://$portal/$iqn" "$mnt" -o "credentials=$scratch/cred"
lun_up "$mnt" 1
same_data "$mnt/lun1" "$scratch/a"
stop_lunfs "$mnt"

say "mutual, for all that the portal offers: each target proves itself"
start_lunfs "iscsi://$portal" "$mnt" -o "credentials=$scratch/cred"
wait_for "[ -f '$mnt/$iqn/lun1' ]" 15
stop_lunfs "$mnt"
credentials user=joe password=one-way-secret target_user=the-target target_password=mutual-secret-2
expect_fail start_lunfs "iscsi://$portal" "$mnt" -o "credentials=$scratch/cred"
expect_status 24
expect_message 'the target did not prove its identity'

say "the target proves itself with another secret, under another name, or not at all: not our target"
not_proven='the target did not prove its identity .*target_user and target_password'
credentials user=joe password=one-way-secret target_user=the-target target_password=mutual-secret-2
refused -o "credentials=$scratch/cred"
expect_message "$not_proven"
credentials user=joe password=one-way-secret target_user=a-target target_password=mutual-secret-1
refused -o "credentials=$scratch/cred"
expect_message "$not_proven"
credentials user=joe password=another-secret target_user=the-target target_password=mutual-secret-1
refused -o "credentials=$scratch/cred"
! grep -q "$not_proven" "$scratch/message" || fail "it is our own password that is wrong"
tgt --mode account --op unbind --tid "$tid" --user joe
credentials user=joe password=one-way-secret target_user=the-target target_password=mutual-secret-1
refused -o "credentials=$scratch/cred"
expect_message "$not_proven"
tgt --mode account --op bind --tid "$tid" --user joe

say "iscsid.conf's names"
credentials 'node.session.auth.username = joe' 'node.session.auth.password = one-way-secret'
start_lunfs "iscsi://$portal/$iqn" "$mnt" -o "credentials=$scratch/cred"
lun_up "$mnt" 1
stop_lunfs "$mnt"

say "a worker that starts while logins are refused knows what its predecessor knew, and no more"
credentials user=joe password=one-way-secret
start_lunfs "iscsi://$portal/$iqn" "$mnt" -o "credentials=$scratch/cred,stop_timeout=2" # nothing can be flushed
lun_up "$mnt" 1
tgt --mode account --op delete --user joe
tgt --mode account --op new --user joe --password changed-secret
tgt --mode account --op bind --tid "$tid" --user joe
old=$(worker "$mnt")
kill -KILL "$old"
wait_for "[ \"\$(status_get '$mnt' .lunfs.workers_started)\" = 2 ]" 15
wait_for "lun_get '$mnt' 1 .error | grep -q authentication" 15
expect_equal "$(status_get "$mnt" '.targets | length')" 1 "targets in the status"
expect_equal "$(status_get "$mnt" '[.targets[].luns[].lun] | tostring')" "[1]" "LUNs in the status"
stop_lunfs "$mnt"
