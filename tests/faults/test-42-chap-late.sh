#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Fault 42: a target begins to ask for a secret, or changes it, while sessions are up.  The next login fails, says so, and
# is not tried again soon: accounts get locked.  (Wrong secrets at the first login: functional/test-chap.)
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
# shellcheck source=tests/faults/faults.sh
. "$top_srcdir/tests/faults/faults.sh"
limit=4
if [ "$long" != 0 ]; then
  limit=90
  test_limit 240
fi

behind_proxy 4M 1 -o replacement_timeout=$limit,stop_timeout=2
start_load 1
tgt --mode account --op new --user joe --password another-secret
tgt --mode account --op bind --tid "$tid" --user joe
proxy rst
wait_for "[ \"\$(counter 1 login_failures)\" -ge 1 ]" 20
quiet 3
expect_equal "$(counter 1 login_failures)" 1 "attempts"
lun_get "$mnt" 1 '.error | test("authentication")'
logged "$mnt" 'authentication' || fail "the log does not say why"
! logged "$mnt" 'secret-' || fail "the log tells a secret"
if [ "$long" = 0 ]; then
  say "the next attempt would come after half a minute: LUNFS_LONG=1 waits for it"
  wait_for "! alive ${load_pids[1]}" 20
  grep -q 'Input/output error' "$scratch/load1.log" || fail "replacement_timeout has not ended the wait"
  stop_lunfs "$mnt"
else
  tgt --mode account --op unbind --tid "$tid" --user joe
  relogins 1 1 60
  moves 1
  stop_load "secret asked for, for some seconds: tried again after 30 s" 1
  no_errors 1
  stop_lunfs "$mnt"
fi
