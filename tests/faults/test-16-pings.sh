#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# 16: the target asks for life (NOP-In with a transfer tag) while Data-Outs are queued, and all the time.  libiscsi 1.19
# may lose the session to it; nothing else may be lost.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

# Much to send for each R2T: 8 KiB at a time.
fake_lun 8M --immediate-data No --segment 8192 -- -o noop_out_interval=5
begin_load
fake_rule "write every=5 times=3 : nopin r2t"
fake_hit "$rule" 3
fake_rule "scsi every=7 times=20 : nopin"
fake_hit "$rule" 20
end_load
[ "$(fake_get .ping_answers)" -gt 0 ] || fail "no ping was answered"
say "$(fake_get .ping_answers) pings answered, $(lun_get "$mnt" 0 '.counters.session_losses | tostring') sessions lost"
stop_lunfs "$mnt"
