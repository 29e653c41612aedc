#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What a mount says of its LUNs beside their data: by-id, by-path, .lunfs/metrics, user.lunfs.*, owner and mode.  All of it
# answers at once while the target is dead, and after the worker was replaced meanwhile.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
requires jq python3 getfattr setfattr lunfsctl promtool
requires_root

start_target
add_target tree
add_lun "$(backing disk 8M)"
add_lun "$(backing large 16M)" 4096 readonly=1
mnt=$scratch/mnt
start_lunfs "iscsi://$portal" "$mnt" -o "uid=daemon,gid=adm,umask=0137,noop_out_interval=1,noop_out_timeout=1,replacement_timeout=-1"
lun_up "$mnt" 1
lun_up "$mnt" 2
file=$mnt/$iqn/lun1
attribute () { getfattr --absolute-names --only-values -n "user.lunfs.$1" "${2:-$file}"; }
metrics () { cat "$mnt/.lunfs/metrics" >"$scratch/metrics" && python3 "$srcdir/openmetrics.py" "$scratch/metrics"; }
metric () { # NAME LUN
  metrics
  sed -n "s/^lunfs_$1{target=\"$iqn\",lun=\"$2\"[^}]*} //p" "$scratch/metrics"
}

say "owner, group and mode, by names"
expect_equal "$(stat -c '%U %G %a' "$file")" "daemon adm 640" "owner and mode"
expect_equal "$(stat -c '%U %G %a' "$mnt/$iqn/lun2")" "daemon adm 440" "owner and mode of a read-only one"

say "by-id and by-path, as udev names them"
hex=$(lun_get "$mnt" 1 .identity)
case $hex in naa.*) hex=${hex#naa.} ;; *) fail "tgtd has another identity than NAA: $hex" ;; esac
for link in "by-id/naa.$hex" "by-id/scsi-3$hex" "by-id/wwn-0x$hex" "by-path/ip-$portal-iscsi-$iqn-lun-1"; do
  expect_equal "$(readlink -f "$mnt/$link")" "$file" "$link"
done
# shellcheck disable=SC2012 # names of ours
expect_equal "$(ls "$mnt/by-id" | wc -l) $(ls "$mnt/by-path" | wc -l)" "6 2" "links"

say "metrics"
dd if="$file" of=/dev/null bs=4k count=10 iflag=direct status=none
expect_equal "$(metric reads_total 1)" 10 "reads"
expect_equal "$(metric read_bytes_total 1)" 40960 "bytes read"
expect_equal "$(metric read_latency_seconds_count 1)" 10 "latencies"
expect_equal "$(metric lun_up 1) $(metric lun_up 2)" "1 1" "up"
expect_equal "$(metric lun_size_bytes 1)" 8388608 "size"
for name in $(lun_get "$mnt" 1 '.counters | keys[]'); do
  grep -qE "^lunfs_$name(_total)?\{" "$scratch/metrics" || fail "$name is not among the metrics"
done
python3 "$srcdir/openmetrics.py" --classic "$scratch/metrics" | promtool check metrics
# The only command of promtool's that reads OpenMetrics wants to know when each sample was taken.
awk '/^#/ {print; next} {print $0, 1700000000}' "$scratch/metrics" >"$scratch/samples"
promtool tsdb create-blocks-from openmetrics "$scratch/samples" "$scratch/tsdb" >"$scratch/tsdb.out"
expect_equal "$(awk 'END {print $5}' "$scratch/tsdb.out")" "$(grep -vc '^#' "$scratch/metrics")" "samples that Prometheus takes"

say "extended attributes"
expect_equal "$(attribute state) $(attribute target) $(attribute lun) $(attribute portal)" "up $iqn 1 $portal"
expect_equal "$(attribute size) $(attribute block_size)" "8388608 512"
expect_equal "$(attribute block_size "$mnt/$iqn/lun2") $(attribute read_only "$mnt/$iqn/lun2")" "4096 1"
expect_equal "$(attribute serial) $(attribute identity)" "$(lun_get "$mnt" 1 .serial) naa.$hex"
expect_equal "$(attribute state "$mnt/by-id/naa.$hex")" up "through a link"
getfattr --absolute-names -d "$file"
[ "$(getfattr --absolute-names -d "$file" | grep -c '^user\.lunfs\.')" -ge 15 ] || fail "too few attributes are listed"
expect_fail getfattr -n user.lunfs.none "$file"
expect_message 'No such attribute'
expect_fail getfattr -n user.lunfs.state "$mnt/.lunfs"
expect_fail setfattr -n user.lunfs.state -v down "$file"
expect_message 'not permitted'
expect_fail setfattr -x user.lunfs.state "$file"
expect_message 'not permitted'
expect_fail setfattr -n user.mine -v x "$file"
expect_message 'not supported'

# Much more than it takes, much less than any timeout that an answer could wait for.
at_once () {
  timeout $((10 * slow)) "$@" >"$scratch/answer" || fail "no answer: $*"
}
everything () {
  at_once cat "$mnt/.lunfs/metrics"
  python3 "$srcdir/openmetrics.py" "$scratch/answer"
  at_once cat "$mnt/.lunfs/status.json"
  at_once ls -lR "$mnt"
  at_once stat -L "$mnt/by-path/ip-$portal-iscsi-$iqn-lun-1"
  at_once getfattr --absolute-names -d "$file"
  at_once lunfsctl rescan "$mnt"
}

say "the target stopped, a read waiting"
stop_answering
dd if="$file" of="$scratch/read" bs=4k skip=1000 count=1 iflag=direct status=none &
reader=$!
everything
wait_for "[ \"\$(attribute state)\" != up ]" 30
[ -n "$(attribute error)" ] || fail "no reason"
expect_equal "$(metric lun_up 1)" 0 "up"
grep -q '^lunfs_target_up{.*} 0$' "$scratch/metrics" || fail "the target is still up"
everything

say "and the worker replaced meanwhile"
old=$(worker "$mnt")
kill -KILL "$old"
wait_for "[ \"\$(worker '$mnt')\" != '$old' ] && [ -n \"\$(worker '$mnt')\" ]" 20
at_once stat "$file"
everything
expect_equal "$(attribute size)" 8388608 "size"

answer_again
lun_up "$mnt" 1 40
wait "$reader" || fail "the read did not survive"
stop_lunfs "$mnt"

say "a LUN on a plain file"
: >"$scratch/plain"
start_lunfs "iscsi://$portal/$iqn/1" "$scratch/plain"
lun_up_plain () { [ "$(attribute state "$scratch/plain")" = up ]; }
wait_for lun_up_plain 15
expect_equal "$(attribute size "$scratch/plain")" 8388608 "size"
stop_lunfs "$scratch/plain"
