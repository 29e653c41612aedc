#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Write-back over a target with a volatile cache that loses its power: what fsync has covered is on the medium, and when lunfs
# is logged in again everything acknowledged is there, wherever it was: dirty, on its way, or in the target's cache; also
# when the worker died with it.  LUNFS_STRESS_SEED=N repeats a run.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
test_limit 150

seed=${LUNFS_STRESS_SEED:-$RANDOM}
RANDOM=$seed
say "seed $seed"
new=$scratch/new
bytes=1048576
mount_fake () { # LUNFS-OPTIONS [FAKETGT-OPTION...]
  local mount_options=$1
  shift
  rm -f "$scratch/disk"
  fake_lun 8M --wce "$@" -- -o "cmd_timeout=10,$mount_options"
}
end_fake () {
  expect_equal "$(lun_get "$mnt" 0 .counters.errors)" 0 "errors"
  fake_no_violations
  stop_lunfs "$mnt"
  fake quit
}
get () { lun_get "$mnt" 0 "(.counters.$1 | tostring)"; }
write_new () { # [DD-OPTION...]
  head -c $bytes /dev/urandom >"$new"
  dd if="$new" of="$file" bs=16k oflag=direct conv=notrunc status=none "$@"
}
on_medium () { cmp -n $bytes "$new" "$disk"; }
not_on_medium () { ! cmp -s -n $bytes "$new" "$disk" || fail "on the medium already: the test is not one"; }
is_there () {
  cmp -n $bytes "$new" "$file"
  sync "$file"
  on_medium
}
no_power () {
  local before
  before=$(get session_losses)
  fake powerloss >/dev/null
  wait_for "[ \"\$(get session_losses)\" -gt $before ]" 10
  lun_up "$mnt" 0 20
}

say "dirty"
mount_fake cache_write_delay=60000
write_new
expect_equal "$(get dirty_bytes)" $bytes "dirty bytes"
no_power
not_on_medium
is_there
say "covered by an fsync"
write_new conv=notrunc,fsync
on_medium
no_power
on_medium
is_there
say "a page, fsynced with FUA"
before=$(get sync_cache)
dd if=/dev/urandom of="$new" bs=4k count=1 conv=notrunc status=none
dd if="$new" of="$file" bs=4k count=1 conv=notrunc,fsync status=none
expect_equal "$(get sync_cache)" "$before" "SYNCHRONIZE CACHE commands"
no_power
on_medium
say "the power goes when the fsync's SYNCHRONIZE CACHE comes"
write_new
fake_rule "sync : powerloss before"
sync "$file"
on_medium
expect_equal "$(fake_hits)" 1 "hits"
end_fake

say "in the target's cache"
mount_fake cache_write_delay=0
write_new
wait_for "[ \"\$(get dirty_bytes)\" = 0 ]" 10
[ "$(get unstable_bytes)" -ge $bytes ] || fail "stable already: the test is not one"
not_on_medium
no_power
[ "$(get rewritten)" -ge 1 ] || fail "nothing was written again"
is_there
say "the worker dies with it, too"
write_new
wait_for "[ \"\$(get dirty_bytes)\" = 0 ]" 10
[ "$(get unstable_bytes)" -ge $bytes ] || fail "stable already: the test is not one"
kill -KILL "$(worker "$mnt")"
fake powerloss >/dev/null
is_there
[ "$(fake_get .blocks_lost)" -gt 0 ] || fail "nothing was lost"
say "zeroes, too"
zero_range=16
python3 -c "import ctypes, os
f = os.open ('$file', os.O_RDWR)
assert ctypes.CDLL (None).fallocate (f, $zero_range | 1, ctypes.c_int64 (0), ctypes.c_int64 ($bytes)) == 0"
head -c $bytes /dev/zero >"$new"
not_on_medium
no_power
is_there
end_fake

rounds () { # NUMBER LUNFS-OPTIONS FAKETGT-OPTION...
  local n number=$1 durable end=$scratch/durable.end
  rm -f "$end"
  shift
  say "$*"
  mount_fake "$@"
  python3 "$top_srcdir/tests/faults/durable.py" "$file" "$disk" "$end" "$RANDOM" 4 punch >"$scratch/durable.log" 2>&1 &
  durable=$!
  cleanup_fn kill_quietly $durable
  for ((n = 1; n <= number; n++)); do
    fake_rule "modify nth=$((RANDOM % 4 == 0 ? 1 + RANDOM % 5 : 10 + RANDOM % 30)) : powerloss partial $RANDOM"
    wait_for "[ \$(fake_hits) != 0 ] || ! alive $durable" 30
    alive "$durable" || break
    [ $((RANDOM % 3)) != 0 ] || [ "$n" -gt 4 ] || kill -KILL "$(worker "$mnt")"
  done
  : >"$end"
  wait "$durable" || fail "$(cat "$scratch/durable.log")"
  cat "$scratch/durable.log"
  say "$(fake_get '"\(.power_losses) losses of power, \(.blocks_lost) blocks lost"')"
  [ "$(fake_get .power_losses)" -ge 3 ] || fail "too few losses of power"
  [ "$(fake_get .blocks_lost)" -gt 0 ] || fail "nothing was lost"
  sync "$file"
  same_data "$file" "$disk"
  end_fake
}
rounds 5 cache_write_delay=100 --thin
rounds 5 cache_write_delay=30,cache_size=8M,cache_max_dirty=1M,read_ahead=0 --no-dpofua
rounds 4 cache=writethrough,cache_size=8M,read_ahead=1M
