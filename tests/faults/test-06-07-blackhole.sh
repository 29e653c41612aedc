#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Faults 6, 7: packets vanish, in both directions or in one, and nobody says so.  One LUN for each; first only those
# three connections are dead, then everything is.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
# shellcheck source=tests/faults/faults.sh
. "$top_srcdir/tests/faults/faults.sh"

hole=4
[ "$long" = 0 ] || hole=60
test_limit $((100 + hole))
behind_proxy 4M 3
for n in 1 2 3; do start_load "$n" --threads 4 --max-bytes 4m --pause 200 --punch; done
mapfile -t ids < <(proxy_stat 'conns[].id')
proxy drop both "conn=${ids[0]}"
proxy drop up "conn=${ids[1]}"
proxy drop down "conn=${ids[2]}"
for n in 1 2 3; do relogins "$n" 1; done
for n in 1 2 3; do moves "$n"; done
stop_load "connection dead without a word: noticed after noop_out_interval + noop_out_timeout (2 s)" 1 2 3
[ "$stall" -le $((6000 * slow)) ] || fail "noticed too late"
[ "$stall" -ge 1000 ] || fail "noticed too early to be true"
no_errors 1 2 3
proxy heal existing
wait_for "[ \"\$(proxy_stat current)\" = 3 ]" 20

say "the whole network, for $hole s longer than it takes to notice"
for n in 1 2 3; do start_load "$n" --threads 4 --max-bytes 4m --pause 200 --punch; done
proxy drop
wait_for "[ \"\$(counter 1 session_losses)\" -ge 2 ] && [ \"\$(counter 3 session_losses)\" -ge 2 ]" 20
quiet $hole
proxy heal
for n in 1 2 3; do relogins "$n" 2; done
for n in 1 2 3; do moves "$n"; done
stop_load "network dead for 2 + $hole s" 1 2 3
no_errors 1 2 3
# What the dead network had swallowed is gone for good on both sides.
wait_for "[ \"\$(proxy_stat current)\" = 3 ] && [ \"\$(count_connections)\" = 3 ]" 30
stop_lunfs "$mnt"
