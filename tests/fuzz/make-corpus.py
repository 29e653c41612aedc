#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes tests/fuzz/corpus/<what>/<name>: what each harness is given first, and changed from there.

Run it from the top of the sources after a change here, and commit what it wrote."""
import os
import shutil
import struct

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")
ABLE = set()


def put(what, name, *parts):
    """One seed; parts are bytes, texts or small numbers (one byte)."""
    data = b"".join(
        p if isinstance(p, bytes) else p.encode() if isinstance(p, str) else bytes([p]) for p in parts
    )
    path = os.path.join(TOP, what)
    if what not in ABLE:
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path)
        ABLE.add(what)
    with open(os.path.join(path, name), "xb") as f:
        f.write(data)


def be16(n):
    return struct.pack(">H", n)


def be32(n):
    return struct.pack(">I", n)


def be64(n):
    return struct.pack(">Q", n)


# ---- sense data: status, then the data ----


def fixed(key, asc, ascq, code=0x70, info=None, length=18):
    data = bytearray(18)
    data[0] = code | (0x80 if info is not None else 0)
    data[2] = key
    data[3:7] = be32(info or 0)
    data[7] = 10
    data[12], data[13] = asc, ascq
    return bytes(data[:length])


def descriptor(key, asc, ascq, *descriptors, code=0x72):
    body = b"".join(descriptors)
    return bytes([code, key, asc, ascq, 0, 0, 0, len(body)]) + body


INFORMATION = bytes([0, 0x0A, 0x80, 0]) + be64(0x123456789)
CHECK = be16(2)
for key, asc, ascq in [(0, 0, 0), (1, 0x17, 1), (2, 4, 1), (2, 4, 2), (2, 4, 0x0B), (2, 0x3A, 0), (3, 0x11, 0), (4, 0x44, 0),
                       (5, 0x20, 0), (5, 0x25, 0), (6, 0x29, 0), (6, 0x2A, 9), (6, 0x3F, 0x0E), (7, 0x27, 7),
                       (0xB, 0x47, 0), (0xD, 0, 0), (0xE, 0x1D, 0), (9, 1, 2)]:
    put("sense", f"fixed-{key:x}-{asc:02x}-{ascq:02x}", CHECK, fixed(key, asc, ascq))
put("sense", "fixed-info", CHECK, fixed(3, 0x11, 0, info=0xFFFFFFFF))
put("sense", "fixed-deferred", CHECK, fixed(3, 0x0C, 2, code=0x71))
put("sense", "fixed-8", CHECK, fixed(6, 0, 0, length=8))
put("sense", "fixed-14", CHECK, fixed(6, 0x29, 2, length=14))
put("sense", "descriptor", CHECK, descriptor(5, 0x21, 0))
put("sense", "descriptor-info", CHECK, descriptor(3, 0x11, 0, bytes([2, 6, 0, 0, 0x80, 0, 0, 0]), INFORMATION))
put("sense", "descriptor-cut", CHECK, descriptor(3, 0x11, 0, INFORMATION)[:-3])
put("sense", "descriptor-deferred", CHECK, descriptor(4, 0x44, 0, INFORMATION, code=0x73))
put("sense", "vendor", CHECK, bytes([0x7F, 1, 2, 3, 4, 5, 6, 7, 8]))
for status in (0x00, 0x08, 0x18, 0x28, 0x30, 0x40, 0x100, 0x99):
    put("sense", f"status-{status:x}", be16(status))

# ---- INQUIRY ----


def standard(qualifier=0, kind=0, vendor=b"LIO-ORG ", product=b"disk            ", revision=b"4.0 "):
    return bytes([qualifier << 5 | kind, 0, 6, 2, 31, 0x10, 0, 2]) + vendor + product + revision


def page(code, body, length=None):
    return bytes([0, code]) + be16(len(body) if length is None else length) + body


def designator(kind, ident, code_set=1, association=0, length=None):
    return bytes([code_set, association << 4 | kind, 0, len(ident) if length is None else length]) + ident


NAA6 = bytes.fromhex("6001405a5a5a5a5a0123456789abcdef")
NAA5 = bytes.fromhex("5123456789abcdef")
T10 = b"LIO-ORG disk:0123-4567  "
put("vpd", "standard", standard())
put("vpd", "standard-hostile", standard(vendor=b"\x1b[2J\0\xff\"/", product=b"\xc3\xa4 <&>  \\n  \r\n  "))
put("vpd", "standard-short", standard()[:20])
put("vpd", "standard-no-lun", standard(qualifier=3, kind=0x1F))
put("vpd", "pages", page(0x00, bytes([0x00, 0x80, 0x83, 0xB0, 0xB1, 0xB2])))
put("vpd", "pages-cut", page(0x00, bytes([0x00, 0x80, 0x83]), length=200))
put("vpd", "serial", page(0x80, b"  0123456789abcdef  "))
put("vpd", "serial-odd", page(0x80, b"\0a/b\xe4 \x7f\"c\0\0"))
put("vpd", "serial-long", page(0x80, b"s" * 255))
put("vpd", "serial-cut", page(0x80, b"0123", length=8))
put("vpd", "naa6", page(0x83, designator(3, NAA6)))
put("vpd", "all", page(0x83, designator(8, b"iqn.2026-01.org.example:t1,t,0x1\0\0", 3, 1) + designator(4, b"\0\0\0\1", 1, 1)
                       + designator(1, T10, 2) + designator(2, NAA5) + designator(3, NAA5) + designator(3, NAA6)))
put("vpd", "port-group", page(0x83, designator(5, bytes([0, 0, 0, 7]), 1, 1) + designator(4, b"\0\0\0\1", 1, 1)))
put("vpd", "t10-binary", page(0x83, designator(1, bytes(range(9, 60)), 1)))
put("vpd", "t10-long", page(0x83, designator(1, b"V" * 250, 2)))
put("vpd", "eui", page(0x83, designator(2, bytes(range(1, 17)))))
put("vpd", "eui-zero", page(0x83, designator(2, bytes(8)) + designator(2, bytes(range(12)))))
put("vpd", "name", page(0x83, designator(8, b"naa.6001405ABC/..\0", 3) + designator(8, b"iqn.2026-01.org:x y\0\0", 3)))
put("vpd", "designator-cut", page(0x83, designator(3, NAA6) + designator(3, NAA6, length=200)))
B0 = bytes([1, 0]) + be16(1) + be32(65528) + be32(128) + be32(0) + be32(8192) + be32(1) + be32(8) + be32(0x80000003)
put("vpd", "limits", page(0xB0, B0 + be64(32768) + bytes(20)))
put("vpd", "limits-sbc2", page(0xB0, B0[:12]))
put("vpd", "limits-35", page(0xB0, B0[:31]))
put("vpd", "characteristics", page(0xB1, be16(1) + bytes(58)))
put("vpd", "provisioning", page(0xB2, bytes([0, 0xE4, 2, 0])))
put("vpd", "provisioning-pattern", page(0xB2, bytes([0, 0x88, 2, 0])))

# ---- other answers: which, then the answer ----


def capacity16(last, block, flags=0, exponent=0):
    return be64(last) + be32(block) + bytes([0, exponent, flags, 0]) + bytes(16)


put("answers", "capacity16", 0, capacity16(131071, 512, 0xC0, 3))
put("answers", "capacity16-4k", 0, capacity16(99, 4096))
put("answers", "capacity16-huge", 0, capacity16(2**63 // 512 - 2, 512))
put("answers", "capacity16-beyond", 0, capacity16(2**63 // 512 - 1, 512))
put("answers", "capacity16-12", 0, capacity16(1, 65536)[:12])
put("answers", "capacity16-block0", 0, capacity16(1, 0))
put("answers", "capacity10", 1, be32(2047), be32(512))
put("answers", "capacity10-large", 1, be32(0xFFFFFFFF), be32(512))
CACHING = bytes([0x08, 18, 0x04]) + bytes(17)
SUBPAGE = bytes([0x4A, 1, 0, 4]) + bytes(4)
put("answers", "mode6", 2, bytes([23, 0, 0x90, 0]), CACHING)
put("answers", "mode6-blocks", 2, bytes([31, 0, 0, 8]), bytes(8), CACHING)
put("answers", "mode6-subpage", 2, bytes([31, 0, 0, 0]), SUBPAGE, CACHING)
put("answers", "mode6-vendor", 2, bytes([31, 0, 0, 0]), bytes([0, 0]), CACHING)
put("answers", "mode6-cut", 2, bytes([23, 0, 0, 0, 0x08, 18]))
put("answers", "mode10", 3, be16(26), bytes([0, 0x10, 0, 0]), be16(0), CACHING)
put("answers", "mode10-blocks", 3, be16(42), bytes([0, 0x80, 1, 0]), be16(16), bytes(16), CACHING)
put("answers", "mode10-far", 3, be16(0xFFFF), bytes([0, 0, 0, 0]), be16(0xFFF0), CACHING)


def luns(*numbers, length=None):
    return be32(8 * len(numbers) if length is None else length) + bytes(4) + b"".join(be64(n) for n in numbers)


put("answers", "luns", 4, 64, luns(0, 1 << 48, 5 << 48, 0x4100 << 48, 3 << 48))
put("answers", "luns-other", 4, 64, luns(0x0101 << 48, 0x8000 << 48, 0xC101 << 48, 0x4007 << 48, 7 << 48, 1))
put("answers", "luns-cut", 4, 2, luns(0, 1 << 48, 2 << 48, length=0xFFFFFFFF)[:-3])
put("answers", "luns-none", 4, 64, luns())


def lba_status(lba, nblocks, status, length=20):
    return be32(length) + bytes(4) + be64(lba) + be32(nblocks) + bytes([status, 0, 0, 0])


put("answers", "lba-mapped", 5, be64(16), lba_status(16, 8, 0))
put("answers", "lba-hole", 5, be64(16), lba_status(16, 0xFFFFFFFF, 1))
put("answers", "lba-other", 5, be64(16), lba_status(8, 64, 2))
put("answers", "lba-end", 5, be64(2**64 - 8), lba_status(2**64 - 8, 9, 1))



def groups(*states):
    body = b"".join(bytes([state, 0x0F]) + be16(1 + i) + bytes([0, 2, 0, 2]) + be32(1) + be32(2) for i, state in enumerate(states))
    return be32(len(body)) + body


put("answers", "groups", 6, be16(2), groups(0x80, 0x02, 0x0F))
put("answers", "groups-cut", 6, be16(3), groups(0, 1, 2)[:-15])
put("answers", "groups-many", 6, be16(9), be32(0xFFFFFFFF), groups(0)[4:11], b"\xff", bytes(16))

# ---- what libiscsi says: even: a text, odd: status, two length bytes, sense data ----

for name, text in {
    "auth": "Failed to log in to target. Status: Authentication failure(513)",
    "gone": "Failed to log in to target. Status: Target not found(515)",
    "busy": "Failed to log in to target. Status: Service unavailable(769)",
    "refused": "Failed to log in to target. Status: Session type not supported(521)",
    "chap": "CHAP algorithm mismatch",
    "nul": "NUL not found after offset 12 when parsing login data",
    "reconnect": "reconnect deferred, cancelling all tasks",
    "number": "x(4294967809)  \n",
    "open": "x(",
    "empty": "",
}.items():
    put("login", name, 0, text)
put("login", "sense", 1, CHECK, be16(18), fixed(6, 0x29, 0))
put("login", "sense-lies", 1, CHECK, be16(0xFFFF), fixed(6, 0x29, 0))
put("login", "sense-long", 1, CHECK, be16(200), descriptor(3, 0x11, 0, INFORMATION, bytes(180)))
put("login", "sense-none", 1, CHECK)

# ---- texts of users ----

T = "iqn.2026-01.org.example:t1"
for name, text in {
    "plain": f"iscsi://san.example/{T}/0",
    "portal": "iscsi://192.0.2.1:860/",
    "target": f"iscsi://san/{T}",
    "user": f"iscsi://me@san/{T}/16383/",
    "percent": f"iscsi://me%pass@san/{T}",
    "colon": f"iscsi://m%40e:p%2Fa%25ss@san:3261/{T}",
    "at": f"iscsi://me:p@ss@san/{T}@x",
    "ipv6": f"iscsi://[2001:db8::1]:3260/{T}",
    "scope": f"iscsi://[fe80::1%25eth0]/{T}/1",
    "scope25": f"iscsi://u@[fe80::1%25253]/{T}/1",
    "eui": "iscsi://h/eui.0123456789abcdef",
    "naa": "iscsi://h/naa.0123456789abcdef0123456789abcdef/7",
    "upper": f"ISCSI://H/{T.upper()}",
    "utf8": "iscsi://h/iqn.2026-01.org.example:größe",
    "no-at": f"iscsi://me%secret/{T}",
    "two-slash": f"iscsi://h//{T}",
    "bad": "iscsi://user:pa ss@[::1/x?y#z",
    "name": T,
}.items():
    put("url", name, text)

put("keyfile", "two", 0, "[defaults]\nportal=a b:3261\nro=yes\n[x]\ntarget=iqn.2026-01.org.example:t\nlun=1\nqueue_depth=3\n[y]\nmountpoint=~/m\nluns=1,3-4\n")
put("keyfile", "wrong", 0, "[a]\nportal=[::1]:1\nstartup=automatic\ncontext=x\\\\y\nlun=-1\n")
put("keyfile", "record", 1, "node.name = iqn.2026-01.org.example:t\nnode.conn[0].address = 192.0.2.1\nnode.conn[0].port = 3260\n"
    "node.startup = automatic\nnode.session.timeo.replacement_timeout = 7\nnode.session.auth.authmethod = CHAP\n"
    "node.session.auth.username = u\nnode.conn[0].iscsi.HeaderDigest = CRC32C\ndiscovery.sendtargets.address = ::1\n"
    "iface.initiatorname = iqn.2026-01.org.example:i\n")
put("secret", "pairs", 0, "# me\nuser = me\npassword=secret-of-12-or-more\n\n target_user= you\ntarget_password =other-secret\n")
put("secret", "iscsid", 0, "node.startup = automatic\nnode.session.auth.authmethod = CHAP\n"
    "node.session.auth.username = me\nnode.session.auth.password = x=y=z\r\n")
put("secret", "lone", 0, "  a password alone \n")
put("secret", "twice", 0, "user=a\nuser=b\n")
put("secret", "unknown", 0, "node.session.auth.passwort=a\n")
put("secret", "nul", 0, "user=a\0b\n")
put("secret", "long", 0, "password=" + "p" * 256)
put("secret", "initiator", 1, f"## comment\n InitiatorName= {T} \n")
put("secret", "initiator-alias", 1, "InitiatorAlias=x\nInitiatorName=eui.0123456789abcdef")
put("secret", "initiator-bad", 1, "InitiatorName=\nInitiatorName=iqn.a\n")


def args(*items):
    return "\0".join(items)


put("options", "plain", args("iscsi://h", "/mnt"))
put("options", "list", args("-o", "ro,queue_depth=64,credentials=/x,allow_other,_netdev,nofail", "--", "-a", "-b"))
put("options", "quoted", args('-ocontext="system_u:object_r:x_t:s0:c1,c2",uid=0,gid=0,umask=077', "a"))
put("options", "escaped", args("-o", r"user=a\,b\\c,pidfile=x,log=/y\,z"))
put("options", "long", args("--replacement-timeout=-1", "--lanes", "4", "--header_digest=CRC32C", "--no-mlock"))
put("options", "sizes", args("-o", "buffer_size=64MiB,cache_max_dirty=64m", "-fsd", "--debug=fuse:lun+cache"))
put("options", "cache", args("--cache=none", "-ocache_size=8M,cache_max_dirty=6M,cache_write_delay=60000,read_ahead=4M"))
put("options", "cache-small", args("-o", "cache=page,cache_size=8m"))
put("options", "cache-dirty", args("--cache-size", "8M", "--cache-max-dirty=6291457"))
put("options", "cache-ahead", args("--cache_size", "8M", "--read-ahead=8M"))
put("options", "wrong", args("-o", "buffer_size=99999999999999999999T,umask=8"))
put("options", "misspelt", args("--quue-depth=4"))
put("options", "secret", args("-o", "password=x"))
put("options", "help", args("--help", "-V", "-h"))
put("options", "mutual", args("-o", "user=a,target_user=b,log_level=debug,log=stderr"))
put("options", "missing", args("--queue_depth"))

put("settings", "some", "[lunfs]\nsource.host=h\nsource.port=3260\nsource.lun=-1\nmountpoint=/m\\\\303\\\\244\nmlock=true\n"
    "mount_options=nosuid;context\\=x;\npassword=a\\sb\n")
put("settings", "numbers", "[lunfs]\nqueue_depth=-1\nbuffer_size=18446744073709551615\numask=4294967295\nlanes=2147483647\n")
put("settings", "range", "[lunfs]\nsource.port=65536\n")
put("settings", "bool", "[lunfs]\nread_only=1\nallow_other=maybe\n")
put("settings", "escapes", "[lunfs]\nuser=\\\\001\\\\000x\\\\\npidfile=\\\\\n")
put("settings", "groups", "# c\n[other]\na=b\n[lunfs]\nlog_target[de]=x\nlog_target=y\n[lunfs]\nlanes=2\n")
put("settings", "list", "[lunfs]\nmount_options=;;a\\;b;\\\\054;\n")

MOUNTS = (
    "22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n"
    "36 22 0:39 / /mnt/a\\040b rw,nosuid - fuse.lunfs iscsi://h rw\n"
    "37 22 0:40 / /mnt/c rw - fuse.lunfs x rw\n38 22 0:41 / /mnt/c rw - tmpfs x rw\n"
)
put("mountinfo", "escaped", args("/mnt/a b", "0:39", MOUNTS))
put("mountinfo", "hidden", args("/mnt/c", "0:40", MOUNTS))
put("mountinfo", "root", args("/", "254:1", MOUNTS))
put("mountinfo", "odd", args("", "", "1 2 3 4 5\n\n1 2  4  6\n a b c d \\1\\ f g\n"))

for name, line in {
    "hello": '{"command":"hello"}',
    "status": '{"command":"status"}',
    "set": '{"command":"set","lun":"lun1","values":{"replacement_timeout":"60","cmd-timeout":"5"}}',
    "set-wrong": '{"command":"set","values":{"cmd_timeout":"-1"}}',
    "set-fixed": '{"command":"set","values":{"lanes":"2"}}',
    "set-types": '{"command":"set","lun":7,"values":{"cmd_timeout":5,"login_timeout":[]}}',
    "set-nothing": '{"command":"set","values":[]}',
    "unknown": '{"command":"\\u001f\\ud83d ä","x":{"y":[1,-2.5e9,true,null]}}',
    "no-object": '["hello"]',
    "no-json": '{"command":',
    "comment": "// x",
}.items():
    put("control", name, line)

# ---- what comes over descriptors ----


def init_request(major=7, minor=38, size=104, flags=0x73FFFFFB, flags2=0x1FF, length=None, opcode=26):
    body = struct.pack("<IIIII", major, minor, 131072, flags, flags2) + bytes(44)
    header = struct.pack("<IIQQIIII", length or size, opcode, 2, 0, 0, 0, 1, 0)
    return (header + body)[:size]


def packet(data):
    return be16(len(data)) + data


put("init", "today", 0, be32(256), packet(init_request()))
put("init", "old", 0, be32(256), packet(init_request(minor=31, size=56)))
put("init", "ancient", 0, be32(256), packet(init_request(minor=6, size=48)))
put("init", "future", 0, be32(70000), packet(init_request(major=8)), packet(init_request(minor=45)))
put("init", "future-twice", 0, be32(0), packet(init_request(major=9)), packet(init_request(major=8)))
put("init", "no-init", 0, be32(1), packet(init_request(opcode=3)))
put("init", "length", 0, be32(1), packet(init_request(length=600)))
put("init", "long", 0, be32(1), packet(init_request(length=600) + bytes(496)))
put("init", "none", 0)
MESSAGE = struct.pack("<III", 2, 24, 1000) + b"x" * 480
put("init", "messages", 1, packet(MESSAGE), packet(MESSAGE[:12] + bytes(480)))
put("init", "message-short", 1, packet(MESSAGE), packet(MESSAGE[:-1]), packet(b""))

put("arena", "sound", 0)
put("arena", "unsealed", 8)
put("arena", "half-sealed", 16)
put("arena", "short", 1, be32(4096))
put("arena", "empty", 1, be32(0))
put("arena", "chunk-more", 2, 1)
put("arena", "chunk-less", 2, 0xFF)
put("arena", "no-chunks", 2, 0xF0)
put("arena", "huge", 3, be64(2**62))
put("arena", "byte-more", 4, 1)
put("arena", "magic", 0, 0, be16(0), 1, b"x")
put("arena", "version", 0, 0, be16(8), 1, 2)
put("arena", "nchunks", 0, 0, be16(24), 4, struct.pack("<I", 0xFFFFFFFF))
put("arena", "init-bytes", 0, 0, be16(48), 4, struct.pack("<I", 513))
put("arena", "isid", 0, 0, be16(0x23C), 4, struct.pack("<I", 0x1000000))
put("arena", "name", 0, 1, be16(24), 255, b"i" * 224 + b"h" * 31)
put("arena", "host", 0, 2, be16(248), 255, b"h" * 255, 2, be16(503), 9, b"h" * 9)
put("arena", "proven", 0, 1, be16(6), 12, struct.pack("<HIQ", 1, 3, 2**63)[:12])
put("arena", "file", 40)
put("arena", "file-of-all", 104)
put("arena", "range-far", 40, 4, be16(0), 8, struct.pack("<Q", 2**40))
put("arena", "range-long", 40, 4, be16(8), 8, struct.pack("<Q", 2**64 - 4096))
put("arena", "range-op", 40, 4, be16(30), 2, b"\1\1")
put("arena", "page-far", 40, 5, be16(3 * 24), 8, struct.pack("<Q", 2**52))
put("arena", "page-end", 40, 5, be16(3 * 24), 8, struct.pack("<Q", 256))
put("arena", "page-lun", 40, 5, be16(3 * 24 + 16), 2, b"\xff\xff")
put("arena", "page-twice", 40, 5, be16(5 * 24), 20, struct.pack("<QQHBB", 7, 10, 0, 1, 1))
put("arena", "witness", 40, 6, be16(0), 8, struct.pack("<Q", 2**64 - 1))

# ---- discovery: the target's steps, see step() ----

FOUND = bytes([0]) + T.encode() + b"\0192.0.2.1:3260,1\0"
LOGIN_OK = bytes([0, 0]) + b"\0"
END = bytes([6])
put("discovery", "one", 0, LOGIN_OK, FOUND, END)
put("discovery", "portals", 0, LOGIN_OK, b"\0", T, "\0[fe80::1%eth0]:3260,1\0", FOUND, b"\0", T, "\0198.51.100.1:1,2\0", END)
put("discovery", "odd", 0, LOGIN_OK, b"\0a\0[]:3260\0", b"\0b\0:1\0", b"\0c\0host\0", b"\0d\0h:99999\0", b"\0e\0h:-1\0", END)
put("discovery", "percent", 0, LOGIN_OK, b"\0a\0h%x.example:3260,1\0", END)
put("discovery", "name", 0, LOGIN_OK, b"\0a\0" + b"san.example:3260,1\0", END)
put("discovery", "none", 0, LOGIN_OK, END)
put("discovery", "auth", 0, bytes([0, 3]), "authentication failed\0")
put("discovery", "dead", 0, LOGIN_OK, FOUND, bytes([7]), "closed\0")
put("discovery", "silent", 0, bytes([0x80]))
put("discovery", "no-connection", 0x80, 0x80)


def luns_answer(data, status=None, sense=b"", underflow=None):
    head = bytes([0]) if status is None else bytes([1, status])
    if status == 2:
        head += bytes([len(sense)]) + sense
    return bytes([1]) + head + bytes([0]) + packet(data) + (bytes([0]) if underflow is None else bytes([1]) + be32(underflow))


put("discovery", "luns", 1, LOGIN_OK, luns_answer(luns(0, 1 << 48, 0x4100 << 48)))
put("discovery", "luns-attention", 1, LOGIN_OK, luns_answer(b"", 2, fixed(6, 0x29, 0)), luns_answer(luns(3 << 48)))
put("discovery", "luns-busy", 1, LOGIN_OK, luns_answer(b"", 8) * 21)
put("discovery", "luns-refused", 1, LOGIN_OK, luns_answer(b"", 2, fixed(5, 0x20, 0)) * 21)
put("discovery", "luns-short", 1, LOGIN_OK, luns_answer(b"\0\0", underflow=8190))
put("discovery", "luns-residual", 1, LOGIN_OK, luns_answer(luns(1 << 48), underflow=0xFFFFFFFF))
put("discovery", "luns-dead", 1, LOGIN_OK, bytes([7]), "gone\0")

# ---- status: ten texts, an answer to INQUIRY ----

NAMES = [f"iscsi://h/{T}", "/mnt/x", "iqn.2026-01.org.example:host", T, "h", "192.0.2.1:3260", "", T + "/lun0", "iqn.b", "down"]


def status(answer=b"", **changes):
    texts = [t.encode() for t in NAMES]
    for at, text in changes.items():
        texts[int(at[1:])] = text
    return b"\0".join(texts) + b"\0" + answer


put("status", "plain", status(standard()))
put("status", "naa", status(page(0x83, designator(3, NAA6))))
put("status", "serial", status(page(0x80, b"\"\\\xff\x01serial")))
put("status", "latin1", status(_1=b"/mnt/gr\xf6\xdfe", _6=b"\xff\xfe"))
put("status", "quotes", status(_6=b"a \"b\" \\ \x01\x7f\n\t</script>", _9=b"\x1b[2J"))
put("status", "utf8", status(_3="iqn.größe".encode(), _6="\u2028\ufeff\U0001f4be".encode()))
put("status", "cut", status(_6=("x" * 254 + "ä").encode(), _5=("1" * 78 + "ä").encode()))
put("status", "surrogate", status(_9=b"\xed\xa0\x80\xf4\x90\x80\x80\xc0\x80"))

# ---- the data path: from the front choose() and do_something(), from the back lie() ----

WAIT = bytes([0x07, 0x40])
READ, WRITE, FUA, FLUSH = (bytes([0, 1, 4, 2]), bytes([1, 1, 8, 2]), bytes([1, 4, 8, 0x31]), bytes([3, 0, 0]))
DISCARD, ZERO, EXTENT = bytes([4, 4, 0x10]), bytes([5, 4, 0x21]), bytes([6, 4, 0])
ODD = bytes([1, 0, 0x47, 3])  # an unaligned write
LARGE = bytes([2, 4, 0xA8, 1])
WORK = WRITE + READ + FLUSH + WAIT + ODD + DISCARD + ZERO + EXTENT + LARGE + FUA + WAIT


def row(front, back=b"", known=0, luns_say=(0, 0, 0, 3, 7, 1)):
    """back: answers in the order in which they are looked at."""
    return bytes([known]) + bytes(luns_say) + front + back[::-1]


HONEST = bytes(1)
PROBE = HONEST * 12  # login and probe, about
put("row", "calm", row(WORK, PROBE))
put("row", "calm-4k", row(WORK, PROBE, luns_say=(0xF2, 0x11, 7, 3, 7, 1)))
put("row", "no-memory", row(WORK * 2 + LARGE * 3 + WAIT, PROBE, known=2))
put("row", "little-memory", row(WORK * 2 + LARGE * 3 + bytes([9]) + WAIT, PROBE * 2, known=0x0E))
put("row", "thin", row(WORK + DISCARD * 3 + EXTENT, PROBE, luns_say=(0xF0, 0x21, 5, 0x2B, 0x17, 2)))
put("row", "unmap", row(WORK + DISCARD * 3, PROBE, luns_say=(0x70, 0x61, 4, 3, 7, 1)))
put("row", "no16", row(WORK, PROBE, luns_say=(4, 2, 1, 3, 7, 1)))
put("row", "through", row(WORK, PROBE, luns_say=(1, 4, 1, 3, 7, 1)))
put("row", "known", row(WORK, PROBE, known=1))
put("row", "drops", row(WORK + bytes([9]) + WORK + bytes([0x1A]) + WAIT + READ + bytes([9, 9]), PROBE * 4))
put("row", "mute", row(WORK + bytes([0x1C]) + WORK + WAIT * 3 + bytes([0x0C]) + WAIT, PROBE * 4))
put("row", "not-ready", row(bytes([0x0B, 2]) + WORK + WAIT + bytes([0x0B, 1]) + WORK + bytes([0x0B, 0]), PROBE * 4))
put("row", "refused", row(bytes([0x0D, 0x42, 9]) + WAIT * 4 + WORK, PROBE * 4))
put("row", "no-address", row(bytes([14, 0x1E, 0]) + WAIT + bytes([0x1E, 1]) + WORK, PROBE * 3, luns_say=(0, 0, 0, 3, 0x67, 1)))
for cache in (0, 1, 2, 4, 5, 8, 12, 24, 28):  # mode, read_ahead, cache_write_delay
    say = (0x42 if cache & 8 else 2, 0x10 if cache & 4 else 0, 0, 3, 0x17 if cache & 4 else 7, cache)
    front = WORK * 2 + DISCARD + READ + LARGE + bytes([9]) + WAIT + WORK + bytes([0x0A]) + READ
    put("row", "cache-%02d" % cache, row(front, PROBE * 4, luns_say=say))
put("row", "drain", row(WORK + bytes([0xFF]) + READ + WAIT, PROBE * 2))
put("row", "stop", row(WORK + bytes([0xEF]) + READ + WAIT, PROBE * 2))
put("row", "another", row(WORK + bytes([8, 0x12, 9]) + WAIT + WORK, PROBE * 4))
put("row", "serial", row(WORK + bytes([8, 0x4A, 9]) + WAIT + WORK, PROBE * 4, known=0x60))
put("row", "nameless", row(WORK + bytes([8, 0x13, 9]) + WAIT + WORK, PROBE * 4, known=0x40))
put("row", "smaller", row(WORK + bytes([8, 0x0B, 9]) + WAIT + WORK, PROBE * 4))
put("row", "switches", row(WORK + bytes([8, 8, 9]) + WORK + WAIT + bytes([8, 0, 9]) + WORK + bytes([8, 9, 9]) + WORK, PROBE * 8))
put("row", "guard", row(WORK + bytes([9]) + WAIT + WORK + bytes([0x1C]) + WORK + WAIT * 3 + bytes([0x0C]) + WAIT, PROBE * 8, luns_say=(0, 0, 0, 3, 0xA7, 0x81)))
put("row", "guard-refused", row(WORK + bytes([8, 0x27, 9]) + WORK + bytes([9]) + WAIT, PROBE * 8, known=1, luns_say=(0, 0, 0, 3, 7, 0x81)))
put("row", "kernel-limit", row(WORK + bytes([0x1C]) + WORK + WAIT * 3 + bytes([7, 255]) * 2 + bytes([0x0C]), PROBE * 4, known=128, luns_say=(0, 0, 0, 0, 7, 1)))
put("row", "redirected", row(bytes([9]) + WAIT * 2 + WORK, bytes([0xE7]) + bytes(15) + bytes([0xFF]) + b"h.example:1\0\0\0\0" + PROBE * 3))
put("row", "redirected-always", row(bytes([0x0D, 0xC6, 9]) + WAIT * 4 + WORK, PROBE * 3))
put("row", "rejected", row(WORK + bytes([0x2F, 1, 9]) + WAIT * 2 + WORK + bytes([0x2F, 0]) + WAIT * 3, PROBE * 4))
put("row", "asked", row(WORK + bytes([0x1F]) + WORK + WAIT, PROBE * 4))
put("row", "portals", row((READ + WAIT) * 3, PROBE + bytes([0xB8, 13]) * 6, luns_say=(0, 0, 0, 3, 0x27, 1)))
put("row", "interrupts", row(WORK + bytes([9]) + WORK + b"".join(bytes([0x3F, n]) for n in range(10)) + b"".join(bytes([0x7F, n]) for n in range(10)) + WAIT, PROBE * 4))
put("row", "limits", row(WORK + bytes([0x1C]) + WORK + bytes([0x0F, 0]) + WAIT + bytes([0x0F, 0x2F]) + WAIT + bytes([0x0C]), PROBE * 4))
for n in range(0, 36, 2):
    lie = bytes([0xB8, n])
    put("row", f"answer-{n:02}", row(WORK * 2, PROBE + (HONEST * 2 + lie) * 12))
for n in range(6):  # a small budget: writes wait for a commit, which fails
    lie = bytes([0xB8, 19])
    put("row", f"held-{n}", row((LARGE * 3 + bytes([0x60, 1, 1, 2])) * 3 + WAIT, PROBE + HONEST * n + lie, luns_say=(0, 0, 0, 3, 0x1F, 1)))
put("row", "held-lost", row((LARGE * 3 + bytes([9])) * 3 + WAIT, PROBE * 4, luns_say=(0, 0, 0, 3, 0x1F, 1)))
put("row", "deferred", row(WORK * 2, PROBE + HONEST * 3 + bytes([0xB9, 17]) + HONEST * 3 + bytes([0xB9, 3])))
put("row", "flush-fails", row((WRITE + FLUSH + WAIT) * 4, PROBE + (HONEST + bytes([0xB8, 17])) * 6))
put("row", "residual", row(WORK * 2, PROBE + (HONEST * 2 + bytes([0xD8, 200])) * 6))
put("row", "never", row(WORK * 2 + WAIT * 3, PROBE + (HONEST * 4 + bytes([0xE8])) * 4))
put("row", "late", row(WORK * 2 + WAIT * 3, PROBE + (HONEST * 2 + bytes([0xE0, 120])) * 6))
put("row", "dies", row(WORK * 2 + WAIT * 3, PROBE + HONEST * 5 + bytes([0xF1]) + b"closed" + bytes(18)))
put("row", "yes", row(WORK * 2 + WAIT * 3, PROBE + bytes([0xD0]) * 40))
for at in range(12):
    put("row", f"probe-{at:02}", row(WORK, HONEST * (1 + at) + bytes([0xA0, 24]) + bytes(range(24)) + PROBE))
put("row", "blocks-64k", row(WORK, HONEST * 7 + bytes([0xA0, 16]) + be64(99) + be32(65536) + bytes(4) + PROBE))
put("row", "huge", row(WORK, HONEST * 7 + bytes([0xA0, 16]) + be64(2**54 - 3) + be32(512) + bytes([0, 0, 0xC0, 0]) + bytes([0xD0]) * 60))


# ---- iSNS: status, then attributes ----


def attribute(tag, value=b""):
    value += bytes(-len(value) % 4)
    return be32(tag) + be32(len(value)) + value


IP4 = bytes(10) + b"\xff\xff" + bytes([192, 0, 2, 1])
IP6 = bytes.fromhex("20010db8000000000000000000000001")
ONE = attribute(32, b"iqn.2026-01.org.example:t1\0") + attribute(16, IP4) + attribute(17, be32(3260))
GROUP = attribute(49, IP4) + attribute(50, be32(3260)) + attribute(51, be32(2))
TWO = attribute(32, b"iqn.2026-01.org.example:t2\0") + attribute(16, IP6) + attribute(17, be32(3261))
put("isns", "two", be32(0), ONE, GROUP, TWO)
put("isns", "key", be32(0), attribute(33, be32(1)), attribute(0), ONE, TWO)
put("isns", "udp", be32(0), ONE, attribute(16, IP4), attribute(17, be32(0x10000 + 3260)))
put("isns", "refused", be32(6))
put("isns", "cut", be32(0), (ONE + GROUP)[:-3])
