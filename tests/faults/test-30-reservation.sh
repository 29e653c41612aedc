#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# 30, 31: another initiator reserves the LUN, or takes our registration away: an error at once, no storm of commands, the
# state says why, and all is well when the reservation is gone, without anybody having to do anything here.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

fake_lun 16M --wce -- -o replacement_timeout=20
random_file new 1M >/dev/null
conflict='exchange|input/output error|busy|not permitted'
dd if="$scratch/new" of="$file" bs=64k conv=notrunc,fsync status=none
reserved () { # says so, and fails quickly
  local asked from=$SECONDS n
  asked=$(fake_get .total.scsi)
  for n in 1 2 3 4 5; do
    expect_fail dd if=/dev/zero of="$file" bs=4k seek=$n count=1 oflag=direct,dsync conv=notrunc status=none
    expect_message "$conflict"
  done
  [ "$((SECONDS - from))" -lt $((8 * slow)) ] || fail "$((SECONDS - from)) s for five errors"
  asked=$(($(fake_get .total.scsi) - asked))
  [ "$asked" -le 60 ] || fail "$asked commands for five writes"
  wait_for "lun_get '$mnt' 0 '.error | test (\"reserv\"; \"i\")'" 10
  lun_get "$mnt" 0 '{state, error}'
  logged "$mnt" 'reserv' || fail "the log does not say why"
}
free_again () {
  wait_for "dd if='$scratch/new' of='$file' bs=64k conv=notrunc,fsync oflag=direct status=none" 20
  lun_up "$mnt" 0
  wait_for "lun_get '$mnt' 0 '.error == \"\"'" 10
  same_data "$file" "$disk"
}

say "write exclusive"
dd if="$scratch/new" of="$file" bs=64k seek=64 conv=notrunc oflag=direct status=none # not synchronised
fake reserve 0 1
reserved
cmp -n 1048576 "$file" "$scratch/new"
expect_fail timeout $((40 * slow)) sync "$file"
fake release 0
free_again

say "exclusive access"
fake reserve 0 3
reserved
expect_fail dd if="$file" of=/dev/null bs=4k count=1 iflag=direct status=none
expect_message "$conflict"
fake release 0
free_again

say "preempted"
fake preempt 0
fake reserve 0 3
reserved
logged "$mnt" '2A/0[35]' || fail "the log does not name the unit attention"
fake release 0
free_again
begin_load
halt_load
sync "$file"
same_data "$file" "$disk"
fake_no_violations
stop_lunfs "$mnt"
