#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# As a service: the watchdog is fed while the mount works, a worker that hangs is replaced before the watchdog bites, the time to
# stop is extended while a slow flush runs; and a manager that stores nothing is not relied on.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
# shellcheck source=tests/functional/service.sh
. "$srcdir/service.sh"
test_limit 150
not_under_valgrind "it traces lunfs"

# hold_thread PID: one thread stands still, as one that hangs.
hold_thread () {
  python3 -I -S -c '
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
seize, interrupt = 0x4206, 0x4207
for request in (seize, interrupt):
    if libc.ptrace(request, int(sys.argv[1]), None, None) < 0:
        sys.exit(77)
print("held", flush=True)
wall = 0x40000000
try:
    while True:  # or its end would wait for us
        os.waitpid(int(sys.argv[1]), wall)
except ChildProcessError:
    pass' "$1" >"$scratch/holder.out" 2>&1 &
  holder=$!
  disown
  cleanup_fn kill_quietly "$holder"
  wait_for "grep -q held '$scratch/holder.out' || ! alive $holder" 10
  alive "$holder" || skip "no ptrace here"
}
lane_of () { grep -lx lunfs-lane0 /proc/"$1"/task/*/comm | cut -d/ -f5; }

start_fake --lun "8M,file=$scratch/disk"
mnt=$scratch/mnt
file=$mnt/lun0
mkdir "$mnt"
manager_options=(--watchdog $((12 * slow)))
begin_service -o cache_write_delay=60000,stop_timeout=20 "iscsi://$portal/$iqn" "$mnt"
service_ready
lun_up "$mnt" 0

say "the watchdog"
wait_for "[ \"\$(service_get '.messages.\"WATCHDOG=1\"')\" -ge 3 ]" $((12 * slow))

say "a lane that hangs: another worker, nothing lost, and the watchdog is never hungry for as long as it allows"
dd if=/dev/urandom of="$scratch/new" bs=4k count=16 status=none
dd if="$scratch/new" of="$file" bs=4k oflag=direct conv=notrunc status=none
old=$(worker "$mnt")
hold_thread "$(lane_of "$old")"
begun=$SECONDS
wait_for "! alive $old" $((20 * slow))
say "replaced after $((SECONDS - begun)) s"
cmp -n 65536 "$scratch/new" "$file"
[ "$(worker "$mnt")" != "$old" ] || fail "the same worker"
logged "$mnt" "worker $old has not answered" || fail "the log says nothing of it"
[ "$(service_get .silent)" -lt $((12000 * slow)) ] || fail "the watchdog would have bitten"

say "a slow flush: the time to stop is extended again and again"
sync "$file"
dd if="$scratch/new" of="$file" bs=4k seek=16 oflag=direct conv=notrunc status=none
fake_rule write times=all : delay 5000
service term
wait_for "[ \"\$(service_get '.messages.\"EXTEND_TIMEOUT_USEC=20000000\"')\" -ge 3 ]" 20
expect_equal "$(service_get '.messages."STOPPING=1" >= 1')" true "STOPPING=1"
service_ended 40
expect_equal "$(service_get .status)" 0 "status"
cmp -n 65536 -i 0:65536 "$scratch/new" "$scratch/disk"
wait_for "[ \"\$(service_get '.stored | length')\" = 0 ]" 10
fake clear

say "a store that is too small: the worker that loses its supervisor flushes and unmounts"
kill_quietly "$manager_pid"
manager_options=(--store 3)
begin_service -o cache_write_delay=60000 "iscsi://$portal/$iqn" "$mnt"
service_ready
lun_up "$mnt" 0
dd if=/dev/urandom of="$scratch/new" bs=4k count=16 status=none
dd if="$scratch/new" of="$file" bs=4k oflag=direct conv=notrunc status=none
old=$(worker "$mnt")
service kill
wait_for "! alive $old" 20
! mounted "$mnt" || fail "still mounted"
cmp -n 65536 "$scratch/new" "$scratch/disk"
service start >/dev/null
service_ready
lun_up "$mnt" 0
service term
service_ended
