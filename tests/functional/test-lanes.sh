#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Three lanes share six LUNs: verified load on all of them, readers of the status file, cut connections, a killed
# worker, and SIGTERM in the middle of a load.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
test_limit 200

requires fio
luns=6
start_target
add_target lanes
for ((i = 1; i <= luns; i++)); do add_lun "$(backing "d$i" 16M)" $((i % 2 ? 512 : 4096)); done
mnt=$scratch/mnt
start () {
  start_lunfs "iscsi://$portal/$iqn" "$mnt" -o lanes=3
  for ((i = 1; i <= luns; i++)); do lun_up "$mnt" "$i" 30; done
}
load () { # LUN OPTION...; in the background
  trap - EXIT ERR
  local n=$1
  shift
  fio --name="l$n" --filename="$mnt/lun$n" --allow_file_create=0 --direct=1 --ioengine=libaio --iodepth=16 \
    --rw=randwrite --bsrange=4k-64k --blockalign=4k --size=16m "$@" >"$scratch/fio$n.out" 2>&1
}
status_reader () {
  trap - EXIT ERR
  while [ ! -e "$scratch/enough" ]; do
    jq -e '.targets[0].luns | length == 6' "$mnt/.lunfs/status.json" >/dev/null || exit 1
    ls -lL "$mnt" "$mnt/by-id" >/dev/null || exit 1
  done
}

start
say "the lanes are there"
tasks=$(cat "/proc/$(worker "$mnt")"/task/*/comm)
for n in 0 1 2; do grep -qx "lunfs-lane$n" <<<"$tasks" || fail "no lane $n: $tasks"; done

say "verified load on all LUNs, the status read all the time, connections cut"
for n in 1 2; do
  status_reader &
  readers[n]=$!
done
for ((i = 1; i <= luns; i++)); do
  load "$i" --io_size=24m --verify=crc32c --verify_fatal=1 --do_verify=1 --fsync=64 &
  loads[i]=$!
done
for _ in 1 2 3; do
  sleep 0.5
  cut_connections
  for ((i = 1; i <= luns; i++)); do lun_up "$mnt" "$i" 30; done
done
for ((i = 1; i <= luns; i++)); do wait "${loads[i]}" || fail "LUN $i: $(cat "$scratch/fio$i.out")"; done
: >"$scratch/enough"
for n in 1 2; do wait "${readers[n]}" || fail "a reader of the status saw an error"; done
expect_equal "$(status_get "$mnt" '[.targets[].luns[].counters.errors] | add')" 0 "errors"
for ((i = 1; i <= luns; i++)); do same_data "$mnt/lun$i" "$scratch/d$i"; done

say "the worker is killed: the next one serves with as many lanes"
old=$(worker "$mnt")
kill -KILL "$old"
wait_for "[ \"\$(status_get '$mnt' .lunfs.workers_started)\" = 2 ]" 15
for ((i = 1; i <= luns; i++)); do lun_up "$mnt" "$i" 30; done
for ((i = 1; i <= luns; i++)); do same_data "$mnt/lun$i" "$scratch/d$i"; done

say "SIGTERM under load"
for ((i = 1; i <= luns; i++)); do
  load "$i" --time_based --runtime=60 &
  loads[i]=$!
done
wait_for "[ \"\$(status_get '$mnt' '[.targets[].luns[].counters.writes] | min > 20')\" = true ]" 30
sup=$(supervisor "$mnt")
kill -TERM "$sup"
wait_for "! alive $sup" 60
for ((i = 1; i <= luns; i++)); do wait "${loads[i]}" || :; done # they saw the mount go
! mounted "$mnt" || fail "$mnt is still mounted"
! logged "$mnt" 'without having flushed' || fail "acknowledged writes were not flushed"
