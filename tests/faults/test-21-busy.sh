#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# 21: BUSY and TASK SET FULL: a burst, and a target that takes fewer commands than we would like to send.  Nobody sees an
# error; the depth adapts, so that few commands are refused, and grows again when it may.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

requires fio
fake_lun 64M -- -o cmd_timeout=20,queue_depth=32,cache_size=8M # most reads need a command
deep () { # SECONDS: depth 32 of small reads, each taking some milliseconds
  fio --name=deep --filename="$file" --allow_file_create=0 --direct=1 --ioengine=libaio --iodepth=32 --rw=randread \
    --bs=512 --time_based --runtime="$1" --output="$scratch/fio.out" || fail "fio: $(cat "$scratch/fio.out")"
}
# A depth of more than 16 is reached; it takes time after a target has refused commands.
grows () {
  local n
  for ((n = 0; n < 20 * slow; n++)); do
    fake reset
    deep 1
    deepest=$(fake_get .deepest)
    [ "$deepest" -le 16 ] || return 0
  done
  fail "the depth stays at $deepest"
}
for status in 0x08 0x28; do
  say "a burst of status $status"
  busy=$(lun_get "$mnt" 0 .counters.busy)
  begin_load --max-bytes 8388608
  fake_rule "scsi nth=30 times=20 : status $status"
  fake_hit "$rule" 20
  end_load
  expect_equal "$(lun_get "$mnt" 0 .counters.busy)" $((busy + 20)) "busy answers"
done

say "no more than 4 at a time"
fake_rule "read times=all : delay 3"
grows
fake depth 4
fake reset
deep 3
full=$(fake_get .full) all=$(fake_get .total.scsi)
say "$full of $all refused"
[ "$full" -gt 0 ] || fail "nothing was refused"
[ "$((full * 4))" -lt "$all" ] || fail "the depth does not adapt"
say "as many as before"
fake depth 0
grows
expect_equal "$(lun_get "$mnt" 0 .counters.errors)" 0 "errors"
expect_equal "$(lun_get "$mnt" 0 .counters.session_losses)" 0 "sessions lost"
fake_no_violations
stop_lunfs "$mnt"
