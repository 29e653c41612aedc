#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Where a secret may come from: a 0600 file, a descriptor, standard input, the environment, with a warning the URL.
# It stands neither in argv nor in /proc/mounts, the log or the status.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

start_target
add_target cred
add_lun "$(random_file a 1M)"
add_account joe one-way-secret
mnt=$scratch/mnt
works () {
  lun_up "$mnt" 1
  same_data "$mnt/lun1" "$scratch/a"
  ! grep -q one-way-secret "${lunfs_logs[$mnt]}" || fail "the secret is in the log"
  ! grep -q one-way-secret /proc/self/mounts || fail "the secret is in /proc/mounts"
  ! grep -q one-way-secret "$mnt/.lunfs/status.json" || fail "the secret is in the status"
  local pid
  for pid in $(supervisor "$mnt") $(worker "$mnt"); do
    ! grep -q one-way-secret "/proc/$pid/cmdline" || fail "the secret is in the arguments of $pid"
    # /proc/PID/environ shows what the program was started with: only ours to keep clean in the worker.
  done
  ! tr '\0' '\n' <"/proc/$(worker "$mnt")/environ" | grep -q one-way-secret || fail "the secret is in the worker's environment"
  stop_lunfs "$mnt"
}
cred=$scratch/cred
printf 'user=joe\npassword=one-way-secret\n' >"$cred"

say "a file others can read is refused"
for mode in 0644 0640 0604; do
  chmod "$mode" "$cred"
  expect_fail start_lunfs "iscsi://$portal/$iqn" "$mnt" -o "credentials=$cred"
  expect_message "$cred"
  expect_message 'chmod|mode|permission|readable|group|others'
  [ "$status" = 13 ] || [ "$status" = 7 ] || fail "status $status"
  ! mounted "$mnt" || fail "mounted"
done
chmod 0600 "$cred"
expect_fail start_lunfs "iscsi://$portal/$iqn" "$mnt" -o "credentials=$scratch/none"
expect_message "$scratch/none"

say "a file"
start_lunfs "iscsi://$portal/$iqn" "$mnt" -o "credentials=$cred"
works
say "a descriptor"
start_lunfs "iscsi://$portal/$iqn" "$mnt" -o credentials_fd=9 9<"$cred"
works
say "standard input"
lunfs_stdin=$cred start_lunfs "iscsi://$portal/$iqn" "$mnt" -o password_stdin
works
echo one-way-secret >"$scratch/password"
lunfs_stdin=$scratch/password start_lunfs "iscsi://$portal/$iqn" "$mnt" -o password_stdin -o user=joe
works
say "the environment"
LIBISCSI_CHAP_USERNAME=joe LIBISCSI_CHAP_PASSWORD=one-way-secret \
  start_lunfs "iscsi://$portal/$iqn" "$mnt"
works
say "the URL, with a warning (the arguments of the first process show it: that is what the warning is about)"
start_lunfs "iscsi://joe%one-way-secret@$portal/$iqn" "$mnt" 2>"$scratch/message"
expect_message 'password|secret'
lun_up "$mnt" 1
! grep -q one-way-secret "${lunfs_logs[$mnt]}" "$scratch/message" /proc/self/mounts "$mnt/.lunfs/status.json" ||
  fail "the secret is shown"
stop_lunfs "$mnt"
