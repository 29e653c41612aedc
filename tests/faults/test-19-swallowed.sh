#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# 19, 20: the target loses a command before or after executing it, or answers so late that the session is long gone (and
# then answers the new one).  cmd_timeout ends the session, the command is sent again, exactly one answer reaches us.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

disk=$scratch/disk
start_fake --lun "8M,file=$disk" --thin
mnt=$scratch/mnt
file=$mnt/lun0
swallow () { # EVENT ACTION...
  local what=$1
  shift
  say "$what: $*"
  start_lunfs "iscsi://$portal/$iqn" "$mnt" -o cmd_timeout=1,noop_out_interval=1,noop_out_timeout=5
  lun_up "$mnt" 0
  begin_load --punch
  fake_rule "$what nth=30 : $*"
  fake_hit
  end_load
  expect_equal "$(lun_get "$mnt" 0 .counters.timeouts)" 1 "commands that ran out of time"
  expect_equal "$(lun_get "$mnt" 0 .counters.session_losses)" 1 "sessions lost"
  [ "$(lun_get "$mnt" 0 .counters.replayed)" -gt 0 ] || fail "nothing was sent again"
  logged "$mnt" 'cmd_timeout' || fail "the log does not say why"
  expect_equal "$(lun_get "$mnt" 0 '.counters | .in_flight + .queued')" 0 "in flight"
  stop_lunfs "$mnt"
}
swallow read noresp before
swallow write noresp
swallow read late 2500
swallow write late 1600
fake_no_violations
