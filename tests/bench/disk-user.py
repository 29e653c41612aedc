#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a program with a file on a disk sees of an outage: disk-user.py FILE MIB

Writes and reads 4 KiB blocks at random (O_DIRECT, an fsync now and then), knows what every block must hold, goes on after
errors, and says at SIGTERM, as one line of JSON, how often and how it went wrong and how long the longest wait was.
"""
import errno, json, mmap, os, random, signal, sys, time

BLOCK = 4096
path, mib = sys.argv[1], int(sys.argv[2])
blocks = mib * (1 << 20) // BLOCK
stop = False


def on_term(*_):
    global stop
    stop = True


signal.signal(signal.SIGTERM, on_term)
rnd = random.Random(1)
buf = mmap.mmap(-1, BLOCK)
known = {}  # block -> set of stamps it may hold: several after a write that failed
seen = {"ops": 0, "errors": 0, "wrong": 0, "longest_ms": 0, "first_error": ""}
fd = None
stamp = 0


def block_of(value):
    return value.to_bytes(8, "little") * (BLOCK // 8)


def once():
    """One operation; raises OSError."""
    global stamp
    n = rnd.randrange(blocks)
    what = rnd.random()
    if what < 0.5 or n not in known:
        stamp += 1
        before = known.get(n, {0})
        known[n] = before | {stamp}
        buf[:] = block_of(stamp)
        if os.pwritev(fd, [buf], n * BLOCK) != BLOCK:
            raise OSError(errno.EIO, "short write")
        known[n] = {stamp}
    elif what < 0.95:
        if os.preadv(fd, [buf], n * BLOCK) != BLOCK:
            raise OSError(errno.EIO, "short read")
        found = int.from_bytes(buf[:8], "little")
        if found not in known[n] or buf[:] != block_of(found):
            seen["wrong"] += 1
        else:
            known[n] = {found}
    else:
        os.fsync(fd)


print("running", flush=True)
while not stop:
    begin = time.monotonic()
    try:
        if fd is None:
            fd = os.open(path, os.O_RDWR | os.O_DIRECT)
        once()
    except OSError as e:
        seen["errors"] += 1
        seen["first_error"] = seen["first_error"] or errno.errorcode.get(e.errno, str(e.errno))
        if e.errno in (errno.ENOTCONN, errno.ENOENT, errno.ENODEV, errno.ECONNABORTED) and fd is not None:
            os.close(fd)
            fd = None
        time.sleep(0.05)
    seen["ops"] += 1
    seen["longest_ms"] = max(seen["longest_ms"], int((time.monotonic() - begin) * 1000))
    time.sleep(0.001)
print(json.dumps(seen), flush=True)
