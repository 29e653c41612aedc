#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""An application that trusts fsync: files.py DIRECTORY LEDGER [THREADS].

It makes files, syncs each together with its name, and then, not before, notes its checksum in LEDGER.  Some are
overwritten in part (and synced again), renamed or deleted; what is about to change is struck off the ledger first.  It
ends at SIGTERM, or when DIRECTORY fails, with status 0; told "longest_ms=".

files.py --check DIRECTORY LEDGER: every file that the ledger has is there, and is what it was."""
import hashlib
import os
import random
import signal
import sys
import threading
import time

stop = threading.Event()
lock = threading.Lock()


class Ledger:
    """Lines "NAME CHECKSUM" and "NAME -", the last one counts; on another file system than the one that is tested."""

    def __init__(self, path):
        self.file = open(path, 'a', encoding='ascii')

    def note(self, name, checksum):
        with lock:
            self.file.write(f'{name} {checksum}\n')
            self.file.flush()


def sync_directory(path):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Writer(threading.Thread):
    def __init__(self, directory, ledger, me, seed):
        super().__init__()
        self.directory, self.ledger, self.me = os.path.join(directory, f't{me}'), ledger, me
        self.random = random.Random(seed * 1000 + me)
        self.files = {}  # name: contents
        self.number = 0
        self.longest = self.done = 0

    def path(self, name):
        return os.path.join(self.directory, name)

    def create(self):
        self.number += 1
        name = f'{os.getpid()}-{self.number}'
        data = self.random.randbytes(self.random.choice((100, 4096, 20000, 150000)))
        with open(self.path(name), 'wb', buffering=0) as f:
            f.write(data)
            os.fsync(f.fileno())
        sync_directory(self.directory)
        self.files[name] = data
        self.note(name)

    def note(self, name):
        self.ledger.note(f't{self.me}/{name}', hashlib.sha256(self.files[name]).hexdigest())

    def strike(self, name):
        self.ledger.note(f't{self.me}/{name}', '-')

    def overwrite(self, name):
        self.strike(name)
        data = bytearray(self.files[name])
        at = self.random.randrange(len(data))
        new = self.random.randbytes(min(5000, len(data) - at))
        data[at:at + len(new)] = new
        with open(self.path(name), 'r+b', buffering=0) as f:
            f.seek(at)
            f.write(new)
            os.fdatasync(f.fileno())
        self.files[name] = bytes(data)
        self.note(name)

    def rename(self, name):
        self.strike(name)
        self.number += 1
        new = f'{os.getpid()}-{self.number}'
        os.rename(self.path(name), self.path(new))
        sync_directory(self.directory)
        self.files[new] = self.files.pop(name)
        self.note(new)

    def delete(self, name):
        self.strike(name)
        os.unlink(self.path(name))
        del self.files[name]

    def run(self):
        try:
            os.makedirs(self.directory, exist_ok=True)
            sync_directory(os.path.dirname(self.directory))
            while not stop.is_set():
                began = time.monotonic()
                name = self.random.choice(list(self.files)) if self.files else None
                if len(self.files) < 10:
                    self.create()
                elif len(self.files) > 60:
                    self.delete(name)
                else:
                    self.random.choice((lambda _: self.create(), self.overwrite, self.rename, self.delete))(name)
                self.longest = max(self.longest, time.monotonic() - began)
                self.done += 1
                time.sleep(0.002)
        except OSError as e:
            print(f'thread {self.me}: {e}', flush=True)


def check(directory, ledger):
    noted = {}
    with open(ledger, encoding='ascii') as lines:
        for line in lines:
            name, checksum = line.split()
            noted[name] = checksum
    bad = good = 0
    for name, checksum in noted.items():
        if checksum == '-':
            continue
        try:
            with open(os.path.join(directory, name), 'rb') as f:
                found = hashlib.sha256(f.read()).hexdigest()
        except OSError as e:
            found = str(e)
        good += found == checksum
        if found != checksum:
            bad += 1
            print(f'{name}: {found}, not {checksum}')
    print(f'{good} files are as they were synced, {bad} are not')
    return 1 if bad or not good else 0


def main():
    if sys.argv[1] == '--check':
        return check(sys.argv[2], sys.argv[3])
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    ledger = Ledger(sys.argv[2])
    writers = [Writer(sys.argv[1], ledger, i, int(time.time())) for i in range(int(sys.argv[3]) if sys.argv[3:] else 4)]
    for w in writers:
        w.start()
    print('running', flush=True)
    for w in writers:
        while w.is_alive():
            w.join(0.2)
    print(f'operations={sum(w.done for w in writers)} longest_ms={int(1000 * max(w.longest for w in writers))}')
    return 0


sys.exit(main())
