#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# 22: unit attentions, one to sixteen in a row, under load.  A command that met one was not executed and is sent again;
# after those that say that something may have changed, the LUN is looked at again, and is the same.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

fake_lun 8M --login-ua 29/01,29/00,3f/0e -- -o cmd_timeout=5,replacement_timeout=4
probes () { fake_get .commands.vpd83; }
looks_again () { # UA...
  local before
  before=$(probes)
  fake ua 0 "$@"
  wait_for "[ \"\$(probes)\" -gt $before ]" 10
  lun_up "$mnt" 0
  [ "$(probes)" -le $((before + $# + 2)) ] || fail "looked at $(($(probes) - before)) times"
}
begin_load
for ua in 29/00 2a/09 2a/01 3f/0e 3f/03; do looks_again $ua; done
looks_again 29/00 2a/09 3f/0e 2a/01 2a/06 3f/03 29/07 2f/00 38/07 3f/01 29/02
looks_again 29/0{0,1,2,3,4,5,6} 3f/0{1,2,3,5,e} 2a/0{1,7,9} 38/07 # as many as a look at the LUN gets over
end_load

say "reservations released: somebody had the LUN to himself.  What is only in memory is given up then (test-lost-write); here nothing is"
# a command, whatever is in memory; fails as dd does
a_command () { dd if=/dev/zero of="$file" bs=512 count=1 oflag=direct,dsync conv=notrunc status=none; }
fake ua 0 2a/04
a_command
logged "$mnt" '2A/04.*another initiator has taken the reservation' || fail "the log does not say so"
expect_equal "$(lun_get "$mnt" 0 '.counters | .losses + .errors')" 0 "losses and errors"
expect_equal "$(lun_get "$mnt" 0 .counters.session_losses)" 0 "sessions lost"
attentions=$(lun_get "$mnt" 0 .counters.unit_attentions)
[ "$attentions" -ge 33 ] || fail "$attentions unit attentions counted"

say "those that change nothing: the command is sent again, that is all"
before=$(probes)
for ua in 3f/01 2f/00; do
  fake ua 0 $ua
  a_command
done
expect_equal "$(lun_get "$mnt" 0 .counters.unit_attentions)" $((attentions + 2)) "unit attentions"
expect_equal "$(probes)" "$before" "looked at again"

say "without end: an error in time, not a storm of commands"
fake_rule "scsi times=all : sense 6/29/00"
all=$(fake_get .total.scsi)
from=$SECONDS
expect_fail timeout $((60 * slow)) dd if=/dev/zero of="$file" bs=512 count=1 oflag=direct,dsync conv=notrunc status=none
expect_message 'input/output error'
all=$(($(fake_get .total.scsi) - all))
say "$all commands in $((SECONDS - from)) s"
[ "$all" -le $((200 + 40 * (SECONDS - from))) ] || fail "a storm of commands"
lun_get "$mnt" 0 '.error | test ("29/00|UNIT ATTENTION"; "i")' >/dev/null || fail "the status does not say why: $(lun_get "$mnt" 0 .error)"
logged "$mnt" '29/00' || fail "the log does not say why"
fake clear
lun_up "$mnt" 0 30
same_data "$file" "$disk"
fake_no_violations
stop_lunfs "$mnt"
