#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# 41: REJECT, for each reason there is, of a command, of a NOP-Out, and of a task that nobody knows.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

disk=$scratch/disk
start_fake --lun "32M,file=$disk"
mnt=$scratch/mnt
file=$mnt/lun0
up () {
  start_lunfs "iscsi://$portal/$iqn" "$mnt" -o cmd_timeout=2,noop_out_interval=1,noop_out_timeout=2,cache_size=8M # most reads need a command
  lun_up "$mnt" 0
}
once () { # EVENT ACTION
  begin_load
  fake_rule "$1 nth=20 : $2"
  fake_hit
  end_load
}
up
for reason in 2 3 4 5 6 7 8 9 0xa 0xb 0xc; do # RFC 7143 11.17.1
  dd if=/dev/urandom of="$scratch/new" bs=64k count=1 status=none
  fake_rule "write : reject $reason"
  dd if="$scratch/new" of="$file" bs=64k oflag=direct conv=notrunc,fsync status=none
  fake_hit
  cmp -n 65536 "$scratch/new" "$disk"
  # Sessions that die young make the pauses grow: begin anew.
  [ "$((reason % 3))" != 0 ] || { stop_lunfs "$mnt"; up; }
done
expect_equal "$(lun_get "$mnt" 0 .counters.errors)" 0 "errors"
say "under load"
once read "reject 4"
say "of a task nobody knows"
stop_lunfs "$mnt"
up
once write "reject 9 unmatched"
say "of a NOP-Out"
stop_lunfs "$mnt"
up
fake_rule "nop : reject 4"
fake_hit
dd if="$file" of=/dev/null bs=64k count=1 iflag=direct status=none
same_data "$file" "$disk"
fake_no_violations
stop_lunfs "$mnt"
