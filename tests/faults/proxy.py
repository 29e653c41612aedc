#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks tools/faultproxy: proxy.py FAULTPROXY CONTROL-SOCKET.  Both ends of every connection are here."""
import atexit
import errno
import json
import os
import socket
import struct
import subprocess
import sys
import time

LIMIT = 10  # seconds; nothing here takes that long unless it is broken


def pdu(opcode, data=b'', flags=0, cdb=0):
    header = bytearray(48)
    header[0], header[1], header[32] = opcode, flags, cdb
    header[5:8] = len(data).to_bytes(3, 'big')
    return bytes(header) + data + bytes(-len(data) % 4)


LOGGED_IN = pdu(0x23, b'HeaderDigest=CRC32C\0', flags=0x87)


class Proxy:
    def __init__(self, program, control):
        self.target = socket.create_server(('127.0.0.1', 0))
        self.target.settimeout(LIMIT)
        self.process = subprocess.Popen([program, '--control', control, '127.0.0.1:%d' % self.target.getsockname()[1]],
                                        stdout=subprocess.PIPE, text=True)
        atexit.register(self.process.kill)
        line = self.process.stdout.readline()
        self.port = int(line.rsplit(':', 1)[1])
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(control)
        self.lines = self.sock.makefile('rw')

    def ask(self, command):
        self.lines.write(command + '\n')
        self.lines.flush()
        return self.lines.readline().strip()

    def __call__(self, command):
        answer = self.ask(command)
        assert answer == 'ok', f'{command}: {answer}'

    def stats(self):
        return json.loads(self.ask('stats'))

    def connect(self):
        a = socket.create_connection(('127.0.0.1', self.port), LIMIT)
        b, _ = self.target.accept()
        for s in (a, b):
            s.settimeout(LIMIT)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return a, b


def read(sock, n):
    data = b''
    while len(data) < n:
        more = sock.recv(n - len(data))
        if not more:
            break
        data += more
    return data


def read_all(sock):
    """What comes, and how it ends: fin, rst or open."""
    data = b''
    while True:
        try:
            more = sock.recv(65536)
        except ConnectionResetError:
            return data, 'rst'
        except (TimeoutError, BlockingIOError):
            return data, 'open'
        if not more:
            return data, 'fin'
        data += more


def silent(sock, seconds=0.15):
    sock.settimeout(seconds)
    data, end = read_all(sock)
    sock.settimeout(LIMIT)
    return data == b'' and end == 'open'


def both(proxy):
    """Before each: nothing is broken and nothing is open."""
    proxy('close all')
    proxy('heal')
    proxy('wait current=0')
    return proxy.connect()


def check_plain(proxy):
    a, b = both(proxy)
    a.sendall(pdu(1, b'x' * 100))
    assert read(b, 148) == pdu(1, b'x' * 100)
    b.sendall(b'no PDU')
    b.close()
    assert read_all(a) == (b'no PDU', 'fin')


def check_volume(proxy):
    a, b = both(proxy)
    big = b''.join(pdu(1, os.urandom(8192)) for _ in range(1000))
    pid = os.fork()
    if pid == 0:
        a.sendall(big)
        os._exit(0)
    assert read(b, len(big)) == big
    os.waitpid(pid, 0)
    a.shutdown(socket.SHUT_WR)
    assert read_all(b) == (b'', 'fin')
    b.sendall(b'y' * 48)
    b.close()
    assert read_all(a) == (b'y' * 48, 'fin')
    proxy('wait current=0')


def check_after(proxy):
    for verb, end in ('rst', 'rst'), ('fin', 'fin'):
        a, b = both(proxy)
        proxy(f'{verb} up after=100')
        a.sendall(b'a' * 48 * 4)
        data, how = read_all(b)
        assert len(data) == 100 and how == end, (verb, len(data), how)
        if verb == 'rst':
            assert read_all(a)[1] == 'rst'


def check_boundary(proxy):
    a, b = both(proxy)
    b.sendall(pdu(0x23, flags=0x87))  # until the login is over a PDU waits until it is there as a whole
    read(a, 48)
    a.sendall(pdu(1, b'x' * 10)[:55])  # in the middle of one
    read(b, 55)
    proxy('fin up pdu')
    a.sendall(pdu(1, b'x' * 10)[55:] + pdu(1))
    assert read_all(b) == (pdu(1, b'x' * 10)[55:], 'fin')
    a, b = both(proxy)
    proxy('fin down pdu')  # between two
    assert read_all(a) == (b'', 'fin')
    a, b = both(proxy)
    proxy('fin up pdu skip=2')
    a.sendall(pdu(1) + pdu(2, b'yyy') + pdu(3))
    assert read_all(b) == (pdu(1) + pdu(2, b'yyy'), 'fin')


def check_inside(proxy):
    a, b = both(proxy)
    proxy('fin up pdu=20')
    a.sendall(pdu(1) * 3)
    assert read_all(b) == (pdu(1)[:20], 'fin')
    a, b = both(proxy)
    proxy('fin up payload=5 op=dataout')
    stream = pdu(1, b'q' * 9) + pdu(5) + pdu(5, b'd' * 8) + pdu(5)
    a.sendall(stream[:10])
    a.sendall(stream[10:])
    assert read_all(b) == (pdu(1, b'q' * 9) + pdu(5) + pdu(5, b'd' * 8)[:53], 'fin')
    a, b = both(proxy)
    proxy('fin up op=write skip=1')
    a.sendall(pdu(1, flags=0xa0) + pdu(1, flags=0xc0) + pdu(1, flags=0xa0) + pdu(0))
    assert read_all(b) == (pdu(1, flags=0xa0) + pdu(1, flags=0xc0), 'fin')
    a, b = both(proxy)
    proxy('fin up cdb=0x91')
    a.sendall(pdu(1, cdb=0x8a) + pdu(1, cdb=0x91))
    assert read_all(b) == (pdu(1, cdb=0x8a), 'fin')


def check_digests(proxy):
    a, b = both(proxy)
    b.sendall(LOGGED_IN)
    assert read(a, len(LOGGED_IN)) == LOGGED_IN
    proxy('fin up payload=2 op=dataout')
    a.sendall(pdu(1, cdb=0x8a) + b'crc1' + pdu(5, b'1234')[:48] + b'crc2' + b'1234')
    data, _ = read_all(b)
    assert len(data) == 52 + 52 + 2, len(data)


def check_corrupt(proxy):
    a, b = both(proxy)
    proxy('corrupt up after=49 bit=3')
    a.sendall(bytes(96))
    data = read(b, 96)
    assert data[49] == 8 and sum(data) == 8
    proxy('corrupt down payload=1')
    proxy('corrupt down header=40 op=datain skip=1')
    b.sendall(pdu(0x25) + pdu(0x25, b'abcd'))
    data = read(a, 100)
    assert data[48 + 40] == 1 and data[48 + 49] == ord('b') ^ 1, data
    assert proxy.stats()['fired'] >= 3


def check_hold(proxy):
    a, b = both(proxy)
    proxy('hold up')
    a.sendall(pdu(1, b'held'))
    b.sendall(pdu(0x21))
    assert read(a, 48) == pdu(0x21)
    proxy('wait up_held>=52')
    assert silent(b)
    a.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    a.close()
    assert silent(b), 'the end is held too'
    a2, b2 = proxy.connect()
    a2.sendall(pdu(2))
    assert silent(b2), 'new connections as well'
    proxy('heal')
    assert read(b2, 48) == pdu(2)
    assert read_all(b) == (pdu(1, b'held'), 'rst')
    a, b = both(proxy)
    proxy('hold up')
    a.sendall(pdu(1) * 2)
    proxy('wait up_held>=96')
    a.close()
    proxy('release up')
    assert read(b, 96) == pdu(1) * 2 and silent(b), 'the end is held on'
    proxy('heal')
    assert read_all(b) == (b'', 'fin')
    a, b = both(proxy)
    proxy('hold up existing')
    a2, b2 = proxy.connect()
    a2.sendall(pdu(2))
    assert read(b2, 48) == pdu(2), 'not those'
    a, b = both(proxy)
    proxy('hold down pdu skip=1')
    b.sendall(pdu(0x21) + pdu(0x22))
    assert read(a, 48) == pdu(0x21) and silent(a)
    proxy('heal down')
    assert read(a, 48) == pdu(0x22)


def check_drop(proxy):
    a, b = both(proxy)
    proxy('drop up')
    a.sendall(pdu(1))
    b.sendall(pdu(0x21))
    assert read(a, 48) == pdu(0x21) and silent(b)
    a.close()
    assert silent(b)
    proxy('heal')
    assert read_all(b) == (b'', 'rst')
    proxy('wait current=0')
    a, b = both(proxy)
    proxy('drop down')
    proxy('heal')
    b.sendall(pdu(0x21))
    assert read(a, 48) == pdu(0x21), 'nothing was lost'
    proxy('drop down')
    b.sendall(pdu(0x21))
    proxy('wait up_held=0')
    while not proxy.stats()['conns'][0]['down']['dropped']:
        time.sleep(0.01)
    proxy('heal')
    assert read_all(a) == (b'', 'rst') and read_all(b) == (b'', 'rst'), 'no stream with a gap'


def check_stall(proxy):
    a, b = both(proxy)
    proxy('stall up')
    a.settimeout(0.3)
    total = 0
    try:
        while total < 100 << 20:
            total += a.send(bytes(65536))
    except TimeoutError:
        pass
    assert 0 < total < 100 << 20, total
    assert proxy.stats()['up_held'] == 0
    proxy('heal')
    total -= total % 48  # what begins a header waits for the rest of it
    assert len(read(b, total)) == total


def check_shapes(proxy):
    a, b = both(proxy)
    proxy('delay up 200')
    began = time.monotonic()
    a.sendall(pdu(1))
    assert read(b, 48) == pdu(1)
    assert time.monotonic() - began >= 0.19
    proxy('heal')
    proxy('rate both 20000')
    began = time.monotonic()
    a.sendall(bytes(9600))
    assert read(b, 9600) == bytes(9600)
    assert time.monotonic() - began >= 0.3
    proxy('heal')
    proxy('split up 7 5')
    began = time.monotonic()
    a.sendall(pdu(1))
    assert len(b.recv(48)) == 7 and read(b, 41)
    assert time.monotonic() - began >= 0.03
    proxy('split up 1')
    big = os.urandom(48) * 100
    a.sendall(big)
    assert read(b, len(big)) == big


def check_listening(proxy):
    both(proxy)
    proxy('refuse')
    assert socket.socket().connect_ex(('127.0.0.1', proxy.port)) == errno.ECONNREFUSED
    assert proxy.stats()['listening'] == 0
    proxy('ignore')
    s = socket.socket()
    s.settimeout(0.3)
    try:
        s.connect(('127.0.0.1', proxy.port))
        raise AssertionError('connected')
    except TimeoutError:
        s.close()
    proxy('silent')
    s = socket.create_connection(('127.0.0.1', proxy.port), LIMIT)
    s.sendall(pdu(3))
    assert silent(s)
    proxy('heal')
    proxy('rst')
    assert read_all(s)[1] == 'rst'
    a, b = proxy.connect()
    a.sendall(pdu(3))
    assert read(b, 48) == pdu(3)
    s = socket.socket()  # a port where nobody listens
    s.bind(('127.0.0.1', 0))
    proxy('target 127.0.0.1:%d' % s.getsockname()[1])
    try:
        c = socket.create_connection(('127.0.0.1', proxy.port), LIMIT)
        assert read_all(c)[1] == 'rst'
    except ConnectionResetError:
        pass
    proxy('target 127.0.0.1:%d' % proxy.target.getsockname()[1])
    assert proxy.stats()['unreachable'] == 1


def check_sides(proxy):
    a, b = both(proxy)
    proxy('rst side=initiator')
    assert read_all(a)[1] == 'rst' and silent(b)
    proxy('rst side=target')
    assert read_all(b)[1] == 'rst'
    proxy('wait current=0')
    a, b = both(proxy)
    a2, b2 = proxy.connect()
    proxy('rst conn=%d' % proxy.stats()['conns'][1]['id'])
    assert read_all(a2)[1] == 'rst' and read_all(b2)[1] == 'rst' and silent(a) and silent(b)
    proxy('fin down after=48 future')
    a2, b2 = proxy.connect()
    b2.sendall(pdu(1) * 2)
    assert read_all(a2) == (pdu(1), 'fin')


def check_errors(proxy):
    for wrong in ('', 'nonsense', 'rst sideways', 'delay', 'hold 5', 'rst conn=99999', 'rst op=what', 'wait x>=1'):
        answer = proxy.ask(wrong)
        assert answer.startswith('error'), f'{wrong}: {answer}'
    assert proxy.ask('wait current>=1000 0.1').startswith('error')


def ticks(pid):
    with open(f'/proc/{pid}/stat', encoding='ascii') as stat:
        return sum(map(int, stat.read().split()[13:15]))


def main():
    proxy = Proxy(sys.argv[1], sys.argv[2])
    for name, check in [(n, f) for n, f in globals().items() if n.startswith('check_')]:
        print('#', name, flush=True)
        check(proxy)
    proxy('close all')
    proxy('wait current=0')
    fds = len(os.listdir(f'/proc/{proxy.process.pid}/fd'))
    assert fds <= 8, f'{fds} descriptors are left'
    before = ticks(proxy.process.pid)
    time.sleep(0.5)
    spent = ticks(proxy.process.pid) - before
    assert spent <= 5, f'it spins: {spent} ticks'
    proxy('quit')
    assert proxy.process.wait(LIMIT) == 0


main()
