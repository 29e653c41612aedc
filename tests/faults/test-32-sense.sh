#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# 32: CHECK CONDITION without sense data, with too little, with less than it says, in descriptor format: nothing is read
# that is not there, and what passes is tried again.  Deferred errors, which are about writes that were acknowledged: if
# the data is still kept it is written again and fsync is right to say nothing, else the next fsync says so, once.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

fake_lun 32M -- -o replacement_timeout=20,cache_size=8M # most reads need a command
loaded=16777216 # nothing of the rest is in memory: a READ of it needs a command
load_ends () {
  halt_load
  sync "$file"
  same_data "$file" "$disk" $loaded
}
begin_load --max-bytes $loaded
for form in none empty short long descriptor fixed; do
  for what in read write; do
    fake_rule "$what nth=5 : sense b/44/00 $form"
    fake_hit
  done
done
load_ends
[ "$(lun_get "$mnt" 0 .counters.retries)" -ge 8 ] || fail "not tried again"
say "each time"
for form in none empty short; do
  fake_rule "read times=all : sense 3/11/00 $form"
  asked=$(fake_get .total.read)
  expect_fail fresh_read
  expect_message 'input/output error'
  [ "$(($(fake_get .total.read) - asked))" -le 16 ] || fail "asked again and again"
  fake clear
done
same_data "$file" "$disk" $loaded

say "deferred, without a write cache: what was lost is gone"
dd if=/dev/urandom of="$file" bs=64k count=16 conv=notrunc,fsync oflag=direct status=none
fake_rule "read : sense 3/0c/00 deferred"
fresh_read
fake_hit
lun_up "$mnt" 0
expect_fail sync "$file"
expect_message 'input/output error'
sync "$file"
logged "$mnt" 'deferred.*0C/00' || fail "the log does not say why"
stop_lunfs "$mnt"

say "deferred, with one: it is kept, and written again"
fake wce 0 on quiet
start_lunfs "iscsi://$portal/$iqn" "$mnt"
lun_up "$mnt" 0
random_file new 1M >/dev/null
for form in fixed descriptor; do
  for ((n = 1; n <= 10; n++)); do # a commit in the background may come first
    dd if=/dev/urandom of="$scratch/new" bs=64k count=16 status=none
    dd if="$scratch/new" of="$file" bs=64k conv=notrunc oflag=direct status=none
    [ "$(fake forget 0)" = 0 ] || break
  done
  [ "$n" -le 10 ] || fail "nothing was in the cache"
  fake_rule "read : sense 3/0c/00 deferred $form"
  fresh_read
  fake_hit
  sync "$file"
  cmp -n 1048576 "$disk" "$scratch/new"
done
[ "$(lun_get "$mnt" 0 .counters.rewritten)" -gt 0 ] || fail "nothing was written again"
same_data "$file" "$disk"
expect_equal "$(lun_get "$mnt" 0 .counters.errors)" 0 "errors"
expect_equal "$(lun_get "$mnt" 0 .counters.session_losses)" 0 "sessions lost"
fake_no_violations
stop_lunfs "$mnt"
