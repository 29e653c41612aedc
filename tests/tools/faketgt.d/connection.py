# SPDX-License-Identifier: GPL-2.0-or-later
"""One connection: login, data transfer, and the faults that an initiator sees on it.

A thread reads and executes; answers that come later are sent by the target's clock thread.  target.lock protects all
state but what is being sent, which is under send_lock (taken last)."""
import hashlib
import os
import select
import socket
import struct
import threading
import time
import traceback
from dataclasses import dataclass, field

import faults
import pdu as P
import scsi
from pdu import Pdu

MRDSL = 262144  # what we take in one PDU
POLL_MS = 100


class Gone(Exception):
    """The connection is over."""


class Session:
    """An I_T nexus while it is logged in."""

    def __init__(self, target, connection, initiator, isid, tsih, portal):
        self.connection = connection
        self.initiator = initiator
        self.isid = isid
        self.tsih = tsih
        self.port = portal.number
        self.group = portal.group
        self.nexus = f"{initiator},{isid.hex()},{portal.group}"
        self.attentions = {lun: list(target.login_attentions) for lun in target.units}
        self.proven = set()  # LUNs whose identity and size were asked for


@dataclass
class Task:
    itt: int
    lun: int
    cdb: bytes
    name: str
    edtl: int
    cmdsn: int
    header: bytes
    actions: list = field(default_factory=list)
    out: bool = False
    data: bytearray = None
    got: int = 0
    unsolicited: bool = False
    r2t: tuple = None  # (ttt, offset, length) of the one outstanding
    r2tsn: int = 0
    datasn: int = 0  # of the next Data-Out
    too_deep: bool = False


@dataclass
class Answer:
    status: int = scsi.GOOD
    sense: bytes = b""
    data: bytes = b""
    response: int = 0
    resid: int = 0
    flags: int = 0  # 2 underflow, 4 overflow
    honest: bool = True  # residual worked out from the lengths


class Connection(threading.Thread):
    def __init__(self, target, sock, portal, number):
        super().__init__(name=f"connection {number}", daemon=True)
        self.target = target
        self.options = target.options
        self.sock = sock
        self.portal = portal
        self.number = number
        self.send_lock = threading.Lock()
        self.session = None
        self.dead = False
        self.reset = True  # how it ends when we end it
        self.awake = threading.Event()
        self.awake.set()
        self.expcmdsn = 0
        self.maxcmdsn = None
        self.frozen = False
        self.statsn = 1
        self.acked = None
        self.in_digest = self.out_digest = False
        self.negotiated = {"MaxRecvDataSegmentLength": 8192, "MaxBurstLength": 262144, "FirstBurstLength": 65536}
        self.immediate_data, self.initial_r2t = True, True
        self.tasks = {}
        self.ttt = number << 16
        self.chap = None
        sock.setblocking(False)

    # ---- the wire ----

    def wait(self, events):
        poller = select.poll()
        poller.register(self.sock, events)
        while not self.dead:
            self.awake.wait()
            if poller.poll(POLL_MS):
                return
        raise Gone

    def receive(self, n):
        parts = bytearray()
        while len(parts) < n:
            try:
                part = self.sock.recv(n - len(parts))
                if not part:
                    raise Gone
                parts += part
            except BlockingIOError:
                self.wait(select.POLLIN)
            if self.dead:
                raise Gone
        return bytes(parts)

    def receive_pdu(self):
        self.awake.wait()
        raw = self.receive(48)
        pdu, length = Pdu.unpack(raw)
        if self.in_digest and self.receive(4) != P.crc32c(raw):
            self.violation("wrong header digest")
        if pdu.ahs:
            self.receive(pdu.ahs * 4)
        if length > MRDSL:
            self.violation(f"a data segment of {length} bytes")
        pdu.data = self.receive((length + 3) & ~3)[:length]
        return pdu

    def transmit(self, data):
        view = memoryview(data)
        while view:
            if self.dead:
                raise Gone
            try:
                view = view[self.sock.send(view) :]
            except BlockingIOError:
                self.wait(select.POLLOUT)

    def window(self):
        """MaxCmdSN: never goes back."""
        if not self.frozen:
            most = (self.expcmdsn + self.options.window - 1) & 0xFFFFFFFF
            if self.maxcmdsn is None or ((most - self.maxcmdsn) & 0xFFFFFFFF) < 1 << 31:
                self.maxcmdsn = most
        return self.maxcmdsn

    def send(self, pdu, advance=True, stop_after=None):
        """@advance: it takes a StatSN.  @stop_after: no more than so many bytes of it."""
        try:
            with self.send_lock:
                pdu.sn = self.statsn
                if advance:
                    self.statsn = (self.statsn + 1) & 0xFFFFFFFF
                pdu.w28, pdu.w32 = self.expcmdsn, self.window()
                header = pdu.pack()
                if self.out_digest:
                    header += P.crc32c(header)
                self.transmit((header + pdu.data + bytes(-len(pdu.data) % 4))[:stop_after])
        except OSError as e:
            raise Gone from e

    def kill(self, reset=True):
        """From any thread: the reader closes it, with RST or FIN, and nothing is executed any more."""
        self.reset = reset
        self.dead = True
        self.awake.set()
        try:
            self.sock.shutdown(socket.SHUT_RD)  # wakes the reader, says nothing
        except OSError:
            pass

    def drop(self, reset=True):
        self.kill(reset)
        raise Gone

    def close(self):
        with self.target.lock:
            self.dead = True
            self.tasks.clear()
            self.target.forget(self)
        if self.reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    # ---- life ----

    def run(self):
        self.reset = False
        try:
            if self.meet("connect"):
                self.login()
                while True:
                    self.dispatch(self.receive_pdu())
        except (Gone, OSError) as e:
            self.log(f"closed {type(e).__name__ if not isinstance(e, Gone) else ''}")
        except Exception:
            self.violation("faketgt: " + traceback.format_exc())
        finally:
            self.close()

    def log(self, text):
        self.target.log(f"conn {self.number}: {text}")

    def violation(self, text):
        self.log(f"VIOLATION: {text}")
        with self.target.lock:
            self.target.violations.append(f"conn {self.number}: {text}")

    def where(self, **more):
        isid = self.session.isid.hex() if self.session else None
        return {"conn": self.number, "port": self.portal.number, "isid": isid, **more}

    def match(self, event, **more):
        with self.target.lock:
            actions = self.target.rules.actions(event, self.where(**more))
        for action, hits in actions:
            if hits <= 20:
                self.log(f"{event} {more.get('lba') or ''}: {action.name} {' '.join(action.args)}")
        return [action for action, _ in actions]

    def pause(self, action):
        """Actions of every event that only hold things up or have to do with something else.  True: done."""
        if action.name == "stall":
            time.sleep(action.number() / 1000)
        elif action.name == "hang":
            self.awake.clear()
            self.awake.wait()
        elif action.name == "do":
            self.target.control.execute(" ".join(action.args))
        else:
            return False
        if self.dead:
            raise Gone
        return True

    def meet(self, event, **more):
        """An event without an answer of its own.  False: ignore it."""
        answered = True
        for action in self.match(event, **more):
            if self.pause(action):
                continue
            if action.name == "drop":
                self.drop("fin" not in action.flags)
            answered = answered and action.name != "noresp"
        return answered

    # ---- login ----

    def login(self):
        keys, first, actions = {}, None, []
        while True:
            pdu = self.receive_pdu()
            if pdu.opcode != P.LOGIN:
                self.violation(f"opcode {pdu.opcode:#x} before login")
                raise Gone
            keys.update(P.text_keys(pdu.data))
            if first is None:
                first = pdu
                self.expcmdsn = pdu.sn
                self.discovery = keys.get("SessionType") == "Discovery"
                actions = self.match("discovery" if self.discovery else "login")
                if self.login_faults(pdu, actions):
                    raise Gone
            if self.login_step(pdu, keys, actions):
                return

    def login_answer(self, pdu, status=0, keys=(), flags=0, tsih=0):
        self.send(
            Pdu(P.LOGIN_RESPONSE, flags, lun=pdu.lun[:6] + struct.pack(">H", tsih), itt=pdu.itt, ttt=0,
                w36=status << 16, data=P.text_data(keys))
        )  # fmt: skip

    def login_faults(self, pdu, actions):
        """True: that was all."""
        for action in actions:
            if self.pause(action):
                continue
            if action.name == "drop":
                self.drop("fin" not in action.flags)
            elif action.name == "hold":
                time.sleep(action.number() / 1000)
            elif action.name == "noresp":
                self.awake.clear()
                self.awake.wait()
                return True
            elif action.name == "status":
                self.refuse(pdu, action.number())
                return True
            elif action.name == "redirect":
                self.login_answer(pdu, 0x0101, [("TargetAddress", action.args[0])], pdu.flags & 0x8C)
                self.linger()
                return True
        return False

    def refuse(self, pdu, status):
        with self.target.lock:
            self.target.counts["login_failures"] += 1
        self.login_answer(pdu, status)
        self.linger()

    def linger(self):
        """Wait for the other side to close, so that nothing sent is lost."""
        try:
            while self.receive(1):
                pass
        except Gone:
            pass

    def login_step(self, pdu, keys, actions):
        """Answer one login PDU.  True: in the full feature phase."""
        current, following, transit = pdu.flags >> 2 & 3, pdu.flags & 3, pdu.flags & 0x80
        answers = []
        if not self.discovery and keys.get("TargetName") != self.options.name:
            self.refuse(pdu, 0x0203)
            raise Gone
        if current == 0:
            if not self.authenticate(keys, answers):
                self.refuse(pdu, 0x0201)
                raise Gone
            transit = transit and self.chap in (None, "done")
        elif self.options.chap and self.chap != "done":
            self.refuse(pdu, 0x0201)
            raise Gone
        else:
            self.negotiate(keys, answers, any(a.name == "nodigest" for a in actions))
        flags = current << 2 | (0x80 | following if transit else 0)
        tsih = 0
        if transit and following == 3:
            tsih = self.established(pdu, keys)
        answers.append(("TargetPortalGroupTag", self.portal.group))
        self.login_answer(pdu, 0, answers, flags, tsih)
        if tsih:
            self.in_digest = self.out_digest = self.negotiated.get("HeaderDigest") == "CRC32C"
        return bool(tsih)

    def authenticate(self, keys, answers):
        if not self.options.chap:
            answers.append(("AuthMethod", "None"))
            return "None" in keys.get("AuthMethod", "None").split(",")
        user, _, secret = self.options.chap.partition(":")
        if self.chap is None:
            self.chap = "offered"
            answers.append(("AuthMethod", "CHAP"))
            return "CHAP" in keys.get("AuthMethod", "").split(",")
        if self.chap == "offered":
            self.chap = os.urandom(16)
            answers += [("CHAP_A", 5), ("CHAP_I", 1), ("CHAP_C", "0x" + self.chap.hex())]
            return "5" in keys.get("CHAP_A", "").split(",")
        right = hashlib.md5(b"\1" + secret.encode() + self.chap).hexdigest()
        self.chap = "done"
        return keys.get("CHAP_N") == user and int(keys.get("CHAP_R", "0"), 16) == int(right, 16)

    def negotiate(self, keys, answers, leave_digest_out):
        o = self.options
        mine = {"ImmediateData": o.immediate_data, "InitialR2T": o.initial_r2t}
        for name in ("MaxRecvDataSegmentLength", "MaxBurstLength", "FirstBurstLength"):
            self.negotiated[name] = min(int(keys.get(name, self.negotiated[name])), 16777215)
        self.negotiated["MaxBurstLength"] = min(self.negotiated["MaxBurstLength"], o.max_burst)
        self.negotiated["FirstBurstLength"] = min(
            self.negotiated["FirstBurstLength"], o.first_burst, self.negotiated["MaxBurstLength"]
        )
        self.immediate_data = mine["ImmediateData"] == "Yes" and keys.get("ImmediateData", "Yes") == "Yes"
        self.initial_r2t = mine["InitialR2T"] == "Yes" or keys.get("InitialR2T", "Yes") == "Yes"
        digests = keys.get("HeaderDigest", "None").split(",")
        self.negotiated["HeaderDigest"] = next((d for d in digests if d in ("None", "CRC32C")), "None")
        if not leave_digest_out:
            answers.append(("HeaderDigest", self.negotiated["HeaderDigest"]))
        answers += [
            ("DataDigest", "None"),
            ("MaxRecvDataSegmentLength", o.segment),
            ("MaxBurstLength", self.negotiated["MaxBurstLength"]),
            ("FirstBurstLength", self.negotiated["FirstBurstLength"]),
            ("ImmediateData", "Yes" if self.immediate_data else "No"),
            ("InitialR2T", "Yes" if self.initial_r2t else "No"),
            ("MaxConnections", 1),
            ("MaxOutstandingR2T", 1),
            ("DataPDUInOrder", "Yes"),
            ("DataSequenceInOrder", "Yes"),
            ("ErrorRecoveryLevel", 0),
            ("DefaultTime2Wait", 2),
            ("DefaultTime2Retain", 0),
        ]

    def established(self, pdu, keys):
        initiator, isid = keys.get("InitiatorName", ""), pdu.lun[:6]
        with self.target.lock:
            if self.dead:
                raise Gone
            self.session = self.target.log_in(self, initiator, isid, self.discovery)
        self.log(f"login of {initiator} isid {isid.hex()}{' (discovery)' if self.discovery else ''}")
        return self.session.tsih

    # ---- full feature phase ----

    def dispatch(self, pdu):
        self.check_numbers(pdu)
        if pdu.opcode == P.COMMAND:
            self.command(pdu)
        elif pdu.opcode == P.DATA_OUT:
            self.data_out(pdu)
        elif pdu.opcode in P.NAMES:
            getattr(self, "take_" + P.NAMES[pdu.opcode], self.take_unknown)(pdu)
        else:
            self.take_unknown(pdu)

    def check_numbers(self, pdu):
        if pdu.opcode == P.DATA_OUT:
            return
        if pdu.immediate:
            if pdu.sn != self.expcmdsn:
                self.violation(f"immediate CmdSN {pdu.sn:08x}, expected {self.expcmdsn:08x}")
        else:
            if pdu.sn != self.expcmdsn:
                self.violation(f"CmdSN {pdu.sn:08x}, expected {self.expcmdsn:08x}")
            if self.maxcmdsn is not None and 0 < ((pdu.sn - self.maxcmdsn) & 0xFFFFFFFF) < 1 << 31:
                self.violation(f"CmdSN {pdu.sn:08x} over MaxCmdSN {self.maxcmdsn:08x}")
            self.expcmdsn = (pdu.sn + 1) & 0xFFFFFFFF
        # libiscsi takes the StatSN of an R2T, which is that of the next response, for one it has had.
        if ((self.statsn + 1 - pdu.w28) & 0xFFFFFFFF) >= 1 << 31:
            self.violation(f"ExpStatSN {pdu.w28:08x} was not sent yet")

    def take_unknown(self, pdu):
        self.violation(f"opcode {pdu.opcode:#x} in the full feature phase")
        self.reject(pdu.raw, 4)

    def reject(self, header, reason):
        self.send(Pdu(P.REJECT, P.FINAL, reason, ttt=0, data=header))

    def answered(self, event, respond, count=None, header=b""):
        """A PDU that is answered by respond (status)."""
        with self.target.lock:
            self.target.counts[count or event] += 1
        status = 0
        for action in self.match(event):
            if self.pause(action):
                continue
            if action.name == "drop":
                self.drop("fin" not in action.flags)
            elif action.name == "noresp":
                return
            elif action.name == "reject":
                self.reject(header, action.number())
                return
            elif action.name == "status":
                status = action.number()
            elif action.name in ("delay", "hold"):
                self.target.later(action.number(), lambda: respond(status))
                return
        respond(status)

    def take_nop(self, pdu):
        if pdu.itt == P.NO_TAG:
            with self.target.lock:
                self.target.counts["ping_answers"] += 1
            return
        self.answered(
            "nop",
            lambda status: self.send(Pdu(P.NOP_IN, itt=pdu.itt, lun=pdu.lun, data=pdu.data)),
            "nops",
            pdu.raw,
        )

    def take_text(self, pdu):
        if not self.discovery and "SendTargets" not in P.text_keys(pdu.data):
            self.violation("a text request for nothing")
        answers = [("TargetName", self.options.name)]
        answers += [("TargetAddress", f"{p.text},{p.group}") for p in self.target.portals]
        self.answered(
            "text", lambda status: self.send(Pdu(P.TEXT_RESPONSE, itt=pdu.itt, data=P.text_data(answers))), "texts", pdu.raw
        )

    def take_tmf(self, pdu):
        function = pdu.flags & 0x7F
        with self.target.lock:
            if function == 1:  # ABORT TASK
                self.tasks.pop(pdu.ttt, None)
            elif function in (2, 4, 5):  # ABORT or CLEAR TASK SET, LOGICAL UNIT RESET
                lun = P.lun_of(pdu.lun)
                for task in [t for t in self.tasks.values() if t.lun == lun]:
                    del self.tasks[task.itt]
        self.answered(
            "tmf", lambda status: self.send(Pdu(P.TMF_RESPONSE, b2=status, itt=pdu.itt, ttt=0)), f"tmf{function}", pdu.raw
        )

    def take_logout(self, pdu):
        def respond(status):
            self.send(Pdu(P.LOGOUT_RESPONSE, b2=status, itt=pdu.itt, ttt=0))
            with self.target.lock:
                self.target.forget(self)
            self.linger()
            raise Gone

        self.answered("logout", respond, "logouts")

    def ping(self):
        self.ttt += 1
        self.send(Pdu(P.NOP_IN, ttt=self.ttt), advance=False)

    def tell_window(self):
        self.send(Pdu(P.NOP_IN), advance=False)

    def async_message(self, event, parameters=(0, 2, 0)):
        w36 = event << 24 | parameters[0]
        self.send(Pdu(P.ASYNC, ttt=0, w36=w36, w40=parameters[1] << 16 | parameters[2]))

    # ---- commands ----

    def command(self, pdu):
        cdb = pdu.cdb
        lun = P.lun_of(pdu.lun)
        task = Task(pdu.itt, lun, cdb, scsi.name_of(cdb), pdu.ttt, pdu.sn, pdu.raw, out=bool(pdu.flags & 0x20))
        unit = self.target.unit(lun)
        if self.discovery:
            self.violation("a command in a discovery session")
        if task.itt in self.tasks:
            self.violation(f"task tag {task.itt:08x} used twice")
        expected = scsi.transfer_bytes(cdb, unit.disk.block_size) if unit else None
        if expected is not None and expected != task.edtl:
            self.violation(f"{task.name}: {task.edtl} bytes expected for {expected} of the CDB")
        with self.target.lock:
            self.target.commands[task.name] += 1
            if unit:
                self.notice_proof(unit, task)
        task.actions = self.match(task.name, lun=lun, lba=scsi.range_of(cdb))
        self.tasks[task.itt] = task
        with self.target.lock:
            self.target.deepest = max(self.target.deepest, len(self.tasks))
        task.too_deep = 0 < self.target.depth < len(self.tasks)
        if task.out:
            task.data = bytearray(task.edtl)
            self.first_data(pdu, task)
        if self.arrival_faults(task):
            self.tasks.pop(task.itt, None)
        elif not task.out or (task.got >= task.edtl and not task.unsolicited):
            self.run_task(task)
        elif not task.unsolicited:
            self.ask_for_data(task)

    def notice_proof(self, unit, task):
        """Nothing may be written before the LUN's identity has been asked for on this nexus."""
        if task.name in ("vpd83", "vpd80"):
            self.session.proven.add(unit.number)
        elif task.name in scsi.GROUPS["modify"] and unit.number not in self.session.proven:
            self.target.violations.append(f"conn {self.number}: {task.name} to a LUN that was not identified")

    def first_data(self, pdu, task):
        if pdu.data and not self.immediate_data:
            self.violation("immediate data")
        if len(pdu.data) > min(task.edtl, self.negotiated["FirstBurstLength"]):
            self.violation(f"{len(pdu.data)} bytes of immediate data")
        task.data[: len(pdu.data)] = pdu.data
        task.got = len(pdu.data)
        task.unsolicited = not pdu.flags & P.FINAL
        if task.unsolicited and self.initial_r2t:
            self.violation("unsolicited data in spite of InitialR2T")

    def data_out(self, pdu):
        task = self.tasks.get(pdu.itt)
        if not self.meet("dataout", lba=scsi.range_of(task.cdb) if task else None, lun=task.lun if task else None):
            return
        if not task:
            if pdu.itt not in self.target.answered_early:  # not on its way already
                self.violation(f"Data-Out for an unknown task {pdu.itt:08x}")
            return
        if pdu.w40 != task.got or pdu.w36 != task.datasn:
            self.violation(f"Data-Out {pdu.w36} at {pdu.w40}, expected {task.datasn} at {task.got}")
        limit = min(task.edtl, self.negotiated["FirstBurstLength"])
        if task.r2t:
            limit = task.r2t[1] + task.r2t[2]
            if pdu.ttt != task.r2t[0]:
                self.violation(f"Data-Out for transfer tag {pdu.ttt:08x}, not {task.r2t[0]:08x}")
        if len(pdu.data) > self.options.segment or pdu.w40 + len(pdu.data) > limit:
            self.violation(f"Data-Out of {len(pdu.data)} bytes at {pdu.w40}, over {limit}")
            return
        task.data[pdu.w40 : pdu.w40 + len(pdu.data)] = pdu.data
        task.got += len(pdu.data)
        task.datasn += 1
        if not pdu.flags & P.FINAL:
            return
        task.unsolicited = False
        if task.r2t and task.got < limit:
            self.violation(f"a burst ended after {task.got} of {limit} bytes")
        if task.got >= task.edtl:
            self.run_task(task)
        else:
            self.ask_for_data(task)

    def ask_for_data(self, task, beyond=0):
        length = min(self.negotiated["MaxBurstLength"], task.edtl - task.got)
        self.ttt += 1
        task.r2t = (self.ttt, task.got, length)
        task.datasn = 0
        self.send(
            Pdu(P.R2T, lun=task.header[8:16], itt=task.itt, ttt=self.ttt, w36=task.r2tsn, w40=task.got, w44=length + beyond),
            advance=False,
        )
        task.r2tsn += 1
        if any(a.name == "nopin" and "r2t" in a.flags for a in task.actions):
            self.ping()

    # ---- what rules do to a command ----

    def arrival_faults(self, task):
        """Before its data is asked for.  True: it ends here."""
        ended = False
        for action in (a for a in task.actions if a.stage == faults.ARRIVAL):
            if self.pause(action):
                continue
            if action.name == "drop":
                self.drop("fin" not in action.flags)
            elif action.name == "reject":
                header = task.header if "unmatched" not in action.flags else task.header[:16] + b"\x7e" * 4 + task.header[20:]
                self.reject(header, action.number())
                ended = "unmatched" not in action.flags
            elif action.name == "async":
                self.async_message(action.number())
                ended = "swallow" in action.flags
            elif action.name == "nopin" and "r2t" not in action.flags:
                self.ping()
            elif action.name == "freeze":
                self.frozen = True
            elif action.name == "r2t-beyond":
                self.target.answered_early.add(task.itt)
                self.ask_for_data(task, beyond=65536)
                ended = True
            elif action.name in ("status", "sense"):
                self.target.answered_early.add(task.itt)
                if "r2t" in action.flags:
                    self.ask_for_data(task)
                self.respond(task, self.refusal(action, task))
                ended = True
        return ended

    def refusal(self, action, task):
        if action.name == "status":
            return Answer(status=action.number())
        key, asc, ascq = faults.triple(action.args[0])
        info = action.values.get("info")
        if info == "lba":
            info = scsi.range_of(task.cdb)[0]
        forms = action.flags & {"descriptor", "none", "empty", "short", "long"}
        form = forms.pop() if forms else "fixed"
        sense = scsi.sense_data(
            key, asc, ascq, None if info is None else int(str(info), 0), form, "deferred" in action.flags
        )
        return Answer(status=scsi.CHECK, sense=sense)

    def run_task(self, task):
        if task.too_deep:
            with self.target.lock:
                self.target.counts["full"] += 1
            self.respond(task, Answer(status=scsi.FULL))
            return
        for action in (a for a in task.actions if a.stage == faults.RUN):
            if action.name == "drop":
                self.drop("fin" not in action.flags)
            elif action.name in ("status", "sense"):
                self.finish(task, self.refusal(action, task))
                return
            elif action.name == "noresp":
                return
            elif action.name == "powerloss":
                self.target.lose_power(action.args)
                raise Gone
            elif action.name == "hold":
                self.target.later(action.number(), lambda: self.finish(task, self.perform(task)))
                return
        self.finish(task, self.perform(task))

    def perform(self, task):
        """Execute it.  The lock makes that one moment: no power loss or kill comes in between."""
        with self.target.lock:
            if self.dead or task.itt not in self.tasks:
                raise Gone
            unit = self.target.unit(task.lun)
            try:
                data = unit.execute(self.session, task.cdb, task.data) if unit else self.no_unit(task)
            except scsi.Refused as refused:
                return Answer(status=refused.status, sense=refused.sense)
            self.target.executed[task.name] += 1
            return Answer(data=data)

    def no_unit(self, task):
        if task.name == "report-luns":
            return self.target.report_luns(struct.unpack_from(">I", task.cdb, 6)[0])
        if task.name == "inquiry":
            return (b"\x7f\0\6\2\x1f\0\0\0" + b"NONE".ljust(28))[: struct.unpack_from(">H", task.cdb, 3)[0]]
        raise scsi.check(5, 0x25, 0)

    def finish(self, task, answer):
        """Answer, in one of many ways."""
        delay, copies, late = 0, 1, False
        for action in (a for a in task.actions if a.stage == faults.REPLY):
            if action.name == "noresp":
                return
            if action.name == "drop":
                self.drop("fin" not in action.flags)
            elif action.name == "powerloss":
                self.target.lose_power(action.args)
                raise Gone
            elif action.name in ("delay", "late"):
                delay, late = action.number(), action.name == "late"
            elif action.name == "dup":
                copies = 2
            elif self.twist(action, task, answer):
                return
        if delay:
            self.target.later(delay, lambda: self.respond_late(task, answer) if late else self.respond(task, answer))
            return
        for _ in range(copies):
            self.respond(task, answer)

    def respond_late(self, task, answer):
        connection = self
        if self.dead:
            with self.target.lock:
                session = self.target.sessions.get(self.session.nexus)
            if not session:
                return
            connection = session.connection
        connection.respond(task, answer)

    def twist(self, action, task, answer):
        """Make the answer a wrong one.  True: it has been sent."""
        name, n = action.name, action.number(0)
        if name in ("underflow", "overflow"):
            answer.honest, answer.resid = False, n
            answer.flags = 2 if name == "underflow" else 4
            if name == "underflow":
                answer.data = answer.data[: len(answer.data) - n]
        elif name == "nodata":
            answer.honest, answer.data = False, b""
        elif name == "short":
            answer.honest, answer.data = False, answer.data[: len(answer.data) - n]
        elif name == "tgtfail":
            answer.honest, answer.response, answer.data = False, 1, b""
        else:
            return self.malformed(name, n, action, task, answer)
        return False

    def malformed(self, name, n, action, task, answer):
        """PDUs that should not be.  True: nothing more is sent for the task."""
        if name == "badtag":
            self.send(Pdu(P.RESPONSE, itt=task.itt ^ 0x5A5A5A5A, ttt=0))
            return False
        self.tasks.pop(task.itt, None)
        if name == "badopcode":
            self.send(Pdu(0x3C, itt=task.itt, ttt=0))
        elif name == "ahs":
            self.send(Pdu(P.RESPONSE, itt=task.itt, ttt=0, ahs=2, data=bytes(8)))
        elif name == "garbage":
            with self.send_lock:
                self.transmit(hashlib.shake_128(b"garbage").digest(n or 256))
        elif name == "beyond":
            self.send(Pdu(P.DATA_IN, 0x81, itt=task.itt, w40=task.edtl + n, data=bytes(512)))
        elif name == "bigsegment":
            size = self.negotiated["MaxRecvDataSegmentLength"] + 65536
            self.send(Pdu(P.DATA_IN, 0x81, itt=task.itt, data=bytes(size)))
        elif name == "cut":
            pdu = Pdu(P.DATA_IN, 0x81, itt=task.itt, data=answer.data) if answer.data else Pdu(P.RESPONSE, itt=task.itt, ttt=0)
            self.send(pdu, stop_after=n)
            if "fin" in action.flags:
                self.sock.shutdown(socket.SHUT_WR)
                self.linger()
                raise Gone
            self.drop()
        return True

    # ---- answers ----

    def respond(self, task, answer):
        self.tasks.pop(task.itt, None)
        if answer.honest and answer.status == scsi.GOOD:
            done = task.edtl if task.out else len(answer.data)
            answer.resid, answer.flags = task.edtl - done, 2 if done < task.edtl else 0
        if answer.data and answer.status == scsi.GOOD:
            self.send_data(task, answer)
        else:
            self.send_status(task, answer)

    def send_data(self, task, answer):
        with_status = not self.options.separate_status and answer.honest
        most = min(self.negotiated["MaxRecvDataSegmentLength"], self.options.segment)
        burst = self.negotiated["MaxBurstLength"]
        offset = sn = 0
        while offset < len(answer.data):
            part = answer.data[offset : offset + min(most, burst - offset % burst)]
            end = offset + len(part)
            last = end >= len(answer.data)
            flags = P.FINAL if last or end % burst == 0 else 0
            resid = 0
            if last and with_status:
                flags |= 1 | answer.flags
                resid = answer.resid
            self.send(
                Pdu(P.DATA_IN, flags, itt=task.itt, w36=sn, w40=offset, w44=resid, data=part),
                advance=bool(flags & 1),
            )
            offset, sn = end, sn + 1
        if not with_status:
            self.send_status(task, answer, sn)

    def send_status(self, task, answer, datasn=0):
        self.send(
            Pdu(
                P.RESPONSE, P.FINAL | answer.flags, answer.response, answer.status, itt=task.itt, ttt=0,
                w36=datasn or task.r2tsn, w44=answer.resid, data=answer.sense,
            )
        )  # fmt: skip
