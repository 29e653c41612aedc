#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# 17: a target that never answers NOP-Outs.  Under load it is alive, as bytes come from it; idle it is taken for dead,
# quietly: a new login, and no error for anybody.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

fake_lun 8M -- -o noop_out_interval=1,noop_out_timeout=4,cmd_timeout=30
begin_load
fake_rule "nop times=all : noresp"
say "silence in the midst of it: a NOP-Out is sent"
fake_rule "scsi : stall 1800"
wait_for "[ \$(fake_get .nops) -gt 0 ]" 10
say "load, for longer than noop_out_timeout"
sleep 6
end_load
expect_equal "$(lun_get "$mnt" 0 .counters.session_losses)" 0 "sessions lost"
say "idle"
wait_for "[ \"\$(lun_get '$mnt' 0 .counters.session_losses)\" = 1 ]" 20
logged "$mnt" 'no sign of life.*noop_out_timeout' || fail "the log does not say why"
fake clear
lun_up "$mnt" 0
begin_load
end_load
fake_no_violations
stop_lunfs "$mnt"
