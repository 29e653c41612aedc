#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# fio, random mixes of 512 bytes to 64 KiB at depth 32 with checksums: io engines and both block sizes.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
test_limit 200

requires fio
start_target
add_target fio
add_lun "$(backing d1 96M)"
add_lun "$(backing d2 96M)" 4096
mnt=$scratch/mnt
start_lunfs "iscsi://$portal/$iqn" "$mnt"
lun_up "$mnt" 1
lun_up "$mnt" 2
amount=64m
[ "$valgrind" = 0 ] || amount=4m
verify () { # LUN BLOCK [OPTION...]
  local n=$1 block=$2
  shift 2
  say "LUN $n $*"
  fio --name=v --filename="$mnt/lun$n" --allow_file_create=0 --bsrange="$block-64k" --blockalign="$block" --size=96m \
    --io_size="$amount" --iodepth=32 --verify=crc32c --verify_fatal=1 --do_verify=1 "$@" >"$scratch/fio.out" 2>&1 || {
    cat "$scratch/fio.out"
    fail "fio: $*"
  }
}
verify 1 512 --direct=1 --ioengine=libaio --rw=randwrite
verify 1 512 --direct=1 --ioengine=io_uring --rw=randrw
verify 2 4096 --direct=1 --ioengine=libaio --rw=randrw
verify 1 512 --direct=0 --ioengine=psync --rw=randwrite --io_size=$((${amount%m} / 4))m
verify 1 512 --direct=1 --ioengine=psync --rw=randwrite --numjobs=8 --size=12m --offset_increment=12m --io_size=6m
verify 1 512 --direct=0 --ioengine=mmap --rw=randwrite --size=8m --io_size=8m --bsrange=4k-64k --blockalign=4k
expect_equal "$(status_get "$mnt" '[.targets[].luns[].counters.errors] | add')" 0 "errors"
same_data "$mnt/lun1" "$scratch/d1"
same_data "$mnt/lun2" "$scratch/d2"
stop_lunfs "$mnt"
