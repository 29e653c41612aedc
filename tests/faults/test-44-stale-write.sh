#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Fault 44: a network splits while writes are on their way, lunfs logs in anew and writes something newer to the same
# blocks, then the network delivers the old ones after all.  The newer data must survive, whatever the target does with
# its old session; tgtd would execute it.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
# shellcheck source=tests/faults/faults.sh
. "$top_srcdir/tests/faults/faults.sh"
test_limit 180

random_file first 256K >/dev/null
random_file newer 256K >/dev/null
both_writes () { # one fits into a PDU, the other into a dozen; each waits until it is answered
  dd if="$scratch/first" of="$mnt/lun1" bs=4k count=1 conv=notrunc oflag=direct status=none &
  writers=($!)
  dd if="$scratch/first" of="$mnt/lun1" bs=64k count=1 skip=1 seek=1 conv=notrunc oflag=direct status=none &
  writers+=($!)
}
punch () {
  fallocate --punch-hole --offset 128k --length 64k "$mnt/lun1" &
  writers=($!)
}
# From the same state each time: nothing held, one session, known data.
calm () {
  proxy heal
  lun_up "$mnt" 1
  wait_for "[ \"\$(proxy_stat current)\" -le 1 ]" 20 # the sessions before this one have ended
  dd if=/dev/zero of="$mnt/lun1" bs=256k count=1 conv=notrunc,fsync status=none
}
# hold_while WRITER HELD [WHERE [kill]]: the session's way to the target is held, at once or at that place, while WRITER
# writes; the next session (or the next worker) does all that again.
hold_while () {
  local before
  before=$(counter 1 relogins)
  # shellcheck disable=SC2086 # words
  proxy hold up existing ${3:-}
  "$1"
  proxy wait "up_held>=$2" 20
  old=$(proxy_stat 'conns | map(select (.up.held > 0))[0].id')
  if [ "${4:-}" = kill ]; then
    kill -KILL "$(worker "$mnt")"
    wait_for "[ \"\$(proxy_stat 'conns | length')\" -ge 2 ]" 20
  else
    relogins 1 $((before + 1))
  fi
  for pid in "${writers[@]}"; do wait "$pid" || fail "a write failed"; done
  lun_up "$mnt" 1
  dd if="$scratch/newer" of="$mnt/lun1" bs=64k count=4 conv=notrunc,fsync oflag=direct status=none
}
# What is held arrives; nothing else of that connection does, not even its end.
deliver () {
  proxy release up "conn=$old"
  # What the target wants to do with it, it has done when the new session was answered a few times.
  dd if="$mnt/lun1" of=/dev/null bs=4k count=256 skip=256 status=none
  sync "$mnt/lun1"
}
survived () {
  dd if="$mnt/lun1" bs=256k count=1 status=none | cmp - "$scratch/newer" || fail "$1: lunfs shows something older"
  cmp -n 262144 "$scratch/disk1" "$scratch/newer" || fail "$1: the target has something older"
}

behind_proxy 4M 1
say "writes, held before the first byte"
calm
hold_while both_writes 12000
deliver
survived "before the first byte"
say "a hole"
calm
hold_while punch 48
deliver
survived "a hole"
say "writes, held in the middle of one"
calm
hold_while both_writes 4096 "op=dataout skip=1"
deliver
survived "in the middle"
say "the worker was killed meanwhile"
calm
hold_while both_writes 12000 "" kill
deliver
survived "killed worker"
calm
no_errors 1
stop_lunfs "$mnt"

say "without the guard: this is what the test would see"
start_lunfs "iscsi://$portal/$iqn" "$mnt" "${quick[@]}" -o stale_write_guard=off
lun_up "$mnt" 1
calm
hold_while both_writes 12000
deliver
wait_for '! (survived "guard off")' 10 || fail "stale writes do no harm here: the test proves nothing"
stop_lunfs "$mnt"
