#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Many small files, for bench.sh: what unpacking an archive and reading it again are made of.

tree.py create DIRECTORY FILES      directories of 50 files of 0.5 to 64 KiB, mostly small; then syncfs, which counts
tree.py read DIRECTORY FILES        reads them all in that order

Names, sizes and contents are the same each time.  Prints one line of JSON; an operation is a file.
"""
import ctypes
import json
import os
import random
import sys
import time

SEED = 1
FILES_PER_DIRECTORY = 50
LARGEST = 64 << 10


def plan(top, files):
    """(path, bytes) of each file"""
    rng = random.Random(SEED)
    for n in range(files):
        size = min(LARGEST, max(512, int(rng.lognormvariate(8.3, 1.1))))  # half of them below 4 KiB
        yield os.path.join(top, "d%03d" % (n // FILES_PER_DIRECTORY), "f%02d" % (n % FILES_PER_DIRECTORY)), size


def sync_file_system(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(fd):
            raise OSError(ctypes.get_errno(), "syncfs")
    finally:
        os.close(fd)


def create_one(path, data):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


def read_one(path, data):
    fd = os.open(path, os.O_RDONLY)
    try:
        if os.read(fd, LARGEST + 1) != data:
            raise ValueError(path + " is not as it was written")
    finally:
        os.close(fd)


def main():
    verb, top, files = sys.argv[1], sys.argv[2], int(sys.argv[3])
    todo = list(plan(top, files))
    data = random.Random(SEED).randbytes(LARGEST)
    took = []
    start = time.monotonic()
    for n, (path, size) in enumerate(todo):
        before = time.monotonic()
        if verb == "create":
            if n % FILES_PER_DIRECTORY == 0:
                os.mkdir(os.path.dirname(path))
            create_one(path, data[:size])
        else:
            read_one(path, data[:size])
        took.append(time.monotonic() - before)
    if verb == "create":
        sync_file_system(top)
    seconds = time.monotonic() - start
    took.sort()
    total = sum(size for _, size in todo)
    print(json.dumps({"ops": files, "iops": files / seconds, "mbps": total / seconds / 1e6,
                      "mean_us": sum(took) / files * 1e6, "p99_us": took[files * 99 // 100] * 1e6}))


main()
