#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# An acknowledged write that had to be given up: every file that was open then hears of it from its next fsync, once; a
# file opened later only if nobody has; and the status file keeps count.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

fake_lun 16M --wce --
cat >"$scratch/files.py" <<'PY'
import errno, os, sys
def fsync(fd):
    try:
        os.fsync(fd)
        return "ok"
    except OSError as e:
        return errno.errorcode[e.errno]
one, two = (os.open(sys.argv[1], os.O_RDWR) for _ in range(2))
os.pwrite(one, b"x" * 4096, 0)
print("written", flush=True)
sys.stdin.readline()
print("one", fsync(one), fsync(one))
print("two", fsync(two), fsync(two))
three = os.open(sys.argv[1], os.O_RDWR)
print("three", fsync(three))
PY
mkfifo "$scratch/go"
python3 "$scratch/files.py" "$file" <"$scratch/go" >"$scratch/said" &
files=$!
exec 9>"$scratch/go"
wait_for "grep -q written '$scratch/said'" 10
fake preempt 0 # by another initiator, which may have written since
dd if="$file" of=/dev/null bs=4k skip=100 count=1 iflag=direct status=none || : # not in memory: a command
logged "$mnt" 'another initiator has taken the reservation'
relogins=$(lun_get "$mnt" 0 .counters.relogins)
fake powerloss
wait_for "[ \"\$(lun_get '$mnt' 0 .counters.relogins)\" -gt $relogins ]" 20
lun_up "$mnt" 0
wait_for "[ \"\$(lun_get '$mnt' 0 .counters.losses)\" = 1 ]" 10
logged "$mnt" 'error: .* 4 KiB .* not written again'
echo go >&9
wait "$files"
cat "$scratch/said"
expect_equal "$(grep one "$scratch/said")" "one EIO ok"
expect_equal "$(grep two "$scratch/said")" "two EIO ok"
expect_equal "$(grep three "$scratch/said")" "three ok"
expect_equal "$(lun_get "$mnt" 0 .counters.losses_told)" 1 "losses_told"
stop_lunfs "$mnt"
