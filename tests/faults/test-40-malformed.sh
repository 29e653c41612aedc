#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# 40: what no target should send: wrong opcodes, header segments nobody asked for, answers twice or for unknown tasks,
# data beyond the buffer or larger than agreed, R2T beyond the end, noise, half a PDU.  At worst that costs the session.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

disk=$scratch/disk
start_fake --lun "32M,file=$disk" --immediate-data No
mnt=$scratch/mnt
file=$mnt/lun0
malformed () { # RULE...: one after the other
  local number=$# fault
  start_lunfs "iscsi://$portal/$iqn" "$mnt" -o cmd_timeout=2,noop_out_interval=1,noop_out_timeout=2,cache_size=8M # most reads need a command
  lun_up "$mnt" 0
  begin_load
  for fault; do
    say "$fault"
    fake_rule "$fault"
    fake_hit
  done
  end_load
  if logged "$mnt" 'SENSE KEY|reconnect'; then fail "the log gives the reason of something else"; fi
  say "$(lun_get "$mnt" 0 .counters.session_losses) sessions lost"
  [ "$(lun_get "$mnt" 0 .counters.session_losses)" -le "$number" ] || fail "more than one session for each"
  stop_lunfs "$mnt"
}
malformed "read nth=20 : badopcode" "write nth=20 : ahs"
malformed "read nth=20 : dup" "write nth=20 : dup" "read nth=20 : badtag" "read nth=20 : beyond"
malformed "read nth=20 : bigsegment" "write nth=20 : r2t-beyond"
malformed "read nth=20 : garbage 300" "read nth=20 : cut 20"
malformed "read nth=20 : cut 1000 fin" "write nth=20 : cut 47 fin"
fake_no_violations
