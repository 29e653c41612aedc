#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Every call of the table in semantics.py, on LUNs of 512 and 4096 byte blocks.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

requires python3
start_target
add_target sem
add_lun "$(backing d1 16M)" 512 thin_provisioning=1
add_lun "$(backing d2 16M)" 4096 thin_provisioning=1
add_lun "$(backing d3 16M)" 512
mnt=$scratch/mnt
start_lunfs "iscsi://$portal/$iqn" "$mnt"
bad=0
for n in 1 2 3; do
  lun_up "$mnt" $n
  thin=$((n != 3))
  say "LUN $n"
  python3 "$srcdir/semantics.py" "$mnt" "$n" "$scratch/d$n" $thin || bad=1
done
stop_lunfs "$mnt"
exit $bad
