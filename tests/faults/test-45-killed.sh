#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Fault 45: kill -9 in the middle of writing.  The worker: the next one takes its sessions over, and the application sees
# a pause.  Worker and supervisor together: the mount is gone, but what was synced is there, and the next mount takes the
# old sessions over at once, whatever they still had on their way.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
# shellcheck source=tests/faults/faults.sh
. "$top_srcdir/tests/faults/faults.sh"
test_limit 150

target_with 16M 1
mount_all 1
start_load 1 --punch --zero
for n in 2 3 4; do
  moves 1
  pid=$(worker "$mnt")
  kill -KILL "$pid"
  wait_for "[ \"\$(status_get '$mnt' .lunfs.workers_started)\" = $n ]" 15
  lun_up "$mnt" 1 20
  moves 1
done
stop_load "worker killed" 1
no_errors 1
wait_for "[ \"\$(count_connections)\" = 1 ]" 10
stop_lunfs "$mnt"

say "everything"
mount_all 1
random_file synced 1M >/dev/null
for n in 1 2; do
  dd if="$scratch/synced" of="$mnt/lun1" bs=64k seek=$((128 + 16 * n)) conv=notrunc,fsync status=none
  ( # keeps writing elsewhere, until it cannot
    trap - EXIT ERR
    while dd if=/dev/urandom of="$mnt/lun1" bs=256k count=16 conv=notrunc status=none; do :; done
  ) 2>"$scratch/writer.log" &
  writer=$!
  moves 1
  kill_both
  kill "$writer" 2>/dev/null || : # it may be writing to the directory by now
  wait_for "! alive $writer" 10
  wait "$writer" || :
  rm -f "$mnt/lun1"
  wait_for "! mounted '$mnt'" 10
  from=$(date +%s%N)
  mount_all 1
  say "mounted again after $((($(date +%s%N) - from) / 1000000)) ms"
  for ((i = 1; i <= n; i++)); do
    dd if="$mnt/lun1" bs=64k skip=$((128 + 16 * i)) count=16 status=none | cmp - "$scratch/synced"
  done
  wait_for "[ \"\$(count_connections)\" = 1 ]" 10 # the old sessions have ended
done
same_lun 1
no_errors 1
stop_lunfs "$mnt"
