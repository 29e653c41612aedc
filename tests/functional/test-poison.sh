#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A request that the worker crashes over (LUNFS_TEST_CRASH_OFFSET, tests/README) takes three workers with it, and is then
# answered with EIO: a read, and a write, each beside a load that sees no error.  kill -9 accuses nobody.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
test_limit 180

requires fio python3
not_under_valgrind "it reports the crashes"
ulimit -c 0
start_target
add_target poison
disk=$(random_file disk 64M)
add_lun "$disk"
mnt=$scratch/mnt
file=$mnt/lun1
poison=$((40 << 20))
# What systemd would hear.
python3 -c 'import socket, sys
s = socket.socket (socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind (sys.argv[1])
while True:
  print (s.recv (4096).decode (), flush=True)' "$scratch/notify" >"$scratch/notified" &
cleanup_fn kill_quietly $!
disown
wait_for "[ -S '$scratch/notify' ]" 10
export NOTIFY_SOCKET=$scratch/notify
worker_get () { status_get "$mnt" ".lunfs.worker.$1"; }
poisoned () { # WHAT DD-OPERAND...: it fails, after three crashes and no more
  local before
  before=$(worker_get crashes)
  say "a poisoned $1"
  shift
  expect_fail dd bs=4k count=1 status=none "$@"
  expect_message 'Input/output error'
  expect_equal "$(($(worker_get crashes) - before))" 3 "crashes"
  lun_up "$mnt" 1
}
dont_dump () { # MEMORY-FILE PID: of its hundreds of MiB only what tells of requests and pages, not what they hold, is dumped
  awk -v name="$1" '
    /^[0-9a-f]+-[0-9a-f]+ / {ours = index ($0, name) > 0}
    ours && /^Size:/ {all += size = $2}
    ours && /^VmFlags:/ && !/ dd( |$)/ {dumped += size}
    END {exit !(all >= 262144 && dumped < 8192)}' "/proc/$2/smaps"
}
for how in auto inbox; do
  # Nothing is fetched ahead: the load must not touch the poison itself.
  LUNFS_TEST_CRASH_OFFSET=$((poison + 100)) start_lunfs "iscsi://$portal/$iqn" "$mnt" -o "crash_recovery=$how,read_ahead=0"
  lun_up "$mnt" 1
  expect_equal "$(status_get "$mnt" '.lunfs.worker | "\(.started) \(.last_end) \(.crashes) \(.poisoned)"')" "1  0 0" "at first"

  say "core dumps would hold no user's data"
  dont_dump memfd:lunfs-arena "$(worker "$mnt")" || fail "the worker's would"
  dont_dump memfd:lunfs-arena "$(supervisor "$mnt")" || fail "the supervisor's would"

  fio --name=load --filename="$file" --allow_file_create=0 --direct=1 --ioengine=libaio --iodepth=16 --rw=randrw \
    --bsrange=4k-256k --size=32m --io_size=64g --time_based --runtime=$((120 * slow)) --verify=crc32c \
    --verify_backlog=64 --verify_fatal=1 >"$scratch/fio.out" 2>&1 &
  fio=$!
  cleanup_fn kill_quietly $fio
  wait_for "[ \"\$(lun_get '$mnt' 1 .counters.writes)\" -gt 0 ]" 20
  poisoned read if="$file" of=/dev/null skip=$((poison / 4096)) iflag=direct
  expect_equal "$(worker_get poisoned)" 1 "poisoned"
  expect_equal "$(worker_get last_end)" "signal 11 (Segmentation fault)" "last end"
  logged "$mnt" "$iqn lun 1: read of 4096 bytes at $poison: the worker crashed 3 times" || fail "the log does not tell of it"
  logged "$mnt" 'ended with signal 11 .*; starting the next one in' || fail "the log does not tell of the crash"
  grep -q 'STATUS=worker .* ended with signal 11 (Segmentation fault); starting the next one in' "$scratch/notified" ||
    fail "systemd does not hear of the crash: $(cat "$scratch/notified")"
  wait_for "grep ^STATUS= '$scratch/notified' | tail -n 1 | grep -qF 'STATUS=iscsi://$portal/$iqn on $mnt'" 15
  poisoned write if=/dev/zero of="$file" seek=$((poison / 4096)) oflag=direct conv=notrunc
  expect_equal "$(worker_get poisoned)" 2 "poisoned"
  logged "$mnt" "lun 1: write of 4096 bytes at $poison" || fail "the log does not tell of it"

  say "beside it everything goes on"
  writes=$(lun_get "$mnt" 1 .counters.writes)
  wait_for "[ \"\$(lun_get '$mnt' 1 .counters.writes)\" -gt $((writes + 50)) ]" 20
  kill -INT $fio
  wait $fio || : # of a signal
  grep -q 'err= 0' "$scratch/fio.out" || fail "fio: $(cat "$scratch/fio.out")"
  ! grep -E 'verify:|error=' "$scratch/fio.out" || fail "fio: $(cat "$scratch/fio.out")"
  sync "$file"
  same_data "$file" "$disk" 32M

  [ $how = inbox ] || { stop_lunfs "$mnt"; continue; }
  say "kill -9 accuses nobody"
  before=$(worker_get crashes)
  stop_answering
  dd if="$file" of=/dev/null bs=4k skip=$((poison / 4096 + 100)) count=1 iflag=direct status=none &
  dd=$!
  for n in 1 2 3; do
    old=$(worker "$mnt")
    kill -KILL "$old"
    wait_for "[ -n \"\$(worker '$mnt')\" ] && [ \"\$(worker '$mnt')\" != $old ]" 15
    wait_for "[ \"\$(worker_get started)\" = $((7 + n)) ]" 15
  done
  answer_again
  wait $dd || fail "an innocent read failed"
  expect_equal "$(worker_get crashes)" "$before" "crashes"
  stop_lunfs "$mnt"
done
