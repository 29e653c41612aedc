#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Targets and LUNs that are added and removed while the mount is in use: they appear and go by command, by unit attention and
# by rescan_interval; what is open stays, says that it is gone, and is the same file when it is back.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
requires lunfsctl jq

start_target
random_file d 4M >/dev/null
add_target first
add_lun "$(random_file a 1M)"
first=$iqn first_tid=$tid
mnt=$scratch/mnt
start_lunfs "iscsi://$portal" "$mnt" -o rescan_interval=0,replacement_timeout=1,log_level=info
wait_for "[ -f '$mnt/$first/lun1' ]" 15

ino () { stat -c %i "$1"; }
shown () { # of the LUN in the status
  status_get "$mnt" "[.targets[] | select (.name == \"$1\") | .luns[] | select (.lun == $2)][0] | $3"
}
remove_lun () { tgt --mode logicalunit --op delete --tid "$1" --lun "$2"; }
on_tid () { # LUN FILE of target $1, again with the identity that add_lun gave it
  tgt --mode logicalunit --op new --tid "$1" --lun "$2" --backing-store "$3"
  tgt --mode logicalunit --op update --tid "$1" --lun "$2" --params "scsi_id=id-$1-$2,scsi_sn=sn$1$2"
}

say "a LUN and a target appear by command"
add_lun "$(random_file b 2M)"
add_target second
add_lun "$(random_file c 3M)"
second=$iqn second_tid=$tid
lunfsctl rescan "$mnt"
wait_for "[ -f '$mnt/$first/lun2' ] && [ -f '$mnt/$second/lun1' ]" 20
same_data "$mnt/$first/lun2" "$scratch/b"
same_data "$mnt/$second/lun1" "$scratch/c"
[ -L "$mnt/by-path/ip-$portal-iscsi-$second-lun-1" ] || fail "no name in by-path"
lun2_ino=$(ino "$mnt/$first/lun2")
second_ino=$(ino "$mnt/$second/lun1")

say "a LUN that nobody uses goes"
remove_lun "$first_tid" 2
lunfsctl rescan "$mnt"
wait_for "[ ! -e '$mnt/$first/lun2' ]" 20
[ ! -e "$mnt/by-path/ip-$portal-iscsi-$first-lun-2" ] || fail "its name in by-path is left"
expect_equal "$(status_get "$mnt" "[.targets[].luns[].file] | sort | join (\" \")")" "$first/lun1 $second/lun1" "LUNs"
same_data "$mnt/$first/lun1" "$scratch/a"

say "a new one appears when the target tells another LUN's session"
on_tid "$first_tid" 3 "$scratch/d"
# The unit attention comes with a command; a read would be served from memory.
write_lun1 () { dd if=/dev/zero of="$mnt/$first/lun1" bs=4k count=1 conv=notrunc,fsync status=none; }
wait_for "write_lun1 && [ -f '$mnt/$first/lun3' ]" 20
same_data "$mnt/$first/lun3" "$scratch/d"

say "the one that went comes back as the same file, by itself"
on_tid "$first_tid" 2 "$scratch/b"
wait_for "[ -f '$mnt/$first/lun2' ]" 30
expect_equal "$(ino "$mnt/$first/lun2")" "$lun2_ino" "node id"
same_data "$mnt/$first/lun2" "$scratch/b"

say "a target that is removed with a file open"
exec 7<"$mnt/$second/lun1"
tgt --mode target --op delete --tid "$second_tid" --force
lunfsctl rescan "$mnt"
wait_for "shown '$second' 1 .gone" 20
# Once replacement_timeout is over.
wait_for "! dd of=/dev/null bs=4k count=1 skip=7 iflag=direct status=none <&7" 20
expect_fail dd of=/dev/null bs=4k count=1 iflag=direct status=none <&7
expect_message 'Input/output error'
[ -f "$mnt/$second/lun1" ] || fail "the open file's name is gone"
expect_equal "$(shown "$second" 1 .gone)" true "gone"
grep -q "^lunfs_lun_gone{target=\"$second\",lun=\"1\",.*} 1$" "$mnt/.lunfs/metrics" || fail "not gone in the metrics"

say "goes when it is closed"
exec 7<&-
wait_for "[ ! -e '$mnt/$second' ]" 20
expect_equal "$(status_get "$mnt" '.targets | length')" 1 "targets"
same_data "$mnt/$first/lun2" "$scratch/b"

say "and is back when the target is"
tgt --mode target --op new --tid "$second_tid" --targetname "$second"
tgt --mode target --op bind --tid "$second_tid" --initiator-address ALL
on_tid "$second_tid" 1 "$scratch/c"
lunfsctl rescan "$mnt"
wait_for "[ -f '$mnt/$second/lun1' ]" 20
expect_equal "$(ino "$mnt/$second/lun1")" "$second_ino" "node id"
same_data "$mnt/$second/lun1" "$scratch/c"
# shellcheck disable=SC2012 # names of ours
expect_equal "$(ls "$mnt" | tr '\n' ' ')" "by-id by-path $first $second " "the directory"
stop_lunfs "$mnt"

say "all of it without being told: rescan_interval"
start_lunfs "iscsi://$portal" "$mnt" -o rescan_interval=1
wait_for "[ -f '$mnt/$first/lun2' ] && [ -f '$mnt/$second/lun1' ]" 15
remove_lun "$first_tid" 2
tgt --mode target --op delete --tid "$second_tid" --force
wait_for "[ ! -e '$mnt/$first/lun2' ] && [ ! -e '$mnt/$second' ]" 30
on_tid "$first_tid" 2 "$scratch/b"
wait_for "[ -f '$mnt/$first/lun2' ]" 30
same_data "$mnt/$first/lun2" "$scratch/b"
stop_lunfs "$mnt"
