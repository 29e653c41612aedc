#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The mount comes up while the target is down, answers, and shows the files when the target is there.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

start_target
add_target late
disk=$(random_file disk 4M)
add_lun "$disk"
mnt=$scratch/mnt
kill_target
began=$SECONDS
start_lunfs "iscsi://$portal/$iqn" "$mnt" -o login_wait=2 2>"$scratch/message"
took=$((SECONDS - began))
[ "$took" -le $((6 * slow)) ] || fail "took $took s to mount"
mounted "$mnt" || fail "not mounted"
expect_message "$iqn at 127.0.0.1:$port: .*Connection refused; mounted, trying again\$"
! [ -e "$mnt/lun1" ] || fail "a file without a target"
expect_equal "$(status_get "$mnt" '.targets[0].name')" "$iqn" "target in the status"
status_get "$mnt" '.targets[0].error | length > 0'
restart_target
wait_for "[ -f '$mnt/lun1' ]" 40
lun_up "$mnt" 1 20
same_data "$mnt/lun1" "$disk"
stop_lunfs "$mnt"

say "waited for"
kill_target
start_lunfs "iscsi://$portal/$iqn" "$mnt" -o login_wait=60 2>"$scratch/message" &
starting=$!
mounts=$((mounts + 1)) # as that has it
lunfs_logs[$mnt]=$scratch/lunfs$mounts.log
lunfs_pids[$mnt]=$scratch/lunfs$mounts.pid
cleanup_fn kill_lunfs "$mnt"
wait_for "grep -q 'Connection refused; trying again' '${lunfs_logs[$mnt]}'" 20
restart_target
wait "$starting"
lun_get "$mnt" 1 .state | grep -qx up || fail "returned before the login"
expect_equal "$(cat "$scratch/message")" "" "message"
stop_lunfs "$mnt"

say "a portal whose targets are not known yet"
kill_target
start_lunfs "iscsi://$portal" "$mnt" -o login_wait=1
mounted "$mnt" || fail "not mounted"
restart_target
wait_for "[ -f '$mnt/$iqn/lun1' ]" 60
lun_up "$mnt" 1 20
same_data "$mnt/$iqn/lun1" "$disk"
stop_lunfs "$mnt"

say "stopped while the target is down: in time"
kill_target
start_lunfs "iscsi://$portal/$iqn" "$mnt" -o login_wait=1,stop_timeout=10
stop_lunfs "$mnt" 12

say "a target that says nothing at all"
restart_target
stop_answering
start_lunfs "iscsi://$portal/$iqn" "$mnt" -o login_wait=1 2>"$scratch/message"
expect_message "^lunfs: no answer yet from 127.0.0.1:$port; mounted, trying again\$"
expect_equal "$(wc -l <"$scratch/message")" 1 "lines said"
logged "$mnt" "warning: no answer yet from"
answer_again
lun_up "$mnt" 1
stop_lunfs "$mnt"

say "two targets, of which the second says nothing"
tgt_host=127.0.0.2
start_target silent
add_target elsewhere
silent=$port
stop_answering
use_target target
add_target elsewhere
for what in RedirectAddress=127.0.0.2 "RedirectPort=$silent" RedirectReason=Temporary; do
  tgt --mode target --op update --tid "$tid" --name "${what%%=*}" --value "${what#*=}"
done
tgt_host=127.0.0.1
portal=127.0.0.1:$port
start_lunfs "iscsi://$portal" "$mnt" -o login_wait=1 2>"$scratch/message"
expect_message "^lunfs: not every LUN of 127.0.0.1:$port has answered yet; mounted, trying again\$"
wait_for "ls '$mnt'/*/lun1" 10
use_target silent
answer_again
use_target target
stop_lunfs "$mnt"
