#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The stress program: overlapping random unaligned I/O with punch and zero by several threads.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

requires stress
usage=$(stress --help 2>&1) || :
[ "${usage#*--punch}" != "$usage" ] || skip "this is another program called stress"
start_target
add_target stress
add_lun "$(backing d1 16M)" 512 thin_provisioning=1
add_lun "$(backing d2 16M)" 4096 thin_provisioning=1
mnt=$scratch/mnt
start_lunfs "iscsi://$portal/$iqn" "$mnt"
lun_up "$mnt" 1
lun_up "$mnt" 2
seconds=${LUNFS_STRESS_SECONDS:-20}
test_limit $((seconds * 2 + 60))
seed=${LUNFS_STRESS_SEED:-$RANDOM}
say "seed $seed"
stress --threads 8 --seconds $((seconds / 2)) --seed "$seed" --unaligned --punch --zero "$mnt/lun1" &
one=$!
stress --threads 4 --seconds $((seconds / 2)) --seed "$seed" --block 4096 --direct --punch --zero "$mnt/lun2" &
two=$!
wait $one || fail "LUN 1"
wait $two || fail "LUN 2"
stress --threads 4 --seconds $(((seconds + 1) / 2)) --seed "$((seed + 1))" --direct --punch "$mnt/lun1"
expect_equal "$(status_get "$mnt" '[.targets[].luns[].counters.errors] | add')" 0 "errors"
same_data "$mnt/lun1" "$scratch/d1"
same_data "$mnt/lun2" "$scratch/d2"
stop_lunfs "$mnt"
