#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# 18: the command window closes (MaxCmdSN stays where it is), with NOP-Outs stuck behind it too.  No session is lost to
# it, nothing overruns the window, and all goes on when it opens.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

fake_lun 8M --window 8 -- -o noop_out_interval=1,noop_out_timeout=30,cmd_timeout=30
begin_load
fake_rule "scsi nth=50 : freeze"
fake_hit
wait_for "[ \"\$(lun_get '$mnt' 0 .counters.noops)\" -gt 0 ]" 10
stuck=$(fake_get .total.scsi)
say "frozen after $stuck commands"
expect_equal "$(lun_get "$mnt" 0 .state)" up "state"
fake window 2
fake thaw
end_load
[ "$(fake_get .total.scsi)" -gt $((stuck + 10)) ] || fail "nothing went on"
expect_equal "$(lun_get "$mnt" 0 .counters.session_losses)" 0 "sessions lost"
fake_no_violations

say "closed for good: a command that cannot be sent is one that is not answered"
stop_lunfs "$mnt"
start_lunfs "iscsi://$portal/$iqn" "$mnt" -o cmd_timeout=2,noop_out_interval=1,noop_out_timeout=2
lun_up "$mnt" 0
begin_load
fake_rule "scsi nth=10 : freeze"
end_load
[ "$(lun_get "$mnt" 0 .counters.relogins)" -ge 1 ] || fail "no new login"
fake_no_violations
stop_lunfs "$mnt"
