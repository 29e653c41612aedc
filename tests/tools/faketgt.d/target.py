# SPDX-License-Identifier: GPL-2.0-or-later
"""The target: portals, sessions, units, and what happened so far."""
import collections
import random
import socket
import struct
import sys
import threading
import time

import faults
import scsi
from connection import Connection, Gone, Session
from disk import Disk


class Portal:
    def __init__(self, target, number, address, port, group):
        self.target = target
        self.number = number
        self.group = group
        self.family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.address, self.port = address, port
        self.socket = None
        self.listen()

    @property
    def text(self):
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    def listen(self):
        if self.socket:
            return
        sock = socket.socket(self.family)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((self.address, self.port))
        self.port = sock.getsockname()[1]
        sock.listen(128)
        self.socket = sock
        threading.Thread(target=self.accept, args=(sock,), daemon=True).start()

    def stop(self):
        sock, self.socket = self.socket, None
        if sock:
            sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.target.connected(sock, self)


class Target:
    """self.lock protects everything in here, in the units and in the disks."""

    def __init__(self, options):
        self.options = options
        self.lock = threading.RLock()
        self.start = time.monotonic()
        self.rules = faults.Rules()
        self.groups = {}  # port group -> ALUA state
        self.portals = []
        self.connections = []
        self.sessions = {}  # nexus name -> Session
        self.answered_early = set()
        self.depth = 0  # more commands in flight on one connection get TASK SET FULL; 0: no limit
        self.login_attentions = [faults.pair(ua) for ua in options.login_ua]
        self.pr_generation = 0
        self.control = None
        self.disks = {}
        self.units = {}
        self.connection_count = self.last_tsih = 0
        self.forget_counts()
        for n, size in enumerate(options.lun or ["64M"]):
            self.add_lun(n, size)

    def add_lun(self, n, text):
        """SIZE[,file=PATH][,serial=TEXT][,block=BYTES]"""
        words = dict(word.split("=", 1) for word in text.split(",")[1:])
        disk = self.add_disk(f"disk{n}", text.split(",")[0], **words)
        self.units[n] = scsi.Unit(self, n, disk, self.options)

    def unit(self, lun):
        """None: no such LUN, at present."""
        unit = self.units.get(lun)
        return unit if unit and unit.disk else None

    def add_disk(self, name, size, file=None, serial=None, block=None):
        block = int(block or self.options.block)
        self.disks[name] = Disk(name, bytes_of(size), block, file, serial, self.options.wce)
        return self.disks[name]

    def forget_counts(self):
        self.counts = collections.Counter()
        self.commands = collections.Counter()
        self.executed = collections.Counter()
        self.isids = collections.Counter()
        self.violations = []
        self.deepest = 0  # most commands in flight on one connection

    def listen(self):
        for number, text in enumerate(self.options.portal or ["127.0.0.1"]):
            address, port = address_of(text)
            if not port and self.portals and address != self.portals[0].address:
                port = self.portals[0].port  # one name with several addresses
            group = number + 1 if self.options.alua else 1
            self.groups.setdefault(group, 0)
            self.portals.append(Portal(self, number, address, port, group))
            print(f"listening on {self.portals[-1].text}", flush=True)

    def log(self, text):
        print(f"{time.monotonic() - self.start:9.3f} {text}", flush=True)

    def later(self, ms, function):
        def run():
            try:
                function()
            except (Gone, OSError) as e:
                self.log(f"too late: {type(e).__name__}")

        timer = threading.Timer(ms / 1000, run)
        timer.daemon = True
        timer.start()

    # ---- connections and sessions ----

    def connected(self, sock, portal):
        with self.lock:
            self.connection_count += 1
            self.counts["connections"] += 1
            connection = Connection(self, sock, portal, self.connection_count)
            self.connections.append(connection)
        connection.start()

    def forget(self, connection):
        if connection in self.connections:
            self.connections.remove(connection)
        session = connection.session
        if session and self.sessions.get(session.nexus) is session:
            del self.sessions[session.nexus]

    def log_in(self, connection, initiator, isid, discovery):
        self.last_tsih = self.last_tsih % 65535 + 1
        session = Session(self, connection, initiator, isid, self.last_tsih, connection.portal)
        if discovery:
            self.counts["discovery_logins"] += 1
            return session
        self.counts["logins"] += 1
        self.isids[isid.hex()] += 1
        old = self.sessions.get(session.nexus)
        if old:
            self.counts["reinstatements"] += 1
            if self.options.reinstatement:
                old.connection.kill()
        self.sessions[session.nexus] = session
        return session

    def drop_all(self, reset=True):
        for connection in list(self.connections):
            connection.kill(reset)

    def lose_power(self, words=()):
        """partial SEED: as real disks do, some of what was only in the cache is on the medium."""
        rng = random.Random(int(words[1], 0)) if words and words[0] == "partial" else None
        with self.lock:
            self.drop_all()
            lost = sum(disk.lose_power(rng) for _, disk in sorted(self.disks.items()))
            for unit in self.units.values():
                unit.keys.clear()
                unit.reservation = None
            self.pr_generation = 0
            self.counts["power_losses"] += 1
            self.counts["blocks_lost"] += lost
        self.log(f"power lost, and {lost} blocks")
        return lost

    def attend(self, lun, ua, only=None, but=None):
        """A unit attention for every nexus, or only for one, or for all but one; lun None: of every LUN."""
        for session in self.sessions.values():
            if (only and session.nexus != only) or session.nexus == but:
                continue
            for n in self.units if lun is None else [lun]:
                session.attentions.setdefault(n, []).append(ua)

    def report_luns(self, most):
        luns = [n for n, unit in sorted(self.units.items()) if unit.disk]
        body = b"".join(bytes([n >> 8 | (0x40 if n > 255 else 0), n & 255]) + bytes(6) for n in luns)
        return (struct.pack(">II", len(body), 0) + body)[:most]

    def stats(self):
        with self.lock:
            luns = {
                str(n): {
                    "disk": unit.disk and unit.disk.name,
                    "blocks": unit.disk.nblocks if unit.disk else 0,
                    "unstable_blocks": len(unit.disk.cache) if unit.disk else 0,
                    "written_blocks": len(unit.disk.written) if unit.disk else 0,
                    "most_writes_of_a_block": max(unit.disk.written.values(), default=0) if unit.disk else 0,
                    "mapped_blocks": len(unit.disk.mapped) if unit.disk else 0,
                }
                for n, unit in self.units.items()
            }
            disks = {name: {"written_blocks": len(disk.written)} for name, disk in self.disks.items()}
            names = ("connections", "logins", "login_failures", "discovery_logins", "reinstatements", "logouts", "nops",
                     "ping_answers", "power_losses", "blocks_lost", "full")  # fmt: skip
            return {
                **{name: 0 for name in names},
                **self.counts,
                "deepest": self.deepest,
                "open": len(self.connections),
                "sessions": len(self.sessions),
                "isids": dict(self.isids),
                "commands": dict(self.commands),
                "total": {
                    **{group: sum(self.commands[c] for c in members) for group, members in scsi.GROUPS.items()},
                    "scsi": sum(self.commands.values()),
                },
                "executed": dict(self.executed),
                "luns": luns,
                "disks": disks,
                "violations": self.violations,
            }


def bytes_of(text):
    factor = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}.get(text[-1:].upper())
    return int(text[:-1]) * factor if factor else int(text, 0)


def address_of(text):
    """ADDRESS, ADDRESS:PORT, [ADDRESS]:PORT -> (address, port)"""
    if text.startswith("["):
        address, _, port = text[1:].partition("]")
        return address, int(port[1:] or 0)
    address, _, port = text.partition(":")
    return address, int(port or 0)


if __name__ == "__main__":
    sys.exit("run faketgt")
