#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The path from a write to the target allocates nothing once it is warm, so that writing back cannot wait for memory that only
# writing back would make free.  What libiscsi allocates for its tasks is small, and comes from what it has given back.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
not_under_valgrind "it has an allocator of its own"
[ "$sanitizers" = no ] || { echo "SKIPPED: sanitizers have an allocator of their own" >&2; exit 77; }
requires fio cc

cc -O1 -shared -fPIC -o "$scratch/allocs.so" "$top_srcdir/tests/tools/allocs.c" -ldl ||
  skip "the counting library cannot be built"
arm () { printf %b "\\0$1" | dd of="$scratch/allocs" bs=1 conv=notrunc status=none; }
allocations () { od -An -t u8 -j "$1" -N 8 "$scratch/allocs" | tr -d ' '; } # 8: libiscsi, 16: libfuse, 24: others
zero () { head -c 32 /dev/zero | dd of="$scratch/allocs" conv=notrunc status=none; } # not truncated: it is mapped
zero
arm 1
start_target
add_target allocs
disk=$(backing disk 64M)
add_lun "$disk"
mnt=$scratch/mnt
file=$mnt/lun1
export LUNFS_ALLOCS=$scratch/allocs
LD_PRELOAD=$scratch/allocs.so start_lunfs "iscsi://$portal/$iqn" "$mnt" -o cache_size=32M
lun_up "$mnt" 1

arm 0
if [ "$(allocations 8)" = 0 ] || [ "$(allocations 24)" = 0 ]; then fail "not even the login is counted: the test is not one"; fi
rss () { awk '$1 == "VmRSS:" {print $2}' "/proc/$(worker "$mnt")/status"; }
load () { # FIO-OPTION...
  fio --name=load --filename="$file" --allow_file_create=0 --size=64m --direct=1 --ioengine=libaio --iodepth=16 \
    --rw=randwrite --time_based --runtime="$seconds" "$@" >"$scratch/fio.out" 2>&1 || fail "fio: $(cat "$scratch/fio.out")"
}
measure () { # WHAT MOST FIO-OPTION...
  local what=$1 most=$2 writes before
  shift 2
  seconds=2
  load "$@"
  before=$(rss)
  : >"$scratch/allocs.where"
  writes=$(lun_get "$mnt" 1 .counters.writes)
  zero
  arm 1
  load "$@"
  arm 0
  writes=$(($(lun_get "$mnt" 1 .counters.writes) - writes))
  say "$what: $writes writes; allocations: libiscsi $(allocations 8), libfuse $(allocations 16), lunfs $(allocations 24);" \
    "RSS $before KiB, then $(rss) KiB"
  [ "$writes" -gt 50 ] || fail "$what: nothing was written: the test is not one"
  [ "$(allocations 24)" -le $((most)) ] || fail "$what: lunfs allocates: $(cat "$scratch/allocs.where")"
  [ "$(rss)" -le $((before + 2048)) ] || fail "$what: the worker grows"
}
few=16 # for what comes beside: statistics, the status file
dd if=/dev/zero of="$file" bs=1M count=64 oflag=direct conv=notrunc status=none # more than the cache
measure "4k" $few --bs=4k
measure "all sizes" $few --bsrange=4k-1m --blockalign=4k
measure "with fsync" "$few + writes" --bs=16k --fsync=8 # which is answered with a reply of its own
expect_equal "$(lun_get "$mnt" 1 .counters.errors)" 0 "errors"
stop_lunfs "$mnt"
