# SPDX-License-Identifier: GPL-2.0-or-later
"""What a LUN keeps its data in: stable blocks in a file, a volatile write cache in front of them, and a record of
every block written, so that a test can tell lost writes from doubled ones.

The cache remembers every version of a block since the last synchronisation (up to VERSIONS of them): a disk may have
put any of them onto the medium before its power failed, in any order.  No lock here: the target's is held."""
import hashlib
import os

VERSIONS = 8


class Disk:
    def __init__(self, name, size, block_size=512, path=None, serial=None, wce=False):
        self.name = name
        self.block_size = block_size
        self.serial = serial or f"SN-{name}"
        self.wce = wce
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666) if path else os.memfd_create(name)
        self.nblocks = 0
        self.cache = {}  # lba -> versions not yet stable, oldest first
        self.written = {}  # lba -> how often it was written
        self.mapped = set()  # lbas that have space of their own
        self.stable = set()  # those that had it when all was stable last
        self.bad = []  # (first, last, "read" | "write" | "both", form of the sense data)
        self.resize(size)

    def naa(self):
        return bytes.fromhex("6001405" + hashlib.sha1(self.serial.encode()).hexdigest()[:25])

    def resize(self, size):
        if size % self.block_size:
            raise ValueError(f"{size} bytes are no whole number of blocks")
        os.ftruncate(self.fd, size)
        self.nblocks = size // self.block_size
        for lba in [lba for lba in self.cache if lba >= self.nblocks]:
            del self.cache[lba]
        self.mapped = {lba for lba in self.mapped if lba < self.nblocks}
        self.stable &= self.mapped

    def read(self, lba, n):
        bs = self.block_size
        data = bytearray(os.pread(self.fd, n * bs, lba * bs))
        if len(data) < n * bs:
            data.extend(bytes(n * bs - len(data)))
        if self.cache:
            for i in range(n):
                versions = self.cache.get(lba + i)
                if versions:
                    data[i * bs : (i + 1) * bs] = versions[-1]
        return bytes(data)

    def write(self, lba, data, fua=False):
        bs = self.block_size
        n = len(data) // bs
        keep = self.wce and not fua
        if not keep:
            os.pwrite(self.fd, data, lba * bs)
        for i in range(n):
            self.written[lba + i] = self.written.get(lba + i, 0) + 1
            if keep:
                versions = self.cache.setdefault(lba + i, [])
                versions.append(bytes(data[i * bs : (i + 1) * bs]))
                del versions[:-VERSIONS]
            elif self.cache:
                self.cache.pop(lba + i, None)
        self.mapped.update(range(lba, lba + n))
        if not keep:
            self.stable.update(range(lba, lba + n))

    def unmap(self, lba, n):
        step = max(1, (1 << 20) // self.block_size)
        for first in range(lba, lba + n, step):
            count = min(step, lba + n - first)
            self.write(first, bytes(count * self.block_size))
        self.mapped.difference_update(range(lba, lba + n))

    def has_space(self, lba, n):
        return all(lba + i in self.mapped for i in range(n))

    def mapped_run(self, lba, most):
        """(blocks, mapped): how long what holds for block @lba goes on."""
        mapped = lba in self.mapped
        n = 1
        while n < most and lba + n < self.nblocks and ((lba + n) in self.mapped) == mapped:
            n += 1
        return n, mapped

    def sync(self):
        for lba, versions in self.cache.items():
            os.pwrite(self.fd, versions[-1], lba * self.block_size)
        self.cache.clear()
        self.stable = set(self.mapped)

    def lose_power(self, rng=None):
        """Forget what is not stable.  With @rng some of it has become so: any version of each block.  Returns how many
        blocks are not what they were."""
        lost = 0
        for lba in sorted(self.cache):
            versions = self.cache[lba]
            kept = rng.randrange(len(versions) + 1) if rng else 0
            if kept:
                os.pwrite(self.fd, versions[kept - 1], lba * self.block_size)
                self.stable.add(lba)
            lost += kept != len(versions)
        self.cache.clear()
        self.mapped = set(self.stable)
        return lost

    def error_at(self, lba, n, what):
        """(lba, form) of the first block of the range that cannot be read or written, or None."""
        hits = [
            (max(first, lba), form)
            for first, last, kind, form in self.bad
            if kind in (what, "both") and first < lba + n and lba <= last
        ]
        return min(hits) if hits else None

    def dump(self, path):
        with open(path, "wb") as f:
            step = max(1, (1 << 20) // self.block_size)
            for lba in range(0, self.nblocks, step):
                f.write(self.read(lba, min(step, self.nblocks - lba)))
