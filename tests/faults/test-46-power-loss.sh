#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# 46: the target loses its power with a volatile write cache, again and again, also while what was lost is being written
# again; a random part of the cache reaches the medium.  What durable.py says holds: fsync and O_DSYNC do not lie, and
# nothing that was acknowledged is missing.  LUNFS_STRESS_SEED=N repeats a run.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
test_limit 150

seed=${LUNFS_STRESS_SEED:-$RANDOM}
RANDOM=$seed
say "seed $seed"
disk=$scratch/disk
mnt=$scratch/mnt
file=$mnt/lun0
rounds () { # NUMBER FAKETGT-OPTION...
  local n number=$1 durable where end=$scratch/durable.end
  shift
  say "$*"
  rm -f "$disk" "$end"
  start_fake --lun "8M,file=$disk" --wce "$@"
  start_lunfs "iscsi://$portal/$iqn" "$mnt" -o cmd_timeout=10
  lun_up "$mnt" 0
  python3 "$top_srcdir/tests/faults/durable.py" "$file" "$disk" "$end" "$RANDOM" 4 punch \
    >"$scratch/durable.log" 2>&1 &
  durable=$!
  cleanup_fn kill_quietly $durable
  for ((n = 1; n <= number; n++)); do
    where=
    [ $((RANDOM % 3)) != 0 ] || where=before
    # Small numbers hit the recovery after the last loss.
    fake_rule "modify nth=$((RANDOM % 4 == 0 ? 1 + RANDOM % 5 : 20 + RANDOM % 60)) : powerloss partial $RANDOM $where"
    wait_for "[ \$(fake_hits) != 0 ] || ! alive $durable" 30
    alive "$durable" || break
  done
  : >"$end"
  wait "$durable" || fail "$(cat "$scratch/durable.log")"
  cat "$scratch/durable.log"
  say "$(fake_get '"\(.power_losses) losses of power, \(.blocks_lost) blocks lost"'), $(lun_get "$mnt" 0 .counters.rewritten) writes written again"
  [ "$(fake_get .power_losses)" -ge 3 ] || fail "too few losses of power"
  [ "$(fake_get .blocks_lost)" -gt 0 ] || fail "nothing was lost"
  [ "$(lun_get "$mnt" 0 .counters.rewritten)" -gt 0 ] || fail "nothing was written again"
  expect_equal "$(lun_get "$mnt" 0 .counters.errors)" 0 "errors"
  sync "$file"
  same_data "$file" "$disk"
  fake_no_violations
  stop_lunfs "$mnt"
  fake quit
}
rounds 5
rounds 5 --no-dpofua
rounds 5 --thin
rounds 5 --lacks sync16 --segment 8192

say "all of the cache"
start_fake --lun "8M,file=$disk" --wce
start_lunfs "iscsi://$portal/$iqn" "$mnt"
lun_up "$mnt" 0
for n in 1 2 3; do
  dd if=/dev/urandom of="$scratch/new" bs=64k count=64 status=none
  dd if="$scratch/new" of="$file" bs=64k oflag=direct conv=notrunc status=none
  fake powerloss
  cmp -n 4194304 "$file" "$scratch/new"
  sync "$file"
  cmp -n 4194304 "$disk" "$scratch/new"
done
[ "$(fake_get .blocks_lost)" -gt 0 ] || fail "nothing was lost"
stop_lunfs "$mnt"
