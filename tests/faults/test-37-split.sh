#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Fault 37: TCP segments of a byte, and a byte every 100 ms: slow, but right, without a busy loop, and not taken for dead,
# since bytes come.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
# shellcheck source=tests/faults/faults.sh
. "$top_srcdir/tests/faults/faults.sh"
test_limit 150

behind_proxy 1M 1 -o cmd_timeout=30,noop_out_timeout=3 # the answer to a NOP-Out takes longer than that below
proxy split both 1
start_load 1 --threads 2 --max-bytes 64k --direct --punch
moves 1
wait_for "[ \"\$(counter 1 writes)\" -ge 12 ]" 60
proxy split down 1 100 # one byte every 100 ms
before=$(cpu_ms "$(worker "$mnt")")
sleep 4
used=$(($(cpu_ms "$(worker "$mnt")") - before))
say "$used ms of CPU in 4 s of 10 bytes a second"
[ "$used" -le $((400 * slow + 50)) ] || fail "it spins"
proxy heal
moves 1
stop_load "a byte every 100 ms for 4 s" 1
expect_equal "$(counter 1 session_losses)" 0 "session losses"
no_errors 1

say "logging in byte by byte, 17 bytes at a time, with pauses"
stop_lunfs "$mnt"
proxy split both 1
mount_all 1
stop_lunfs "$mnt"
proxy split both 17 1
mount_all 1 -o header_digest=crc32c
random_file some 16K >/dev/null
dd if="$scratch/some" of="$mnt/lun1" bs=16k conv=notrunc,fsync status=none
cmp -n 16384 "$scratch/some" "$scratch/disk1"
dd if="$mnt/lun1" bs=16k count=1 status=none | cmp - "$scratch/some"
stop_lunfs "$mnt"
