#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Fault 48: a path that comes and goes every 200 ms, in this way and in that.  Nothing may pile up: no descriptors, no
# memory, no sessions at the target; no write out of order; and a minute after the last flap all is as before.
# LUNFS_LONG=1: ten minutes.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
# shellcheck source=tests/faults/faults.sh
. "$top_srcdir/tests/faults/faults.sh"

seconds=15
[ "$long" = 0 ] || seconds=600
test_limit $((seconds + 150))
luns=4
behind_proxy 4M $luns
mapfile -t all < <(seq $luns)
for n in "${all[@]}"; do start_load "$n" --threads 3 --max-bytes 4m --pause 1000 --punch; done
for n in "${all[@]}"; do moves "$n"; done
pid=$(worker "$mnt")
fds () { find "/proc/$pid/fd" -type l | wc -l; }
rss_kb () { awk '/^VmRSS/ {print $2}' "/proc/$pid/status"; }
proxy rst # whatever the first loss allocates
for n in "${all[@]}"; do relogins "$n" 1; done
for n in "${all[@]}"; do moves "$n"; done
fds_before=$(fds) rss_before=$(rss_kb)

ways=("rst" "refuse;rst" "fin down" "drop existing" "fin up pdu" "silent;rst" "rst down op=response" "hold existing")
cpu_before=$(cpu_ms "$pid")
for ((i = 0; i < seconds * 5 / 2; i++)); do
  tr ';' '\n' <<<"${ways[i % ${#ways[@]}]}"
  echo "sleep 0.2"
  echo heal
  echo "sleep 0.2"
done >"$scratch/script"
faultproxy --control "$scratch/$proxy.sock" --script <"$scratch/script"
say "$(status_get "$mnt" '[.targets[].luns[].counters | .relogins, .login_failures] | tostring') relogins, failures;" \
  "$(($(cpu_ms "$pid") - cpu_before)) ms of CPU in $seconds s, load included"
proxy heal
for n in "${all[@]}"; do lun_up "$mnt" "$n" 40; done
for n in "${all[@]}"; do moves "$n"; done
stop_load "flapping every 200 ms for $seconds s" "${all[@]}"
no_errors "${all[@]}"
expect_equal "$(worker "$mnt")" "$pid" "worker"
wait_for "[ \"\$(proxy_stat current)\" = $luns ]" 40
wait_for "[ \"\$(count_connections)\" = $luns ]" 40
say "descriptors: $fds_before, $(fds); resident: $rss_before, $(rss_kb) kB"
expect_equal "$(fds)" "$fds_before" "descriptors"
[ $(($(rss_kb) - rss_before)) -le 20000 ] || [ "$slow" != 1 ] || fail "memory grew from $rss_before to $(rss_kb) kB"
stop_lunfs "$mnt"
