#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Fault 45, by the hundred: the worker is killed with -9 every 50 to 500 ms, under fio's verify and the stress program in all
# cache modes, under ext4 on a loop device, under a virtual machine (LUNFS_LONG=1), while it logs in, while its target is gone,
# and while it flushes at the end.  Nobody sees an error or a wrong byte, and nothing is left over.  kills.sh has the settings.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
# shellcheck source=tests/faults/faults.sh
. "$top_srcdir/tests/faults/faults.sh"
private_mounts
# shellcheck source=tests/faults/kills.sh
. "$top_srcdir/tests/faults/kills.sh"
test_limit $((kills_wanted * 3 + 180))
requires fio python3

start_fio () { # FIO-OPTION...
  fio --name=kills --filename="$mnt/lun1" --allow_file_create=0 --rw=randwrite --bsrange=512-64k --blockalign=512 --size=16m \
    --io_size=1000g --verify=crc32c --verify_backlog=256 --verify_fatal=1 --do_verify=1 --randseed="$RANDOM" \
    --output-format=json --output="$scratch/fio.json" "$@" >"$scratch/fio.log" 2>&1 &
  fio=$!
  cleanup_fn kill_quietly $fio
}
stop_fio () {
  alive $fio || fail "$part: fio has ended: $(cat "$scratch/fio.log" "$scratch/fio.json")"
  kill -INT $fio
  wait $fio || : # of a signal
  fio_result "$scratch/fio" "$part, fio"
  sync "$mnt/lun1"
  same_lun 1
}

# fio and the stress program, on a LUN each
loads () { # CACHE OF-50
  local how=(--direct=1 --ioengine=libaio --iodepth=16)
  begin_part "cache=$1" "$2" -o "cache=$1,cache_write_delay=300"
  lun_up "$mnt" 1 && lun_up "$mnt" 2
  [ "$1" != page ] || how=(--direct=0 --ioengine=psync --fsync=50)
  start_fio "${how[@]}"
  start_load 2 --threads 4 --punch --zero --pause 300
  moves 1
  start_kills
  end_kills
  all_served 1 2
  moves 1
  moves 2
  stop_fio
  count_stall
  stop_load "$part, stress" 2
  count_stall
  no_errors 1 2
  end_part
}

# Files in ext4 on a loop device, each with a checksum once it was synced.
files () { # OF-50
  local fs=$scratch/fs files
  begin_part "ext4 on a loop device" "$1" -o cache_write_delay=300
  lun_up "$mnt" 3
  attach_loop "$mnt/lun3" --direct-io=on
  mkfs.ext4 -q -E nodiscard "$loop"
  mkdir -p "$fs"
  cleanup_fn umount -l -q "$fs"
  mount -o discard "$loop" "$fs"
  rm -f "$scratch/ledger"
  python3 "$top_srcdir/tests/faults/files.py" "$fs" "$scratch/ledger" >"$scratch/files.log" 2>&1 &
  files=$!
  cleanup_fn kill_quietly $files
  wait_for "grep -q running '$scratch/files.log'" 10
  start_kills
  end_kills
  all_served 3
  moves 3
  alive $files || fail "$part: the files' writer has ended: $(cat "$scratch/files.log")"
  kill -TERM $files
  wait $files || fail "$part: $(cat "$scratch/files.log")"
  cat "$scratch/files.log"
  stall=$(sed -n 's/.*longest_ms=\([0-9]*\).*/\1/p' "$scratch/files.log")
  echo "# stall: $stall ms ($part)"
  count_stall
  umount "$fs"
  e2fsck -fn "$loop"
  mount "$loop" "$fs"
  python3 "$top_srcdir/tests/faults/files.py" --check "$fs" "$scratch/ledger"
  umount "$fs"
  detach_loop "$loop"
  same_lun 3
  no_errors 3
  end_part
}

# Each login takes some seconds, in which the worker is killed.
login () { # OF-50
  begin_part "during login" "$1" -o cache_write_delay=300,login_timeout=20
  lun_up "$mnt" 2
  start_load 2 --threads 4 --punch --zero --pause 300
  moves 2
  proxy delay both 300
  start_kills
  end_kills
  [ "$(grep -c 'lun 2: up at' "${lunfs_logs[$mnt]}")" -le $((part_kills / 2 + 1)) ] ||
    fail "$part: most workers had logged in: the test is not one"
  proxy heal
  all_served 2
  moves 2
  stop_load "$part" 2
  no_errors 2
  end_part
}

# The target stands still, or all packets are lost, and the kills go on.
outage () { # KIND OF-50 BEGIN END
  begin_part "target $1" "$2" -o cache_write_delay=300
  lun_up "$mnt" 2
  start_load 2 --threads 4 --punch --zero --pause 300
  moves 2
  $3
  start_kills
  end_kills
  $4
  all_served 2
  moves 2
  stop_load "$part" 2
  no_errors 2
  end_part
}

terminate () { kill -TERM "$sup"; }
unmount () { umount "$mnt"; }
# What was answered is in the arena only when the end comes, and the target is slow.
drain () { # HOW OF-50 END
  local n
  begin_part "during the flush after $1" "$2" -o cache_write_delay=60000,stop_timeout=600
  lun_up "$mnt" 1
  random_file new 1M >/dev/null
  dd if="$scratch/new" of="$mnt/lun1" bs=4k oflag=direct conv=notrunc status=none
  [ "$(counter 1 dirty_bytes)" = 1048576 ] || fail "$part: not dirty: the test is not one"
  proxy rate up $((1000000 / part_kills))
  expect_equal "$(status_get "$mnt" .lunfs.workers_started)" 1 "$part: workers"
  start_kills
  $3
  end_kills
  cmp -s -n 1048576 "$scratch/new" "$scratch/disk1" && fail "$part: flushed before the kills: the test is not one"
  proxy heal
  wait_for "! alive $sup" 60
  wait "$sup" || fail "$part: lunfs ended with status $?"
  ! mounted "$mnt" || fail "$part: still mounted"
  cmp -n 1048576 "$scratch/new" "$scratch/disk1" || fail "$part: data is missing"
  end_part unmounted
}

requires losetup mkfs.ext4 e2fsck bc
target_with 16M 2
add_lun "$(backing disk3 64M)" 512 thin_provisioning=1
start_proxy
wants () { [[ " ${LUNFS_KILLS_PARTS:-$1} " == *" $1 "* ]]; }
if wants loads; then
  loads writeback 9
  loads writethrough 6
  loads none 6
  loads page 6
fi
if wants files; then files 7; fi
if wants login; then login 4; fi
if wants outage; then
  outage "frozen" 3 stop_answering answer_again
  outage "behind a black hole" 3 "proxy drop both" "proxy heal"
fi
if wants drain; then
  drain SIGTERM 3 terminate
  drain umount 3 unmount
fi
report
