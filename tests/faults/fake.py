#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks tools/faketgt: fake.py FAKETGT SCRATCH-DIRECTORY.  The initiator here is written without the target's code."""
import json
import os
import socket
import struct
import subprocess
import sys

PROGRAM, SCRATCH = sys.argv[1], sys.argv[2]
CONTROL, DISK = f"{SCRATCH}/selftest.ctl", f"{SCRATCH}/selftest.disk"
NAME = "iqn.2026-01.org.example:fake"
LIMIT = 20
BS = 512


class Target:
    def __init__(self, *options):
        if os.path.exists(DISK):
            os.unlink(DISK)
        if os.path.exists(CONTROL):
            os.unlink(CONTROL)
        command = [sys.executable, PROGRAM, "--control", CONTROL, "--lun", f"1M,file={DISK}", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        self.port = int(line.rsplit(":", 1)[1])

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def ask(self, command, error=False):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(LIMIT)
            sock.connect(CONTROL)
            sock.sendall(command.encode() + b"\n")
            with sock.makefile() as f:
                head, _, body = f.read().partition("\n")
        assert (head != "ok") == error, f"{command}: {head}"
        return body.strip()

    def stats(self):
        return json.loads(self.ask("stats"))

    def medium(self, lba, n=1):
        with open(DISK, "rb") as f:
            f.seek(lba * BS)
            return f.read(n * BS)


class Initiator:
    def __init__(self, target, isid=1, name=NAME, security=False):
        self.sock = socket.create_connection(("127.0.0.1", target.port), LIMIT)
        self.isid, self.cmdsn, self.itt, self.expstatsn = isid, 1, 1, 0
        keys = {"InitiatorName": f"iqn.2026-01.org.example:i{isid}", "SessionType": "Normal" if name else "Discovery"}
        if name:
            keys["TargetName"] = name
        if security:
            self.login({**keys, "AuthMethod": "CHAP,None"}, 0x81)
        self.status = self.login(
            {
                **keys, "HeaderDigest": "None", "ImmediateData": "Yes", "InitialR2T": "No", "MaxBurstLength": 65536,
                "FirstBurstLength": 8192, "MaxRecvDataSegmentLength": 8192,
            },
            0x87,
        )  # fmt: skip

    def send(self, op, flags=0x80, lun=0, itt=0, w20=0, cmdsn=None, data=b"", tail=bytes(16)):
        head = struct.pack(">BBHI", op, flags, 0, len(data)) + (lun if isinstance(lun, bytes) else bytes([0, lun]) + bytes(6))
        head += struct.pack(">IIII", itt, w20, self.cmdsn if cmdsn is None else cmdsn, self.expstatsn)
        self.sock.sendall(head + tail + data + bytes(-len(data) % 4))

    def receive(self):
        head = self.read(48)
        length = struct.unpack_from(">I", head, 4)[0] & 0xFFFFFF
        data = self.read((length + 3) & ~3)[:length]
        if head[0] in (0x21, 0x23) or (head[0] == 0x25 and head[1] & 1):
            self.expstatsn = struct.unpack_from(">I", head, 24)[0] + 1
        return head, data

    def read(self, n):
        data = b""
        while len(data) < n:
            part = self.sock.recv(n - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def login(self, keys, flags):
        text = b"".join(f"{k}={v}".encode() + b"\0" for k, v in keys.items())
        isid = b"\x80" + bytes(4) + bytes([self.isid]) + bytes(2)
        self.send(0x43, flags, lun=isid, data=text)
        head, self.keys = self.receive()
        return struct.unpack_from(">H", head, 36)[0]

    def command(self, cdb, data=b"", expect=0, cmdsn=None):
        """Returns (status, sense, data)."""
        self.itt += 1
        flags = 0x80 | (0x20 if data else 0) | (0x40 if expect else 0)
        first = data[:8192]
        self.send(1, flags, itt=self.itt, w20=len(data) or expect, data=first, tail=bytes(cdb).ljust(16, b"\0"), cmdsn=cmdsn)
        self.cmdsn = (self.cmdsn if cmdsn is None else cmdsn) + 1
        got = b""
        while True:
            head, part = self.receive()
            if head[0] == 0x31:
                self.answer_r2t(head, data)
            elif head[0] == 0x25:
                got += part
                if head[1] & 1:
                    return head[3], b"", got
            elif head[0] == 0x21:
                return head[3], part[2:], got
            else:
                raise AssertionError(f"opcode {head[0]:#x}")

    def answer_r2t(self, head, data):
        tag = struct.unpack_from(">I", head, 20)[0]
        offset, length = struct.unpack_from(">II", head, 40)
        for sn, at in enumerate(range(offset, offset + length, 8192)):
            part = data[at : min(at + 8192, offset + length)]
            last = at + len(part) == offset + length
            self.send(5, 0x80 if last else 0, itt=self.itt, w20=tag, data=part, tail=struct.pack(">IIII", 0, sn, at, 0))

    def ready(self):
        while self.command([0])[0]:
            pass
        return self.command([0x12, 1, 0x83, 0, 252], expect=252)

    def write(self, lba, data, fua=False):
        return self.command(struct.pack(">BBQIBB", 0x8A, 8 if fua else 0, lba, len(data) // BS, 0, 0), data)

    def read_blocks(self, lba, n=1):
        return self.command(struct.pack(">BBQIBB", 0x88, 0, lba, n, 0, 0), expect=n * BS)

    def sync(self):
        return self.command([0x91])


def block(n):
    return bytes([n % 251 + 1]) * BS


def key(answer):
    """KEY, ASC, ASCQ of a CHECK CONDITION with fixed sense data."""
    assert answer[0] == 2, answer
    return answer[1][2] & 15, answer[1][12], answer[1][13]


def check_login():
    with Target() as t:
        assert Initiator(t).status == 0
        assert Initiator(t, 2, security=True).status == 0
        assert Initiator(t, 3, "iqn.2026-01.org.example:other").status == 0x0203
        d = Initiator(t, 4, None)
        d.send(4, itt=7, w20=0xFFFFFFFF, data=b"SendTargets=All\0")
        _, text = d.receive()
        assert NAME.encode() in text and f":{t.port},1".encode() in text, text
        t.ask("on login : status 0x0301")
        assert Initiator(t, 5).status == 0x0301
        assert Initiator(t, 5).status == 0
        stats = t.stats()
        assert stats["logins"] == 3 and stats["login_failures"] == 2 and stats["discovery_logins"] == 1, stats
        assert stats["violations"] == [], stats


def check_reinstatement():
    with Target() as t:
        a = Initiator(t)
        a.ready()
        b = Initiator(t)
        try:
            a.read(1)
            raise AssertionError("the old session lives")
        except (EOFError, ConnectionResetError):
            pass
        assert key(b.command([0])) == (6, 0x29, 0)
        assert t.stats()["reinstatements"] == 1 and t.stats()["sessions"] == 1


def check_data():
    with Target("--max-burst", "16384") as t:
        i = Initiator(t)
        i.ready()
        data = b"".join(block(n) for n in range(200))
        assert i.write(10, data)[0] == 0
        assert i.read_blocks(10, 200)[2] == data
        assert t.medium(10, 200) == data
        assert key(i.read_blocks(2048)) == (5, 0x21, 0)
        assert t.ask("writes 0 9 3") == "0 1 1"
        assert t.stats()["violations"] == [], t.stats()


def check_cache():
    with Target("--wce") as t:
        i = Initiator(t)
        i.ready()
        i.write(0, block(1))
        i.write(1, block(2), fua=True)
        assert t.medium(0, 2) == bytes(BS) + block(2)
        i.sync()
        assert t.medium(0) == block(1)
        i.write(0, block(3))
        assert t.ask("powerloss") == "1"
        i = Initiator(t)
        assert key(i.command([0])) == (6, 0x29, 0)
        i.ready()
        assert i.read_blocks(0)[2] == block(1)


def check_partial_loss():
    outcomes = []
    for _ in range(2):
        with Target("--wce") as t:
            i = Initiator(t)
            i.ready()
            for version in (1, 2, 3):
                for lba in range(40):
                    i.write(lba, block(50 * version + lba))
            t.ask("powerloss partial 5")
            outcomes.append(t.medium(0, 40))
            wrote = [[bytes(BS)] + [block(50 * version + lba) for version in (1, 2, 3)] for lba in range(40)]
            kept = [wrote[lba].index(t.medium(lba)) for lba in range(40)]
            assert set(kept) == {0, 1, 2, 3}, kept
    assert outcomes[0] == outcomes[1]


def check_violations():
    texts = {"gap": "CmdSN", "unproven": "not identified", "window": "over MaxCmdSN", "length": "expected for"}
    for what, text in texts.items():
        with Target("--window", "4") as t:
            i = Initiator(t)
            if what != "unproven":
                i.ready()
            else:
                while i.command([0])[0]:
                    pass
            if what == "gap":
                i.command([0], cmdsn=i.cmdsn + 1)
            elif what == "unproven":
                i.write(0, block(1))
            elif what == "window":
                i.command([0], cmdsn=i.cmdsn + 4)
            else:
                i.command(struct.pack(">BBQIBB", 0x88, 0, 0, 2, 0, 0), expect=BS)
            found = t.stats()["violations"]
            assert any(text in v for v in found), (what, found)
    with Target() as t:
        sock = socket.create_connection(("127.0.0.1", t.port), LIMIT)
        sock.sendall(b"\1\x80" + bytes(46))
        assert sock.recv(1) == b""
        assert "before login" in t.stats()["violations"][0]


def check_rules():
    with Target() as t:
        i = Initiator(t)
        i.ready()
        t.ask("on read nth=2 times=2 lba=5-6 : status 8")
        assert [i.read_blocks(lba, n)[0] for lba, n in ((0, 1), (5, 1), (4, 2), (7, 1), (6, 9), (5, 1))] == [0, 0, 8, 0, 8, 0]
        t.ask("on write every=3 times=all : sense 3/0c/01 info=lba")
        answers = [i.write(lba, block(1)) for lba in range(7)]
        assert [a[0] for a in answers] == [2, 0, 0, 2, 0, 0, 2]
        assert key(answers[3]) == (3, 0x0C, 1) and struct.unpack_from(">I", answers[3][1], 3)[0] == 3
        t.ask("clear")
        t.ask("on tur : drop")
        try:
            i.command([0])
            raise AssertionError("not dropped")
        except (EOFError, ConnectionResetError):
            pass
        for wrong in (
            "sneeze", "on", "on sneeze : drop", "on read : sneeze", "on read : sense 3", "on login : nodata",
            "on read nth=x : drop", "on read colour=red : drop", "on read : delay x",
        ):  # fmt: skip
            t.ask(wrong, error=True)


def check_attentions():
    with Target("--lun", "1M") as t:
        a, b = Initiator(t, 1), Initiator(t, 2)
        a.ready()
        b.ready()
        t.ask("resize 0 2M")
        for i in (a, b):
            assert key(i.command([0])) == (6, 0x2A, 9)
            assert i.command([0])[0] == 0
        t.ask("ua 0 29/01 3f/03")
        assert a.command([0x12, 0, 0, 0, 36], expect=36)[0] == 0  # never refused
        assert [key(a.command([0])) for _ in range(2)] == [(6, 0x29, 1), (6, 0x3F, 3)]
        t.ask("detach 0")
        assert key(a.command([0])) == (5, 0x25, 0)
        assert a.command([0xA0, 0, 0, 0, 0, 0, 0, 0, 0, 64], expect=64)[2][:16] == struct.pack(">II8s", 8, 0, b"\0\1")
        t.ask("attach 0 disk0")
        t.ask("notready 0 04/01")
        assert key(b.command([0])) == (6, 0x29, 1)


def check_reservations():
    def pr_out(i, action, mine, new, how=0):
        return i.command([0x5F, action, how, 0, 0, 0, 0, 0, 24], struct.pack(">QQ8x", mine, new))[0]

    with Target() as t:
        a, b = Initiator(t, 1), Initiator(t, 2)
        a.ready()
        b.ready()
        assert pr_out(a, 0, 0, 0xA) == 0 and pr_out(a, 1, 0xA, 0, 3) == 0
        assert b.write(0, block(1))[0] == 0x18 and b.read_blocks(0)[0] == 0x18 and b.command([0])[0] == 0
        assert a.write(0, block(1))[0] == 0
        assert pr_out(b, 0, 0, 0xB) == 0 and pr_out(b, 4, 0xB, 0xA, 1) == 0
        assert key(a.command([0])) == (6, 0x2A, 5)
        assert a.write(0, block(2))[0] == 0x18 and a.read_blocks(0)[2] == block(1)
        assert b.write(0, block(3))[0] == 0
        t.ask("reserve 0 3")
        assert b.read_blocks(0)[0] == 0x18
        t.ask("release 0")
        assert key(b.command([0])) == (6, 0x2A, 4)
        assert b.read_blocks(0)[2] == block(3)


def main():
    for name, function in list(globals().items()):
        if name.startswith("check_"):
            function()
            print(name)


main()
