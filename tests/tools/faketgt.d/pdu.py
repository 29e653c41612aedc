# SPDX-License-Identifier: GPL-2.0-or-later
"""iSCSI PDUs (RFC 7143 section 11): one layout serves all of them here."""
import struct
from dataclasses import dataclass

NOP_OUT, COMMAND, TMF, LOGIN, TEXT, DATA_OUT, LOGOUT, SNACK = 0, 1, 2, 3, 4, 5, 6, 0x10
NOP_IN, RESPONSE, TMF_RESPONSE, LOGIN_RESPONSE, TEXT_RESPONSE, DATA_IN, LOGOUT_RESPONSE = range(0x20, 0x27)
R2T, ASYNC, REJECT = 0x31, 0x32, 0x3F
FINAL = 0x80
NO_TAG = 0xFFFFFFFF

NAMES = {
    NOP_OUT: "nop",
    COMMAND: "command",
    TMF: "tmf",
    LOGIN: "login",
    TEXT: "text",
    DATA_OUT: "dataout",
    LOGOUT: "logout",
    SNACK: "snack",
}

_LAYOUT = struct.Struct(">BBBBI8sIIIIIIII")


@dataclass
class Pdu:
    opcode: int
    flags: int = FINAL
    b2: int = 0
    b3: int = 0
    ahs: int = 0  # TotalAHSLength, in words
    lun: bytes = bytes(8)
    itt: int = NO_TAG
    ttt: int = NO_TAG  # at byte 20, whatever it is called there
    sn: int = 0  # at 24: StatSN of ours, CmdSN of theirs (ExpStatSN follows)
    w28: int = 0
    w32: int = 0
    w36: int = 0
    w40: int = 0
    w44: int = 0
    data: bytes = b""
    immediate: bool = False
    claimed: int = None  # DataSegmentLength, where it lies
    raw: bytes = b""

    def pack(self):
        length = len(self.data) if self.claimed is None else self.claimed
        return _LAYOUT.pack(
            self.opcode,
            self.flags,
            self.b2,
            self.b3,
            self.ahs << 24 | length,
            self.lun,
            self.itt,
            self.ttt & 0xFFFFFFFF,
            self.sn & 0xFFFFFFFF,
            self.w28 & 0xFFFFFFFF,
            self.w32 & 0xFFFFFFFF,
            self.w36 & 0xFFFFFFFF,
            self.w40 & 0xFFFFFFFF,
            self.w44 & 0xFFFFFFFF,
        )

    @classmethod
    def unpack(cls, raw):
        op, flags, b2, b3, length, lun, itt, ttt, sn, w28, w32, w36, w40, w44 = _LAYOUT.unpack(raw)
        pdu = cls(op & 0x3F, flags, b2, b3, length >> 24, lun, itt, ttt, sn, w28, w32, w36, w40, w44, raw=raw)
        pdu.immediate = bool(op & 0x40)
        return pdu, length & 0xFFFFFF

    @property
    def cdb(self):
        return self.raw[32:48]


def lun_of(field):
    """The LUN in an 8-byte field: peripheral or flat addressing, one level; None if it is anything else."""
    if field[2:] != bytes(6) or field[0] >> 6 > 1:
        return None
    return (field[0] & 0x3F) << 8 | field[1]


def text_keys(data):
    return dict(item.split("=", 1) for item in data.decode("utf-8", "replace").split("\0") if "=" in item)


def text_data(keys):
    return b"".join(f"{name}={value}".encode() + b"\0" for name, value in keys)


_CRC_TABLE = []
for _i in range(256):
    for _ in range(8):
        _i = _i >> 1 ^ (0x82F63B78 if _i & 1 else 0)
    _CRC_TABLE.append(_i)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return struct.pack("<I", crc ^ 0xFFFFFFFF)
