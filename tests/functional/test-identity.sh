#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Another LUN under the same number gets no byte of ours; when the right one is back, all goes on.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
test_limit 200

start_target
add_target id
add_lun "$(backing disk 8M)"
random_file other 8M >/dev/null
cp "$scratch/other" "$scratch/other-before"
mnt=$scratch/mnt
file=$mnt/lun1
start_lunfs "iscsi://$portal/$iqn" "$mnt" -o replacement_timeout=30
lun_up "$mnt" 1
was=$(lun_get "$mnt" 1 .identity)
random_file new 1M >/dev/null
dd if="$scratch/new" of="$file" bs=64k conv=notrunc,fsync status=none

swap () { # FILE PARAMETERS
  tgt --mode logicalunit --op delete --tid "$tid" --lun 1
  tgt --mode logicalunit --op new --tid "$tid" --lun 1 --backing-store "$1" --blocksize "${3:-512}"
  tgt --mode logicalunit --op update --tid "$tid" --lun 1 --params "$2"
}
refuses () {
  # A write is waiting or failing meanwhile; in no case may it reach the other disk.
  dd if="$scratch/new" of="$file" bs=64k count=1 oflag=direct conv=notrunc status=none 2>/dev/null &
  writer=$!
  cut_connections
  wait_for "[ \"\$(lun_get '$mnt' 1 .state)\" != up ]" 15
  wait_for "lun_get '$mnt' 1 '.error | length > 0'" 15
  lun_get "$mnt" 1 '{state, error}'
  expect_fail timeout $((20 * slow)) dd if="$file" of=/dev/null bs=4k count=1 iflag=direct status=none
  wait "$writer" || :
  same_data "$scratch/other" "$scratch/other-before"
}

say "other names"
swap "$scratch/other" scsi_id=stranger,scsi_sn=stranger
refuses
logged "$mnt" 'differ|identity|not the same|another' || fail "the log does not say why"

say "the right one again"
swap "$scratch/disk" scsi_id=id-1-1,scsi_sn=sn11
cut_connections || :
lun_up "$mnt" 1 60
expect_equal "$(lun_get "$mnt" 1 .identity)" "$was" "identity"
cmp -n 1048576 "$file" "$scratch/new"
dd if=/dev/urandom of="$file" bs=64k count=4 conv=notrunc,fsync status=none
same_data "$file" "$scratch/disk"

say "the same names, another block size"
swap "$scratch/other" scsi_id=id-1-1,scsi_sn=sn11 4096
refuses
swap "$scratch/disk" scsi_id=id-1-1,scsi_sn=sn11
lun_up "$mnt" 1 60
same_data "$file" "$scratch/disk"
stop_lunfs "$mnt"
