#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""wire.py MOUNTPOINT SOCKET CHECK...: what a cache mode sends to the target and what it does not.

MOUNTPOINT shows one LUN 0 of a ramtgt that was started with --control SOCKET; its counters are what is judged.  Each
CHECK is the name of a function below.  The status is 1 if any failed; all are run."""
import json
import mmap
import os
import random
import socket
import sys
import time

MNT, SOCKET, CHECKS = sys.argv[1], sys.argv[2], sys.argv[3:]
PATH = f"{MNT}/lun0"
STATUS = f"{MNT}/.lunfs/status.json"
KIB, MIB = 1 << 10, 1 << 20
PAGE = 4096
DELAY_S = 0.005  # cache_write_delay's default
F = os.open(PATH, os.O_RDWR)
D = os.open(PATH, os.O_RDWR | os.O_DIRECT)
SIZE = os.fstat(F).st_size
random.seed(4711)
next_area = 0


def ask(command):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(SOCKET)
        f = s.makefile("rw")
        f.write(command + "\n")
        f.flush()
        return f.readline()


def counters():
    with open(STATUS) as f:
        return json.load(f)["targets"][0]["luns"][0]["counters"]


class Wire:
    """What has gone over the wire since it was made."""

    def __init__(self):
        settle()
        self.first = self.take()
        self.first_counters = counters()
        self.began = time.monotonic()

    def take(self):
        stats = json.loads(ask("stats"))
        commands = stats.pop("commands")
        stats["reads"] = commands.get("READ(10)", 0) + commands.get("READ(16)", 0)
        stats["writes"] = commands.get("WRITE(10)", 0) + commands.get("WRITE(16)", 0)
        return stats

    def __getattr__(self, name):
        return self.take()[name] - self.first[name]

    def counted(self, name):
        return counters()[name] - self.first_counters[name]

    def delays(self):
        """How often the write delay can have ended meanwhile."""
        return int((time.monotonic() - self.began) / DELAY_S) + 1


def settle():
    """Nothing is dirty, nothing unstable, nothing on its way."""
    os.fsync(F)
    end = time.monotonic() + 10
    while counters()["in_flight"] and time.monotonic() < end:
        time.sleep(0.01)


def area(size):
    """Where no check has been before, and nothing near it."""
    global next_area
    at = next_area
    next_area += (size + 64 * MIB) // MIB * MIB
    assert next_area <= SIZE, "the LUN is too small"
    return at


def aligned(n):
    buf = mmap.mmap(-1, n)
    buf[:] = os.urandom(n)
    return buf


def expect(what, got, condition):
    print(f"#   {what}: {got}")
    assert condition, f"{what}: {got}"


# ---- write-back ----


def idle_fsync_sends_nothing():
    at = area(MIB)
    os.pwrite(F, os.urandom(MIB), at)
    wire = Wire()
    for _ in range(20):
        os.fsync(F)
        os.fdatasync(D)
    os.pread(F, MIB, at)
    os.fsync(F)
    expect("SYNCHRONIZE CACHE, FUA, WRITE for 41 idle fsyncs", (wire.syncs, wire.fua_writes, wire.writes),
           (wire.syncs, wire.fua_writes, wire.writes) == (0, 0, 0))


def sequential_writes_are_merged():
    at, n = area(16 * MIB), 4096
    data = os.urandom(PAGE)
    wire = Wire()
    for k in range(n):
        os.pwrite(D, aligned_page(data), at + k * PAGE)
    os.fsync(F)
    limit = min(16 + 4 * wire.delays(), n // 2)
    expect(f"WRITEs for {n} sequential ones of 4 KiB (limit {limit})", wire.writes, wire.writes <= limit)
    expect("bytes of them", wire.write_bytes, wire.write_bytes <= n * PAGE * 1.1)
    assert wire.reads == 0


page_buffer = mmap.mmap(-1, PAGE)


def aligned_page(data):
    page_buffer[:] = data
    return page_buffer


def overwriting_sends_little():
    at = area(MIB)
    wire = Wire()
    for k in range(1000):
        os.pwrite(F, k.to_bytes(4, "big") * 1024, at)
    os.fsync(F)
    limit = min(5 + 2 * wire.delays(), 500)
    expect(f"WRITEs for one page written 1000 times (limit {limit})", wire.writes, wire.writes <= limit)


def scattered_writes_are_all_sent():
    """So that "few" is not "none": what nothing lies beside goes one by one."""
    at = area(32 * MIB)
    wire = Wire()
    for k in range(100):
        os.pwrite(F, os.urandom(512), at + k * 256 * KIB)
    os.fsync(F)
    expect("WRITEs for 100 scattered blocks", (wire.writes, wire.write_bytes), (wire.writes, wire.write_bytes) == (100, 51200))


def small_fsync_goes_with_fua():
    at = area(32 * MIB)
    wire = Wire()
    for k in range(20):
        os.pwrite(F, os.urandom(PAGE), at + k * MIB)
        os.fsync(F)
    expect("FUA, SYNCHRONIZE CACHE for 20 of write and fsync", (wire.fua_writes, wire.syncs), (wire.fua_writes, wire.syncs) == (20, 0))


def small_fsync_without_fua():
    at = area(32 * MIB)
    wire = Wire()
    for k in range(20):
        os.pwrite(F, os.urandom(PAGE), at + k * MIB)
        os.fsync(F)
    expect("FUA, SYNCHRONIZE CACHE for 20 of write and fsync", (wire.fua_writes, wire.syncs), (wire.fua_writes, wire.syncs) == (0, 20))


def without_write_cache_nothing_is_synchronised():
    at = area(32 * MIB)
    wire = Wire()
    for k in range(20):
        os.pwrite(F, os.urandom(PAGE), at + k * MIB)
        os.fsync(F)
        assert wire.writes == k + 1, "fsync is answered before the target has it"
    expect("FUA, SYNCHRONIZE CACHE for 20 of write and fsync", (wire.fua_writes, wire.syncs), (wire.fua_writes, wire.syncs) == (0, 0))


def dsync_is_stable_when_answered():
    at = area(MIB)
    fd = os.open(PATH, os.O_RDWR | os.O_DSYNC)
    wire = Wire()
    for k in range(10):
        os.pwrite(fd, os.urandom(PAGE), at + k * PAGE)
        assert wire.fua_writes == k + 1, f"{wire.fua_writes} after {k + 1}"
    os.fsync(F)
    expect("SYNCHRONIZE CACHE behind 10 writes with O_DSYNC", wire.syncs, wire.syncs == 0)
    os.close(fd)


# ---- reads ----


def repeated_reads_send_nothing():
    at = area(8 * MIB)
    first = os.pread(F, 4 * MIB, at)
    wire = Wire()
    for _ in range(4):
        assert os.pread(F, 4 * MIB, at) == first
    for _ in range(500):
        os.pread(F, PAGE, at + random.randrange(4 * MIB - PAGE))
    expect("READs for what was read before", (wire.reads, wire.counted("cache_misses")), (wire.reads, wire.counted("cache_misses")) == (0, 0))


def what_was_written_is_read_from_memory():
    at = area(8 * MIB)
    data = aligned(4 * MIB)  # the kernel cuts what is not between its pages, not between blocks
    wire = Wire()
    os.pwrite(F, data, at)
    data = bytes(data)
    assert os.pread(F, 4 * MIB, at) == data
    os.fsync(F)
    assert os.pread(F, 4 * MIB, at) == data
    expect("READs for what was written", wire.reads, wire.reads == 0)


def parts_of_cached_blocks_send_no_read():
    at = area(MIB)
    model = bytearray(os.urandom(64 * KIB))
    os.pwrite(F, model, at)
    wire = Wire()
    for _ in range(200):
        n = random.randrange(1, 900)
        offset = random.randrange(64 * KIB - n)
        if random.random() < 0.5:
            data = os.urandom(n)
            os.pwrite(F, data, at + offset)
            model[offset : offset + n] = data
        else:
            assert os.pread(F, n, at + offset) == model[offset : offset + n]
    os.fsync(F)
    assert os.pread(F, 64 * KIB, at) == model
    expect("READs for parts of cached blocks", wire.reads, wire.reads == 0)


def streams_are_fetched_ahead():
    at, n = area(128 * MIB), 1024
    wire = Wire()
    for k in range(n):
        os.pread(F, 128 * KIB, at + k * 128 * KIB)
    misses, reads = wire.counted("cache_misses"), wire.reads
    expect(f"of {n} sequential reads of 128 KiB waited", misses, misses <= n // 10)
    expect("READs for them", reads, reads <= n // 2)
    expect("bytes fetched, of those asked for", wire.read_bytes / n / (128 * KIB), wire.read_bytes <= n * 128 * KIB + 16 * MIB)


def random_reads_fetch_what_is_asked():
    at, pages = area(512 * MIB), 512 * MIB // PAGE
    asked = random.sample(range(pages), 16000)
    wire = Wire()
    for k in asked:
        os.pread(D, PAGE, at + k * PAGE) if k % 2 else os.preadv(D, [page_buffer], at + k * PAGE)
    ratio = wire.read_bytes / len(asked) / PAGE
    expect("bytes fetched for each byte of random reads of 4 KiB", round(ratio, 4), ratio <= 1.05)


# ---- the other modes ----


def writes_are_at_the_target_when_answered():
    at = area(32 * MIB)
    data = [os.urandom(PAGE) for _ in range(20)]
    wire = Wire()
    for k in range(20):
        os.pwrite(F, data[k], at + k * MIB)
        assert wire.writes == k + 1, f"{wire.writes} after {k + 1}"
    os.fsync(F)
    expect("SYNCHRONIZE CACHE", wire.syncs, wire.syncs == 1)
    for k in range(20):
        assert os.pread(F, PAGE, at + k * MIB) == data[k]


def every_read_comes_from_the_target():
    at = area(MIB)
    data = os.urandom(PAGE)
    os.pwrite(F, data, at)
    wire = Wire()
    for k in range(20):
        assert os.pread(F, PAGE, at) == data
        assert wire.reads == k + 1, f"{wire.reads} after {k + 1}"
    expect("bytes fetched for 20 reads of 4 KiB", wire.read_bytes, wire.read_bytes == 20 * PAGE)
    expect("reads served from memory", counters()["cache_hits"], counters()["cache_hits"] == 0)


def main():
    bad = 0
    for name in CHECKS:
        try:
            print(f"#  {name}", flush=True)
            globals()[name]()
        except (AssertionError, OSError) as e:
            print(f"FAILED: {name}: {e}", flush=True)
            bad = 1
    if counters()["errors"]:
        print("FAILED: errors are counted")
        bad = 1
    sys.exit(bad)


main()
