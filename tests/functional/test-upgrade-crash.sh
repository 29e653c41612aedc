#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Upgrades that meet with crashes: requests that wait for their turn because workers crashed over them are not forgotten, and
# a worker that is leaving when its supervisor is killed stays, since nobody comes after it.  A request that crashes workers of
# both versions does not take the upgrade back.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
test_limit 180
not_under_valgrind "it reports the crashes"
requires jq
ulimit -c 0
export ASAN_OPTIONS=$ASAN_OPTIONS:handle_segv=0 TSAN_OPTIONS=$TSAN_OPTIONS:handle_segv=0 # the signal is to end the worker
start_target
add_target crash
disk=$(random_file disk 16M)
add_lun "$disk"
mnt=$scratch/mnt
file=$mnt/lun1

crash () { # $1 = how many workers there are then
  local old
  old=$(worker "$mnt")
  kill -SEGV "$old"
  wait_for "! alive $old && [ \"\$(status_get '$mnt' .lunfs.worker.started)\" = $1 ]" 20
}
for how in auto inbox; do
  say "$how: suspects wait for a LUN that does not answer, and an upgrade comes"
  start_lunfs "iscsi://$portal/$iqn" "$mnt" -o "crash_recovery=$how,read_ahead=0,login_wait=3"
  lun_up "$mnt" 1
  stop_answering
  readers=()
  for n in 1 2 3 4; do
    dd if="$file" of="$scratch/seen$n" bs=4k skip=$((n * 500)) count=1 iflag=direct status=none &
    readers+=($!)
  done
  # Those that the second worker had, too, are suspects of the third.
  wait_for "[ \"\$(lun_get '$mnt' 1 .counters.in_flight)\" -ge 4 ]" 20
  crash 2
  wait_for "[ \"\$(status_get '$mnt' '.lunfs.worker | .resent + .replayed')\" -ge 4 ]" 20
  crash 3
  wait_for "[ \"\$(status_get '$mnt' '.lunfs.worker | .resent + .replayed')\" -ge 8 ]" 20
  lunfsctl upgrade "$mnt"
  answer_again
  for n in 1 2 3 4; do
    wait_for "! alive ${readers[n - 1]}" 30 || fail "a reader hangs"
    wait "${readers[n - 1]}"
    cmp -n 4096 "$scratch/seen$n" <(dd if="$disk" bs=4k skip=$((n * 500)) count=1 status=none)
  done
  stop_lunfs "$mnt"
done

for what in idle used; do
  say "$what: the supervisor is killed while its worker is leaving and cannot write"
  start_lunfs "iscsi://$portal/$iqn" "$mnt" -o cache_write_delay=60000,stop_timeout=40
  lun_up "$mnt" 1
  [ $what = idle ] || exec 7<"$file"
  head -c 1M /dev/urandom >"$scratch/new"
  dd if="$scratch/new" of="$file" bs=4k oflag=direct conv=notrunc status=none
  wrk=$(worker "$mnt")
  sup=$(supervisor "$mnt")
  stop_answering
  kill -USR2 "$sup"
  wait_for "logged '$mnt' 'takes over from'" 10
  kill -KILL "$sup"
  wait_for "logged '$mnt' 'what would start another worker'" 10
  answer_again
  if [ $what = used ]; then
    lun_up "$mnt" 1 20
    cmp -n 1048576 "$scratch/new" "$file"
    expect_fail lunfsctl upgrade "$mnt"
    expect_message 'the supervisor does not answer' # rather than that one is under way
    exec 7<&-
  fi
  wait_for "! alive $wrk" 40
  ! mounted "$mnt" || fail "still mounted"
  cmp -n 1048576 "$scratch/new" "$disk" || fail "what was acknowledged is lost"
done

say "the supervisor is killed between a worker that has left and the next one: what was not synchronised is not lost"
start_lunfs "iscsi://$portal/$iqn" "$mnt" -o cache_write_delay=60000,stop_timeout=40,debug=control
lun_up "$mnt" 1
head -c 1M /dev/urandom >"$scratch/new"
dd if="$scratch/new" of="$file" bs=4k oflag=direct conv=notrunc status=none
wrk=$(worker "$mnt")
sup=$(supervisor "$mnt")
stop_answering
kill -USR2 "$sup"
wait_for "logged '$mnt' 'takes over from'" 10
kill -STOP "$sup"
wait_for "! alive $wrk || logged '$mnt' 'waiting for the program to become'" 20
kill -KILL "$sup"
wait_for "! alive $wrk || logged '$mnt' 'what would start another worker'" 10
answer_again
wait_for "! alive $wrk" 40
! mounted "$mnt" || fail "still mounted"
cmp -n 1048576 "$scratch/new" "$disk" || fail "what was acknowledged is lost"

say "a request that workers crash over comes just after an upgrade"
LUNFS_TEST_CRASH_OFFSET=$((8 << 20)) start_lunfs "iscsi://$portal/$iqn" "$mnt" -o read_ahead=0
lun_up "$mnt" 1
lunfsctl upgrade "$mnt"
expect_fail dd if="$file" of=/dev/null bs=4k skip=2048 count=1 iflag=direct status=none
expect_message 'Input/output error'
expect_equal "$(status_get "$mnt" '.lunfs.worker | "\(.crashes) \(.poisoned)"')" "3 1" "crashes, requests to blame"
expect_equal "$(status_get "$mnt" .lunfs.upgrades)" 1 "upgrades"
logged "$mnt" 'upgrade: .* crashed over the same request' || fail "the log does not tell of it"
stop_lunfs "$mnt"
