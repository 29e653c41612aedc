#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Faults 1, 2, 3: connections reset or half closed at every kind of place: in the middle of data either way, of a header,
# between two PDUs, where an answer or an R2T was to come.  One LUN, so one session, for each place.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
# shellcheck source=tests/faults/faults.sh
. "$top_srcdir/tests/faults/faults.sh"

cuts=(
  "rst down op=datain payload=700"       # 1: in the middle of a read
  "rst up op=dataout payload=700"        # 2: in the middle of a write that was asked for
  "rst up op=dataout skip=2"             #    between two Data-Outs
  "rst down op=r2t"                      #    before it was asked for
  "rst up op=write payload=100"          #    in immediate data
  "rst down op=response skip=20"         #    done, but nobody hears of it
  "rst up after=300000"                  #    anywhere
  "fin down pdu skip=5"                  # 3: between two PDUs
  "fin up pdu skip=5"
  "fin down pdu=20"                      #    in a header
  "fin up pdu=20"
  "fin down op=datain payload=700"       #    in data
  "fin up op=dataout payload=700"
)
behind_proxy 4M ${#cuts[@]}
mapfile -t luns < <(seq ${#cuts[@]})
expect_equal "$(proxy_stat current)" ${#cuts[@]} "connections"
for n in "${luns[@]}"; do start_load "$n" --threads 3 --max-bytes 4m --pause 500 --punch; done
mapfile -t ids < <(proxy_stat 'conns[].id')
for i in "${!cuts[@]}"; do
  # shellcheck disable=SC2086 # words
  proxy ${cuts[i]} "conn=${ids[i]}"
done
for n in "${luns[@]}"; do relogins "$n" 1; done
for n in "${luns[@]}"; do moves "$n"; done
expect_equal "$(proxy_stat fired)" ${#cuts[@]} "cuts made"
stop_load "connection cut" "${luns[@]}"
no_errors "${luns[@]}"
for n in "${luns[@]}"; do expect_equal "$(counter "$n" session_losses)" 1 "session losses of LUN $n"; done
[ "$(status_get "$mnt" '[.targets[].luns[].counters.replayed] | add')" -gt 0 ] || fail "nothing was sent again"
wait_for "[ \"\$(proxy_stat current)\" = ${#cuts[@]} ]" 10 # nothing half dead is left
use_target target
expect_equal "$(count_connections)" ${#cuts[@]} "connections at the target"
stop_lunfs "$mnt"
