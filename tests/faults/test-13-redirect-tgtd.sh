#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Fault 13: a target that sends its initiators elsewhere: to another portal, to an address where nobody is, to one that
# cannot be reached at all, in a circle.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
# shellcheck source=tests/faults/faults.sh
. "$top_srcdir/tests/faults/faults.sh"

private_network
test_limit 150
ip addr add 10.99.0.2/32 dev lo
tgt_host=10.99.0.2
target_with 16M 1 # "there"
there="10.99.0.2 $port"
tgt_host=10.99.0.1
start_target here # the same LUN at another portal, by another daemon
add_target fault
add_lun "$scratch/disk1" 512 thin_provisioning=1
here="10.99.0.1 $port"
redirect () { # DAEMON ADDRESS PORT
  use_target "$1"
  tgt --mode target --op update --tid "$tid" --name RedirectAddress --value "$2"
  tgt --mode target --op update --tid "$tid" --name RedirectPort --value "$3"
  tgt --mode target --op update --tid "$tid" --name RedirectReason --value Temporary
  use_target here
}

say "elsewhere"
mount_all 1
start_load 1 --punch --zero
# shellcheck disable=SC2086 # words
redirect here $there
cut_connections
relogins 1 1
moves 1
expect_equal "$(count_connections)" 0 "connections here"
use_target target
expect_equal "$(count_connections)" 1 "connections there"
use_target here
stop_load "redirected" 1
no_errors 1
stop_lunfs "$mnt"

cases=("where nobody listens: 10.99.0.2 9" "where no route leads, so that connecting fails at once: 192.0.2.1 3260" "in a circle: $there")
for case in "${cases[@]}"; do
  say "$case"
  # shellcheck disable=SC2086 # words
  redirect here $there
  mount_all 1
  start_load 1 --punch --zero
  # shellcheck disable=SC2086 # words
  case $case in
    *circle*) redirect target $here ;;
    *) redirect here ${case#*: } ;;
  esac
  use_target target
  cut_connections
  use_target here
  wait_for "[ \"\$(counter 1 login_failures)\" -ge 2 ]" 30
  quiet 1
  [ "$(counter 1 login_failures)" -le 6 ] || fail "too many attempts"
  # shellcheck disable=SC2086 # words
  redirect here $there
  case $case in
    *circle*)
      use_target target
      kill_target # the way to forget a redirection
      tgt_host=10.99.0.2
      wait_for "run_tgtd ${there#* } 10.99.0.2 && . '$scratch/target.setup'" 20
      tgt_host=10.99.0.1
      ;;
  esac
  relogins 1 1
  moves 1
  stop_load "redirected ${case%%[:,]*} for some 2 s" 1
  no_errors 1
  stop_lunfs "$mnt"
done
