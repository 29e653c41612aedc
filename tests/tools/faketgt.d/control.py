# SPDX-License-Identifier: GPL-2.0-or-later
"""The control socket: one line in, "ok" or "error: WHY" and the answer out.

  on EVENT [FILTER=VALUE ...] : ACTION ...   a new rule (faults.py); prints its number
  rules | clear [NUMBER ...]                 list them with their hits; forget them
  stats | reset                              counters as JSON; zero them
  writes LUN LBA [N]                         how often each block was written
  dump LUN FILE                              what the LUN holds, cache and all (its file= holds what is stable)
  sync [LUN]                                 as SYNCHRONIZE CACHE
  forget LUN                                 what is not synchronised is gone, and nobody is told
  powerloss [partial SEED]                   all connections and everything not synchronised are gone; or some of it
  drop [fin]                                 end all connections, by RST or FIN
  listen on|off [PORTAL]                     refuse connections, take them again
  resume | thaw                              connections that hang go on; MaxCmdSN moves again
  window N | depth N                         size of the command window; more than N commands get TASK SET FULL (0: off)
  async EVENT | nopin                        to every session
  resize LUN SIZE [quiet]                    unit attention 2A/09 unless quiet
  disk NAME SIZE [file=] [serial=] [block=]  another disk, for attach
  detach LUN [quiet] | attach LUN DISK [quiet]   unit attention 3F/0E; DISK: disk0 is LUN 0's own, ...
  protect LUN on|off [quiet]                 write protection; 2A/01
  notready LUN ASC/ASCQ | ready LUN
  full LUN on|off                            writes to unmapped blocks get 07/27/07
  wce LUN on|off [quiet]                     2A/01
  medium LUN LBA[-LBA] read|write|both [fixed|descriptor|noinfo] | medium LUN off
  reserve LUN TYPE [KEY] | release LUN       another initiator's persistent reservation; 2A/04 when released
  preempt LUN                                our registrations end: 2A/05
  ua LUN|all ASC/ASCQ ...                    unit attentions, in this order
  loginua [ASC/ASCQ ...]                     what each new session gets first
  alua GROUP STATE [quiet]                   optimized, nonoptimized, standby, unavailable, transitioning; 2A/06
  quit"""
import json
import os
import socketserver
import threading

import faults
import scsi
from connection import Gone
from target import bytes_of


class Control:
    def __init__(self, target):
        self.target = target

    def execute(self, line):
        """The answer's text; raises ValueError and the like."""
        words = line.split()
        if not words:
            raise ValueError("no command")
        method = getattr(self, "do_" + words[0], None)
        if not method:
            raise ValueError(f"no such command: {words[0]}")
        self.target.log(f"> {line}") if words[0] != "stats" else None
        if words[0] == "on":
            return method(line.split(None, 1)[1])
        return method(*words[1:]) or ""

    def unit(self, lun):
        return self.target.units[int(lun)]

    def disk(self, lun):
        disk = self.unit(lun).disk
        if not disk:
            raise ValueError(f"LUN {lun} is not there")
        return disk

    def each_session(self, what):
        for session in list(self.target.sessions.values()):
            try:
                what(session.connection)
            except (Gone, OSError):
                pass

    # ---- rules and counters ----

    def do_help(self):
        return __doc__

    def do_on(self, text):
        with self.target.lock:
            return str(self.target.rules.add(text).id)

    def do_rules(self):
        with self.target.lock:
            return "\n".join(f"{r.id} hits={r.hits} seen={r.seen} {r.text}" for r in self.target.rules.rules)

    def do_clear(self, *ids):
        with self.target.lock:
            self.target.rules.clear([int(i) for i in ids])

    def do_stats(self):
        return json.dumps(self.target.stats(), indent=1)

    def do_reset(self):
        with self.target.lock:
            self.target.forget_counts()
            for disk in self.target.disks.values():
                disk.written.clear()

    def do_writes(self, lun, lba, n="1"):
        with self.target.lock:
            written = self.disk(lun).written
            return " ".join(str(written.get(int(lba, 0) + i, 0)) for i in range(int(n, 0)))

    # ---- data ----

    def do_dump(self, lun, path):
        with self.target.lock:
            self.disk(lun).dump(path)

    def do_sync(self, lun=None):
        with self.target.lock:
            for disk in [self.disk(lun)] if lun else self.target.disks.values():
                disk.sync()

    def do_forget(self, lun):
        with self.target.lock:
            return str(self.disk(lun).lose_power())

    def do_powerloss(self, *words):
        return str(self.target.lose_power(words))

    # ---- connections ----

    def do_drop(self, how="rst"):
        with self.target.lock:
            self.target.drop_all(how != "fin")

    def do_listen(self, on, portal=None):
        for p in self.target.portals if portal is None else [self.target.portals[int(portal)]]:
            p.listen() if switch(on) else p.stop()

    def do_resume(self):
        for connection in list(self.target.connections):
            connection.awake.set()

    def do_thaw(self):
        def thaw(connection):
            connection.frozen = False
            connection.tell_window()

        self.each_session(thaw)

    def do_window(self, n):
        self.target.options.window = int(n)

    def do_depth(self, n):
        self.target.depth = int(n)

    def do_async(self, event):
        self.each_session(lambda connection: connection.async_message(int(event)))

    def do_nopin(self):
        self.each_session(lambda connection: connection.ping())

    # ---- what the LUNs are like ----

    def attend(self, lun, ua, words):
        if "quiet" not in words:
            self.target.attend(lun, ua)

    def do_ua(self, lun, *uas):
        with self.target.lock:
            for ua in uas:
                self.target.attend(None if lun == "all" else int(lun), faults.pair(ua))

    def do_loginua(self, *uas):
        with self.target.lock:
            self.target.login_attentions = [faults.pair(ua) for ua in uas]

    def do_resize(self, lun, size, *words):
        with self.target.lock:
            self.disk(lun).resize(bytes_of(size))
            self.attend(int(lun), (0x2A, 0x09), words)

    def do_disk(self, name, size, *words):
        with self.target.lock:
            self.target.add_disk(name, size, **dict(word.split("=", 1) for word in words))

    def do_detach(self, lun, *words):
        with self.target.lock:
            self.unit(lun).disk = None
            for n in self.target.units:
                if n != int(lun):
                    self.attend(n, (0x3F, 0x0E), words)

    def do_attach(self, lun, disk, *words):
        with self.target.lock:
            if int(lun) not in self.target.units:
                self.target.units[int(lun)] = scsi.Unit(self.target, int(lun), None, self.target.options)
            self.unit(lun).disk = self.target.disks[disk]
            self.attend(None, (0x3F, 0x0E), words)

    def do_protect(self, lun, on, *words):
        with self.target.lock:
            self.unit(lun).protected = switch(on)
            self.attend(int(lun), (0x2A, 0x01), words)

    def do_notready(self, lun, ua):
        with self.target.lock:
            self.unit(lun).not_ready = faults.pair(ua)

    def do_ready(self, lun):
        with self.target.lock:
            self.unit(lun).not_ready = None

    def do_full(self, lun, on):
        with self.target.lock:
            self.unit(lun).full = switch(on)

    def do_wce(self, lun, on, *words):
        with self.target.lock:
            disk = self.disk(lun)
            disk.wce = switch(on)
            if not disk.wce:
                disk.sync()
            self.attend(int(lun), (0x2A, 0x01), words)

    def do_medium(self, lun, lbas, what=None, form="fixed"):
        with self.target.lock:
            disk = self.disk(lun)
            if lbas == "off":
                disk.bad.clear()
            elif what in ("read", "write", "both") and form in ("fixed", "descriptor", "noinfo"):
                disk.bad.append((*faults.span(lbas), what, form))
            else:
                raise ValueError("read, write or both; fixed, descriptor or noinfo")

    def do_reserve(self, lun, how, key="0xfee1"):
        with self.target.lock:
            self.unit(lun).keys["another initiator"] = int(key, 0)
            self.unit(lun).reservation = ("another initiator", int(how))
            self.target.pr_generation += 1

    def do_release(self, lun):
        with self.target.lock:
            unit = self.unit(lun)
            unit.reservation = None
            for nexus in unit.keys:
                self.target.attend(unit.number, (0x2A, 0x04), only=nexus)

    def do_preempt(self, lun):
        with self.target.lock:
            unit = self.unit(lun)
            for session in self.target.sessions.values():
                unit.keys.setdefault(session.nexus, 1)
            unit.keys["another initiator"] = 0xFEE1
            unit.preempt(None, "another initiator", 3)
            self.target.pr_generation += 2

    def do_alua(self, group, state, *words):
        with self.target.lock:
            if int(group) not in self.target.groups:
                raise ValueError(f"no group {group}")
            self.target.groups[int(group)] = scsi.ALUA_STATES[state]
            self.attend(None, (0x2A, 0x06), words)

    def do_quit(self):
        threading.Timer(0.05, os._exit, (0,)).start()


def switch(word):
    if word not in ("on", "off"):
        raise ValueError("on or off")
    return word == "on"


def serve(control, path):
    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            try:
                answer = "ok\n" + control.execute(self.rfile.readline().decode())
            except Exception as e:  # whatever was wrong with the command is its sender's to know
                answer = f"error: {type(e).__name__}: {e}"
            try:
                self.wfile.write(answer.encode() + b"\n")
            except OSError:
                pass

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True
        request_queue_size = 64

    threading.Thread(target=Server(path, Handler).serve_forever, daemon=True).start()

