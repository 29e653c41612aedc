#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Fault 43: two mounts that would use the same ISID, so that each login would end the other's session.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
# shellcheck source=tests/faults/faults.sh
. "$top_srcdir/tests/faults/faults.sh"

private_network # and mounts
target_with 4M 2
mnt=$scratch/mnt
start_lunfs "iscsi://$portal/$iqn" "$mnt" "${quick[@]}" -o stale_write_guard=on # makes tgtd end the older session
lun_up "$mnt" 1
lun_up "$mnt" 2

# The other one: the same source, mount point, name and host, in a mount namespace of its own.
twin () { # RUN-DIRECTORY [OPTION...]
  local run=$1
  shift
  : >"$scratch/twin.out"
  # shellcheck disable=SC2016 # expanded there
  unshare --mount --propagation private bash -c 'run=$1 mnt=$2
    shift 2
    [ "$run" = shared ] || mount -t tmpfs tmpfs /run
    umount -l "$mnt"
    "$@" -f &
    child=$!
    for ((i = 0; i < 100; i++)); do
      [ -f "$mnt/lun2" ] && dd if="$mnt/lun2" of=/dev/null bs=64k count=1 status=none && break
      sleep 0.1
    done
    echo up
    cat "$mnt/.lunfs/status.json" >"$0/twin.json"
    read -r line
    cat "$mnt/.lunfs/status.json" >"$0/twin.json"
    echo told
    kill -TERM $child
    wait $child
    echo "ended $?"' "$scratch" "$run" "$mnt" "$(command -v lunfs)" -o "log=$scratch/lunfs-twin.log" \
    -o "initiator_name=$initiator" "${quick[@]}" -o stale_write_guard=on "$@" "iscsi://$portal/$iqn" "$mnt" \
    <"$scratch/twin.in" >"$scratch/twin.out" 2>"$scratch/twin.err" &
  twin=$!
  cleanup_fn kill_quietly $twin
  disown
}
twin_relogins () { jq '[.targets[].luns[].counters.relogins] | add' "$scratch/twin.json"; }
mkfifo "$scratch/twin.in"

# (Two that write to a LUN are refused by one host: functional/test-claim.)
say "beside each other, one of them to read: a lock in /run/lunfs makes the second one take another ISID"
start_load 1 --max-bytes 4m --pause 500
twin shared -o ro
exec 8>"$scratch/twin.in"
wait_for "grep -q up '$scratch/twin.out'" 20
sleep 3
echo >&8
exec 8>&-
wait_for "grep -q ended '$scratch/twin.out'" 20
grep -q 'ended 0' "$scratch/twin.out"
expect_equal "$(counter 1 relogins)" 0 "relogins of the first"
expect_equal "$(twin_relogins)" 0 "relogins of the second"

say "where they cannot know of each other they take turns, ever more slowly; nothing is lost"
twin own
exec 8>"$scratch/twin.in"
wait_for "grep -q up '$scratch/twin.out'" 30
first=$(counter 1 relogins)
sleep 5
second=$(counter 1 relogins)
echo >&8
exec 8>&-
wait_for "grep -q ended '$scratch/twin.out'" 30
say "relogins: $first, $second in all after 5 s; the other one $(twin_relogins)"
[ "$second" -ge 1 ] || fail "nobody was in anybody's way: the test proves nothing"
[ $((second - first)) -le 12 ] || fail "relogins: $((second - first)) in 5 s"
lun_up "$mnt" 1 30
moves 1
stop_load "another host takes our sessions away, for 6 s" 1
no_errors 1 2
stop_lunfs "$mnt"
