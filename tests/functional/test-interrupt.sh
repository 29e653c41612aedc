#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A process that waits for a dead target can be ended: at once, without waiting for replacement_timeout; and a signal that
# it handles gives it EINTR for what has not been sent.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

one_lun 8M 512 "" -o noop_out_interval=1,noop_out_timeout=1,replacement_timeout=-1
dd if=/dev/urandom of="$scratch/data" bs=64k count=4 status=none
dd if="$scratch/data" of="$file" bs=64k conv=notrunc,fsync status=none

# ends OBJECT PID: it is gone soon after SIGKILL.
ends () {
  kill -KILL "$2"
  wait_for "! alive $2" 5 || fail "$1 cannot be killed"
}
queued () { wait_for "[ \"\$(lun_get '$mnt' 1 .counters.queued)\" = $1 ]" 10; }

say "the signal comes before the loss is noticed: the kernel does not say it twice"
stop_answering
dd if="$file" of=/dev/null bs=4k count=1 iflag=direct status=none 2>/dev/null &
early=$!
disown
wait_for "[ \"\$(lun_get '$mnt' 1 .counters.in_flight)\" = 1 ]" 10
kill -KILL $early
kill_target
wait_for "[ \"\$(lun_get '$mnt' 1 .state)\" != up ]" 15
wait_for "! alive $early" 5 || fail "a reader that was killed before the loss was noticed is still there"
restart_target
lun_up "$mnt" 1 30

say "waiting since before the outage: it was sent"
stop_answering
dd if=/dev/zero of="$file" bs=4k count=1 seek=500 oflag=direct conv=notrunc status=none 2>/dev/null &
sent=$!
disown
wait_for "[ \"\$(lun_get '$mnt' 1 .counters.in_flight)\" = 1 ]" 10
kill_target
wait_for "[ \"\$(lun_get '$mnt' 1 .state)\" != up ]" 15
queued 1
ends "a write that was sent" $sent
queued 0

say "read, write, fsync, punch during the outage"
dd if="$file" of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null &
reader=$!
disown
queued 1
ends "a reader" $reader
dd if=/dev/zero of="$file" bs=1M count=1 seek=2 oflag=direct conv=notrunc status=none 2>/dev/null &
writer=$!
disown
wait_for "[ \"\$(lun_get '$mnt' 1 .counters.queued)\" -ge 1 ]" 10
ends "a writer" $writer
queued 0
fallocate --punch-hole --offset 4194304 --length 65536 "$file" &
puncher=$!
disown
wait_for "[ \"\$(lun_get '$mnt' 1 .counters.queued)\" -ge 1 ]" 10
ends "a puncher" $puncher
queued 0

say "a signal that is handled"
python3 - "$file" >"$scratch/signals" <<'PY' &
import mmap, os, signal, sys
signal.signal(signal.SIGALRM, lambda *a: None)
signal.siginterrupt(signal.SIGALRM, True)
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open(sys.argv[1], os.O_RDWR | os.O_DIRECT)
buf = mmap.mmap(-1, 4096)
at = (ctypes.c_char * 4096).from_buffer(buf)
for name, call in (("pread", lambda: libc.pread(fd, at, 4096, ctypes.c_long(0))),
                   ("pwrite", lambda: libc.pwrite(fd, at, 4096, ctypes.c_long(1 << 20)))):
    signal.setitimer(signal.ITIMER_REAL, 1)
    r = call()
    print(name, r, errno.errorcode.get(ctypes.get_errno(), "0"))
PY
wait_for "! alive $!" 20
cat "$scratch/signals"
grep -q 'pread -1 EINTR' "$scratch/signals"
grep -q 'pwrite -1 EINTR' "$scratch/signals"

say "an fsync with something to synchronise"
restart_target
lun_up "$mnt" 1 30
dd if="$scratch/data" of="$file" bs=64k conv=notrunc status=none
stop_answering
sync "$file" &
syncer=$!
disown
wait_for "[ \"\$(lun_get '$mnt' 1 .counters.in_flight)\" -ge 1 ]" 10
kill_target
wait_for "[ \"\$(lun_get '$mnt' 1 .state)\" != up ]" 15
ends "fsync" $syncer

restart_target
lun_up "$mnt" 1 30
cmp -n 262144 "$file" "$scratch/data"
[ "$(lun_get "$mnt" 1 .counters.interrupted)" -ge 5 ]
expect_equal "$(lun_get "$mnt" 1 .counters.errors)" 0 "errors"
stop_lunfs "$mnt"

say "an open that waits for the first login"
kill_target
touch "$scratch/plain"
start_lunfs "iscsi://$portal/$iqn/1" "$scratch/plain" -o replacement_timeout=-1,login_wait=0
cat "$scratch/plain" >/dev/null 2>&1 &
opener=$!
disown
wait_for "grep -qE 'fuse|request_wait' /proc/$opener/wchan || [ \"\$(cut -d' ' -f1 /proc/$opener/syscall)\" = 257 ]" 5
ends "an open" $opener
kill -TERM "$(supervisor "$scratch/plain")"
wait_for "! mounted '$scratch/plain'" 10
