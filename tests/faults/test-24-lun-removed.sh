#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# 24, 25: the LUN is taken away under load and given back; is gone for longer than replacement_timeout; another one is in
# its place, then and at once, announced or found at the next login.  No byte of ours goes to the other one.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

fake_lun 16M --lun 8M -- -o replacement_timeout=30,cmd_timeout=3
fake disk other 16M "file=$scratch/other" serial=OTHER
head -c 16M /dev/urandom >"$scratch/other"
cp "$scratch/other" "$scratch/other-before"
untouched () {
  expect_equal "$(fake_get .disks.other.written_blocks)" 0 "blocks written to another LUN"
  same_data "$scratch/other" "$scratch/other-before"
}

say "away for a moment"
begin_load
fake detach 0
wait_for "[ \"\$(lun_get '$mnt' 0 .state)\" != up ]" 10
lun_get "$mnt" 0 '{state, error}'
fake attach 0 disk0
end_load

stop_lunfs "$mnt"

say "away for longer: an error in time; the other LUN does not suffer"
start_lunfs "iscsi://$portal/$iqn" "$mnt" -o replacement_timeout=3,cmd_timeout=2
lun_up "$mnt" 0
lun_up "$mnt" 1
fake detach 0
from=$SECONDS
expect_fail timeout $((60 * slow)) dd if=/dev/zero of="$file" bs=4k count=1 oflag=direct conv=notrunc,fsync status=none
expect_message 'input/output error|no such device'
say "after $((SECONDS - from)) s"
asked=$(fake_get .total.scsi)
dd if=/dev/urandom of="$mnt/lun1" bs=64k count=16 conv=notrunc,fsync status=none
expect_fail dd if="$file" of=/dev/null bs=4k count=1 iflag=direct status=none
lun_get "$mnt" 0 '.error | test ("25/00|no such LUN|not supported|gone"; "i")' >/dev/null || fail "the status does not say why: $(lun_get "$mnt" 0 .error)"
logged "$mnt" 'no such LUN|25/00' || fail "the log does not say why"
[ "$(($(fake_get .total.scsi) - asked))" -lt 100 ] || fail "a storm of commands"
say "in its place, another one"
fake attach 0 other
wait_for "[ \"\$(lun_get '$mnt' 0 .state)\" = fenced ]" 15
untouched
fake attach 0 disk0
lun_up "$mnt" 0 40
dd if=/dev/urandom of="$file" bs=64k count=16 conv=notrunc,fsync status=none
same_data "$file" "$disk"

another () { # HOW...: with a write and its fsync waiting that must go nowhere
  say "another LUN: $*"
  lun_up "$mnt" 0
  dd if=/dev/urandom of="$scratch/kept" bs=64k count=1 status=none
  dd if="$scratch/kept" of="$file" bs=64k conv=notrunc oflag=direct status=none
  "$@"
  dd if=/dev/zero of="$file" bs=64k seek=1 count=1 oflag=direct conv=notrunc,fsync status=none 2>"$scratch/writer" &
  writer=$!
  wait_for "lun_get '$mnt' 0 '.error | test (\"another LUN|identity|differs\"; \"i\")'" 30
  wait "$writer" && fail "fsync succeeded for a write that went nowhere"
  expect_fail dd if="$file" of=/dev/null bs=4k count=1 iflag=direct status=none
  logged "$mnt" 'another LUN|identity' || fail "the log does not say why"
  untouched
  fake attach 0 disk0
  lun_up "$mnt" 0 40
  cmp -n 65536 "$file" "$scratch/kept"
  same_data "$file" "$disk"
}
announced () { fake attach 0 other; }
at_login () {
  fake attach 0 other quiet
  fake drop
}
another announced
another at_login
fake_no_violations
stop_lunfs "$mnt"
