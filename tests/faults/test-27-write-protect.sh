#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# 27: write protected at run time and back, announced (2A/01) or not, with a writer at work: EROFS for writers (for fsync, if
# the write was answered from memory: it is kept and goes to the target as soon as that takes it), readers
# see everything, and what was acknowledged is there.  (With tgtd: test-write-protect.)
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

fake_lun 8M -- -o replacement_timeout=20
random_file new 1M >/dev/null
read_only_is () { wait_for "[ \"\$(lun_get '$mnt' 0 '.read_only | tostring')\" = $1 ]" 10; }
for how in announced quiet; do
  say "$how"
  dd if="$scratch/new" of="$file" bs=64k conv=notrunc,fsync status=none
  exec 8<>"$file"
  fake protect 0 on ${how/announced/}
  before=$(fake_get .total.modify)
  expect_fail dd if="$scratch/new" of=/proc/self/fd/8 bs=64k count=4 conv=notrunc,fsync oflag=direct status=none
  expect_message 'read-only file system'
  read_only_is true
  expect_fail dd if="$scratch/new" of=/proc/self/fd/8 bs=64k count=4 conv=notrunc,fsync oflag=direct status=none
  expect_message 'read-only file system'
  expect_fail fallocate --punch-hole --offset 0 --length 65536 "$file"
  expect_message 'read-only file system'
  [ "$(($(fake_get .total.modify) - before))" -le 100 ] || fail "asked again and again" # page by page, once a second and for an fsync
  cmp -n 1048576 "$file" "$scratch/new"
  same_data "$file" "$disk"
  logged "$mnt" 'protected|2A/01' || fail "the log says nothing"
  fake protect 0 off
  dd if="$file" of=/dev/null bs=4k count=1 iflag=direct status=none # somebody has to hear of it
  read_only_is false
  dd if="$scratch/new" of=/proc/self/fd/8 bs=64k seek=20 conv=notrunc status=none
  exec 8>&-
  begin_load
  halt_load
  sync "$file"
  same_data "$file" "$disk"
done
expect_equal "$(lun_get "$mnt" 0 .errors_by_kind.EROFS)" "$(lun_get "$mnt" 0 .counters.errors)" "errors other than EROFS"
expect_equal "$(lun_get "$mnt" 0 .counters.session_losses)" 0 "sessions lost"
fake_no_violations
stop_lunfs "$mnt"
