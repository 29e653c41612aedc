#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Mounts share a state_dir, and all are killed at once: each gets its own data back, whichever is mounted again first.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
test_limit 120
requires jq
start_target
add_target shared
state=$scratch/state
mkdir -m 700 "$state"
head -c 64K /dev/urandom >"$scratch/new"
disks=("")
for n in 1 2 3; do
  disks+=("$(backing "disk$n" 16M)")
  add_lun "${disks[n]}"
done
mount_options=state_dir=$state,buffer_size=8M,cache_size=16M,cache_write_delay=60000
all=()
write_new () { # FILE
  dd if=/dev/urandom of="$1" bs=4k count=4 seek=2000 oflag=direct conv=notrunc,fsync status=none # a witness
  dd if="$scratch/new" of="$1" bs=4k oflag=direct conv=notrunc status=none
}
start () { # NAME [/LUN]
  start_lunfs "iscsi://$portal/$iqn${2-}" "$scratch/$1" -o "$mount_options"
  all+=("$(supervisor "$scratch/$1")" "$(worker "$scratch/$1")")
}
kill_all () {
  local p
  for p in "${all[@]}"; do kill -STOP "$p"; done
  for p in "${all[@]}"; do kill -KILL "$p"; done
  for p in "${all[@]}"; do wait_for "! alive $p" 10; done
  all=()
}
written_back () { # NAME LUN
  lun_up "$scratch/$1" "$2" 20
  cmp -n 65536 "$scratch/new" "${disks[$2]}" || fail "LUN $2: it is not at the target"
}

say "two mounts"
start m1 /1
start m2 /2
write_new "$scratch/m1/lun1"
write_new "$scratch/m2/lun2"
kill_all
umount -l "$scratch/m1" "$scratch/m2"
start m1 /1
written_back m1 1
start m2 /2
written_back m2 2
stop_lunfs "$scratch/m1"
stop_lunfs "$scratch/m2"
expect_equal "$(find "$state" -type f | wc -l)" 0 "files in state_dir"

all=()
say "one mount of several LUNs, and then one of each"
start m3
for n in 1 2 3; do
  lun_up "$scratch/m3" $n
  head -c 64K /dev/zero | dd of="${disks[n]}" conv=notrunc status=none
  write_new "$scratch/m3/lun$n"
done
kill_all
umount -l "$scratch/m3"
for n in 3 1 2; do
  start m$n /$n
  written_back m$n $n
done
for n in 1 2 3; do stop_lunfs "$scratch/m$n"; done
expect_equal "$(find "$state" -type f | wc -l)" 0 "files in state_dir"
