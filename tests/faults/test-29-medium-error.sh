#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# 29: one block that cannot be read, or not be written: only requests that touch it get EIO, the log names it, and the
# target is not asked for it for ever.  With and without the block's number in the sense data.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

fake_lun 16M -- -o replacement_timeout=20
random_file new 16M >/dev/null
dd if="$scratch/new" of="$file" bs=1M conv=notrunc,fsync status=none
stop_lunfs "$mnt" # nothing of it in memory
start_lunfs "iscsi://$portal/$iqn" "$mnt" -o replacement_timeout=20
lun_up "$mnt" 0
block () { dd if="$file" of="$scratch/block" bs=512 skip="$1" count="${2:-1}" iflag=direct status=none; }
bad=20000
for form in fixed descriptor noinfo; do
  say "reading, $form sense data"
  fake medium 0 $bad read $form
  begin_load --max-bytes 8388608
  asked=$(fake_get .total.read)
  expect_fail block $bad
  expect_message 'input/output error'
  expect_fail block $((bad - 100)) 200
  expect_message 'input/output error'
  for lba in $((bad - 1)) $((bad + 1)); do
    block $lba
    cmp -i 0:$((lba * 512)) -n 512 "$scratch/block" "$scratch/new"
  done
  halt_load
  cp --sparse=never "$disk" "$scratch/new"
  if [ $form != noinfo ]; then
    logged "$mnt" "(block|LBA)[^0-9]*$bad|$(printf 0x%x $bad)" || fail "the log does not name the block"
  fi
  fake medium 0 off
done
logged "$mnt" 'MEDIUM ERROR 11/00' || fail "the log does not say why"

say "writing"
bad=30000
fake medium 0 $bad write
asked=$(fake_get .total.write)
expect_fail dd if=/dev/zero of="$file" bs=512 seek=$bad count=1 oflag=direct,dsync conv=notrunc status=none
expect_message 'input/output error'
dd if=/dev/zero of="$file" bs=512 seek=$((bad + 1)) count=1 oflag=direct,dsync conv=notrunc status=none
asked=$(($(fake_get .total.write) - asked))
[ "$asked" -le 5 ] || fail "$asked writes for two"
logged "$mnt" "MEDIUM ERROR 0C/00.*$bad" || fail "the log does not say why"
dd if=/dev/zero of="$scratch/new" bs=512 seek=$((bad + 1)) count=1 conv=notrunc status=none
same_data "$disk" "$scratch/new"
say "writing, answered from memory: fsync says it until the block is good"
random_file kept 512 >/dev/null
dd if="$scratch/kept" of="$file" bs=512 seek=$bad count=1 oflag=direct conv=notrunc status=none
expect_fail sync "$file"
expect_message 'input/output error'
expect_fail sync "$file"
logged "$mnt" 'written and answered before, could not be written' || fail "the log does not say it"
dd if="$scratch/kept" of="$file" bs=512 seek=$((bad + 100)) count=1 oflag=direct,dsync conv=notrunc status=none
dd if="$disk" bs=512 skip=$((bad + 100)) count=1 status=none | cmp -n 512 - "$scratch/kept"
block $bad
cmp -n 512 "$scratch/block" "$scratch/kept"
fake medium 0 off
sync "$file"
dd if="$disk" bs=512 skip=$bad count=1 status=none | cmp -n 512 - "$scratch/kept"
same_data "$file" "$disk"
expect_equal "$(lun_get "$mnt" 0 .state)" up "state"
expect_equal "$(lun_get "$mnt" 0 .counters.session_losses)" 0 "sessions lost"
fake_no_violations
stop_lunfs "$mnt"
