#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Write-back: holes are punched and ranges zeroed before the target has done it, so that a slow target holds nobody up.  They
# read as zeroes at once, what is written there later comes after them, fsync waits for them, and neither the worker's death nor
# the target's loss of power loses them.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

fake_lun 96M --wce --thin -- -o noop_out_interval=0,cmd_timeout=60
size=$((64 << 20))
old=$scratch/old
expected=$scratch/expected
fill () {
  random_file old $size >/dev/null
  dd if="$old" of="$file" bs=1M conv=notrunc,fsync status=none
  same_data "$old" "$disk" $size
  truncate -s 0 "$expected"
  truncate -s $size "$expected"
}
write_into () {
  dd if=/dev/urandom of="$scratch/new" bs=4k count=3 status=none
  dd if="$scratch/new" of="$file" bs=4k seek=1000 conv=notrunc status=none
  dd if="$scratch/new" of="$expected" bs=4k seek=1000 conv=notrunc status=none
}
falloc () {
  python3 - "$file" "$1" "$2" "$3" <<'PY'
import ctypes, os, sys
path, mode, offset, length = sys.argv[1], *map(int, sys.argv[2:])
f = os.open(path, os.O_RDWR)
result = ctypes.CDLL(None, use_errno=True).fallocate(f, mode | 1, ctypes.c_int64(offset), ctypes.c_int64(length))
assert result == 0, os.strerror(ctypes.get_errno())
PY
}
MIB=$((1 << 20))
for mode in 2 16; do # a hole, zeroes
  say "mode $mode: read, written over and flushed"
  fill
  falloc "$mode" $size $MIB # the target can do it: later ones are answered at once
  fake_rule "write-same : hang"
  falloc "$mode" 0 $size
  fake_hit
  same_data "$old" "$disk" $size
  [ "$(lun_get "$mnt" 0 .counters.dirty_bytes)" -gt 0 ] || fail "nothing is counted as dirty"
  same_data "$expected" "$file" $size
  write_into
  same_data "$expected" "$file" $size
  sync "$file" &
  flush=$!
  wait_for "[ \"\$(lun_get '$mnt' 0 .state)\" = up ]" 10
  alive $flush || fail "fsync has not waited"
  same_data "$old" "$disk" $size
  fake resume >/dev/null
  wait $flush || fail "fsync failed"
  same_data "$expected" "$disk" $size
  fake powerloss >/dev/null
  lun_up "$mnt" 0 20
  same_data "$expected" "$file" $size

  say "mode $mode: the worker dies first"
  fill
  falloc "$mode" $size $MIB
  fake_rule "write-same : hang"
  falloc "$mode" 0 $size
  fake_hit
  write_into
  same_data "$old" "$disk" $size
  kill -KILL "$(worker "$mnt")"
  fake resume >/dev/null
  same_data "$expected" "$file" $size
  sync "$file"
  same_data "$expected" "$disk" $size

  say "mode $mode: the target refuses it after all"
  fill
  falloc "$mode" $size $MIB
  fake_rule "write-same times=all : sense 5/24/00"
  falloc "$mode" 0 $size
  fake_hit
  write_into
  sync "$file"
  same_data "$expected" "$disk" $size
  fake clear >/dev/null
done
expect_equal "$(lun_get "$mnt" 0 .counters.errors)" 0 "errors"
fake_no_violations
stop_lunfs "$mnt"
