#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The worker is killed with -9 under a read load: the supervisor starts another, nobody sees an error.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
test_limit 150

requires fio
start_target
add_target kill
disk=$(random_file disk 64M)
add_lun "$disk"
mnt=$scratch/mnt
file=$mnt/lun1
start_lunfs "iscsi://$portal/$iqn" "$mnt"
lun_up "$mnt" 1
dd if="$file" of=/dev/null bs=1M status=none

say "an open file, a compare loop and a load at depth 32"
exec 7<"$file"
fio --name=load --filename="$file" --allow_file_create=0 --readonly --direct=1 --ioengine=libaio --iodepth=32 \
  --rw=randread --bsrange=4k-64k --size=64m --time_based --runtime=$((12 * (slow < 3 ? slow : 3))) >"$scratch/fio.out" 2>&1 &
fio=$!
(
  trap - EXIT ERR
  while [ ! -e "$scratch/enough" ]; do cmp "$file" "$disk" || exit 1; done
) &
loop=$!
for n in 2 3 4; do
  sleep 1 # under way again
  old=$(worker "$mnt")
  kill -KILL "$old"
  wait_for "[ \"\$(status_get '$mnt' .lunfs.workers_started)\" = $n ]" 15
  [ "$(worker "$mnt")" != "$old" ] || fail "the same worker"
  lun_up "$mnt" 1 20
done
: >"$scratch/enough"
wait "$loop" || fail "the compare loop saw wrong data or an error"
wait "$fio" || fail "fio: $(cat "$scratch/fio.out")"
grep -q 'err= 0' "$scratch/fio.out" || fail "fio saw an error"
head -c 1000000 <&7 | cmp -n 1000000 - "$disk"
exec 7<&-

say "and it writes"
dd if=/dev/urandom of="$file" bs=64k count=16 conv=notrunc,fsync status=none
same_data "$file" "$disk"
logged "$mnt" worker || fail "the log says nothing of the worker"
stop_lunfs "$mnt"
