#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Fault 8: nobody listens: tried again and again, but patiently.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
# shellcheck source=tests/faults/faults.sh
. "$top_srcdir/tests/faults/faults.sh"

down=3
[ "$long" = 0 ] || down=30
most=$((5 + down / 2)) # after 0, 250, 750, 1750, 3750 ms, then every two seconds
test_limit $((100 + down))
behind_proxy 16M 1
start_load 1 --punch --zero
proxy refuse
proxy rst
wait_for "[ \"\$(lun_get '$mnt' 1 .state)\" = down ]" 10
quiet $down
failures=$(counter 1 login_failures)
proxy heal
relogins 1 1
moves 1
stop_load "connection refused for $down s" 1
[ "$failures" -ge 2 ] || fail "hardly tried: $failures times"
[ "$failures" -le "$most" ] || fail "tried too often: $failures times in $down s"
no_errors 1
logged "$mnt" 'refused' || fail "the log does not say why"
stop_lunfs "$mnt"

say "the same with a portal taken away by its administrator"
use_target target
mount_all 1
start_load 1
tgt --mode portal --op new --param portal=127.0.0.3:"$port" # tgtd wants one
tgt --mode portal --op delete --param portal=127.0.0.1:"$port"
cut_connections
wait_for "[ \"\$(counter 1 login_failures)\" -ge 2 ]" 20
quiet 1
tgt --mode portal --op new --param portal=127.0.0.1:"$port"
relogins 1 1
moves 1
stop_load "portal removed" 1
no_errors 1
stop_lunfs "$mnt"
