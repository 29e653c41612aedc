#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Random faults, one after the other or on top of each other, under three applications: fio with checksums, the stress
# program, and one that syncs files in ext4 on a loop device.  None of them may see an error or a wrong byte; at the end
# nothing is left over; and then everything is killed at once, and what was synced must be there.
#   LUNFS_SOAK_SECONDS=N   how long [60]     LUNFS_SOAK_SEED=N   the same faults again     LUNFS_SOAK_CACHE=MODE   [writeback]
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
# shellcheck source=tests/faults/faults.sh
. "$top_srcdir/tests/faults/faults.sh"

private_mounts
requires fio python3 mkfs.ext4 e2fsck losetup
modprobe ext4 2>/dev/null || :
grep -qw ext4 /proc/filesystems || skip "this kernel has no ext4"
seconds=${LUNFS_SOAK_SECONDS:-60}
seed=${LUNFS_SOAK_SEED:-$RANDOM}
test_limit $((seconds * 2 + 240))
cache=${LUNFS_SOAK_CACHE:-writeback}
say "seed $seed, $seconds s, cache=$cache"

target_with 32M 2
add_lun "$(backing disk3 128M)" 512 thin_provisioning=1
start_proxy
mount_all 3 -o "cache=$cache,replacement_timeout=600,login_timeout=2,cmd_timeout=5"

# -- the applications ---------------------------------------------------------------------------------------------------
start_fio () {
  fio --name=load --filename="$mnt/lun1" --allow_file_create=0 --direct=1 --ioengine=libaio --iodepth=16 --rw=randwrite \
    --bs=4k --size=32m --io_size=1000g --thinktime=5ms --thinktime_blocks=32 --verify=crc32c --verify_backlog=256 \
    --verify_fatal=1 --do_verify=1 --output-format=json --output="$scratch/fio.json" >"$scratch/fio.log" 2>&1 &
  fio=$!
  cleanup_fn kill_quietly $fio
}
start_files () {
  python3 "$top_srcdir/tests/faults/files.py" "$fs" "$scratch/ledger" >"$scratch/files.log" 2>&1 &
  files=$!
  cleanup_fn kill_quietly $files
  wait_for "grep -q running '$scratch/files.log'" 10
}
attach_loop "$mnt/lun3" --direct-io=on
mkfs.ext4 -q -E nodiscard "$loop"
fs=$scratch/fs
mkdir "$fs"
cleanup_fn umount -l -q "$fs"
mount "$loop" "$fs"
start_fio
start_load 2 --threads 6 --punch --zero --pause 300 --max-bytes 32m
start_files

# -- the faults ---------------------------------------------------------------------------------------------------------
# No $(...) here: a subshell has random numbers of its own, and the seed would say nothing.
some () { picked=${*:RANDOM % $# + 1:1}; }
frozen=0 last_kill=$SECONDS
fault () { # one at random; prints what it is
  local how way both who
  some up down
  way=$picked
  some up down both
  both=$picked
  some existing all
  who=$picked
  case $((RANDOM % 17)) in
    0) how="rst" ;;
    1) how="rst $way after=$((RANDOM * 20))" ;;
    2)
      some "up op=dataout" "up op=write" "down op=datain" "down op=response" "down op=r2t"
      how="rst $picked skip=$((RANDOM % 20))"
      ;;
    3) how="fin $way" ;;
    4) how="fin $way pdu=$((RANDOM % 60)) skip=$((RANDOM % 9))" ;;
    5) how="hold $both $who" ;;
    6) how="drop $both $who" ;;
    7)
      some "up op=dataout" "up op=write" "down op=response"
      how="hold $picked skip=$((RANDOM % 9))"
      ;;
    8) how="delay $both $((RANDOM % 300))" ;;
    9) how="rate $both $((RANDOM * 30 + 20000))" ;;
    10) how="split $both $((RANDOM % 2000 + 20))" ;;
    11) how="stall $both" ;;
    12)
      some refuse silent ignore
      how=$picked
      ;;
    13 | 14) how="freeze" ;;
    15) how="restart" ;;
    16) how="kill" ;;
  esac
  case $how in
    freeze)
      stop_answering
      frozen=1
      ;;
    restart)
      kill_target
      frozen=2
      ;;
    kill)
      if [ $((SECONDS - last_kill)) -lt 4 ]; then
        how="nothing"
      else
        kill -KILL "$(worker "$mnt")"
        last_kill=$SECONDS
      fi
      ;;
    *)
      # shellcheck disable=SC2086 # words
      proxy $how
      case $how in refuse | silent | ignore) proxy rst ;; esac
      ;;
  esac
  say "$((SECONDS - began)): $how"
}
heal () {
  case $frozen in
    1) answer_again ;;
    2) restart_target ;;
  esac
  frozen=0
  proxy heal
}
all_alive () {
  alive "$fio" || fail "fio has ended: $(cat "$scratch/fio.log")"
  alive "${load_pids[2]}" || fail "the stress program has ended: $(cat "$scratch/load2.log")"
  alive "$files" || fail "the files' writer has ended: $(cat "$scratch/files.log")"
}
all_up () { for n in 1 2 3; do lun_up "$mnt" "$n" 60; done; }

RANDOM=$seed
began=$SECONDS faults=0
while [ $((SECONDS - began)) -lt "$seconds" ]; do
  fault
  faults=$((faults + 1))
  sleep $((RANDOM % 3)).$((RANDOM % 10))
  if [ $((RANDOM % 3)) = 0 ] && [ $frozen = 0 ]; then # and something else on top of it
    fault
    faults=$((faults + 1))
    sleep $((RANDOM % 3)).$((RANDOM % 10))
  fi
  heal
  all_alive
  if [ $((RANDOM % 3)) != 0 ]; then
    all_up
    for n in 1 2 3; do moves "$n"; done
  fi
done
heal
all_up
for n in 1 2 3; do moves "$n" 60; done
all_alive

# -- the end ------------------------------------------------------------------------------------------------------------
kill -INT $fio
wait $fio || :
fio_result "$scratch/fio" "random faults, fio"
same_lun 1
stop_load "random faults, stress" 2
no_errors 1 2 3
wait_for "[ \"\$(proxy_stat current)\" = 3 ]" 40
wait_for "[ \"\$(count_connections)\" = 3 ]" 40
say "$faults faults; $(status_get "$mnt" '.lunfs.workers_started - 1') workers killed;" \
  "$(status_get "$mnt" '[.targets[].luns[].counters.relogins] | tostring') relogins of the last one"
kill -TERM $files
wait $files
cat "$scratch/files.log"
umount "$fs"
e2fsck -fn "$loop"
mount "$loop" "$fs"
python3 "$top_srcdir/tests/faults/files.py" --check "$fs" "$scratch/ledger"

say "and everything killed at once"
start_files
moves 3
sleep 1
kill_both
wait_for "! alive $files" 20
wait $files || :
umount -l "$fs"
detach_loop "$loop"
umount -l "$mnt" 2>/dev/null || :
wait_for "! mounted '$mnt'" 10
mount_all 3
attach_loop "$mnt/lun3" --direct-io=on
mount "$loop" "$fs" # replays the journal
python3 "$top_srcdir/tests/faults/files.py" --check "$fs" "$scratch/ledger"
umount "$fs"
e2fsck -fn "$loop"
detach_loop "$loop"
no_errors 1 2 3
stop_lunfs "$mnt"
