#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# state_dir and a reservation of our own: the next mount takes it over, and what the dead one could not flush is written back;
# not if another initiator has preempted it meanwhile.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
requires jq python3

state=$scratch/state
mkdir -m 700 "$state"
mount_options=state_dir=$state,buffer_size=8M,cache_size=16M,cache_write_delay=60000
mount_it () { start_lunfs "iscsi://$portal/$iqn" "$mnt" -o "$mount_options"; }
holder () { lunfsctl keys --json "$file" | jq -c '.[0] | [.keys, .holder, .type]'; }
left_behind () { # TYPE
  lunfsctl reserve --type="$1" "$file" 0xabc
  dd if=/dev/urandom of="$file" bs=4k count=4 seek=1000 oflag=direct conv=notrunc,fsync status=none # witnesses
  dd if=/dev/urandom of="$file" bs=4k count=64 oflag=direct conv=notrunc status=none
  cat "$file" >"$scratch/wanted"
  kill_both
  cmp -s "$scratch/wanted" "$disk" && fail "nothing was left behind"
  return 0
}

fake_lun 16M --wce -- -o "$mount_options"
for type in write-exclusive exclusive-access write-exclusive-registrants-only; do
  say "both die, $type"
  left_behind "$type"
  mount_it
  lun_up "$mnt" 0
  expect_equal "$(holder)" "[[\"0xabc\"],\"0xabc\",\"$type\"]" "at the target"
  expect_equal "$(lun_get "$mnt" 0 .reservation.state)" reserved state
  sync "$file"
  same_data "$scratch/wanted" "$disk"
  expect_equal "$(find "$state" -name '*.saved' | wc -l)" 0 "files in state_dir"
  lunfsctl release "$file"
done

say "the worker alone dies: its successor goes on, and nothing is saved away"
lunfsctl reserve "$file" 0xabc
dd if=/dev/urandom of="$file" bs=4k count=64 oflag=direct conv=notrunc status=none
pid=$(worker "$mnt")
kill -KILL "$pid"
wait_for "[ \"\$(worker '$mnt')\" != $pid ]" 20
lun_up "$mnt" 0
sync "$file"
same_data "$file" "$disk"
lunfsctl release "$file"

say "preempted meanwhile: not a byte is written back, and nothing is registered"
left_behind write-exclusive
cp "$disk" "$scratch/before"
fake preempt 0
mount_it
wait_for "lun_get '$mnt' 0 '.error | test (\"saved data waits.*reserved\")'" 20
same_data "$scratch/before" "$disk"
expect_equal "$(lun_get "$mnt" 0 .reservation.state)" preempted state
fake_no_violations
stop_lunfs "$mnt"
