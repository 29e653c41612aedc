#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# cache=page: the kernel keeps what was read, writes go through, and after a new login nothing old is served.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
requires fio

abort_mount () { umount -f "$1" 2>/dev/null || :; }
one_lun 16M 512 "" -o cache=page
reads () { lun_get "$mnt" 1 .counters.reads; }

say "what was read comes from the kernel the second time, also for another open file"
cmp "$file" "$disk"
[ "$(reads)" -gt 0 ] || fail "nothing was read"
# Whether the whole file, read once more, costs the target nothing.  The kernel may drop pages at any time, so it is asked again.
read_from_memory () {
  local before
  before=$(reads)
  cmp "$file" "$disk"
  [ "$(reads)" = "$before" ]
}
wait_for read_from_memory 20

say "a write is at the target when it is answered"
random_file new 256K >/dev/null
dd if="$scratch/new" of="$file" bs=64k seek=3 conv=notrunc status=none
cmp -n 262144 "$scratch/new" <(dd if="$disk" bs=64k skip=3 count=4 status=none)
expect_equal "$(lun_get "$mnt" 1 .counters.dirty_bytes)" 0 "dirty bytes"
dd if="$scratch/new" of="$file" bs=4k seek=1001 conv=notrunc,fsync status=none
same_data "$file" "$disk"

say "O_DIRECT beside it, and a shared mapping"
dd if="$scratch/new" of="$file" bs=64k seek=100 oflag=direct conv=notrunc,fsync status=none
python3 - "$file" <<'PY'
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
m = mmap.mmap(fd, 1 << 20)
m[5000:5005] = b"hello"
m.flush()
os.fsync(fd)
assert os.pread(fd, 5, 5000) == b"hello"
PY
same_data "$file" "$disk"
fio --name=verify --filename="$file" --allow_file_create=0 --rw=randrw --bsrange=4k-64k --size=8m --ioengine=psync --verify=crc32c \
  --verify_fatal=1 --do_verify=1 >"$scratch/fio.out" 2>&1 || { cat "$scratch/fio.out"; fail "fio found other data"; }

say "after a new login it is read again: another initiator may have written; also through a file that is open"
cmp "$file" "$disk"
exec 8<"$file"
cmp - "$disk" <&8
random_file other 4K >/dev/null
dd if="$scratch/other" of="$disk" bs=4k seek=700 conv=notrunc status=none # behind our back
before=$(reads)
relogins=$(lun_get "$mnt" 1 .counters.relogins)
cut_connections
wait_for "[ \"\$(lun_get '$mnt' 1 .counters.relogins)\" -gt $relogins ]" 20
lun_up "$mnt" 1
# A program that sets the file's times before anybody has read: the kernel takes the answer for what it knew all along.
python3 -c 'import os; os.utime (8)'
wait_for "python3 -c 'import os, sys; sys.exit(os.pread(8, 4096, 700 * 4096) != open(sys.argv[1], \"rb\").read())' '$scratch/other'" 10
exec 8<&-
wait_for "cmp '$file' '$disk' && [ \"\$(lun_get '$mnt' 1 .counters.reads)\" -gt $before ]" 10
stop_lunfs "$mnt"

say "a worker never waits for a page that somebody is writing: it answers, and can be killed"
start_proxy
start_lunfs "iscsi://$portal/$iqn" "$mnt" -o cache=page
lun_up "$mnt" 1
proxy hold up op=write
# Of part of a page that is not in memory: it stays locked until the write is answered.
dd if="$scratch/new" of="$file" bs=512 count=1 seek=1 conv=notrunc status=none &
writer=$!
cleanup_fn abort_mount "$mnt" # a worker that hangs there hangs for ever
wait_for "[ \"\$(proxy_stat up_held)\" -gt 0 ]" 10
proxy rst
wait_for "[ \"\$(lun_get '$mnt' 1 .counters.relogins)\" -ge 1 ] && [ \"\$(proxy_stat up_held)\" -gt 0 ]" 20
lun_up "$mnt" 1
old=$(worker "$mnt")
kill -KILL "$old"
wait_for "! alive $old" 10
wait_for "[ \"\$(status_get '$mnt' .lunfs.workers_started)\" = 2 ]" 15
lun_up "$mnt" 1
proxy heal
wait $writer
cmp -n 512 -i 0:512 "$scratch/new" "$disk"
stop_lunfs "$mnt"
