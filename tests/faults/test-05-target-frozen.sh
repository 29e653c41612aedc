#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Fault 5: the target stands still under load.  Not for longer than the limits: nothing happens but a wait.  Longer: the
# session is given up, logins are not answered either, and when the target goes on, so does everything else.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
# shellcheck source=tests/faults/faults.sh
. "$top_srcdir/tests/faults/faults.sh"

target_with 16M 1
say "shorter than noop_out_interval + noop_out_timeout (5 + 5 s)"
mount_all 1 -o noop_out_interval=5,noop_out_timeout=5,cmd_timeout=30
start_load 1 --punch --zero
stop_answering
sleep 3
answer_again
moves 1
stop_load "target frozen for 3 s, within the limits" 1
expect_equal "$(counter 1 session_losses)" 0 "session losses"
no_errors 1
stop_lunfs "$mnt"

say "longer"
frozen=4
[ "$long" = 0 ] || frozen=60
test_limit $((100 + frozen))
mount_all 1
start_load 1 --punch --zero
stop_answering
wait_for "[ \"\$(counter 1 session_losses)\" -ge 1 ]" 10
quiet $frozen
answer_again
relogins 1 1
moves 1
stop_load "target frozen for 2 + $frozen s, session given up after 2 s" 1
no_errors 1
[ "$(counter 1 noops)" -ge 1 ] || fail "nobody asked whether it is alive"
stop_lunfs "$mnt"
