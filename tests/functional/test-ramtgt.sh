#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The project's own in-memory target: what the benchmarks run against is served rightly.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

requires fio
start_ramtgt
mnt=$scratch/mnt
start_lunfs "iscsi://$portal" "$mnt"
wait_for "ls '$mnt'/iqn*/lun0" 15
iqn=$(status_get "$mnt" '.targets[0].name')
stop_lunfs "$mnt"
start_lunfs "iscsi://$portal/$iqn" "$mnt" # fio takes a ':' for a separator of file names
lun_up "$mnt" 0
file=$mnt/lun0
fio --name=v --filename="$file" --allow_file_create=0 --direct=1 --ioengine=libaio --iodepth=32 --rw=randwrite \
  --bsrange=512-256k --blockalign=512 --size=16m --io_size=48m --verify=crc32c --verify_fatal=1 --do_verify=1
stop_lunfs "$mnt"
