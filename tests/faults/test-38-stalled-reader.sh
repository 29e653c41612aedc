#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# 38: the target stops reading in the middle of large writes: for a while, which costs nothing, and for longer than
# cmd_timeout, which costs the session with all that is still to be sent on it.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

stall () { # MS SESSIONS-LOST OPTIONS
  say "for $1 ms"
  start_lunfs "iscsi://$portal/$iqn" "$mnt" -o "noop_out_interval=1,$3"
  lun_up "$mnt" 0
  dd if=/dev/urandom of="$scratch/new" bs=1M count=16 status=none
  fake_rule "write nth=4 : stall $1"
  dd if="$scratch/new" of="$file" bs=16M count=1 oflag=direct conv=notrunc status=none
  dd if="$scratch/new" of="$file" bs=1M oflag=direct conv=notrunc,fsync status=none
  fake_hit
  same_data "$scratch/new" "$disk"
  expect_equal "$(lun_get "$mnt" 0 .counters.session_losses)" "$2" "sessions lost"
  expect_equal "$(lun_get "$mnt" 0 .counters.errors)" 0 "errors"
  stop_lunfs "$mnt"
}
disk=$scratch/disk
start_fake --lun "16M,file=$disk" --max-burst 16776192 --first-burst 16776192 --initial-r2t No
mnt=$scratch/mnt
file=$mnt/lun0
stall 1500 0 cmd_timeout=20,noop_out_timeout=20
stall 3500 1 cmd_timeout=1,noop_out_timeout=20
stall 4500 1 cmd_timeout=60,noop_out_timeout=1
fake_no_violations
