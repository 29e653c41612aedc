#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# fsx (tests/stress/fsx.c) in every cache mode: a large and a very small cache, with and without read-ahead, in peace, while
# the target is killed and started again, and while the worker is.  LUNFS_STRESS_SEED=N repeats a run, LUNFS_FSX_ROUNDS=N
# does all of it so often.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

requires fsx
rounds=${LUNFS_FSX_ROUNDS:-1}
seconds=$((valgrind == 0 ? 2 : 6))
test_limit $((rounds * 100))
seed=${LUNFS_STRESS_SEED:-$RANDOM}
RANDOM=$seed
start_target
add_target fsx
add_lun "$(backing d1 16M)" 512 thin_provisioning=1
add_lun "$(backing d2 16M)" 4096 thin_provisioning=1
mnt=$scratch/mnt

running () { alive "$one" && alive "$two"; }
in_peace () { :; }
target_dies () {
  while running; do
    sleep "0.$((RANDOM % 8 + 2))"
    kill_target
    restart_target
  done
}
# Not more than five times: the supervisor waits longer after each short life.
kill_worker () {
  [ $((kills++)) -ge 5 ] || kill -KILL "$(worker "$mnt")" 2>/dev/null || :
}
worker_dies () {
  while running; do
    sleep "0.$((RANDOM % 3 + 1))"
    kill_worker
  done
}
both_die () {
  while running; do
    sleep "0.$((RANDOM % 5 + 1))"
    kill_target
    [ $((RANDOM % 2)) = 0 ] || kill_worker
    restart_target
    [ $((RANDOM % 2)) = 0 ] || kill_worker
  done
}
part () { # WHAT-HAPPENS MOUNT-OPTIONS
  local n kills=0
  say "$1, $2, seed $seed"
  start_lunfs "iscsi://$portal/$iqn" "$mnt" -o "cmd_timeout=10,$2"
  lun_up "$mnt" 1
  lun_up "$mnt" 2
  fsx --seconds "$seconds" --seed "$seed" --medium "$scratch/d1" "$mnt/lun1" >"$scratch/fsx1.log" 2>&1 &
  one=$!
  fsx --seconds "$seconds" --seed "$((seed + 1))" --medium "$scratch/d2" --block 4096 --direct "$mnt/lun2" >"$scratch/fsx2.log" 2>&1 &
  two=$!
  cleanup_fn kill_quietly $one $two
  "$1"
  wait $one || fail "$1, $2: LUN 1"
  wait $two || fail "$1, $2: LUN 2"
  tail -q -n 1 "$scratch/fsx1.log" "$scratch/fsx2.log"
  if [ "$1" = in_peace ]; then
    expect_equal "$(status_get "$mnt" '[.targets[].luns[].counters.errors] | add')" 0 "errors"
  fi
  for n in 1 2; do same_data "$mnt/lun$n" "$scratch/d$n"; done
  stop_lunfs "$mnt"
  for n in 1 2; do truncate -s 0 "$scratch/d$n" && truncate -s 16M "$scratch/d$n"; done
  seed=$((seed + 2))
}
for ((round = 0; round < rounds; round++)); do
  part in_peace cache=writeback
  part in_peace cache=writeback,cache_size=8M,read_ahead=2M,cache_write_delay=200,lanes=2
  part in_peace cache=writethrough,cache_size=8M,read_ahead=0
  part in_peace cache=none
  part target_dies cache=writeback,cache_size=8M,read_ahead=2M,cache_write_delay=100
  part worker_dies cache=writeback,cache_size=8M,read_ahead=0,cache_write_delay=300
  part worker_dies cache=writethrough
  part both_die cache=writeback,cache_size=8M,read_ahead=4M
done
