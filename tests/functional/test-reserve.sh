#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Persistent reservations: lunfsctl keys, reserve, release, preempt.  Two hosts at one LUN of a tgtd: what was asked for stays
# after losses of sessions, of the worker and of the target; who was fenced stays out until its user decides.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
requires_root
requires jq

one_lun 16M 512 '' -o replacement_timeout=60
tgt_set --mode portal --op new --param "portal=127.0.0.3:$port" # another address: mounts of one host exclude each other
initiator=iqn.2026-01.org.example:other
other_mnt=$scratch/other
other=$other_mnt/lun1
start_lunfs "iscsi://127.0.0.3:$port/$iqn" "$other_mnt" -o replacement_timeout=60
lun_up "$other_mnt" 1

random_file data 64K >/dev/null
write_to () { dd if="$scratch/data" of="$1" bs=64k conv=notrunc,fsync oflag=direct status=none; }
state () { lun_get "$1" 1 .reservation.state; }
keys () { lunfsctl keys --json "${1:-$file}" | jq -c ".[0] | ${2:-.keys}"; }
relogins () { lun_get "$1" 1 .counters.relogins; }
# MOUNT COMMAND...: the LUN is up after a login that COMMAND has caused
after_login () {
  local mnt=$1 before
  shift
  before=$(relogins "$mnt")
  "$@"
  wait_for "[ \"\$(relogins '$mnt')\" -gt $before ]" 30
  lun_up "$mnt" 1
}
kept_out () { # FILE: at once, and nothing is tried again and again
  local from=$SECONDS
  expect_fail write_to "$1"
  expect_message 'exchange|input/output error'
  [ "$((SECONDS - from))" -le $((10 * slow)) ] || fail "an error after $((SECONDS - from)) s"
}

say "nobody is registered"
lunfsctl keys "$file" | tee "$scratch/out"
grep -qE "^$file: generation [0-9]+, not reserved$" "$scratch/out"
expect_equal "$(keys)" '[]' keys
expect_equal "$(state "$mnt")" none state

say "bad requests"
for key in 0 0x0 11112222333344445 zz; do
  expect_fail lunfsctl reserve "$file" "$key"
  expect_status 7
done
expect_message 'hexadecimal'
expect_fail lunfsctl reserve --type=exclusive "$file" 1
expect_status 7
expect_message 'write-exclusive'
expect_fail lunfsctl reserve --type=write-exclusive --register-only "$file" 1
expect_status 7
expect_fail lunfsctl release "$file"
expect_status 21
expect_fail lunfsctl preempt "$file" 1
expect_status 21
expect_message 'register-only'
expect_fail lunfsctl reserve "$mnt/lun9" 1
expect_status 21

say "reserve: the other one can read, and not write"
lunfsctl reserve "$file" 0xa11ce | tee "$scratch/out"
grep -qF "$file: registered with key 0xa11ce, write-exclusive; the target forgets it when it loses power" "$scratch/out"
expect_equal "$(keys "$file" '[.keys, .holder, .type, .ours.state]')" '[["0xa11ce"],"0xa11ce","write-exclusive","reserved"]'
lunfsctl keys "$file" | grep -qE '^  0xa11ce  ours  holder$'
write_to "$file"
same_data "$scratch/data" "$other" 65536
kept_out "$other"
expect_fail lunfsctl reserve "$other" b0b
expect_status 28
expect_message 'key 0xa11ce'
expect_equal "$(keys)" '["0xa11ce"]' keys
expect_fail lunfsctl reserve "$file" 0xfff
expect_status 15
lunfsctl reserve "$file" 0xa11ce # again: nothing

say "the session is cut, again and again"
for _ in 1 2 3; do
  after_login "$mnt" cut_connections
  write_to "$file"
done
wait_for "lun_up '$other_mnt' 1" 20
expect_equal "$(keys "$file" '[.keys, .holder]')" '[["0xa11ce"],"0xa11ce"]' "keys after losses"
kept_out "$other"

say "the worker is killed"
pid=$(worker "$mnt")
kill -KILL "$pid"
wait_for "[ \"\$(worker '$mnt')\" != $pid ]" 20
lun_up "$mnt" 1
write_to "$file"
expect_equal "$(keys "$file" '[.keys, .holder]')" '[["0xa11ce"],"0xa11ce"]' "keys after kill -9"
kept_out "$other"

say "upgrade"
lunfsctl upgrade "$mnt"
lun_up "$mnt" 1
write_to "$file"
expect_equal "$(keys "$file" '[.keys, .holder, .ours.state]')" '[["0xa11ce"],"0xa11ce","reserved"]' "keys after an upgrade"

say "the target is started anew, and has forgotten it"
kill_target
restart_target
lun_up "$mnt" 1 30
wait_for "write_to '$file'" 20
expect_equal "$(keys "$file" '[.keys, .holder]')" '[["0xa11ce"],"0xa11ce"]' "keys after a restart of the target"
lun_up "$other_mnt" 1 30
wait_for "[ \"\$(lun_get '$other_mnt' 1 .reservation.state)\" = none ]" 5

say "fenced"
lunfsctl reserve --register-only "$other" b0b | grep -q 'no reservation'
expect_fail lunfsctl preempt "$other" 0x123
expect_status 21
expect_fail lunfsctl preempt "$other" b0b
expect_status 7
expect_fail lunfsctl preempt --abort "$other" 0xa11ce # tgtd has none
expect_status 27
expect_message 'without --abort'
lunfsctl preempt "$other" 0xa11ce | grep -q 'key 0xb0b, write-exclusive'
write_to "$other"
kept_out "$file"
wait_for "[ \"\$(lun_get '$mnt' 1 .reservation.state)\" = preempted ]" 10
lun_up "$mnt" 1
lun_get "$mnt" 1 '.error | test ("preempted.*lunfsctl reserve.*lunfsctl release")'
logged "$mnt" 'error: .*key 0xa11ce: preempted' || fail "the log does not say so"
lunfsctl ls "$file" | grep -q preempted
expect_fail lunfsctl status "$mnt"
expect_status 4
expect_message 'preempted'
expect_equal "$(keys "$other")" '["0xb0b"]' keys
lunfsctl keys "$file" | grep -q '0xa11ce  ours, preempted'
grep -qE '^lunfs_lun_preempted\{.*\} 1$' "$mnt/.lunfs/metrics"

say "it does not come back by itself, and writes nothing, whatever happens"
lunfsctl release "$other" | grep -q 'no longer registered'
kept_out "$file"
after_login "$mnt" cut_connections
pid=$(worker "$mnt")
kill -KILL "$pid"
wait_for "[ \"\$(worker '$mnt')\" != $pid ]" 20
lun_up "$mnt" 1
lun_up "$other_mnt" 1
expect_equal "$(state "$mnt")" preempted state
expect_equal "$(keys "$other")" '[]' keys
kept_out "$file"
writes=$(lun_get "$mnt" 1 .counters.writes)
dd if="$file" of=/dev/null bs=4k count=1 iflag=direct status=none
expect_equal "$(lun_get "$mnt" 1 .counters.writes)" "$writes" "writes that were tried"

say "its user joins again"
lunfsctl reserve --type=write-exclusive-registrants-only "$file" 0xa11ce
write_to "$file"
kept_out "$other"
say "both of a cluster say the same, and one goes"
lunfsctl reserve --type=write-exclusive-registrants-only "$other" b0b | grep -q 0xb0b
write_to "$other"
write_to "$file"
lunfsctl release "$file"
lunfsctl rescan "$other" # tgtd tells the wrong one that nobody holds it now
wait_for "[ \"\$(keys '$other' .holder)\" = '\"0xb0b\"' ]" 20
write_to "$other"
kept_out "$file"
expect_equal "$(state "$mnt")" none state
lunfsctl release --keep-registered "$other" | grep -q 'no reservation'
write_to "$file"
lunfsctl release "$other"

say "release of all: the one that was preempted does not keep the other one from being flushed"
disk2=$(backing disk2 4M)
add_lun "$disk2"
lunfsctl rescan "$mnt"
lunfsctl rescan "$other_mnt"
lun_up "$mnt" 2
lun_up "$other_mnt" 2
lunfsctl reserve "$mnt/lun2" 0xa11ce
lunfsctl reserve --register-only "$other_mnt/lun2" b0b
lunfsctl preempt "$other_mnt/lun2" 0xa11ce
kept_out "$mnt/lun2"
wait_for "[ \"\$(lun_get '$mnt' 2 .reservation.state)\" = preempted ]" 10
lunfsctl reserve "$file" 0xa11ce
dd if="$scratch/data" of="$file" bs=64k conv=notrunc oflag=direct status=none
lunfsctl release "$mnt"
expect_equal "$(lun_get "$mnt" 1 .counters.unstable_bytes)" 0 "what is not flushed"
expect_equal "$(state "$mnt")" none state
lunfsctl release "$other_mnt/lun2"

say "a target without reservations"
start_ramtgt
start_lunfs "iscsi://$portal/$iqn" "$scratch/plain"
expect_fail lunfsctl keys "$scratch/plain"
expect_status 27
expect_fail lunfsctl reserve "$scratch/plain" 1
expect_status 27
expect_message 'no persistent reservations'
stop_lunfs "$scratch/plain"

say "the examples of the manual"
lunfsctl reserve --register-only "$other" 0xb2
sed -n '/^\.SH EXAMPLES/,/^\.SH [^E]/p' "$top_srcdir/src/lunfsctl.8" | sed -e 's/\\-/-/g' -e "s,/srv/lun/,$mnt/," |
  grep -E '^lunfsctl (keys|reserve|preempt|release) ' >"$scratch/examples"
[ "$(wc -l <"$scratch/examples")" -ge 4 ] || fail "the examples were not found"
while read -r line; do
  say "$line"
  eval "$line" || fail "the example failed: $line"
done <"$scratch/examples"
expect_equal "$(keys "$other")" '[]' keys

say "data that is lost with a preemption, and that nobody asks for any more: umount tells"
lunfsctl release "$other" # it was preempted
lunfsctl reserve "$file" 0xa11ce
lunfsctl reserve --register-only "$other" b0b
sync "$file" || : # what was lost before is told
pid=$(worker "$mnt")
stop_answering
dd if="$scratch/data" of="$file" bs=64k conv=notrunc oflag=direct status=none
kill -STOP "$pid"
answer_again
lunfsctl preempt "$other" 0xa11ce
kill -CONT "$pid"
wait_for "[ \"\$(lun_get '$mnt' 1 .reservation.state)\" = preempted ]" 30
lunfsctl release "$other"
stop_lunfs "$other_mnt"
lunfsctl umount "$mnt" 2>&1 | tee "$scratch/message"
expect_message "$file: data that had been written was lost"
wait_for "! mounted '$mnt'" 10
