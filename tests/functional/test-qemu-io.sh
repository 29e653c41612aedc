#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# qemu-io with cache=none: aio native, io_uring and threads; write, zero, discard, flush, map; guest blocks of 512.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

requires qemu-io
one_lun 64M 512 thin_provisioning=1
for aio in native io_uring threads; do
  if ! qemu-io -f raw -t none -i $aio -c 'read 0 512' "$file" >"$scratch/out" 2>&1 && grep -qi 'not supported\|invalid aio' "$scratch/out"; then
    say "this qemu has no aio=$aio"
    continue
  fi
  say "aio=$aio"
  qemu-io -f raw -t none -i $aio -d unmap -c 'write -P 0x5a 0 16M' -c 'read -P 0x5a 0 16M' -c 'write -z 2M 1M' \
    -c 'write -zu 4M 1M' -c 'discard 6M 1M' -c 'write -f -P 0x11 8M 4k' -c flush -c 'read -P 0 2M 1M' -c 'read -P 0 4M 1M' \
    -c 'read -P 0 6M 1M' -c 'read -P 0x11 8M 4k' -c 'write -P 0x77 10485760 512' -c 'read -P 0x5a 10485248 512' \
    -c 'read -P 0x77 10485760 512' -c 'read -P 0x5a 10486272 512' -c 'aio_write -P 1 20M 1M' -c 'aio_write -P 2 21M 1M' \
    -c 'aio_write -P 3 22M 1M' -c aio_flush -c 'read -P 1 20M 1M' -c 'read -P 3 22M 1M' -c map "$file" >"$scratch/out" 2>&1 || {
    cat "$scratch/out"
    fail "qemu-io"
  }
  ! grep -iE 'fail|error|mismatch' "$scratch/out" || fail "qemu-io -i $aio"
  same_data "$file" "$disk"
done
expect_equal "$(lun_get "$mnt" 1 .counters.errors)" 0 "errors"
stop_lunfs "$mnt"
