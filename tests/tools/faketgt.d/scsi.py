# SPDX-License-Identifier: GPL-2.0-or-later
"""A logical unit: commands, unit attentions, reservations, and the states that a test can bring about.

The target's lock is held by whoever calls."""
import struct

GOOD, CHECK, BUSY, CONFLICT, FULL, ABORTED = 0x00, 0x02, 0x08, 0x18, 0x28, 0x40

# (opcode, service action or None) -> name; a rule names a command so, or by one of GROUPS.
COMMANDS = {
    (0x00, None): "tur",
    (0x03, None): "request-sense",
    (0x12, None): "inquiry",
    (0x1A, None): "mode-sense6",
    (0x1B, None): "start-stop",
    (0x25, None): "capacity10",
    (0x28, None): "read10",
    (0x2A, None): "write10",
    (0x35, None): "sync10",
    (0x42, None): "unmap",
    (0x5A, None): "mode-sense10",
    (0x5E, None): "pr-in",
    (0x5F, None): "pr-out",
    (0x88, None): "read16",
    (0x8A, None): "write16",
    (0x91, None): "sync16",
    (0x93, None): "write-same",
    (0x9E, 0x10): "capacity16",
    (0x9E, 0x12): "lba-status",
    (0xA0, None): "report-luns",
    (0xA3, 0x0A): "rtpg",
}
GROUPS = {
    "read": ("read10", "read16"),
    "write": ("write10", "write16"),
    "sync": ("sync10", "sync16"),
    "capacity": ("capacity10", "capacity16"),
    "mode-sense": ("mode-sense6", "mode-sense10"),
    "modify": ("write10", "write16", "unmap", "write-same"),
}
_SERVICE_ACTIONS = {op for op, action in COMMANDS if action is not None}

ALUA_STATES = {"optimized": 0, "nonoptimized": 1, "standby": 2, "unavailable": 3, "transitioning": 0xF}
_ALUA_SENSE = {2: (0x04, 0x0B), 3: (0x04, 0x0C), 0xF: (0x04, 0x0A)}
_ANY_STATE = {"inquiry", "report-luns", "request-sense", "rtpg"}
_NO_UA = {"inquiry", "report-luns", "request-sense"}
_WRITE_LIKE = {"write10", "write16", "unmap", "write-same", "sync10", "sync16"}
_READ_LIKE = {"read10", "read16", "lba-status", "mode-sense6", "mode-sense10"}


class Refused(Exception):
    """The command ends with another status than GOOD."""

    def __init__(self, status, sense=b""):
        super().__init__(status)
        self.status = status
        self.sense = sense


def sense_data(key, asc, ascq, info=None, form="fixed", deferred=False):
    """@form: fixed, descriptor, none, empty (a length of 0), short (cut after 4 bytes), long (says more than there is)."""
    if form == "none":
        return b""
    if form == "empty":
        return b"\0\0"
    if form == "descriptor":
        parts = b"" if info is None else struct.pack(">BBBBQ", 0, 10, 0x80, 0, info)
        sense = bytes([0x73 if deferred else 0x72, key, asc, ascq, 0, 0, 0, len(parts)]) + parts
    else:
        code = (0x71 if deferred else 0x70) | (0x80 if info is not None else 0)
        sense = struct.pack(">BBBIB4xBB4x", code, 0, key, (info or 0) & 0xFFFFFFFF, 10, asc, ascq)
    if form == "short":
        sense = sense[:4]
    return struct.pack(">H", 252 if form == "long" else len(sense)) + sense


def check(key, asc, ascq, info=None, form="fixed"):
    return Refused(CHECK, sense_data(key, asc, ascq, info, form))


def name_of(cdb):
    op = cdb[0]
    name = COMMANDS.get((op, cdb[1] & 0x1F if op in _SERVICE_ACTIONS else None), f"op{op:02x}")
    if name == "inquiry" and cdb[1] & 1:
        name = f"vpd{cdb[2]:02x}"
    return name


def range_of(cdb):
    """(lba, blocks) of a command that has them, else None."""
    op = cdb[0]
    if op in (0x28, 0x2A):
        return struct.unpack_from(">I", cdb, 2)[0], struct.unpack_from(">H", cdb, 7)[0]
    if op in (0x88, 0x8A, 0x93):
        return struct.unpack_from(">QI", cdb, 2)
    if op == 0x9E and cdb[1] & 0x1F == 0x12:
        return struct.unpack_from(">Q", cdb, 2)[0], 1
    return None


def transfer_bytes(cdb, block_size):
    """How many bytes a READ or WRITE must move, or None."""
    if cdb[0] in (0x28, 0x2A, 0x88, 0x8A):
        return range_of(cdb)[1] * block_size
    return None


class Unit:
    def __init__(self, target, number, disk, options):
        self.target = target
        self.number = number
        self.disk = disk
        self.options = options
        self.protected = False
        self.not_ready = None  # (asc, ascq)
        self.full = False
        self.keys = {}  # nexus name -> registration
        self.reservation = None  # (nexus name, type)

    # ---- the way through ----

    def execute(self, session, cdb, data):
        """Returns the data for the initiator; raises Refused."""
        name = name_of(cdb)
        kind = "inquiry" if name.startswith("vpd") else name
        if kind not in _NO_UA:
            self.attention(session)
        if kind in self.options.lacks:
            raise check(5, 0x20, 0)
        self.reserved(session, kind)
        self.accessible(session, kind)
        if self.not_ready and kind not in _ANY_STATE and kind != "start-stop":
            raise check(2, *self.not_ready)
        method = getattr(self, "do_" + kind.replace("-", "_"), None)
        if not method:
            raise check(5, 0x20, 0)
        return method(session, cdb, data) or b""

    def attention(self, session):
        queue = session.attentions.get(self.number)
        if queue:
            raise check(6, *queue.pop(0))

    def reserved(self, session, kind):
        if not self.reservation:
            return
        holder, how = self.reservation
        if holder == session.nexus or (how in (5, 6, 7, 8) and session.nexus in self.keys):
            return
        if kind in _WRITE_LIKE or (kind in _READ_LIKE and how in (3, 6, 8)):
            raise Refused(CONFLICT)

    def accessible(self, session, kind):
        sense = _ALUA_SENSE.get(self.target.groups[session.group])
        if sense and kind not in _ANY_STATE:
            raise check(2, *sense)

    def blocks(self, cdb, what):
        lba, n = range_of(cdb)
        if lba + n > self.disk.nblocks:
            raise check(5, 0x21, 0)
        bad = self.disk.error_at(lba, n, what)
        if bad and bad[1] == "noinfo":
            raise check(3, 0x11 if what == "read" else 0x0C, 0)
        if bad:
            raise check(3, 0x11 if what == "read" else 0x0C, 0, bad[0], bad[1])
        return lba, n

    def writable(self):
        if self.protected:
            raise check(7, 0x27, 0)

    def space(self, lba, n):
        if self.full and not self.disk.has_space(lba, n):
            raise check(7, 0x27, 7)

    # ---- commands ----

    def do_tur(self, session, cdb, data):
        pass

    def do_request_sense(self, session, cdb, data):
        return sense_data(0, 0, 0)[2:]

    def do_start_stop(self, session, cdb, data):
        if cdb[4] & 1 and self.not_ready == (0x04, 0x02):
            self.not_ready = None

    def do_inquiry(self, session, cdb, data):
        if cdb[1] & 1:
            answer = self.vpd(session, cdb[2])
        else:
            answer = struct.pack(
                ">BBBBBBBB8s16s4s", 0, 0, 6, 2, 31, 0x10 if self.options.alua else 0, 0, 2, b"LUNFS   ",
                b"FAKE DISK".ljust(16), b"1   ",
            )
        return answer[: struct.unpack_from(">H", cdb, 3)[0]]

    def vpd(self, session, page):
        if page == 0x00:
            body = bytes([0x00, 0x80, 0x83, 0xB0, 0xB1, 0xB2])
        elif page == 0x80:
            body = self.disk.serial.encode()
        elif page == 0x83:
            body = bytes([1, 3, 0, 16]) + self.disk.naa()
            t10 = b"LUNFS   " + self.disk.serial.encode()
            body += bytes([2, 1, 0, len(t10)]) + t10
            body += struct.pack(">BBBBHH", 0x51, 0x94, 0, 4, 0, session.port + 1)
            body += struct.pack(">BBBBHH", 0x51, 0x95, 0, 4, 0, session.group)
        elif page == 0xB0:
            most = self.options.max_transfer
            body = struct.pack(">BBHIIIIIIIQ", 0, 0, 1, most, most, 0, 65536, 16, 1, 0x80000000, 65536).ljust(60, b"\0")
        elif page == 0xB1:
            body = struct.pack(">H", 1).ljust(60, b"\0")
        elif page == 0xB2:
            body = bytes([0, 0xC4 if self.options.thin else 0, 2 if self.options.thin else 0, 0])
        else:
            raise check(5, 0x24, 0)
        return struct.pack(">BBH", 0, page, len(body)) + body

    def do_capacity10(self, session, cdb, data):
        return struct.pack(">II", min(self.disk.nblocks - 1, 0xFFFFFFFF), self.disk.block_size)

    def do_capacity16(self, session, cdb, data):
        answer = struct.pack(
            ">QIBBBB", self.disk.nblocks - 1, self.disk.block_size, 0, 0, 0xC0 if self.options.thin else 0, 0
        ).ljust(32, b"\0")
        return answer[: struct.unpack_from(">I", cdb, 10)[0]]

    def mode_pages(self, page):
        caching = bytes([0x08, 0x12, 0x04 if self.disk.wce else 0]).ljust(20, b"\0")
        control = bytes([0x0A, 0x0A]).ljust(12, b"\0")
        if page not in (0x08, 0x0A, 0x3F):
            raise check(5, 0x24, 0)
        return (caching if page != 0x0A else b"") + (control if page != 0x08 else b"")

    def device_specific(self):
        return (0x80 if self.protected else 0) | (0x10 if self.options.dpofua else 0)

    def do_mode_sense6(self, session, cdb, data):
        pages = self.mode_pages(cdb[2] & 0x3F)
        return (bytes([3 + len(pages), 0, self.device_specific(), 0]) + pages)[: cdb[4]]

    def do_mode_sense10(self, session, cdb, data):
        pages = self.mode_pages(cdb[2] & 0x3F)
        header = struct.pack(">HBBHH", 6 + len(pages), 0, self.device_specific(), 0, 0)
        return (header + pages)[: struct.unpack_from(">H", cdb, 7)[0]]

    def do_read16(self, session, cdb, data):
        return self.disk.read(*self.blocks(cdb, "read"))

    do_read10 = do_read16

    def do_write16(self, session, cdb, data):
        self.writable()
        lba, n = self.blocks(cdb, "write")
        self.space(lba, n)
        self.disk.write(lba, data, fua=bool(cdb[1] & 0x08))

    do_write10 = do_write16

    def do_sync16(self, session, cdb, data):
        self.disk.sync()

    do_sync10 = do_sync16

    def do_unmap(self, session, cdb, data):
        if not self.options.thin:
            raise check(5, 0x20, 0)
        self.writable()
        for offset in range(8, len(data) - 15, 16):
            lba, n = struct.unpack_from(">QI", data, offset)
            if lba + n > self.disk.nblocks:
                raise check(5, 0x21, 0)
            self.disk.unmap(lba, n)

    def do_write_same(self, session, cdb, data):
        self.writable()
        lba, n = self.blocks(cdb, "write")
        n = n or self.disk.nblocks - lba
        if cdb[1] & 0x08 and self.options.thin and not any(data):
            self.disk.unmap(lba, n)
            return
        self.space(lba, n)
        for first in range(lba, lba + n, 2048):
            self.disk.write(first, data * min(2048, lba + n - first))

    def do_lba_status(self, session, cdb, data):
        lba, _ = range_of(cdb)
        if lba >= self.disk.nblocks:
            raise check(5, 0x21, 0)
        n, mapped = self.disk.mapped_run(lba, 65536)
        answer = struct.pack(">IIQIB3x", 20, 0, lba, n, 0 if mapped or not self.options.thin else 1)
        return answer[: struct.unpack_from(">I", cdb, 10)[0]]

    def do_report_luns(self, session, cdb, data):
        return self.target.report_luns(struct.unpack_from(">I", cdb, 6)[0])

    def do_rtpg(self, session, cdb, data):
        if not self.options.alua:
            raise check(5, 0x20, 0)
        body = b""
        for group, state in sorted(self.target.groups.items()):
            ports = [i + 1 for i, portal in enumerate(self.target.portals) if portal.group == group]
            body += struct.pack(">BBHBBBB", state, 0x8F, group, 0, 0, 0, len(ports))
            body += b"".join(struct.pack(">HH", 0, port) for port in ports)
        extended = cdb[1] & 0x20
        head = struct.pack(">BBH", 0x10, 5, 0) if extended else b""
        return (struct.pack(">I", len(head + body)) + head + body)[: struct.unpack_from(">I", cdb, 6)[0]]

    # ---- persistent reservations: no APTPL, one scope ----

    def do_pr_in(self, session, cdb, data):
        action = cdb[1] & 0x1F
        if action == 0:
            body = b"".join(struct.pack(">Q", key) for key in self.keys.values())
        elif action == 1:
            body = b""
            if self.reservation:
                holder, how = self.reservation
                body = struct.pack(">QIBBH", self.keys.get(holder, 0), 0, 0, how, 0)
        elif action == 2:
            return struct.pack(">HBBHH", 8, 0, 0x80, 0xEA01, 0)[: struct.unpack_from(">H", cdb, 7)[0]]
        else:
            raise check(5, 0x24, 0)
        answer = struct.pack(">II", self.target.pr_generation, len(body)) + body
        return answer[: struct.unpack_from(">H", cdb, 7)[0]]

    def do_pr_out(self, session, cdb, data):
        action, how = cdb[1] & 0x1F, cdb[2] & 0x0F
        if len(data) < 24:
            raise check(5, 0x1A, 0)
        key, new = struct.unpack_from(">QQ", data)
        me = session.nexus
        if action not in (0, 6) and self.keys.get(me) != key:
            raise Refused(CONFLICT)
        if action in (0, 6):  # REGISTER, REGISTER AND IGNORE EXISTING KEY
            if action == 0 and self.keys.get(me, 0) != key:
                raise Refused(CONFLICT)
            self.register(me, new)
        elif action == 1:  # RESERVE
            if self.reservation and self.reservation != (me, how):
                raise Refused(CONFLICT)
            self.reservation = (me, how)
        elif action == 2:  # RELEASE
            if self.reservation and self.reservation[0] == me:
                self.reservation = None
        elif action == 3:  # CLEAR
            self.keys.clear()
            self.reservation = None
            self.target.attend(self.number, (0x2A, 0x03), but=me)
        elif action in (4, 5):  # PREEMPT (AND ABORT)
            self.preempt(new, me, how)
        else:
            raise check(5, 0x24, 0)
        self.target.pr_generation += 1

    def register(self, nexus, key):
        if key:
            self.keys[nexus] = key
            return
        self.keys.pop(nexus, None)
        if self.reservation and self.reservation[0] == nexus:
            self.reservation = None

    def preempt(self, key, by, how):
        """Registrations with @key (all but @by's if it is None) end; their nexuses hear of it."""
        gone = [nexus for nexus, k in self.keys.items() if nexus != by and key in (None, k)]
        for nexus in gone:
            del self.keys[nexus]
            self.target.attend(self.number, (0x2A, 0x05), only=nexus)
        if self.reservation and self.reservation[0] in gone:
            self.reservation = (by, how)
