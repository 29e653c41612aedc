#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Connections cut under load: no error, data right, and the counters say what happened.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
test_limit 180

requires fio
one_lun 64M
fio --name=load --filename="$file" --allow_file_create=0 --direct=1 --ioengine=libaio --iodepth=16 --rw=randwrite \
  --bsrange=512-64k --blockalign=512 --size=64m --loops=3 --thinktime=10ms --thinktime_blocks=16 --verify=crc32c \
  --verify_backlog=64 --verify_fatal=1 --do_verify=1 >"$scratch/fio.out" 2>&1 &
fio=$!
disown
cleanup_fn kill_quietly $fio
for n in 1 2 3 4; do
  wait_for "[ \"\$(lun_get '$mnt' 1 .counters.writes)\" -gt $((n * 1500)) ]" 30
  alive "$fio" || fail "fio ended early: $(cat "$scratch/fio.out")"
  cut_connections
  wait_for "[ \"\$(lun_get '$mnt' 1 .counters.relogins)\" -ge $n ]" 20
done
wait_for "! alive $fio" 90
cat "$scratch/fio.out"
grep -q 'err= 0' "$scratch/fio.out" || fail "fio saw an error"
expect_equal "$(lun_get "$mnt" 1 .counters.errors)" 0 "errors"
[ "$(lun_get "$mnt" 1 .counters.relogins)" -ge 4 ]
[ "$(lun_get "$mnt" 1 .counters.session_losses)" -ge 4 ]
wait_for "[ \"\$(lun_get '$mnt' 1 .counters.in_flight)\" = 0 ]" 10 # a commit in the background may be at it
logged "$mnt" 'session|connection' || fail "the log says nothing"
stop_lunfs "$mnt"
