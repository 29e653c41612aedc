#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A thin LUN of 5 TiB: right at its far end, around 2 TiB and 4 TiB, and sparse on the target.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

requires python3
truncate -s 5T "$scratch/disk" 2>/dev/null || skip "this file system has no files of 5 TiB"
one_lun 5T 512 thin_provisioning=1
expect_equal "$(stat -c %s "$file")" $((5 << 40)) "size"
python3 - "$file" "$disk" <<'PY'
import os, sys
f = os.open(sys.argv[1], os.O_RDWR)
b = os.open(sys.argv[2], os.O_RDONLY)
T = 1 << 40
size = 5 * T
spots = [0, 2 * T - 4096, 2 * T - 100, 2 * T + 512 * 3, 4 * T - 1, 4 * T + 1, size - 65536, size - 512, size - 1]
put = {}
for i, at in enumerate(spots):
    n = min(300 + i, size - at)
    put[at] = os.urandom(n)
    assert os.pwrite(f, put[at], at) == n
# later writes may lie over earlier ones: build what must be there
def expect(at, n):
    out = bytearray(n)
    for p, data in put.items():
        for k in range(max(p, at), min(p + len(data), at + n)):
            out[k - at] = data[k - p]
    return bytes(out)
os.fsync(f)
for at in spots:
    lo = max(0, at - 5000)
    n = min(12000, size - lo)
    assert os.pread(f, n, lo) == expect(lo, n), "LUN at %d" % at
    assert os.pread(b, n, lo) == expect(lo, n), "target's file at %d" % at
assert os.pread(f, 100, size) == b""
assert len(os.pread(f, 8192, size - 4096)) == 4096
try:
    os.pwrite(f, b"x", size)
    raise AssertionError("wrote past the end")
except OSError as e:
    assert e.errno == 28, e
PY
[ "$(stat -c %b "$disk")" -lt 20000 ] || fail "the target's file is no longer sparse"
stop_lunfs "$mnt"
