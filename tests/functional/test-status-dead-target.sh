#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# status.json answers at once while the target is dead: stopped, then killed; and says so.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

start_target
add_target status
add_lun "$(backing disk 8M)"
mnt=$scratch/mnt
start_lunfs "iscsi://$portal/$iqn" "$mnt" -o noop_out_interval=1,noop_out_timeout=1,replacement_timeout=-1
lun_up "$mnt" 1

say "the shape"
jq . "$mnt/.lunfs/status.json"
status_get "$mnt" '.lunfs | .version and .pid and .supervisor_pid and .workers_started == 1 and (.uptime_s >= 0)'
expect_equal "$(status_get "$mnt" .lunfs.supervisor_pid)" "$(supervisor "$mnt")" "supervisor"
expect_equal "$(status_get "$mnt" .lunfs.pid)" "$(worker "$mnt")" "worker"
expect_equal "$(status_get "$mnt" .mountpoint)" "$mnt" "mount point"
expect_equal "$(status_get "$mnt" .source)" "iscsi://$portal/$iqn" "source"
status_get "$mnt" '.targets[0] | .name and .host and .port and .state'
for key in lun file state size block_size identity vendor product read_only write_cache portal error \
  replacement_timeout counters errors_by_kind latency_us; do
  expect_equal "$(lun_get "$mnt" 1 "has (\"$key\")")" true "LUN has $key"
done
for key in reads writes flushes discards zeroes read_bytes write_bytes errors in_flight queued logins relogins retries \
  unit_attentions busy session_losses timeouts sync_cache fua_writes unmaps write_sames unstable_bytes; do
  expect_equal "$(lun_get "$mnt" 1 ".counters | has (\"$key\")")" true "counter $key"
done

say "counted as done"
before=$(lun_get "$mnt" 1 .counters.reads)
dd if="$mnt/lun1" of=/dev/null bs=4k count=10 iflag=direct status=none
expect_equal $(($(lun_get "$mnt" 1 .counters.reads) - before)) 10 "reads"
expect_equal "$(lun_get "$mnt" 1 '.latency_us.read | .count >= 10 and .p50 > 0 and .p99 >= .p50')" true "latency"

say "target stopped, a read waiting"
stop_answering
dd if="$mnt/lun1" of="$scratch/read" bs=4k count=1 iflag=direct status=none &
reader=$!
for _ in 1 2 3 4 5 6 7 8; do
  from=$(date +%s%N)
  status_get "$mnt" .lunfs.version >/dev/null
  ls -l "$mnt" >/dev/null
  stat "$mnt/lun1" >/dev/null
  took=$((($(date +%s%N) - from) / 1000000))
  [ "$took" -lt $((1000 * slow)) ] || fail "the status took $took ms"
  sleep 0.3
done
wait_for "[ \"\$(lun_get '$mnt' 1 .state)\" != up ]" 20
status_get "$mnt" '.targets[0].error // .targets[0].luns[0].error'
answer_again
lun_up "$mnt" 1 30
wait "$reader" || fail "the read did not survive"
stop_lunfs "$mnt"
