#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Fault 9: connecting fails at once, inside connect(2) or socket(2): no address, no route, no descriptor left.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
# shellcheck source=tests/faults/faults.sh
. "$top_srcdir/tests/faults/faults.sh"

requires ss
private_network
test_limit 150
target_with 16M 1
mount_all 1
away=3
[ "$long" = 0 ] || away=30

say "the address is gone"
start_load 1 --punch --zero
ip addr del $tgt_host/32 dev lo
wait_for "[ \"\$(counter 1 login_failures)\" -ge 2 ]" 20
quiet $away
logged "$mnt" 'unreachable' || fail "the log does not say why"
ip addr add $tgt_host/32 dev lo
relogins 1 1
moves 1
stop_load "network unreachable for 2 + $away s" 1
no_errors 1
stop_lunfs "$mnt"

say "no descriptor left for a socket"
mount_all 1
start_load 1 --punch --zero
pid=$(worker "$mnt")
# The next descriptor it would get is not allowed any more (some are only open for a moment), and neither is the
# session's, which the next attempt would else get.
lowest=$(ss -Htnp "dport = :$port" | sed -n "s/.*pid=$pid,fd=\([0-9]*\).*/\1/p")
[ -n "$lowest" ] || fail "the session's socket is not there"
for _ in 1 2 3 4 5 6 7 8; do
  fd=3
  while [ -e "/proc/$pid/fd/$fd" ]; do fd=$((fd + 1)); done
  [ "$fd" -ge "$lowest" ] || lowest=$fd
  sleep 0.05
done
limits=$(prlimit --pid "$pid" --nofile --output SOFT,HARD --noheadings | tr -s ' ' : | sed 's/^://')
prlimit --pid "$pid" --nofile="$lowest:"
cut_connections
wait_for "[ \"\$(counter 1 login_failures)\" -ge 2 ]" 20
lunfsctl status --json "$mnt" >"$scratch/status" 2>&1 & # cannot be accepted either
ctl=$!
cleanup_fn kill_quietly $ctl
quiet $away
logged "$mnt" 'too many open files' || fail "the log does not say why"
status_get "$mnt" '.lunfs.version' # it still answers
prlimit --pid "$pid" --nofile="$limits"
relogins 1 1
moves 1
expect_equal "$(worker "$mnt")" "$pid" "worker"
wait_for "! alive $ctl" 20 # answered, or it has given up
lunfsctl status --json "$mnt" | jq -e '.targets[0].luns[0].lun == 1'
stop_load "no descriptors for $away s" 1
no_errors 1
stop_lunfs "$mnt"
