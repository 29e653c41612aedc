#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Fault 52: the connection is reset while megabytes wait to be written into it: EPIPE, not the end of the worker.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
# shellcheck source=tests/faults/faults.sh
. "$top_srcdir/tests/faults/faults.sh"

requires fio ss
truncate -s 32M "$scratch/disk0"
start_ramtgt --file "$scratch/disk0" --size 32m --first-burst 262144 --mrdsl 262144 # all of a write may come unasked
start_proxy
lunfs_as=(env --default-signal=PIPE) # whoever runs this test may ignore it, and so would lunfs then
mount_all 0 -o queue_depth=128
lun_up "$mnt" 0
pid=$(worker "$mnt")
ignored=$(sed -n 's/^SigIgn:\s*//p' "/proc/$pid/status")
[ $((0x$ignored >> 12 & 1)) = 1 ] || fail "SIGPIPE would end it: it ignores only $ignored"
fio --name=load --filename="$mnt/lun0" --allow_file_create=0 --direct=1 --ioengine=libaio --iodepth=128 --rw=randwrite \
  --bs=256k --size=32m --io_size=100g --rate=200m --verify=crc32c --verify_fatal=1 --do_verify=1 \
  --output-format=json --output="$scratch/fio.json" >"$scratch/fio.log" 2>&1 &
fio=$!
cleanup_fn kill_quietly $fio
# Nothing is read any more: true if that leaves megabytes waiting in lunfs' socket.  (fio may be reading just now.)
stuffed () {
  local try
  proxy stall up
  for try in 1 2 3 4 5; do
    sleep 0.1
    if ss -tn | awk -v to=":$port\$" '$5 ~ to && $3 > 1000000 {found = 1} END {exit !found}'; then return 0; fi
  done
  proxy heal
  return 1
}
for n in 1 2 3; do
  moves 0
  until stuffed; do moves 0; done
  proxy rst
  proxy heal
  relogins 0 $n
done
kill -INT $fio
wait $fio || :
expect_equal "$(worker "$mnt")" "$pid" "worker"
fio_result "$scratch/fio" "reset while megabytes wait to be written"
no_errors 0
same_lun 0
stop_lunfs "$mnt"
