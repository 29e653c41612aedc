#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A process that waits for a dead target can be ended: at once, without waiting for replacement_timeout; and a signal that
# it handles gives it EINTR for what has not been sent.  Those who wait are readers of what is not in memory, writers with
# O_DSYNC, writers that find the memory full, and fsync.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

one_lun 64M 512 "" -o noop_out_interval=1,noop_out_timeout=1,replacement_timeout=-1
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
dd if="$file" of=/dev/null bs=4k skip=1500 count=1 iflag=direct status=none 2>/dev/null &
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
dd if=/dev/zero of="$file" bs=4k count=1 seek=500 oflag=direct,dsync conv=notrunc status=none 2>/dev/null &
sent=$!
disown
wait_for "[ \"\$(lun_get '$mnt' 1 .counters.in_flight)\" = 1 ]" 10
kill_target
wait_for "[ \"\$(lun_get '$mnt' 1 .state)\" != up ]" 15
queued 1
ends "a write that was sent" $sent
queued 0

say "read, write, fsync, punch during the outage"
dd if="$file" of=/dev/null bs=4k skip=1600 count=1 iflag=direct 2>/dev/null &
reader=$!
disown
queued 1
ends "a reader" $reader
dd if=/dev/zero of="$file" bs=1M count=1 seek=2 oflag=direct,dsync conv=notrunc status=none 2>/dev/null &
writer=$!
disown
wait_for "[ \"\$(lun_get '$mnt' 1 .counters.queued)\" -ge 1 ]" 10
ends "a writer" $writer
queued 0
fallocate --punch-hole --offset 4194304 --length 1M "$file" & # little is zeroed in memory
puncher=$!
disown
wait_for "[ \"\$(lun_get '$mnt' 1 .counters.queued)\" -ge 1 ]" 10
ends "a puncher" $puncher
queued 0

say "a write that is answered, and an fsync of it that waits"
dd if="$scratch/data" of="$file" bs=64k seek=48 conv=notrunc status=none
sync "$file" &
syncer=$!
disown
wait_for "grep -qE 'fuse|request_wait' /proc/$syncer/wchan || [ \"\$(cut -d' ' -f1 /proc/$syncer/syscall)\" = 74 ]" 5
ends "an fsync of what the target has not got" $syncer

say "a writer that finds the memory full"
dd if=/dev/zero of="$file" bs=1M count=40 seek=16 oflag=direct conv=notrunc status=none 2>/dev/null &
writer=$!
disown
wait_for "[ \"\$(lun_get '$mnt' 1 .counters.dirty_bytes)\" -ge $((10 << 20)) ]" 10
sleep 0.5 # for it to find no more room, rather than to be on its way
alive $writer || fail "40 MiB have been written into memory"
ends "a writer for which there is no memory" $writer

say "a signal that is handled"
python3 - "$file" >"$scratch/signals" <<'PY' &
import mmap, os, signal, sys
signal.signal(signal.SIGALRM, lambda *a: None)
signal.siginterrupt(signal.SIGALRM, True)
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open(sys.argv[1], os.O_RDWR | os.O_DIRECT)
synced = os.open(sys.argv[1], os.O_RDWR | os.O_DIRECT | os.O_DSYNC)
buf = mmap.mmap(-1, 4096)
at = (ctypes.c_char * 4096).from_buffer(buf)
for name, call in (("pread", lambda: libc.pread(fd, at, 4096, ctypes.c_long(7 << 20))),
                   ("pwrite", lambda: libc.pwrite(synced, at, 4096, ctypes.c_long(1 << 20))),
                   ("fsync", lambda: libc.fsync(fd))):
    signal.setitimer(signal.ITIMER_REAL, 1)
    r = call()
    print(name, r, errno.errorcode.get(ctypes.get_errno(), "0"))
PY
wait_for "! alive $!" 20
cat "$scratch/signals"
grep -q 'pread -1 EINTR' "$scratch/signals"
grep -q 'pwrite -1 EINTR' "$scratch/signals"
grep -q 'fsync -1 EINTR' "$scratch/signals"

say "what was answered is written, whoever was killed"
restart_target
lun_up "$mnt" 1 30
dd if="$file" bs=64k skip=48 count=4 status=none | cmp - "$scratch/data"
sync "$file"
dd if="$disk" bs=64k skip=48 count=4 status=none | cmp - "$scratch/data"

say "an fsync with something to synchronise"
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
[ "$(lun_get "$mnt" 1 .counters.interrupted)" -ge 8 ]
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
