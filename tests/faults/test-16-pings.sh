#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# 16: the target asks for life (NOP-In with a transfer tag) while Data-Outs are queued, and all the time.  libiscsi 1.19
# may lose the session to it; nothing else may be lost.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

# Much to send for each R2T: 8 KiB at a time.
fake_lun 16M --immediate-data No --segment 8192 -- -o noop_out_interval=5
start_load 2 --direct --max-bytes 16777216
fake_rule "write every=5 times=20 : nopin r2t"
fake_rule "scsi every=7 times=20 : nopin"
fake_hit
end_load
[ "$(fake_get .ping_answers)" -gt 0 ] || fail "no ping was answered"
say "$(fake_get .ping_answers) pings answered, $(lun_get "$mnt" 0 '.counters.session_losses | tostring') sessions lost"
stop_lunfs "$mnt"
