#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Fault 47: nothing can be reached for longer than replacement_timeout.  Then requests fail, at once; when the target is
# back the same open file works again, and it holds what was acknowledged, or what came later and was refused.
# (functional/test-replacement-timeout has the limits; here an application lives through it.)
# With two portals of one target nobody notices that one is gone, refuses to answer or sends us elsewhere; when both are
# gone, it is as with one, and whichever comes back first is used.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
# shellcheck source=tests/faults/faults.sh
. "$top_srcdir/tests/faults/faults.sh"

requires python3
private_mounts
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
# start_app FILE: returns when it has begun.
start_app () {
  rm -f "$scratch/stop"
  python3 "$scratch/app.py" "$1" "$scratch/stop" >"$scratch/app.log" 2>&1 &
  app=$!
  cleanup_fn kill_quietly $app
  moves "${1##*lun}"
}
# end_app WHAT: it saw errors, then none any more, and never a wrong byte.
end_app () {
  local longest
  : >"$scratch/stop"
  wait $app || fail "$(cat "$scratch/app.log")"
  cat "$scratch/app.log"
  longest=$(sed -n 's/.*longest_ms=\([0-9]*\).*/\1/p' "$scratch/app.log")
  echo "# stall: $longest ms ($1: until the I/O error, replacement_timeout=3)"
  grep -q 'after=[1-9]' "$scratch/app.log" || fail "the open file has not come back"
  [ "$longest" -lt $((9000 * slow)) ] || fail "it waited for longer than it should"
}
# fails_at_once LUN: all paths are down, and have been for replacement_timeout.
fails_at_once () {
  local from took
  wait_for "lun_get '$mnt' $1 .failing" 20
  wait_for "[ \"\$(counter $1 errors)\" -ge 20 ]" 20
  quiet 3
  from=$(date +%s%N)
  expect_fail dd if="$mnt/lun$1" of=/dev/null bs=4k count=1 status=none
  expect_message 'input/output error'
  took=$((($(date +%s%N) - from) / 1000000))
  [ "$took" -lt $((1000 * slow)) ] || fail "the error took $took ms: it must be at once"
}

behind_proxy 4M 1 -o replacement_timeout=3,login_timeout=1
start_app "$mnt/lun1"
proxy drop
proxy refuse
fails_at_once 1
proxy heal
relogins 1 1
moves 1
end_app "everything dead"
same_lun 1
stop_lunfs "$mnt"

# One name with two addresses.
printf '127.0.0.1 localhost lunfs-two.test\n127.0.0.2 lunfs-two.test\n' >"$scratch/hosts"
mount --bind "$scratch/hosts" /etc/hosts
disk=$scratch/disk0
file=$mnt/lun0
start_fake --lun "4M,file=$disk" --portal 127.0.0.1 --portal 127.0.0.2
start_lunfs "iscsi://lunfs-two.test:$port/$iqn/0" "$mnt" -o replacement_timeout=15,login_timeout=1
lun_up "$mnt" 0
first=0 # a login begins there
[ "$(lun_get "$mnt" 0 .portal)" = "${portals[0]}" ] || first=1
other=$((1 - first))
# now_at N: the session that was just cut is back, at portal N.
now_at () {
  wait_for "[ \"\$(lun_get '$mnt' 0 '.portal + .state')\" = ${portals[$1]}up ]" 20 || fail "at $(lun_get "$mnt" 0 .portal)"
  load_works
}
# lose_session: ends the session, which is noticed.
lose_session () {
  local lost
  lost=$(counter 0 session_losses)
  fake drop
  wait_for "[ \"\$(counter 0 session_losses)\" -gt $lost ]" 10
}
begin_load
say "one portal goes away, and comes back; then the other"
fake listen off $first
lose_session
now_at $other
fake listen on $first
fake listen off $other
lose_session
now_at $first
fake listen on $other

say "one portal does not answer the login"
fake_rule "login port=$first times=all : hang"
lose_session
now_at $other
fake clear

say "one portal sends us to the other"
fake_rule "login port=$first times=all : redirect ${portals[other]},1"
lose_session
now_at $other
[ "$(fake_hits)" -ge 1 ] || fail "no login was redirected"
fake clear

say "one portal sends us to where nobody is"
fake_rule "login port=$first times=all : redirect 127.0.0.1:9,1"
lose_session
now_at $other
[ "$(fake_hits)" -ge 1 ] || fail "no login was redirected"
fake clear
lose_session
now_at $first
end_load
echo "# stall: $(sed -n 's/.* longest_ms=\([0-9]*\) .*/\1/p' "$scratch/load.log") ms (one of two portals, login_timeout=1)"
fake_no_violations
stop_lunfs "$mnt"

say "both go away; the one that was not used comes back"
start_lunfs "iscsi://lunfs-two.test:$port/$iqn/0" "$mnt" -o replacement_timeout=3,login_timeout=1
lun_up "$mnt" 0
start_app "$file"
expect_equal "$(lun_get "$mnt" 0 .portal)" "${portals[first]}" "the portal"
fake listen off
lose_session
fails_at_once 0
fake listen on $other
lun_up "$mnt" 0 30
expect_equal "$(lun_get "$mnt" 0 .portal)" "${portals[other]}" "the portal"
moves 0
end_app "two portals dead"
sync "$file"
same_data "$file" "$disk"
fake_no_violations
stop_lunfs "$mnt"
