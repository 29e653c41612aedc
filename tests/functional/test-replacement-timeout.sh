#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# No session for longer than replacement_timeout: EIO at once; when the target is back everything works again.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

one_lun 8M 512 "" -o replacement_timeout=2,noop_out_interval=1,noop_out_timeout=1
expect_equal "$(lun_get "$mnt" 1 .replacement_timeout)" 2 "replacement_timeout"
random_file new 1M >/dev/null
dd if="$scratch/new" of="$file" bs=64k conv=notrunc,fsync status=none
kill_target
wait_for "[ \"\$(lun_get '$mnt' 1 .state)\" != up ]" 10
from=$SECONDS
expect_fail dd if="$file" of=/dev/null bs=4k count=1 iflag=direct status=none
expect_message 'input/output error'
took=$((SECONDS - from))
[ "$took" -le $((4 * slow)) ] || fail "the error took $took s"
from=$(date +%s%N)
expect_fail dd if=/dev/zero of="$file" bs=4k count=1 oflag=direct conv=notrunc status=none
expect_message 'input/output error'
took=$((($(date +%s%N) - from) / 1000000))
[ "$took" -lt $((1000 * slow)) ] || fail "the second error took $took ms: it must be at once"
[ "$(lun_get "$mnt" 1 .counters.errors)" -ge 2 ] || fail "errors are not counted"
[ "$(lun_get "$mnt" 1 .errors_by_kind.EIO)" -ge 2 ] || fail "EIO is not counted"

restart_target
lun_up "$mnt" 1 40
cmp -n 1048576 "$file" "$scratch/new"
dd if=/dev/urandom of="$file" bs=64k count=4 seek=20 conv=notrunc,fsync status=none
same_data "$file" "$disk"
stop_lunfs "$mnt"

say "0: at once"
start_lunfs "iscsi://$portal/$iqn" "$mnt" -o replacement_timeout=0
lun_up "$mnt" 1
kill_target
wait_for "[ \"\$(lun_get '$mnt' 1 .state)\" != up ]" 10
from=$(date +%s%N)
expect_fail dd if="$file" of=/dev/null bs=4k count=1 iflag=direct status=none
expect_message 'input/output error'
took=$((($(date +%s%N) - from) / 1000000))
[ "$took" -lt $((1000 * slow)) ] || fail "took $took ms"
restart_target
lun_up "$mnt" 1 40
same_data "$file" "$disk"
stop_lunfs "$mnt"
