#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# qemu-img with cache=none: convert in both directions, compare, map, bench, with aio native, io_uring and threads.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

requires qemu-img
one_lun 48M 512 thin_provisioning=1
qemu-img info -f raw "$file"
random_file half 24M >/dev/null
cp "$scratch/half" "$scratch/source.raw"
truncate -s 48M "$scratch/source.raw"
qemu-img convert -f raw -O qcow2 "$scratch/source.raw" "$scratch/source.qcow2"

say "onto the LUN"
qemu-img convert -n -t none -O raw "$scratch/source.qcow2" "$file"
qemu-img compare -T none -F raw "$scratch/source.qcow2" "$file"
same_data "$disk" "$scratch/source.raw"
say "from the LUN"
qemu-img convert -T none -f raw -O qcow2 "$file" "$scratch/back.qcow2"
qemu-img compare "$scratch/back.qcow2" "$scratch/source.qcow2"
say "map"
qemu-img map --output=json -f raw "$file" | jq -e 'map (.length) | add == 50331648'
for aio in native io_uring threads; do
  say "bench, aio=$aio"
  # A read that qemu has not got compiled in says so; anything else must work.
  for how in "" -w "-w --flush-interval=64"; do
    # shellcheck disable=SC2086 # words
    qemu-img bench -f raw -t none -i $aio -c 2000 -d 32 -s 4k $how "$file" >"$scratch/out" 2>&1 || {
      grep -qi 'not supported\|invalid aio' "$scratch/out" && break
      cat "$scratch/out"
      fail "bench -i $aio $how"
    }
  done
done
expect_equal "$(lun_get "$mnt" 1 .counters.errors)" 0 "errors"
stop_lunfs "$mnt"
