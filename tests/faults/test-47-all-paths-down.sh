#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Fault 47: nothing can be reached for longer than replacement_timeout.  Then requests fail, at once; when the target is
# back the same open file works again, and it holds what was acknowledged, or what came later and was refused.
# (functional/test-replacement-timeout has the limits; here an application lives through it.)
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
# shellcheck source=tests/faults/faults.sh
. "$top_srcdir/tests/faults/faults.sh"

requires python3
behind_proxy 4M 1 -o replacement_timeout=3,login_timeout=1
cat >"$scratch/app.py" <<'PY'
"""Four threads write numbered blocks through one descriptor each and read them back, whatever errors come."""
import errno, os, struct, sys, threading, time
path, stop = sys.argv[1], sys.argv[2]
BLOCK, EACH = 4096, 32
wrong, errors, longest, after = [], [0], [0.0], [0]
lock = threading.Lock()

def work(me):
    fd = os.open(path, os.O_RDWR)
    allowed = {}  # what a block may hold: the last acknowledged number and those that were refused since
    number = 0
    while not os.path.exists(stop):
        number += 1
        block = me * EACH + number % EACH
        data = struct.pack('<QQ', block, number) * (BLOCK // 16)
        began = time.monotonic()
        try:
            if os.pwrite(fd, data, block * BLOCK) != BLOCK:
                wrong.append('short write')
            allowed[block] = {number}
            back = os.pread(fd, BLOCK, block * BLOCK)
            if back != data:
                wrong.append(f'block {block}: {back[:16]} is not {data[:16]}')
            after[0] += errors[0] > 0
        except OSError as e:
            if e.errno != errno.EIO:
                wrong.append(str(e))
            allowed.setdefault(block, set()).add(number)
            errors[0] += 1
            time.sleep(0.02)
        with lock:
            longest[0] = max(longest[0], time.monotonic() - began)
    os.fsync(fd)
    for block, numbers in allowed.items():
        back = os.pread(fd, BLOCK, block * BLOCK)
        found = struct.unpack('<QQ', back[:16])
        if back != back[:16] * (BLOCK // 16) or found[0] != block or found[1] not in numbers:
            wrong.append(f'block {block}: {found} is none of {sorted(numbers)}')

threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(f'errors={errors[0]} after={after[0]} longest_ms={int(longest[0] * 1000)} wrong={wrong[:5]}')
sys.exit(1 if wrong else 0)
PY
python3 "$scratch/app.py" "$mnt/lun1" "$scratch/stop" >"$scratch/app.log" 2>&1 &
app=$!
cleanup_fn kill_quietly $app
moves 1
proxy drop
proxy refuse
wait_for "lun_get '$mnt' 1 .failing" 20
wait_for "[ \"\$(counter 1 errors)\" -ge 20 ]" 20
quiet 3
from=$(date +%s%N)
expect_fail dd if="$mnt/lun1" of=/dev/null bs=4k count=1 status=none
expect_message 'input/output error'
took=$((($(date +%s%N) - from) / 1000000))
[ "$took" -lt $((1000 * slow)) ] || fail "the error took $took ms: it must be at once"
proxy heal
relogins 1 1
moves 1
: >"$scratch/stop"
wait $app || fail "$(cat "$scratch/app.log")"
cat "$scratch/app.log"
longest=$(sed -n 's/.*longest_ms=\([0-9]*\).*/\1/p' "$scratch/app.log")
echo "# stall: $longest ms (everything dead: until the I/O error, replacement_timeout=3)"
grep -q 'after=[1-9]' "$scratch/app.log" || fail "the open file has not come back"
[ "$longest" -lt $((9000 * slow)) ] || fail "it waited for longer than it should"
same_lun 1
stop_lunfs "$mnt"
