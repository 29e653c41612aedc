#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lunfsctl discover: iscsiadm's lines, JSON, CHAP of its own, iSNS, and the exit statuses of what goes wrong.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
requires jq
options=(-o "initiator_name=$initiator,login_timeout=5")

start_target
add_target one
tgt --mode target --op unbind --tid 1 --initiator-address ALL
expect_fail lunfsctl discover "${options[@]}" "$portal"
expect_status 21
expect_message 'offers no targets'
tgt --mode target --op bind --tid 1 --initiator-address ALL
add_target two
lunfsctl discover "${options[@]}" "$portal" | tee "$scratch/out"
printf '%s,1 iqn.2026-01.org.example:%s\n' "$portal" one "$portal" two | sort >"$scratch/expected"
sort "$scratch/out" | cmp - "$scratch/expected"
lunfsctl discover "${options[@]}" "iscsi://$portal" | sort | cmp - "$scratch/expected"
lunfsctl discover "${options[@]}" --json "localhost:$port" |
  jq -e 'length == 2 and all (.[]; .portal == "'"$portal"'" and .tpgt == 1) and ([.[].target] | sort)[0] == "'"${iqn%two}one"'"'

say "CHAP"
start_fake --lun "8M,file=$scratch/disk" --chap me:a-long-secret
(umask 077 && printf 'user=me\npassword=a-long-secret\n' >"$scratch/right" && printf 'user=me\npassword=another-secret\n' >"$scratch/wrong")
expect_equal "$(lunfsctl discover "${options[@]}" -o "credentials=$scratch/right" "$portal")" "$portal,1 $iqn" "with CHAP"
expect_fail lunfsctl discover "${options[@]}" -o "credentials=$scratch/wrong" "$portal"
expect_status 24
expect_fail lunfsctl discover "${options[@]}" "$portal"
expect_status 24
use_target target

say "iSNS"
cat >"$scratch/isns.py" <<'END'
# Answers the question for all targets: t1 with two portals, one of them in group 2, t2 at an IPv6 address; in two PDUs.
import socket, struct, sys

def attribute(tag, value=b""):
    value += b"\0" * (-len(value) % 4)
    return struct.pack(">II", tag, len(value)) + value

def portal(ip, port, tags):
    ip = socket.inet_pton(socket.AF_INET6, ip)
    return attribute(tags[0], ip) + attribute(tags[1], struct.pack(">I", port))

with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    for refuse in (False, True):
        with server.accept()[0] as c:
            head = c.recv(12, socket.MSG_WAITALL)
            version, function, length, flags, transaction, sequence = struct.unpack(">6H", head)
            question = c.recv(length, socket.MSG_WAITALL)
            assert (version, function, flags, sequence) == (1, 2, 0x8C00, 0), head
            name = question[8:8 + struct.unpack(">I", question[4:8])[0]].rstrip(b"\0").decode()
            assert question[:4] == struct.pack(">I", 32) and name == sys.argv[1], question
            assert attribute(33, struct.pack(">I", 1)) + attribute(0) in question
            answer = struct.pack(">I", 6 if refuse else 0)
            if not refuse:
                answer += attribute(32, b"iqn.2026-01.org.example:t1\0")
                answer += portal("::ffff:192.0.2.1", 3260, (16, 17)) + portal("::ffff:192.0.2.2", 3260, (16, 17))
                answer += portal("::ffff:192.0.2.2", 3260, (49, 50)) + attribute(51, struct.pack(">I", 2))
                answer += attribute(32, b"iqn.2026-01.org.example:t2\0") + portal("2001:db8::1", 3261, (16, 17))
            for i, part in enumerate((answer[:20], answer[20:])):
                c.sendall(struct.pack(">6H", 1, 0x8002, len(part), 0x0800 if i else 0x0400, transaction, i) + part)
END
python3 "$scratch/isns.py" "$initiator" >"$scratch/isns.port" 2>"$scratch/isns.err" &
isns=$!
cleanup_fn kill_quietly "$isns"
wait_for "[ -s '$scratch/isns.port' ]" 10
isns_port=$(cat "$scratch/isns.port")
lunfsctl discover "${options[@]}" --isns "127.0.0.1:$isns_port" | sort >"$scratch/out"
printf '%s iqn.2026-01.org.example:%s\n' 192.0.2.1:3260,1 t1 192.0.2.2:3260,2 t1 '[2001:db8::1]:3261,1' t2 | sort | cmp - "$scratch/out"
expect_fail lunfsctl discover "${options[@]}" --isns "127.0.0.1:$isns_port"
expect_status 24
wait "$isns" || fail "the question was wrong: $(cat "$scratch/isns.err")"
expect_fail lunfsctl discover "${options[@]}" --isns "127.0.0.1:$isns_port"
expect_status 4

say "an iSNS server whose answer never ends"
cat >"$scratch/endless.py" <<'END'
import socket, struct, sys, time

with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    for part in (b"", b"x"): # PDUs without an end of the message; a PDU that comes by bytes
        with server.accept()[0] as c:
            transaction = struct.unpack(">6H", c.recv(12, socket.MSG_WAITALL))[4]
            c.sendall(struct.pack(">6H", 1, 0x8002, 0xffff * len(part), 0x0400, transaction, 0))
            try:
                while True:
                    c.sendall(part or struct.pack(">6H", 1, 0x8002, 0, 0, transaction, 0))
                    time.sleep(0.01)
            except OSError:
                pass
END
python3 "$scratch/endless.py" >"$scratch/endless.port" 2>"$scratch/endless.err" &
cleanup_fn kill_quietly $!
wait_for "[ -s '$scratch/endless.port' ]" 10
for _ in 1 2; do
  expect_fail lunfsctl discover -o "initiator_name=$initiator,login_timeout=1" --isns "127.0.0.1:$(cat "$scratch/endless.port")"
  expect_status 8
done

say "what goes wrong"
expect_fail lunfsctl discover "${options[@]}" nowhere.invalid
expect_status 4
kill_target
expect_fail lunfsctl discover "${options[@]}" "$portal"
expect_status 4
expect_message "discovery on 127.0.0.1 port $port: "
expect_fail lunfsctl discover -o nonsense=1 "$portal"
expect_status 7
expect_message "unknown option 'nonsense'"
expect_fail lunfsctl discover
expect_status 7
expect_fail lunfsctl discover 'iscsi://[::1'
expect_status 7
