#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lunfsctl flush, drain, logout, login and umount: nothing is lost, and who would lose something is named.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
requires_root
requires jq

start_target
add_target disk
disk=$(backing disk 64M)
add_lun "$disk"
add_lun "$(backing disk2 8M)"
mnt=$scratch/mnt
file=$mnt/lun1
start_lunfs "iscsi://$portal/$iqn" "$mnt" -o cache_write_delay=60000,noop_out_interval=1,noop_out_timeout=1,logout_timeout=1
lun_up "$mnt" 1
lun_up "$mnt" 2
unflushed () { lun_get "$mnt" 1 .counters.unstable_bytes; }

say "flush: what was written is at the target"
dd if=/dev/urandom of="$file" bs=64k count=16 conv=notrunc status=none
[ "$(unflushed)" -gt 0 ] || fail "it was not kept in memory"
syncs=$(lun_get "$mnt" 1 .counters.sync_cache)
lunfsctl flush "$mnt"
expect_equal "$(unflushed)" 0 "unflushed bytes"
[ "$(lun_get "$mnt" 1 .counters.sync_cache)" -gt "$syncs" ] || fail "no SYNCHRONIZE CACHE"
same_data "$file" "$disk" 1048576

say "drain of one LUN: lines, JSON, terminal"
dd if=/dev/urandom of="$file" bs=64k count=16 conv=notrunc status=none
lunfsctl drain "$file" | tee "$scratch/out"
tail -n 1 "$scratch/out" | grep -q '^0 of .* left, 1 of 1 LUNs flushed$'
lunfsctl drain --json "$mnt" | jq -e 'length == 2 and all (.[]; .flushed and .unflushed_bytes == 0)'
if command -v script >/dev/null; then
  script -qec "lunfsctl drain '$mnt'" /dev/null </dev/null | grep -aq '\[##.*2 of 2 LUNs flushed'
fi

say "a target that does not answer: status 33 and what is left"
stop_answering
dd if=/dev/urandom of="$file" bs=64k count=16 conv=notrunc status=none
expect_fail lunfsctl drain --timeout 1 "$mnt"
expect_status 33
expect_message "$file: not flushed in time \(1M left"
expect_fail lunfsctl umount --timeout 1 "$mnt"
expect_status 33
mounted "$mnt" || fail "it was unmounted"
[ "$(lun_get "$mnt" 1 .dirty_ms)" -ge 2000 ] || fail "dirty for $(lun_get "$mnt" 1 .dirty_ms) ms only"
answer_again
lunfsctl flush "$mnt"
same_data "$file" "$disk" 1048576

say "flush, while the worker is replaced: of what its successor has found"
stop_answering
dd if=/dev/urandom of="$file" bs=64k count=16 conv=notrunc status=none
lunfsctl flush "$mnt" &
flush=$!
cleanup_fn kill_quietly "$flush"
wait_for "lun_get '$mnt' 1 '.counters.in_flight > 0'" 10
kill -KILL "$(worker "$mnt")"
wait_for "status_get '$mnt' '.lunfs.workers_started == 2'" 10
alive "$flush" || fail "it has not waited"
answer_again
wait "$flush" || fail "flush ended with $?"
expect_equal "$(unflushed)" 0 "unflushed bytes"
same_data "$file" "$disk" 1048576

say "logout: not of what is open"
exec 7<"$file"
expect_fail lunfsctl logout "$file"
expect_status 28
expect_message "in use by .*\(process $$, open file"
lunfsctl logout "$mnt/lun2"
expect_equal "$(lun_get "$mnt" 2 .state)" "logged out" "state"
expect_equal "$(count_connections)" 1 "connections"
expect_fail dd if="$mnt/lun2" of=/dev/null bs=4k count=1
expect_message "Input/output error"
expect_fail lunfsctl status "$mnt"
expect_status 4
lunfsctl ls "$mnt" | grep -q 'lun2 .*logged out'
dd if="$file" of=/dev/null bs=4k count=1 status=none # the other one goes on

say "it stays so when the worker dies, until login"
kill -KILL "$(worker "$mnt")"
wait_for "status_get '$mnt' '.lunfs.workers_started == 3'" 10
lun_up "$mnt" 1
expect_equal "$(lun_get "$mnt" 2 .state)" "logged out" "state"
lunfsctl login "$mnt/lun2"
lun_up "$mnt" 2
dd if="$mnt/lun2" of=/dev/null bs=4k count=1 status=none

say "--force: requests fail at once, and what was written goes out after the login"
stop_answering
dd if=/dev/urandom of="$file" bs=64k count=16 conv=notrunc status=none
lunfsctl logout --force --timeout 3 "$mnt"
expect_fail dd if=/dev/zero of="$file" bs=4k count=1 conv=notrunc,fsync
expect_message "Input/output error"
expect_fail lunfsctl flush "$mnt"
expect_status 33
expect_message "$file: .*\(1M left, the LUN is logged out\)"
answer_again
wait_for "[ \"\$(count_connections)\" = 0 ]" 10
lunfsctl login "$mnt"
lun_up "$mnt" 1
lunfsctl flush "$mnt"
same_data "$file" "$disk" 1048576

say "umount: who keeps it busy, then for good"
expect_fail lunfsctl umount "$file"
expect_status 7
expect_fail lunfsctl umount "$mnt"
expect_status 28
expect_message "busy: in use by .*\(process $$"
exec 7<&-
pid=$(supervisor "$mnt")
dd if=/dev/urandom of="$file" bs=64k count=16 conv=notrunc status=none
cp "$file" "$scratch/copy"
lunfsctl umount "$mnt"
! mounted "$mnt" || fail "still mounted"
! alive "$pid" || fail "its process has not ended"
same_data "$scratch/copy" "$disk"
expect_fail lunfsctl umount "$mnt"
expect_status 21

say "umount: of a target that was never there; whoever inherits the process need not wait for it"
requires python3
cat >"$scratch/init.py" <<'END' # process 1 of a container that never waits
import ctypes, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
subprocess.check_call(["lunfs", *sys.argv[1:]])
sys.exit(subprocess.call(["lunfsctl", "umount", sys.argv[-1]]))
END
python3 "$scratch/init.py" -o "initiator_name=$initiator" "iscsi://127.0.0.1:9/$iqn" "$mnt"
! mounted "$mnt" || fail "still mounted"
