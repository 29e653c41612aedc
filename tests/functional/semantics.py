#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What every system call on a LUN's file must do.

semantics.py MOUNTPOINT LUN BACKING THIN: BACKING is the file the target keeps the LUN in; THIN=1 if the LUN can
unmap.  Every check runs, so that one fault does not hide another; the status is 1 if any failed.
"""
import ctypes
import errno
import fcntl
import json
import mmap
import os
import random
import select
import struct
import sys
import threading

MNT, LUN, BACKING, THIN = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4] == "1"
PATH = f"{MNT}/lun{LUN}"
STATUS = f"{MNT}/.lunfs/status.json"
MIB = 1 << 20
KEEP_SIZE, PUNCH_HOLE, COLLAPSE, ZERO_RANGE, INSERT, UNSHARE = 1, 2, 8, 16, 32, 64
F_OFD_SETLK = 37
AT_FDCWD = -100

libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
random.seed(4711)


def lun_status():
    with open(STATUS) as f:
        status = json.load(f)
    return next(lun for t in status["targets"] for lun in t["luns"] if lun["lun"] == LUN)


def counter(name):
    return lun_status()["counters"][name]


def fallocate(fd, mode, off, n):
    if libc.fallocate(fd, mode, off, n):
        e = ctypes.get_errno()
        raise OSError(e, os.strerror(e))


class Fails:
    """with Fails (EPERM, EROFS): ... - the body must raise one of these."""

    def __init__(self, *errnos):
        self.errnos = errnos

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        names = "/".join(errno.errorcode[e] for e in self.errnos)
        if kind is None:
            raise AssertionError(f"succeeded, {names} expected")
        if not issubclass(kind, OSError):
            return False
        if value.errno not in self.errnos:
            raise AssertionError(f"{errno.errorcode.get(value.errno)} instead of {names}") from value
        return True


checks = []


def check(f):
    checks.append(f)
    return f


SIZE = os.stat(PATH).st_size
BS = lun_status()["block_size"]
F = os.open(PATH, os.O_RDWR)
D = os.open(PATH, os.O_RDWR | os.O_DIRECT)
B = os.open(BACKING, os.O_RDONLY)


def equal(a, b, what="data"):
    if a != b:
        n = min(len(a), len(b))
        at = next((i for i in range(n) if a[i] != b[i]), n)
        raise AssertionError(f"{what}: lengths {len(a)}, {len(b)}, first difference at {at}")


def aligned(data):
    buf = mmap.mmap(-1, max(len(data), 1))
    buf[:len(data)] = data
    return memoryview(buf)[:len(data)]


def fill(off, n):
    data = os.urandom(n)
    assert os.pwrite(F, data, off) == n
    return data


@check
def stat_says_what_a_disk_is():
    st = os.stat(PATH)
    assert st.st_size == SIZE == lun_status()["size"] == os.stat(BACKING).st_size
    assert st.st_mode == 0o100600, oct(st.st_mode)
    assert st.st_nlink == 1
    assert st.st_blksize >= BS and st.st_blksize % BS == 0, st.st_blksize
    assert st.st_blocks > 0
    again = os.stat(PATH)
    assert (again.st_ino, again.st_mtime_ns, again.st_dev) == (st.st_ino, st.st_mtime_ns, st.st_dev)
    assert st.st_ino > 0


@check
def statfs_is_sane():
    v = os.statvfs(PATH)
    assert v.f_bsize >= BS and v.f_bsize & (v.f_bsize - 1) == 0, v.f_bsize
    assert v.f_namemax >= 10


@check
def reads_end_at_the_end():
    data = fill(SIZE - 1000, 1000)
    equal(os.pread(F, 1000, SIZE - 1000), data)
    equal(os.pread(F, 5000, SIZE - 1000), data)
    assert os.pread(F, 4096, SIZE) == b"" and os.pread(F, 4096, SIZE + 10 * MIB) == b""
    assert os.preadv(D, [aligned(bytes(4 * BS))], SIZE - BS) == BS
    assert os.lseek(F, 0, os.SEEK_END) == SIZE


@check
def writes_past_the_end():
    for fd, n in (F, 100), (F, BS), (D, BS):
        for at in SIZE, SIZE + 4 * MIB:
            with Fails(errno.ENOSPC, errno.EFBIG):
                os.pwritev(fd, [aligned(bytes(n))], at)
    data = os.urandom(1000)
    assert os.pwrite(F, data, SIZE - 300) == 300
    equal(os.pread(F, 1000, SIZE - 300), data[:300])
    data = os.urandom(4 * BS)
    assert os.pwritev(D, [aligned(data)], SIZE - BS) == BS
    equal(os.pread(F, 4 * BS, SIZE - BS), data[:BS])
    assert os.stat(PATH).st_size == SIZE


@check
def append_has_no_room():
    fd = os.open(PATH, os.O_WRONLY | os.O_APPEND)
    with Fails(errno.ENOSPC, errno.EFBIG):
        os.write(fd, b"more")
    os.close(fd)


@check
def direct_io_wants_alignment():
    data = os.urandom(8 * BS)
    assert os.pwritev(D, [aligned(data)], 2 * BS) == len(data)
    back = aligned(bytes(8 * BS))
    assert os.preadv(D, [back], 2 * BS) == len(data)
    equal(bytes(back), data)
    for n, off in (1, 0), (100, 7), (BS // 2, 0), (BS, BS // 2), (BS + 1, 0), (BS, 1):
        with Fails(errno.EINVAL):
            os.preadv(D, [aligned(bytes(n))], off)
        with Fails(errno.EINVAL):
            os.pwritev(D, [aligned(b"\xee" * n)], off)
    equal(os.pread(F, 8 * BS, 2 * BS), data)


@check
def odd_offsets_against_a_reference():
    base, n = 1 * MIB, 256 * 1024
    ref = bytearray(fill(base, n))
    for _ in range(400):
        length = random.choice([1, 2, 3, 511, 512, 513, BS - 1, BS, BS + 1, 3 * BS + 17, 30000])
        off = random.randrange(n - length)
        if random.random() < 0.5:
            data = os.urandom(length)
            assert os.pwrite(F, data, base + off) == length
            ref[off:off + length] = data
        else:
            equal(os.pread(F, length, base + off), bytes(ref[off:off + length]))
    equal(os.pread(F, n, base), bytes(ref))
    os.fsync(F)
    equal(os.pread(B, n, base), bytes(ref), "the target's file")


@check
def neighbours_in_a_block_survive():
    """Many threads write pieces of the same blocks at the same time: read-modify-write with one writer a block."""
    base, pieces, threads = 2 * MIB, 1600, 8
    n = 37
    want = [bytes([i % 251 + 1]) * n for i in range(pieces)]
    os.pwrite(F, bytes(n * pieces), base)
    wrong = []

    def run(k):
        fd = os.open(PATH, os.O_WRONLY)
        for i in range(k, pieces, threads):
            if os.pwrite(fd, want[i], base + i * n) != n:
                wrong.append(i)
        os.close(fd)

    ts = [threading.Thread(target=run, args=(k,)) for k in range(threads)]
    for t in ts:
        t.start()
    for t in ts:
        t.join()
    assert not wrong
    equal(os.pread(F, n * pieces, base), b"".join(want))


@check
def large_and_scattered_io():
    data = os.urandom(5 * MIB)
    assert os.pwrite(F, data, 3 * MIB + 3) == len(data)
    equal(os.pread(F, len(data), 3 * MIB + 3), data)
    parts = [os.urandom(k) for k in (1, 511, 4097, 100000, 3, 65536)]
    total = sum(map(len, parts))
    assert os.pwritev(F, parts, 4 * MIB + 1) == total
    bufs = [bytearray(k) for k in (65536, 7, 100000, 4605)]
    assert os.preadv(F, bufs, 4 * MIB + 1) == total
    equal(b"".join(bytes(b) for b in bufs), b"".join(parts))
    assert os.pwrite(F, b"", 100) == 0


@check
def fsync_is_one_command():
    """SYNCHRONIZE CACHE, or FUA with the WRITE if that is all there was to write."""
    commands = lambda: counter("sync_cache") + counter("fua_writes")
    wce = lun_status()["write_cache"]
    os.fsync(F)
    for sync in os.fsync, os.fdatasync:
        fill(0, 3 * BS)
        before = commands()
        sync(F)
        assert commands() == before + (1 if wce else 0), sync
        sync(F)
        assert commands() == before + (1 if wce else 0), "again without a write between"
    assert counter("unstable_bytes") == 0


@check
def synchronous_writes_reach_the_medium():
    wce = lun_status()["write_cache"]

    def stable(what, write):
        before = counter("fua_writes") + counter("sync_cache")
        write()
        after = counter("fua_writes") + counter("sync_cache")
        assert after > before or not wce, what
        sync = counter("sync_cache")
        os.fsync(F)
        assert counter("sync_cache") == sync, f"{what}: something was left for fsync"

    os.fsync(F)
    for flag, name in (os.O_DSYNC, "O_DSYNC"), (os.O_SYNC, "O_SYNC"):
        for extra in 0, os.O_DIRECT:
            fd = os.open(PATH, os.O_RDWR | flag | extra)
            stable(name, lambda: os.pwritev(fd, [aligned(os.urandom(2 * BS))], 6 * MIB))
            if not extra:
                stable(name + " unaligned", lambda: os.pwrite(fd, os.urandom(100), 6 * MIB + 7))
            os.close(fd)
    stable("RWF_DSYNC", lambda: os.pwritev(F, [aligned(os.urandom(BS))], 6 * MIB, os.RWF_DSYNC))
    stable("RWF_SYNC", lambda: os.pwritev(D, [aligned(os.urandom(BS))], 6 * MIB, os.RWF_SYNC))


def zeroed(mode, base, edges):
    n = 2 * MIB
    before = fill(base, n)
    lo, hi = edges
    fallocate(F, mode, base + lo, hi - lo)
    want = before[:lo] + bytes(hi - lo) + before[hi:]
    equal(os.pread(F, n, base), want)
    os.fsync(F)
    equal(os.pread(B, n, base), want, "the target's file")


@check
def punch_gives_zeroes():
    for edges in (0, 2 * MIB), (MIB, MIB + 65536), (123, MIB + 457), (10, 20), (BS, 2 * BS), (BS - 1, 2 * BS + 1), \
            (4096, 8192 + 77):
        zeroed(PUNCH_HOLE | KEEP_SIZE, 8 * MIB, edges)


@check
def punch_is_an_unmap_where_the_lun_can():
    before = counter("unmaps") + counter("write_sames")
    fill(8 * MIB, MIB)
    fallocate(F, PUNCH_HOLE | KEEP_SIZE, 8 * MIB, MIB)
    os.fsync(F)
    if THIN:
        assert counter("unmaps") + counter("write_sames") > before, "a hole was written"
        assert counter("discards") > 0


@check
def zero_range_gives_zeroes():
    for mode in ZERO_RANGE, ZERO_RANGE | KEEP_SIZE:
        for edges in (0, MIB), (123, MIB + 457), (10, 20), (BS - 1, 2 * BS + 1):
            zeroed(mode, 10 * MIB, edges)
    assert counter("zeroes") > 0


@check
def holes_and_zeroes_at_the_end():
    for mode in PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE | KEEP_SIZE:
        fill(SIZE - 3 * BS - 5, 3 * BS + 5)
        fallocate(F, mode, SIZE - BS - 5, BS + 5)
        equal(os.pread(F, BS + 5, SIZE - BS - 5), bytes(BS + 5))
    fill(SIZE - BS, BS)
    fallocate(F, PUNCH_HOLE | KEEP_SIZE, SIZE - BS, 10 * BS)  # reaches over the end: what is there is zeroed
    equal(os.pread(F, BS, SIZE - BS), bytes(BS))
    assert os.stat(PATH).st_size == SIZE


@check
def preallocation():
    data = fill(12 * MIB, 4096)
    fallocate(F, 0, 12 * MIB, MIB)
    fallocate(F, KEEP_SIZE, 12 * MIB, MIB)
    os.posix_fallocate(F, 0, SIZE)
    equal(os.pread(F, 4096, 12 * MIB), data)
    for mode in 0, KEEP_SIZE, ZERO_RANGE:
        with Fails(errno.ENOSPC, errno.EFBIG, errno.EPERM):
            fallocate(F, mode, SIZE - BS, 2 * BS)
    assert os.stat(PATH).st_size == SIZE


@check
def other_fallocate_modes():
    for mode in COLLAPSE, INSERT, UNSHARE:
        with Fails(errno.EOPNOTSUPP):
            fallocate(F, mode, MIB, MIB)


@check
def seek_hole_and_data():
    fill(0, 4 * MIB)
    os.fsync(F)
    assert os.lseek(F, 0, os.SEEK_DATA) == 0
    assert os.lseek(F, 12345, os.SEEK_DATA) == 12345
    assert os.lseek(F, 0, os.SEEK_HOLE) >= 4 * MIB
    assert os.lseek(F, SIZE - 1, os.SEEK_HOLE) <= SIZE
    for whence in os.SEEK_DATA, os.SEEK_HOLE:
        with Fails(errno.ENXIO):
            os.lseek(F, SIZE, whence)
    if not THIN:
        return
    fallocate(F, PUNCH_HOLE | KEEP_SIZE, MIB, 2 * MIB)
    os.fsync(F)
    if os.pread(B, MIB, MIB) == bytes(MIB) and os.lseek(B, MIB, os.SEEK_HOLE) == MIB:
        assert os.lseek(F, 0, os.SEEK_HOLE) == MIB, os.lseek(F, 0, os.SEEK_HOLE)
        assert os.lseek(F, MIB + 4096, os.SEEK_DATA) == 3 * MIB, os.lseek(F, MIB + 4096, os.SEEK_DATA)
        # What was just written is data, fsync or not.
        fill(2 * MIB, 100)
        assert os.lseek(F, MIB + 4096, os.SEEK_DATA) <= 2 * MIB
        assert os.lseek(F, 2 * MIB + 50, os.SEEK_DATA) == 2 * MIB + 50


@check
def the_size_is_fixed():
    data = fill(0, 4096)
    os.ftruncate(F, SIZE)
    os.truncate(PATH, SIZE)
    for size in 0, SIZE - BS, SIZE - 1, SIZE + 1, 2 * SIZE:
        with Fails(errno.EPERM, errno.EFBIG):
            os.ftruncate(F, size)
    for flags in os.O_TRUNC, os.O_TRUNC | os.O_CREAT:
        with Fails(errno.EPERM):
            os.close(os.open(PATH, os.O_RDWR | flags))
    assert os.stat(PATH).st_size == SIZE
    equal(os.pread(F, 4096, 0), data)
    os.close(os.open(PATH, os.O_RDWR | os.O_CREAT, 0o600))
    with Fails(errno.EEXIST):
        os.open(PATH, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)


@check
def names_are_fixed():
    refused = Fails(errno.EPERM, errno.EROFS, errno.EACCES)
    with refused:
        os.rename(PATH, f"{MNT}/other")
    with refused:
        os.unlink(PATH)
    with refused:
        os.open(f"{MNT}/new", os.O_CREAT | os.O_RDWR, 0o600)
    with refused:
        os.mkdir(f"{MNT}/dir")
    with refused:
        os.rmdir(f"{MNT}/.lunfs")
    with refused:
        os.link(PATH, f"{MNT}/hard")
    with refused:
        os.symlink("x", f"{MNT}/soft")
    with refused:
        os.mknod(f"{MNT}/node", 0o600)
    with Fails(errno.EPERM, errno.EROFS, errno.EOPNOTSUPP):
        os.setxattr(PATH, "user.a", b"b")
    with Fails(errno.ENOENT):
        os.stat(f"{MNT}/nothing")
    with Fails(errno.ENOTDIR):
        os.stat(f"{PATH}/below")
    names = os.listdir(MNT)
    assert f"lun{LUN}" in names and len(names) == len(set(names)), names


@check
def attributes():
    with Fails(errno.EPERM, errno.EROFS):
        os.chmod(PATH, 0o644)
    with Fails(errno.EPERM, errno.EROFS):
        os.chown(PATH, 1, 1)
    os.utime(PATH)
    os.utime(PATH, (1000000000, 1000000000))
    assert os.stat(PATH).st_mode == 0o100600 and os.stat(PATH).st_uid == os.getuid()
    with Fails(errno.ENODATA):
        os.getxattr(PATH, "user.a")
    # As it is when set, or libvirt would set it.
    with Fails(errno.EOPNOTSUPP):
        os.getxattr(PATH, "security.a")
    with Fails(errno.EPERM if os.getuid() else errno.EOPNOTSUPP):  # EPERM is the kernel's
        os.setxattr(PATH, "security.a", b"b")


@check
def locks_work_between_opens():
    other = os.open(PATH, os.O_RDWR)
    fcntl.flock(F, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with Fails(errno.EAGAIN):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(F, fcntl.LOCK_UN)
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(other, fcntl.LOCK_UN)

    def ofd(fd, kind, start, n):
        fcntl.fcntl(fd, F_OFD_SETLK, struct.pack("hhqqi4x", kind, os.SEEK_SET, start, n, 0))

    ofd(F, fcntl.F_WRLCK, 100, 1)
    with Fails(errno.EAGAIN):
        ofd(other, fcntl.F_WRLCK, 100, 1)
    ofd(other, fcntl.F_WRLCK, 101, 1)
    ofd(F, fcntl.F_UNLCK, 100, 1)
    ofd(other, fcntl.F_WRLCK, 100, 1)
    os.close(other)


@check
def shared_mappings():
    fill(0, MIB)
    m = mmap.mmap(F, MIB, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    equal(m[:MIB], os.pread(F, MIB, 0))
    data = os.urandom(10000)
    m[5000:15000] = data
    m.flush()
    equal(os.pread(F, 10000, 5000), data)
    m.close()
    os.fsync(F)
    equal(os.pread(B, 10000, 5000), data, "the target's file")
    p = mmap.mmap(F, 8192, mmap.MAP_PRIVATE, mmap.PROT_READ)
    equal(p[:8192], os.pread(F, 8192, 0))
    p.close()


@check
def copies_in_the_kernel():
    data = fill(MIB, 300000)
    done = 0
    while done < len(data):
        n = os.copy_file_range(F, F, len(data) - done, MIB + done, 6 * MIB + done)
        assert n > 0
        done += n
    equal(os.pread(F, len(data), 6 * MIB), data)
    r, w = os.pipe()
    assert os.sendfile(w, F, MIB, 4096) == 4096
    equal(os.read(r, 4096), data[:4096])
    os.close(r)
    os.close(w)


@check
def poll_is_ready():
    p = select.poll()
    p.register(F, select.POLLIN | select.POLLOUT)
    assert p.poll(0)[0][1] & (select.POLLIN | select.POLLOUT) == select.POLLIN | select.POLLOUT


@check
def close_does_not_wait():
    before = counter("sync_cache")
    fd = os.open(PATH, os.O_RDWR)
    os.pwrite(fd, os.urandom(4096), 0)
    os.close(fd)
    assert counter("sync_cache") == before


@check
def ioctls_that_are_not_ours():
    for request in 0x1268, 0x1277, 0x2285, 0x5401:  # BLKSSZGET, BLKDISCARD, SG_IO, TCGETS
        with Fails(errno.ENOTTY, errno.EINVAL, errno.ENOSYS):
            fcntl.ioctl(F, request, bytes(64))


@check
def the_status_cannot_be_written():
    with Fails(errno.EPERM, errno.EROFS, errno.EACCES):
        os.open(STATUS, os.O_WRONLY)
    with Fails(errno.EPERM, errno.EROFS, errno.EACCES):
        os.unlink(STATUS)


@check
def everything_is_on_the_target():
    os.fsync(F)
    at = 0
    while at < SIZE:
        equal(os.pread(F, MIB, at), os.pread(B, MIB, at), f"MiB {at // MIB}")
        at += MIB
    assert lun_status()["counters"]["in_flight"] == 0


failed = 0
for f in checks:
    try:
        f()
        print("ok    ", f.__name__)
    except (AssertionError, OSError, KeyError, TypeError) as e:
        failed += 1
        tb = e.__traceback__
        while tb.tb_next and tb.tb_next.tb_frame.f_code.co_filename == __file__:
            tb = tb.tb_next
        print("FAILED", f.__name__, f"line {tb.tb_lineno}: {type(e).__name__}: {e}")
    sys.stdout.flush()
sys.exit(1 if failed else 0)
