#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Requests that outlived a worker in its memory (crash_recovery=inbox) can be interrupted: by a signal that came when the next
# worker had them, and by one that the dead worker had been told of and could not act on.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

one_lun 64M 512 "" -o crash_recovery=inbox,replacement_timeout=-1
replace_worker () {
  local started
  started=$(status_get "$mnt" .lunfs.worker.started)
  kill -KILL "$(worker "$mnt")"
  wait_for "[ \"\$(status_get '$mnt' .lunfs.worker.started)\" = $((started + 1)) ]" 20
}
in_flight () { [ "$(lun_get "$mnt" 1 .counters.in_flight)" -ge "$1" ]; }
n=0
for what in "dd if=$file of=/dev/null bs=4k count=1 iflag=direct skip=9" "dd if=/dev/zero of=$file bs=4k count=1 conv=notrunc oflag=direct,dsync"; do
  say "$what: a signal after the worker's death"
  stop_answering
  $what 2>/dev/null &
  dd=$!
  disown
  wait_for "in_flight 1" 10
  replace_worker
  n=$((n + 1))
  wait_for "[ \"\$(status_get '$mnt' .lunfs.worker.replayed)\" -ge $n ]" 10
  alive "$dd" || fail "it did not wait"
  kill -KILL "$dd"
  wait_for "! alive $dd" 15

  say "$what: a signal before"
  answer_again
  lun_up "$mnt" 1 30
  stop_answering
  $what 2>/dev/null &
  dd=$!
  disown
  wait_for "in_flight 1" 10
  kill -KILL "$dd"
  sleep 0.2 # for the signal to come to the worker: if it does not, this is the first case again
  alive "$dd" || fail "it was given up with a session"
  replace_worker
  n=$((n + 1))
  wait_for "! alive $dd" 15
  answer_again
  lun_up "$mnt" 1 30
done
stop_lunfs "$mnt"
