#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Fault 12: the target refuses logins for a while: no hot loop about a failed login's socket, and patience.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
# shellcheck source=tests/faults/faults.sh
. "$top_srcdir/tests/faults/faults.sh"

behind_proxy 16M 1
start_load 1 --punch --zero
for state in offline ready; do
  tgt --mode target --op update --tid "$tid" --name state --value "$state"
  [ "$state" = offline ] || break
  proxy rst
  wait_for "[ \"\$(counter 1 login_failures)\" -ge 2 ]" 20
  quiet 3
  failures=$(counter 1 login_failures)
  [ "$failures" -le 6 ] || fail "$failures attempts in 3 s"
done
relogins 1 1
moves 1
stop_load "logins refused for 3 s" 1
no_errors 1
lun_get "$mnt" 1 '.error == ""'
stop_lunfs "$mnt"
