#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Another LUN under the same number gets no byte of ours; when the right one is back, all goes on.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
test_limit 200

start_target
add_target id
disk=$(backing disk 8M)
add_lun "$disk"
random_file other 8M >/dev/null
cp "$scratch/other" "$scratch/other-before"
mnt=$scratch/mnt
file=$mnt/lun1
start_lunfs "iscsi://$portal/$iqn" "$mnt" -o replacement_timeout=30
lun_up "$mnt" 1
was=$(lun_get "$mnt" 1 .identity)
random_file new 1M >/dev/null
dd if="$scratch/new" of="$file" bs=64k conv=notrunc,fsync status=none

lun_is () { # FILE PARAMETERS BLOCKSIZE
  tgt --mode logicalunit --op new --tid 1 --lun 1 --backing-store "$1" --blocksize "$3"
  tgt --mode logicalunit --op update --tid 1 --lun 1 --params "$2"
}
set_up () { # as lun_is: a whole target with that LUN
  tgt --mode target --op new --tid 1 --targetname "$iqn"
  tgt --mode target --op bind --tid 1 --initiator-address ALL
  lun_is "$@"
}
# shellcheck disable=SC2054 # one word
ours=("$disk" scsi_id=id-1-1,scsi_sn=sn11 512)
# A write and its fsync are waiting meanwhile; in no case may it reach the other disk.
refuses () { # FILE PARAMETERS BLOCKSIZE
  kill_target
  dd if="$scratch/new" of="$file" bs=64k count=1 oflag=direct conv=notrunc,fsync status=none 2>"$scratch/writer" &
  writer=$!
  wait_for "[ \"\$(lun_get '$mnt' 1 .state)\" != up ]" 15
  restart_target set_up "$@"
  wait_for "logged '$mnt' 'differ|identity|not the same|another'" 30
  wait_for "lun_get '$mnt' 1 '.error | length > 0'" 15
  lun_get "$mnt" 1 '{state, error}'
  expect_fail timeout $((60 * slow)) dd if="$file" of=/dev/null bs=4k skip=1000 count=1 iflag=direct status=none # not in memory
  wait "$writer" && fail "fsync succeeded without the disk"
  same_data "$scratch/other" "$scratch/other-before"
}
goes_on () {
  kill_target
  restart_target set_up "${ours[@]}"
  lun_up "$mnt" 1 60
  expect_equal "$(lun_get "$mnt" 1 .identity)" "$was" "identity"
  cmp -n 1048576 "$file" "$scratch/new"
  dd if=/dev/urandom of="$file" bs=64k count=4 seek=20 conv=notrunc,fsync status=none
  same_data "$file" "$disk"
}

say "other names"
refuses "$scratch/other" scsi_id=stranger,scsi_sn=stranger 512
goes_on
say "the same names, another block size"
refuses "$scratch/other" scsi_id=id-1-1,scsi_sn=sn11 4096
goes_on

stop_lunfs "$mnt"
