#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# 23: the LUN grows while in use: so does the file, and a loop device that is told so.  It shrinks: what is there can be
# read, nothing is written any more and the status says why, until it is as large as it was.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

fake_lun 16M -- -o replacement_timeout=20
size_is () { wait_for "[ \"\$(stat -c %s '$file')\" = $1 ]" 10; }
mib=1048576
attach_loop "$file"
say "grown under load"
begin_load
fake resize 0 24M
size_is $((24 * mib))
end_load
expect_equal "$(lun_get "$mnt" 0 .size)" $((24 * mib)) "size in the status"
losetup -c "$loop"
expect_equal "$(blockdev --getsize64 "$loop")" $((24 * mib)) "size of the loop device"
dd if=/dev/urandom of="$loop" bs=64k seek=$((23 * 16)) count=16 conv=fsync status=none
same_data "$file" "$disk"
detach_loop "$loop"
logged "$mnt" '2A/09|capacity|grown|size' || fail "the log says nothing"

say "grown without a word: seen at the next login at the latest"
fake resize 0 25M quiet
fake drop
dd if="$file" of=/dev/null bs=4k count=1 iflag=direct status=none
size_is $((25 * mib))
dd if=/dev/urandom of="$file" bs=64k seek=$((24 * 16)) count=16 conv=notrunc,fsync status=none
same_data "$file" "$disk"

say "shrunk"
cp "$disk" "$scratch/before"
truncate -s 20M "$scratch/before"
fake resize 0 20M
expect_fail timeout $((40 * slow)) dd if=/dev/zero of="$file" bs=4k count=1 oflag=direct,dsync conv=notrunc status=none
expect_message 'input/output error'
wait_for "lun_get '$mnt' 0 '.error | test (\"small\")'" 10
lun_get "$mnt" 0 '{state, error}'
logged "$mnt" 'smaller' || fail "the log does not say why"
expect_fail dd if="$scratch/before" of="$file" bs=4k seek=1 skip=1 count=1 conv=notrunc,fsync status=none
expect_message 'input/output error'
cmp "$disk" "$scratch/before"
cmp -n $((8 * mib)) "$file" "$scratch/before"
expect_fail dd if="$file" of=/dev/null bs=4k skip=$((20 * 256)) count=1 iflag=direct status=none
asked=$(fake_get .total.scsi)
sleep 2
asked=$(($(fake_get .total.scsi) - asked))
[ "$asked" -le 40 ] || fail "$asked commands in 2 s"

say "as large as it was"
fake resize 0 25M
dd if="$file" of=/dev/null bs=4k skip=$((18 * 256)) count=1 iflag=direct status=none # somebody has to hear of it; not in memory
wait_for "lun_get '$mnt' 0 '.error == \"\"'" 15
dd if=/dev/urandom of="$file" bs=64k count=16 conv=notrunc,fsync status=none
same_data "$file" "$disk"
fake_no_violations
stop_lunfs "$mnt"
