#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Fault 4: the target dies under load and comes back a few seconds later, twice.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
# shellcheck source=tests/faults/faults.sh
. "$top_srcdir/tests/faults/faults.sh"

target_with 16M 2
mount_all 2
down=3
[ "$long" = 0 ] || down=60
test_limit $((100 + 3 * down))
start_load 1 --punch --zero
start_load 2 --threads 4 --direct --block 4096 --max-bytes 15m
for n in 1 2; do
  random_file "fsynced$n" 64K >/dev/null
  dd if="$scratch/fsynced$n" of="$mnt/lun2" bs=64k seek=$((252 + n)) conv=notrunc,fsync status=none # the load is elsewhere
  kill_target
  wait_for "[ \"\$(lun_get '$mnt' 1 .state)\" != up ] && [ \"\$(lun_get '$mnt' 2 .state)\" != up ]" 10
  quiet $down
  restart_target
  relogins 1 "$n"
  relogins 2 "$n"
  moves 1
  moves 2
done
stop_load "target dead for $down s" 1 2
for n in 1 2; do
  dd if="$mnt/lun2" bs=64k skip=$((252 + n)) count=1 status=none | cmp - "$scratch/fsynced$n"
done
no_errors 1 2
stop_lunfs "$mnt"
