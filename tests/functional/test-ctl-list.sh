#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lunfsctl ls, sessions and status as people read them and as JSON; set for the whole mount; stats reset; exit statuses.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
private_mounts
requires jq
mkdir -p /run/lunfs
mount -t tmpfs -o mode=755 tmpfs /run/lunfs # other tests' mounts are not ours to list

start_target
add_target one
add_lun "$(backing disk1 8M)"
add_lun "$(backing disk2 16M)" 4096
add_target two
add_lun "$(backing disk3 8M)"
mnt=$scratch/mnt
start_lunfs "iscsi://$portal" "$mnt"
one=iqn.2026-01.org.example:one
two=iqn.2026-01.org.example:two
wait_for "lunfsctl status '$mnt' && [ -e '$mnt/$two/lun1' ] && [ -e '$mnt/$one/lun2' ]" 15

say "ls"
lunfsctl ls "$mnt" | tee "$scratch/ls"
grep -qE "^FILE +SIZE +STATE +TARGET +LUN +IDENTITY" "$scratch/ls"
grep -qE "^$mnt/$one/lun2 +16M +up +$one +2 +[a-z0-9]+\." "$scratch/ls"
expect_equal "$(wc -l <"$scratch/ls")" 4 "lines"
expect_equal "$(lunfsctl ls "$mnt/$two" | wc -l)" 2 "lines of one target"
lunfsctl ls --json "$mnt" | jq -e 'length == 3 and .[0].path and .[0].size == 8388608 and .[0].state == "up"'
lunfsctl ls --json | jq -e '[.[] | select (.mountpoint == "'"$mnt"'")] | length == 3' # all mounts

say "sessions, as iscsiadm prints them"
lunfsctl sessions "$mnt" | tee "$scratch/sessions"
expect_equal "$(grep -cE "^tcp: \[[0-9]+\] $portal,-1 iqn\.[^ ]+ \(lun [12]\)$" "$scratch/sessions")" 3 "sessions"
lunfsctl sessions -v "$mnt/$two" >"$scratch/sessions"
grep -q "^Target: $two$" "$scratch/sessions"
grep -q "Attached file $mnt/$two/lun1" "$scratch/sessions"
lunfsctl sessions --json "$mnt" | jq -e 'length == 3 and all (.[]; .portal == "'"$portal"'" and .state == "up")'

say "set: what belongs to the mount"
lunfsctl set "$mnt" log_level=debug debug=session:cache
lunfsctl rescan "$mnt"
wait_for "grep -q 'session: .*probe' '${lunfs_logs[$mnt]}'" 5
lunfsctl set "$mnt" log_level=notice debug=none
lunfsctl set "$mnt" cache_size=16M cache_max_dirty=4M replacement_timeout=77
status_get "$mnt" '.cache.size_bytes == 16777216 and .cache.max_dirty_bytes == 4194304'
status_get "$mnt" 'all (.targets[].luns[]; .replacement_timeout == 77)'
expect_fail lunfsctl set "$mnt" cache_size=64G
expect_status 7
expect_message 'no memory for that'
expect_fail lunfsctl set "$mnt" cache_max_dirty=15M
expect_status 7
expect_message '3/4 of cache_size'
expect_fail lunfsctl set "$mnt/$two" cache_size=20M
expect_status 7
expect_message 'whole mount'

say "a smaller cache gives memory back at once, and still works"
lunfsctl set "$mnt" cache_size=100M cache_max_dirty=10M
dd if=/dev/urandom of="$mnt/$one/lun2" bs=1M count=16 conv=fsync,notrunc status=none
dd if="$mnt/$one/lun2" of=/dev/null bs=64k status=none
lunfsctl set "$mnt" cache_size=8M cache_max_dirty=4M
status_get "$mnt" '[.targets[].luns[].counters.cached_bytes] | add <= 8388608'
dd if="$mnt/$one/lun2" bs=64k status=none | cmp - "$scratch/disk2"

say "stats reset"
status_get "$mnt" '[.targets[].luns[].counters.write_bytes] | add > 0'
lunfsctl stats reset "$mnt"
status_get "$mnt" '[.targets[].luns[].counters.write_bytes] | add == 0'
status_get "$mnt" '[.targets[].luns[].latency_us.write.count] | add == 0'
expect_fail lunfsctl stats nonsense
expect_status 7

say "what is wrong"
expect_fail lunfsctl ls --nonsense
expect_status 7
expect_fail lunfsctl ls "$mnt" "$mnt"
expect_status 7
expect_message 'one argument too many'
expect_fail lunfsctl sessions /usr
expect_status 21
for command in status ls sessions set stats upgrade; do
  lunfsctl "$command" --help >"$scratch/help"
  grep -qi "usage" "$scratch/help"
done

say "by target and number, not in the order in which they were found"
for lun in 4 3; do
  add_lun "$(backing "later$lun" 8M)"
  lunfsctl rescan "$mnt"
  wait_for "[ -e '$mnt/$two/lun$lun' ]" 15
done
add_target a
add_lun "$(backing first 8M)"
lunfsctl rescan "$mnt"
wait_for "[ -e '$mnt/$iqn/lun1' ]" 15
sorted=("$iqn/lun1" "$one/lun1" "$one/lun2" "$two/lun1" "$two/lun4" "$two/lun5")
expect_equal "$(lunfsctl ls "$mnt" | sed 1d | cut -d' ' -f1)" "$(printf "$mnt/%s\n" "${sorted[@]}")" "ls"
expect_equal "$(status_get "$mnt" '.targets[].luns[].file')" "$(printf '%s\n' "${sorted[@]}")" "status.json"
expect_equal "$(lunfsctl inquiry --json "$mnt" | jq -r '.[].file')" "$(printf '%s\n' "${sorted[@]}")" "inquiry"

say "a LUN that is down: status 4, and why"
kill_target
wait_for "! lunfsctl status '$mnt' >'$scratch/table'" 15
expect_fail lunfsctl status "$mnt"
expect_status 4
expect_message 'down|login|resolve'
expect_fail lunfsctl status --json "$mnt"
expect_status 4
restart_target
wait_for "lunfsctl status '$mnt'" 30
stop_lunfs "$mnt"
