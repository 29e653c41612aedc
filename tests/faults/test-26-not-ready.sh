#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# 26: NOT READY under load: waits and goes on; a unit that wants to be started is started; for longer than
# replacement_timeout it is an error, and then all is well again.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

fake_lun 8M -- -o replacement_timeout=20,cmd_timeout=3
for sense in 04/01 04/07; do
  say "$sense"
  begin_load
  fake notready 0 $sense
  wait_for "[ \"\$(lun_get '$mnt' 0 .state)\" != up ]" 10
  asked=$(fake_get .total.scsi)
  sleep 1
  asked=$(($(fake_get .total.scsi) - asked))
  [ "$asked" -le 20 ] || fail "$asked commands in a second to a LUN that is not ready"
  lun_get "$mnt" 0 .error | grep -q "$sense" || fail "the status does not say why: $(lun_get "$mnt" 0 .error)"
  fake ready 0
  end_load
done
say "start me"
begin_load
fake notready 0 04/02
end_load
expect_equal "$(fake_get '.commands."start-stop"')" 1 "START STOP UNIT"
expect_equal "$(lun_get "$mnt" 0 .counters.session_losses)" 0 "sessions lost"
logged "$mnt" '04/0[17]' || fail "the log does not say why"
stop_lunfs "$mnt"

say "for too long"
start_lunfs "iscsi://$portal/$iqn" "$mnt" -o replacement_timeout=3,cmd_timeout=2
lun_up "$mnt" 0
fake notready 0 04/01
expect_fail timeout $((60 * slow)) dd if="$file" of=/dev/null bs=4k count=1 iflag=direct status=none
expect_message 'input/output error'
fake ready 0
lun_up "$mnt" 0 30
begin_load
halt_load
sync "$file"
same_data "$file" "$disk"
fake_no_violations
stop_lunfs "$mnt"
