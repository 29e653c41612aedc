#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# 28: a thin provisioned LUN whose pool is full: ENOSPC for what needs space, at once: for the write, or
# if that was answered from memory for fsync, until it fits; what has its space goes on.  With space again all works.  What was acknowledged, then lost with the target's power, and does
# not fit any more, is told by the next fsync.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

fake_lun 16M --thin --wce -- -o replacement_timeout=20
random_file new 1M >/dev/null
put () { # FILE SEEK (64 KiB)
  dd if="$1" of="$file" bs=64k seek="$2" conv=notrunc,fsync oflag=direct status=none
}
put_through () { # the same, each write for itself
  dd if="$1" of="$file" bs=64k seek="$2" conv=notrunc oflag=direct,dsync status=none
}
put "$scratch/new" 0
fake full 0 on
before=$(fake_get .total.write)
expect_fail put "$scratch/new" 64
expect_message 'no space'
asked=$(($(fake_get .total.write) - before))
[ "$asked" -le 40 ] || fail "$asked writes at the target for one" # page by page the second time: some may fit
expect_fail sync "$file"
expect_message 'no space'
# What is tried again is told once, what a program was told itself each time.
[ "$(grep -c '27/07' "${lunfs_logs[$mnt]}")" -le 3 ] || fail "the log is full of it"
say "what has its space"
random_file newer 1M >/dev/null
put_through "$scratch/newer" 0
cmp -n 1048576 "$file" "$scratch/newer"
for ((n = 0; n < 20; n++)); do
  if put "$scratch/new" $((64 + n)) 2>/dev/null; then fail "written where there is no space"; fi
done
asked=$(($(fake_get .total.write) - before))
[ "$asked" -le 2000 ] || fail "$asked writes at the target"
expect_equal "$(lun_get "$mnt" 0 .state)" up "state"
[ "$(lun_get "$mnt" 0 .errors_by_kind.ENOSPC)" -ge 21 ] || fail "ENOSPC is not counted"
logged "$mnt" '27/07|space' || fail "the log does not say why"
fake full 0 off
put "$scratch/new" 64
same_data "$file" "$disk"

failures () { grep -c 'answered before, could not be written to the target: No space' "${lunfs_logs[$mnt]}" || :; }
before=$(failures)
say "acknowledged, lost, and no space for it any more"
for ((n = 1; n <= 10; n++)); do # a commit in the background may come first
  dd if="$scratch/newer" of="$file" bs=64k seek=$((112 + 16 * n % 128)) conv=notrunc oflag=direct status=none
  wait_for "[ \"\$(lun_get '$mnt' 0 .counters.dirty_bytes)\" = 0 ]" 10
  fake full 0 on
  [ "$(fake powerloss)" = 0 ] || break
  fake full 0 off
  lun_up "$mnt" 0
done
wait_for "[ \"\$(lun_get '$mnt' 0 .counters.relogins)\" -ge 1 ]" 15
expect_fail timeout $((60 * slow)) sync "$file"
expect_message 'no space|input/output error'
[ "$(failures)" -gt "$before" ] || fail "the log does not say it"
lun_up "$mnt" 0
fake full 0 off
put "$scratch/newer" 128
begin_load
halt_load
sync "$file"
same_data "$file" "$disk"
fake_no_violations
stop_lunfs "$mnt"
