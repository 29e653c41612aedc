#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# 1, 4 and 32 LUNs in one mount, used at the same time; each gets its own data.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

requires fio
start_target
mnt=$scratch/mnt
for count in 1 4 32; do
  say "$count LUNs"
  add_target "n$count"
  for ((i = 1; i <= count; i++)); do add_lun "$(backing "d$count-$i" 8M)"; done
  start_lunfs "iscsi://$portal/$iqn" "$mnt"
  for ((i = 1; i <= count; i++)); do lun_up "$mnt" "$i" 30; done
  expect_equal "$(find "$mnt" -maxdepth 1 -name "lun*" | wc -l)" "$count" "files"
  pids=()
  for ((i = 1; i <= count; i++)); do
    (
      trap - EXIT ERR
      head -c 8M < <(yes "LUN $i of $count" 2>/dev/null) >"$scratch/r$i"
      dd if="$scratch/r$i" of="$mnt/lun$i" bs=64k conv=notrunc,fsync status=none
      cmp -n 8388608 "$scratch/r$i" "$mnt/lun$i" && cmp "$scratch/r$i" "$scratch/d$count-$i"
    ) &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || fail "a LUN has wrong data"; done
  expect_equal "$(status_get "$mnt" '[.targets[].luns[] | select (.counters.errors != 0)] | length')" 0 "LUNs with errors"
  expect_equal "$(status_get "$mnt" '[.targets[].luns[].identity] | unique | length')" "$count" "identities"
  stop_lunfs "$mnt"
done
