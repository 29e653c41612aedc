#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# 512 and 4096 byte blocks: size, alignment rules, data at odd offsets.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

requires python3 jq
for bs in 512 4096; do
  say "blocks of $bs bytes"
  start_target "t$bs"
  add_target "b$bs"
  disk=$(random_file "disk$bs" 8M)
  add_lun "$disk" "$bs"
  mnt=$scratch/mnt$bs
  start_lunfs "iscsi://$portal/$iqn" "$mnt"
  lun_up "$mnt" 1
  expect_equal "$(lun_get "$mnt" 1 .block_size)" "$bs" "block size"
  expect_equal "$(lun_get "$mnt" 1 .size)" 8388608 "size"
  expect_equal "$(stat -c %s "$mnt/lun1")" 8388608 "file size"
  [ $(($(stat -c %o "$mnt/lun1") % bs)) = 0 ] || fail "st_blksize is no multiple of the block"
  same_data "$mnt/lun1" "$disk"
  cp "$disk" "$scratch/ref$bs"
  python3 - "$mnt/lun1" "$scratch/ref$bs" "$bs" <<'PY'
import mmap, os, random, sys
path, ref, bs = sys.argv[1], sys.argv[2], int(sys.argv[3])
random.seed(bs)
f, r = os.open(path, os.O_RDWR), os.open(ref, os.O_RDWR)
size = os.fstat(f).st_size
for i in range(300):
    n = random.choice([1, 7, 100, bs - 1, bs, bs + 1, 3 * bs + 5, 70000])
    off = random.choice([0, size - n, random.randrange(size - n)])
    data = os.urandom(n)
    assert os.pwrite(f, data, off) == n
    os.pwrite(r, data, off)
    off = max(0, off - random.randrange(2 * bs))
    n = n + 4 * bs
    assert os.pread(f, n, off) == os.pread(r, n, off), (off, n)
os.fsync(f)
d = os.open(path, os.O_RDWR | os.O_DIRECT)
buf = mmap.mmap(-1, 65536)
for n, off, ok in [(bs, 0, True), (bs, bs, True), (65536, 3 * bs, True), (bs // 2, 0, False), (bs, bs // 2, False)]:
    m = memoryview(buf)[:n]
    for call in (os.preadv, os.pwritev):
        try:
            assert call(d, [m], off) == n
            assert ok, "O_DIRECT of %d at %d went through" % (n, off)
        except OSError as e:
            assert not ok and e.errno == 22, e
        if call is os.pwritev and ok:
            os.pwrite(r, bytes(m), off)
os.fsync(d)
PY
  same_data "$mnt/lun1" "$scratch/ref$bs"
  same_data "$disk" "$scratch/ref$bs"
  stop_lunfs "$mnt"
done
