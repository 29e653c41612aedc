#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""durable.py FILE MEDIUM UNTIL SEED THREADS [punch]: writers that know what must be where, until the file UNTIL exists.

FILE is a LUN, MEDIUM the file that holds what is stable at its target.  Each thread has a part of the LUN to itself and
writes, writes with O_DSYNC, punches holes, synchronises and reads at random:
  - a read gives what was acknowledged last, whatever happened to the target meanwhile;
  - when fsync returns, all of the thread's part is on the medium as it was written, at that moment;
  - when a write with O_DSYNC returns, it is on the medium (at once, or when a recovery under way is over: until then
    lunfs may be writing the same blocks' older data again, and the target's power may go off once more);
  - at the end everything is synchronised, and LUN and medium are the same byte by byte.
The status is 0, or 1 and the first difference on stderr."""
import ctypes
import os
import random
import sys
import threading
import time

FILE, MEDIUM, UNTIL, SEED, THREADS = *sys.argv[1:4], int(sys.argv[4]), int(sys.argv[5])
PUNCH = "punch" in sys.argv[6:]
BLOCK = 512
PATIENCE = 60
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
counts = {"writes": 0, "dsync": 0, "punches": 0, "fsyncs": 0, "reads": 0, "late": 0}
failed = threading.Event()
count_lock = threading.Lock()


class Wrong(Exception):
    pass


def count(what):
    with count_lock:
        counts[what] += 1


def difference(got, wanted):
    for i, (a, b) in enumerate(zip(got, wanted)):
        if a != b:
            return i
    return min(len(got), len(wanted))


class Writer(threading.Thread):
    def __init__(self, n, first, size):
        super().__init__(daemon=True)
        self.random = random.Random(f"{SEED}/{n}")
        self.n, self.first, self.size = n, first, size
        self.fd = os.open(FILE, os.O_RDWR)
        self.dsync = os.open(FILE, os.O_RDWR | os.O_DSYNC)
        self.medium = os.open(MEDIUM, os.O_RDONLY)
        self.model = bytearray(os.pread(self.fd, size, first))
        self.error = None

    def run(self):
        try:
            while not os.path.exists(UNTIL) and not failed.is_set():
                self.step()
            self.fsync()
        except (Wrong, OSError) as e:
            self.error = e
            failed.set()

    def step(self):
        what = self.random.random()
        offset, length = self.range()
        if what < 0.50:
            self.write(self.fd, offset, length)
            count("writes")
        elif what < 0.65:
            self.write(self.dsync, offset, length)
            self.soon_on_medium(offset, length)
            count("dsync")
        elif what < 0.70 and PUNCH:
            if libc.fallocate(self.fd, 3, self.first + offset, length):
                e = ctypes.get_errno()
                raise OSError(e, os.strerror(e))
            self.model[offset : offset + length] = bytes(length)
            count("punches")
        elif what < 0.80:
            self.fsync()
        else:
            self.same("read", os.pread(self.fd, length, self.first + offset), offset, length)
            count("reads")

    def range(self):
        length = self.random.choice((1, 1, 2, 8, 16, 128)) * BLOCK
        offset = self.random.randrange((self.size - length) // BLOCK + 1) * BLOCK
        if self.random.random() < 0.2:  # no whole blocks
            offset += self.random.randrange(BLOCK)
            length = max(1, min(length - self.random.randrange(BLOCK), self.size - offset))
        return offset, length

    def write(self, fd, offset, length):
        data = self.random.randbytes(length)
        if os.pwrite(fd, data, self.first + offset) != length:
            raise Wrong("a short write")
        self.model[offset : offset + length] = data

    def fsync(self):
        os.fsync(self.fd)
        self.same("the medium after fsync", os.pread(self.medium, self.size, self.first), 0, self.size)
        count("fsyncs")

    def soon_on_medium(self, offset, length):
        end = time.monotonic() + PATIENCE
        wanted = self.model[offset : offset + length]
        late = False
        while os.pread(self.medium, length, self.first + offset) != wanted:
            if time.monotonic() > end:
                got = os.pread(self.medium, length, self.first + offset)
                self.same("the medium after a write with O_DSYNC", got, offset, length)
            late = True
            time.sleep(0.02)
        if late:
            count("late")

    def same(self, what, got, offset, length):
        wanted = self.model[offset : offset + length]
        if got != wanted:
            at = difference(got, wanted)
            raise Wrong(
                f"{what} is not what was written, at {self.first + offset + at}: "
                f"{got[at : at + 16].hex()} is not {bytes(wanted[at : at + 16]).hex()}"
            )


def main():
    size = os.stat(FILE).st_size // THREADS // BLOCK * BLOCK
    writers = [Writer(n, n * size, size) for n in range(THREADS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    print(f"seed={SEED} " + " ".join(f"{name}={n}" for name, n in counts.items()))
    for writer in writers:
        if writer.error:
            sys.exit(f"durable.py: thread {writer.n}, seed {SEED}: {writer.error}")


main()
