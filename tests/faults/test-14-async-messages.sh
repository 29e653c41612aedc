#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# 14, 15: asynchronous messages with I/O in flight: logout request (1), connection dropped (2), all connections dropped
# (3), negotiation request (4), vendor's (255).  The command that is swallowed meanwhile is sent again.  Event 0, which
# asks for nothing, costs nothing.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

fake_lun 8M -- -o cmd_timeout=5,noop_out_interval=2,noop_out_timeout=2
for event in 1 2 3 4 255; do
  say "event $event"
  losses=$(lun_get "$mnt" 0 .counters.session_losses)
  begin_load
  fake_rule "scsi nth=20 : async $event swallow"
  fake_hit
  end_load
  expect_equal "$(lun_get "$mnt" 0 .counters.session_losses)" $((losses + 1)) "sessions lost"
  expect_equal "$(fake_get '.reinstatements <= .logins and .sessions == 1')" true "one session"
done
logged "$mnt" 'session lost' || fail "the log says nothing"

say "event 0"
losses=$(lun_get "$mnt" 0 .counters.session_losses)
begin_load
fake_rule "scsi nth=20 times=10 every=7 : async 0"
fake_hit "$rule" 10
end_load
expect_equal "$(lun_get "$mnt" 0 .counters.session_losses)" "$losses" "sessions lost"
fake_no_violations
stop_lunfs "$mnt"
