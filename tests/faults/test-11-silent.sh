#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Fault 11: the connection is made and nothing comes; or it is not even made, because every SYN is lost.  login_timeout
# ends that, and a new attempt begins.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
# shellcheck source=tests/faults/faults.sh
. "$top_srcdir/tests/faults/faults.sh"

for how in silent ignore; do
  say "$how"
  if [ "$how" = silent ]; then behind_proxy 16M 1 -o login_timeout=1; else mount_all 1 -o login_timeout=1; fi
  start_load 1 --punch --zero
  proxy "$how"
  proxy rst
  wait_for "[ \"\$(counter 1 login_failures)\" -ge 1 ]" 20
  quiet 2
  failures=$(counter 1 login_failures)
  [ "$failures" -le 4 ] || fail "$failures attempts"
  logged "$mnt" 'login_timeout' || fail "the log does not say why"
  proxy heal
  relogins 1 1
  moves 1
  stop_load "logins $([ "$how" = silent ] && echo "not answered" || echo "impossible: SYN lost") for 3 s" 1
  no_errors 1
  stop_lunfs "$mnt"
  proxy rst # those that got no answer
done
