#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# 39: a WRITE is answered before its data was asked for, or while it is on its way: CHECK CONDITION, BUSY, TASK ABORTED.
# What is queued for it goes out from memory that is still there (a sanitizer or valgrind would tell), and it is tried
# again.  Final errors come through, too.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

fake_lun 8M --immediate-data No --segment 8192 -- -o cmd_timeout=10
begin_load
for when in early "early r2t"; do
  for answer in "sense b/44/00" "status 0x08" "status 0x40" "sense 6/29/00" "sense b/47/00"; do
    say "$answer $when"
    fake_rule "write nth=2 times=3 every=3 : $answer $when"
    fake_hit "$rule" 3
  done
done
end_load
say "a final one"
random_file new 1M >/dev/null
dd if="$scratch/new" of="$file" bs=1M conv=notrunc,fsync status=none
for when in early "early r2t"; do
  fake_rule "write times=all : sense 3/0c/00 info=0 $when"
  expect_fail dd if=/dev/zero of="$file" bs=1M count=1 oflag=direct,dsync conv=notrunc status=none
  expect_message 'input/output error'
  fake clear
  cmp -n 1048576 "$file" "$scratch/new"
  same_data "$file" "$disk"
done
# The unit attentions may meet what is written again after one of them: that begins anew with a new session.
[ "$(lun_get "$mnt" 0 .counters.session_losses)" -le 6 ] || fail "$(lun_get "$mnt" 0 .counters.session_losses) sessions lost"
fake_no_violations
stop_lunfs "$mnt"
