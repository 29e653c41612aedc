#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lunfsctl: status of a plain-file mount too; limits changed while running, also during an outage; who may not.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
private_mounts
mkdir -p /run/lunfs
mount -t tmpfs -o mode=755 tmpfs /run/lunfs # other tests' mounts are not ours to count

start_target
add_target disk
disk=$(backing disk 8M)
add_lun "$disk"
add_lun "$(backing disk2 8M)"
mnt=$scratch/mnt
start_lunfs "iscsi://$portal/$iqn" "$mnt" -o noop_out_interval=1,noop_out_timeout=1
lun_up "$mnt" 1
lun_up "$mnt" 2
touch "$scratch/plain"
start_lunfs "iscsi://$portal/$iqn/2" "$scratch/plain" -o ro # the LUN has a mount that writes

say "status"
lunfsctl status --json "$mnt" | jq -e '.targets[0].luns | length == 2'
lunfsctl status --json "$mnt/lun1" | jq -e '.mountpoint == "'"$mnt"'" and (.targets[0].luns | length == 1)'
lunfsctl status --json "$scratch/plain" | jq -e '.targets[0].luns[0].lun == 2'
expect_fail lunfsctl status --json
expect_status 7
expect_message 'say which'
lunfsctl status >"$scratch/table"
grep -q "^$mnt: iscsi://" "$scratch/table"
grep -qE '^  lun1 +up +[0-9]+s +8M ' "$scratch/table"
grep -q "^$scratch/plain: " "$scratch/table"
grep -qE '^  plain +[a-z]+ +[0-9]+s +8M ' "$scratch/table"
expect_fail lunfsctl status /usr
expect_status 21
expect_message 'no lunfs mount'

say "set"
lunfsctl set "$mnt/lun1" replacement_timeout=-1 cmd_timeout=5
expect_equal "$(lun_get "$mnt" 1 .replacement_timeout)" -1 "of lun1"
expect_equal "$(lun_get "$mnt" 2 .replacement_timeout)" 120 "of lun2"
lunfsctl set "$mnt" replacement_timeout=100
expect_equal "$(lun_get "$mnt" 1 .replacement_timeout)" 100 "of lun1"
expect_equal "$(lun_get "$mnt" 2 .replacement_timeout)" 100 "of lun2"

say "what is wrong changes nothing"
for wrong in replacement_timeout=-2 replacement_timeout=x queue_depth=5 nonsense=1 replacement_timeout; do
  expect_fail lunfsctl set "$mnt" cmd_timeout=7 "$wrong"
  expect_status 7
done
expect_message 'OPTION=VALUE'
expect_fail lunfsctl set "$mnt/lun7" replacement_timeout=1
expect_status 21
expect_message 'no such LUN'
expect_fail lunfsctl set "$mnt"
expect_status 7
expect_message 'lunfsctl set PATH OPTION'
expect_fail lunfsctl frobnicate
expect_status 7
expect_message "'frobnicate'; lunfsctl --help"
for wrong in stauts:status discovery:discover session:sessions unmount:umount; do
  expect_fail lunfsctl "${wrong%:*}" "$mnt"
  expect_status 7
  expect_message "unknown command '${wrong%:*}'; did you mean '${wrong#*:}'"
done
expect_fail lunfsctl -m discovery -t st -p "$portal"
expect_message "is lunfsctl discover"
lunfsctl help | grep -q 'discover '
lunfsctl --help | grep -q 'set '
lunfsctl --version | grep -q '^lunfsctl [0-9]'

for wrong in "rescan $mnt $mnt" "upgrade $mnt $mnt" "upgrade --all $mnt" "stats reset $mnt $mnt" "flush --timeout -1 $mnt" \
  "logout --timeout 0 $mnt" "umount --timeout 99999999999999 $mnt" "saved list --state-dir $scratch/nothing" "saved nonsense" "import $mnt $mnt"; do
  # shellcheck disable=SC2086 # a command
  expect_fail lunfsctl $wrong
  expect_status 7
done
mkdir "$scratch/state"
expect_fail lunfsctl saved discard --yes --state-dir "$scratch/state" some-mount-1 ""
expect_status 7
expect_message 'LUN is a number'
mounted "$mnt" || fail "it was unmounted"
status=0
lunfsctl ls "$mnt" >/dev/full || status=$?
expect_status 1

say "what is no request gets an answer that says so"
worker=$(status_get "$mnt" .lunfs.pid)
python3 - "/run/lunfs/$(status_get "$mnt" .lunfs.supervisor_pid).sock" <<'EOF'
import json, socket, sys

for line in (b"", b"{}", b"[]", b"7", b"[" * 65000, b'{"a":' * 13000, b'{"command":["hello"]}',
             b'{"command":"set","values":{"x":1}}'):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(sys.argv[1])
        s.sendall(line + b"\n")
        answer = json.loads(s.makefile().readline() or '{"status":"none"}')
        assert answer["status"] == 7 and answer["error"], (line[:20], answer)

# What is no line is not kept.
with socket.socket(socket.AF_UNIX) as s:
    s.connect(sys.argv[1])
    s.settimeout(60)
    sent = 0
    try:
        while sent < 64 << 20:
            sent += s.send(b"x" * 65536)
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert sent < 16 << 20, sent

# Several lines at once, and one in pieces.
with socket.socket(socket.AF_UNIX) as s:
    s.connect(sys.argv[1])
    hello = b'{"command":"hello"}\n'
    answers = s.makefile()
    s.sendall(hello * 100 + hello[:9])
    for _ in range(100):
        assert json.loads(answers.readline())["status"] == 0
    s.sendall(hello[9:])
    assert json.loads(answers.readline())["status"] == 0

# Some who are silent, and some who do not read: whoever is more than 32 is told so.
clients = [socket.socket(socket.AF_UNIX) for _ in range(40)]
for i, s in enumerate(clients):
    s.connect(sys.argv[1])
    if i % 2 and i < 24: # the last of those above may have a place for a moment longer
        s.sendall(hello)
assert json.loads(clients[-1].makefile().readline())["status"] == 28
EOF
expect_equal "$(status_get "$mnt" .lunfs.pid)" "$worker" "the worker"

say "an ordinary user has nothing to say"
share_programs
cp "$(command -v lunfsctl)" "$scratch/bin/"
chmod 755 "$scratch/bin/lunfsctl"
expect_fail as_user "$scratch/bin/lunfsctl" set "$mnt" replacement_timeout=1
expect_status 13
expect_message 'mounted by user 0'
expect_fail as_user "$scratch/bin/lunfsctl" status
expect_status 21
say "nor one for whom somebody has opened the socket"
socket=/run/lunfs/$(status_get "$mnt" .lunfs.supervisor_pid).sock
chmod 755 /run/lunfs
chmod 666 "$socket"
as_user python3 - "$socket" <<'EOF'
import json, socket, sys
with socket.socket(socket.AF_UNIX) as s:
    s.connect(sys.argv[1])
    answer = json.loads(s.makefile().readline())
    assert answer["status"] == 13 and "root" in answer["error"], answer
EOF
chmod 600 "$socket"

say "a worker that hangs: said so, soon"
kill -STOP "$(worker "$mnt")"
from=$SECONDS
expect_fail lunfsctl rescan "$mnt"
expect_status 8
expect_message "worker of lunfs process $(supervisor "$mnt") does not answer"
[ $((SECONDS - from)) -le $((12 * slow)) ] || fail "took $((SECONDS - from)) s"
expect_fail lunfsctl status # of all of them
expect_status 8
expect_message "worker of lunfs process $(supervisor "$mnt") does not answer"
grep -q "^$scratch/plain: " "$scratch/message" || fail "nothing is said of the other one"
kill -CONT "$(worker "$mnt")"
lunfsctl rescan "$mnt"

say "during an outage: who waits fails now; and waits again"
kill_target
wait_for "[ \"\$(lun_get '$mnt' 1 .state)\" != up ]" 15
dd if="$mnt/lun1" of=/dev/null bs=4k count=1 iflag=direct 2>"$scratch/dd.out" &
reader=$!
wait_for "[ \"\$(lun_get '$mnt' 1 .counters.queued)\" = 1 ]" 5
lunfsctl set "$mnt/lun1" replacement_timeout=0
status=0
wait "$reader" || status=$?
grep -q 'Input/output error' "$scratch/dd.out" || fail "dd ended with $status: $(cat "$scratch/dd.out")"
lunfsctl set "$mnt/lun1" replacement_timeout=-1
dd if="$mnt/lun1" of=/dev/null bs=4k count=1 iflag=direct 2>"$scratch/dd.out" &
reader=$!
wait_for "[ \"\$(lun_get '$mnt' 1 .counters.queued)\" = 1 ]" 5
restart_target
wait "$reader" || fail "dd failed: $(cat "$scratch/dd.out")"
stop_lunfs "$mnt"
stop_lunfs "$scratch/plain"
expect_fail lunfsctl status
expect_message 'no lunfs mount'
