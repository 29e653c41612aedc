#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# state_dir, the finer points: reservations since, deaths in the middle of the writing back, discards, a target that loses its
# power meanwhile, several LUNs of which one is refused.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
test_limit 180
requires jq python3

state=$scratch/state
mkdir -m 700 "$state"
mount_options=state_dir=$state,buffer_size=8M,cache_size=16M,cache_write_delay=60000
saved () { lunfsctl saved "$1" --state-dir "$state" "${@:2}"; }
the_name () { saved list --json | jq -er '.[0].name'; }
files () { find "$state" -type f | wc -l; }
mount_it () { start_lunfs "iscsi://$portal/$iqn" "$mnt" -o "$mount_options,$1"; }
witness () { dd if=/dev/urandom of="$1" bs=4k count=4 seek=1000 oflag=direct conv=notrunc,fsync status=none; }

say "the target has lost its power since: as if somebody had changed it; but replay brings it all back, zeroes, too"
fake_lun 16M --wce --thin -- -o "$mount_options,cmd_timeout=10"
head -c 4M /dev/urandom | dd of="$file" bs=1M iflag=fullblock conv=notrunc,fsync status=none
witness "$file"
head -c 65536 /dev/urandom >"$scratch/new"
dd if="$scratch/new" of="$file" bs=512 count=1 seek=101 oflag=direct conv=notrunc status=none
dd if="$scratch/new" of="$file" bs=4k count=16 seek=20 oflag=direct conv=notrunc status=none
dd if="$scratch/new" of="$file" bs=512 count=3 seek=8001 oflag=direct conv=notrunc status=none
cat "$file" >"$scratch/wanted"
dd if=/dev/zero of="$scratch/wanted" bs=1M count=1 seek=2 conv=notrunc status=none
fake_rule "sync : noresp before"
fallocate -z -o 2M -l 1M "$file" 2>/dev/null & # never answered
fake_hit
kill_both
fake powerloss >/dev/null
saved inspect "$(the_name)"
[ "$(saved inspect --json "$(the_name)" | jq '.luns[0].discards')" -ge 1 ] || fail "no discard is kept"
mount_it cmd_timeout=10
wait_for "lun_get '$mnt' 0 .error | grep -q 'another initiator has written'" 20
saved replay "$(the_name)"
lun_up "$mnt" 0
same_data "$file" "$scratch/wanted"
stop_lunfs "$mnt"
same_data "$disk" "$scratch/wanted"
fake_no_violations
expect_equal "$(files)" 0 "files in state_dir"

# left_behind: dirty pages far apart, so that they are many WRITEs
left_behind () {
  local n
  mount_it cmd_timeout=10
  lun_up "$mnt" 0
  witness "$file"
  # A place that is known, and to be written over: when that was half done, it speaks against nobody.
  dd if=/dev/urandom of="$file" bs=4k count=3 seek=5 oflag=direct conv=notrunc,fsync status=none
  for n in {1..40}; do
    dd if=/dev/urandom of="$file" bs=4k count=1 seek=$((n * 5)) oflag=direct conv=notrunc status=none
  done
  head -c 1M "$file" >"$scratch/wanted"
  kill_both
  cmp -s -n 1048576 "$scratch/wanted" "$disk" && fail "it is on the disk already"
  return 0
}

say "zeroes that were answered before the target had begun with them, and data written there since"
head -c 4M /dev/urandom | dd of="$scratch/wanted" bs=1M iflag=fullblock status=none
mount_it cmd_timeout=10
lun_up "$mnt" 0
dd if="$scratch/wanted" of="$file" bs=1M conv=notrunc,fsync status=none
zero () { # OFFSET LENGTH: without the fsync of fallocate(1)
  python3 - "$file" "$1" "$2" <<'PY'
import ctypes, os, sys
f = os.open(sys.argv[1], os.O_RDWR)
KEEP_SIZE, ZERO_RANGE = 1, 16
assert ctypes.CDLL(None).fallocate(f, KEEP_SIZE | ZERO_RANGE, ctypes.c_int64(int(sys.argv[2])), ctypes.c_int64(int(sys.argv[3]))) == 0
PY
}
zero $((8 << 20)) $((1 << 20)) # the first one is waited for
fake_rule "write-same : noresp before"
zero $((1 << 20)) $((1 << 20))
dd if="$scratch/new" of="$file" bs=4k count=16 seek=300 oflag=direct conv=notrunc status=none
dd if=/dev/zero of="$scratch/wanted" bs=1M count=1 seek=1 conv=notrunc status=none
dd if="$scratch/new" of="$scratch/wanted" bs=4k count=16 seek=300 conv=notrunc status=none
same_data "$file" "$scratch/wanted" 4194304
kill_both
saved inspect "$(the_name)"
[ "$(saved inspect --json "$(the_name)" | jq '.luns[0].discards')" -ge 1 ] || fail "no discard is kept"
fake_rule "write-same nth=2 : sense 5/20/0" # it does not do that any more: zeroes are written
mount_it cmd_timeout=10
lun_up "$mnt" 0
fake_hit
stop_lunfs "$mnt"
same_data "$disk" "$scratch/wanted" 4194304
expect_equal "$(files)" 0 "files in state_dir"

say "both die in the middle of the writing back, and then a worker alone"
left_behind
fake_rule "write nth=9 : noresp before"
mount_it cmd_timeout=60
fake_hit
expect_equal "$(lun_get "$mnt" 0 .state)" recover "state"
kill_both
expect_equal "$(saved inspect --json "$(the_name)" | jq '.luns[0].begun')" true "begun"
fake_rule "write nth=9 : noresp before"
mount_it cmd_timeout=60
fake_hit
kill -KILL "$(worker "$mnt")"
lun_up "$mnt" 0
cmp -n 1048576 "$scratch/wanted" "$disk"
stop_lunfs "$mnt"
expect_equal "$(files)" 0 "files in state_dir"

say "the session is lost in the middle of it"
left_behind
fake_rule "write nth=12 : drop before"
mount_it cmd_timeout=60
lun_up "$mnt" 0
fake_hit
cmp -n 1048576 "$scratch/wanted" "$disk"
stop_lunfs "$mnt"
expect_equal "$(files)" 0 "files in state_dir"

say "the target refuses a write of it: it waits, and is tried again"
left_behind
fake_rule "write nth=5 : sense 4/44/0"
mount_it cmd_timeout=60
fake_hit
lun_up "$mnt" 0 20
cmp -n 1048576 "$scratch/wanted" "$disk"
stop_lunfs "$mnt"
expect_equal "$(files)" 0 "files in state_dir"

refused () { # REGEX
  wait_for "lun_get '$mnt' 0 .error | grep -qE '$1'" 20
  expect_fail dd if="$file" of=/dev/null bs=4k count=1 iflag=direct
  expect_message 'Input/output error'
  cmp -s -n 1048576 "$scratch/wanted" "$disk" && fail "it was written back all the same"
  return 0
}
say "somebody has the reservation"
left_behind
fake reserve 0 3
mount_it cmd_timeout=10
refused 'reserv'
stop_lunfs "$mnt"
say "... or had one: the generation tells"
fake release 0
saved discard --yes "$(the_name)"
left_behind
fake reserve 0 3
fake release 0
mount_it cmd_timeout=10
refused 'reservation generation'
saved replay "$(the_name)"
lun_up "$mnt" 0
cmp -n 1048576 "$scratch/wanted" "$disk"
stop_lunfs "$mnt"
expect_equal "$(files)" 0 "files in state_dir"

say "read-only: it waits"
left_behind
mount_it cmd_timeout=10,ro
refused 'read-only: mount once without ro'
stop_lunfs "$mnt"
mount_it cmd_timeout=10
lun_up "$mnt" 0
cmp -n 1048576 "$scratch/wanted" "$disk"
stop_lunfs "$mnt"

say "two LUNs, one of them refused: the other one works, and the choice is for one"
start_target
add_target two
disks=("$(backing one 16M)" "$(backing two 16M)")
add_lun "${disks[0]}"
add_lun "${disks[1]}"
mount_it cmd_timeout=10
lun_up "$mnt" 1
lun_up "$mnt" 2
for n in 1 2; do
  witness "$mnt/lun$n"
  dd if="$scratch/new" of="$mnt/lun$n" bs=4k oflag=direct conv=notrunc status=none
done
kill_both
dd if=/dev/urandom of="${disks[0]}" bs=4k count=4 seek=1000 conv=notrunc status=none
mount_it cmd_timeout=10
lun_up "$mnt" 2
cmp -n 65536 "$scratch/new" "${disks[1]}"
wait_for "lun_get '$mnt' 1 .error | grep -q 'another initiator has written'" 20
expect_fail dd if="$mnt/lun1" of=/dev/null bs=4k count=1 iflag=direct
dd if="$scratch/new" of="$mnt/lun2" bs=4k seek=100 oflag=direct conv=notrunc status=none # dirty, too
kill_both

say "the same again: what waited still waits, beside what is new"
mount_it cmd_timeout=10
lun_up "$mnt" 2
cmp -n 65536 "$scratch/new" <(dd if="${disks[1]}" bs=4k skip=100 count=16 status=none)
expect_fail dd if="$mnt/lun1" of=/dev/null bs=4k count=1 iflag=direct
index=$(saved inspect --json "$(the_name)" | jq '.luns[] | select (.state == "refused") | .index')
expect_fail saved replay "$(the_name)" $((index + 1))
saved replay "$(the_name)" "$index"
lun_up "$mnt" 1
cmp -n 65536 "$scratch/new" "${disks[0]}"
stop_lunfs "$mnt"
expect_equal "$(files)" 0 "files in state_dir"
