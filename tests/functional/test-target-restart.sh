#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The target is killed and started again under load: I/O waits, goes on, and nothing is lost.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
test_limit 200

requires fio
one_lun 64M 512 "" -o replacement_timeout=60
fio --name=load --filename="$file" --allow_file_create=0 --direct=1 --ioengine=libaio --iodepth=16 --rw=randwrite \
  --bsrange=512-64k --blockalign=512 --size=64m --loops=3 --thinktime=10ms --thinktime_blocks=16 --verify=crc32c \
  --verify_backlog=64 --verify_fatal=1 --do_verify=1 >"$scratch/fio.out" 2>&1 &
fio=$!
disown
cleanup_fn kill_quietly $fio
for n in 1 2; do
  wait_for "[ \"\$(lun_get '$mnt' 1 .counters.writes)\" -gt $((n * 2000)) ]" 30
  kill_target
  wait_for "[ \"\$(lun_get '$mnt' 1 .state)\" != up ]" 10
  sleep 1 # an outage that lasts
  alive "$fio" || fail "fio ended early: $(cat "$scratch/fio.out")"
  restart_target
  lun_up "$mnt" 1 40
done
wait_for "! alive $fio" 90
cat "$scratch/fio.out"
grep -q 'err= 0' "$scratch/fio.out" || fail "fio saw an error"
expect_equal "$(lun_get "$mnt" 1 .counters.errors)" 0 "errors"
[ "$(lun_get "$mnt" 1 .counters.relogins)" -ge 2 ]
cp "$file" "$scratch/copy"
same_data "$disk" "$scratch/copy"
stop_lunfs "$mnt"
