#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# 33, 34: GOOD with a residual is no success: asked again, and an error in the end, never old data.  What a target gets
# away with, since libiscsi neither counts bytes nor looks at the response code, must do no other harm: GOOD without
# data, with less data and no word of it, and "target failure".
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

random_file disk 32M >/dev/null
fake_lun 32M -- -o replacement_timeout=20,cache_size=8M # most reads need a command
loaded=16777216 # nothing of the rest is in memory: a READ of it needs a command
load_ends () {
  halt_load
  sync "$file"
  same_data "$file" "$disk" $loaded
}
for what in "read nth=20 : underflow 512" "read nth=20 times=2 : underflow 512" "write nth=20 : underflow 512"; do
  say "$what"
  begin_load --max-bytes $loaded
  fake_rule "$what"
  fake_hit
  load_ends
done
[ "$(lun_get "$mnt" 0 .counters.retries)" -ge 4 ] || fail "not tried again"
logged "$mnt" 'too few' || fail "the log does not say why"
say "each time"
fake_rule "read times=all : underflow 512"
asked=$(fake_get .total.read)
expect_fail fresh_read
expect_message 'input/output error'
[ "$(($(fake_get .total.read) - asked))" -le 16 ] || fail "asked again and again"
fake clear
say "overflow: there was more to say than we had asked for"
fake_rule "read : overflow 4096"
fresh_read of="$scratch/read"
dd if="$disk" bs=4k skip="$fresh_page" count=1 status=none | cmp - "$scratch/read"
stop_lunfs "$mnt"

# A cache would keep what came.
start_lunfs "iscsi://$portal/$iqn" "$mnt" -o replacement_timeout=20,cache=none
lun_up "$mnt" 0

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
