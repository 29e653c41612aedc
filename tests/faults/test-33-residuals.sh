#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# 33, 34: GOOD with a residual is no success: asked again, and an error in the end, never old data.  What a target gets
# away with, since libiscsi neither counts bytes nor looks at the response code, must do no other harm: GOOD without
# data, with less data and no word of it, and "target failure".
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

fake_lun 8M -- -o replacement_timeout=20
for what in "read nth=20 : underflow 512" "read nth=20 times=2 : underflow 512" "write nth=20 : underflow 512"; do
  say "$what"
  begin_load
  fake_rule "$what"
  fake_hit
  end_load
done
[ "$(lun_get "$mnt" 0 .counters.retries)" -ge 4 ] || fail "not tried again"
logged "$mnt" 'too few' || fail "the log does not say why"
say "each time"
fake_rule "read times=all : underflow 512"
asked=$(fake_get .total.read)
expect_fail dd if="$file" of=/dev/null bs=4k count=1 iflag=direct status=none
expect_message 'input/output error'
[ "$(($(fake_get .total.read) - asked))" -le 16 ] || fail "asked again and again"
fake clear
say "overflow: there was more to say than we had asked for"
fake_rule "read : overflow 4096"
dd if="$file" of="$scratch/read" bs=4k count=1 iflag=direct status=none
same_data "$scratch/read" "$file" 4096

for what in nodata "short 2048" tgtfail; do
  say "$what"
  fake_rule "read : $what"
  dd if="$file" of=/dev/null bs=4k count=1 iflag=direct status=none || say "told as an error"
  fake_rule "write : ${what/short*/tgtfail}"
  dd if=/dev/zero of="$file" bs=4k count=1 oflag=direct conv=notrunc status=none || say "told as an error"
  same_data "$file" "$disk"
done
lun_up "$mnt" 0
fake_no_violations
stop_lunfs "$mnt"
