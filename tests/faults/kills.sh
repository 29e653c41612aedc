# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: GPL-2.0-or-later
# Killing the worker again and again; source it after faults.sh.
#
#   LUNFS_KILLS=N        so often, all parts together [50; 1000 with LUNFS_LONG=1]
#   LUNFS_KILLS_SEED=N   the same pauses between the kills again
#   LUNFS_KILLS_PARTS="loads files login outage drain guest"   only these parts
seed=${LUNFS_KILLS_SEED:-$RANDOM}
kills_wanted=${LUNFS_KILLS:-$([ "$long" = 1 ] && echo 1000 || echo 50)}
kills=0 resent=0 recovered_kib=0 worst_ms=0
RANDOM=$seed
say "seed $seed, $kills_wanted kills"

# The worker, or nothing between two of them.
child_of () { tr -d ' ' <"/proc/$1/task/$1/children"; }
# killer SUPERVISOR KILLS SEED: each of its workers is killed 50 to 500 ms after it was there, whatever it is doing.
killer () {
  local n=0 ms pid last=
  trap - EXIT ERR
  RANDOM=$3
  while [ "$n" -lt "$2" ]; do
    until pid=$(child_of "$1") && [ -n "$pid" ] && [ "$pid" != "$last" ]; do
      [ -e "/proc/$1" ] || exit 1
      sleep 0.01
    done
    ms=$(((RANDOM % 451 + 50) * slow))
    sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
    [ "$(child_of "$1")" = "$pid" ] && kill -KILL "$pid" || exit 1
    last=$pid
    n=$((n + 1))
  done
} 2>/dev/null

# begin_part NAME OF-50 [LUNFS-OPTION...]: a mount of the target at $portal whose worker is to be killed so often.
begin_part () {
  part=$1
  part_kills=$((($2 * kills_wanted + 49) / 50))
  shift 2
  mnt=$scratch/mnt
  say "$part: $part_kills kills"
  start_lunfs_foreground "iscsi://$portal/$iqn" "$mnt" "${quick[@]}" "$@"
  sup=$(supervisor "$mnt")
  first_worker=$(child_of "$sup")
}
# start_kills ... end_kills
start_kills () {
  killer "$sup" "$part_kills" "$RANDOM" &
  killer=$!
  cleanup_fn kill_quietly "$killer"
}
end_kills () {
  wait_for "! alive $killer" $((part_kills * 4 + 30)) || fail "$part: the worker does not come back"
  wait "$killer" || fail "$part: the supervisor is gone"
}
# all_served LUN...: they are, and every worker but the last was killed by us.
all_served () {
  local n
  for n; do lun_up "$mnt" "$n" 60; done
  expect_equal "$(status_get "$mnt" .lunfs.workers_started)" $((part_kills + 1)) "$part: workers"
  resent=$((resent + $(status_get "$mnt" '.lunfs.requests_resent | tostring')))
}
# end_part [unmounted]: nothing is left over, and what the log says is what was done.
end_part () {
  local log=${lunfs_logs[$mnt]} kib last
  last=$(child_of "$sup" 2>/dev/null) || last=
  if [ "${1:-}" != unmounted ]; then stop_lunfs "$mnt" 30; fi
  wait_for "! alive $sup && ! alive ${last:-$first_worker}" 10
  expect_equal "$(grep -c 'worker [0-9]* ended with signal 9' "$log")" "$part_kills" "$part: kills in the log"
  expect_equal "$(grep -c 'worker [0-9]* ended with' "$log")" "$part_kills" "$part: deaths in the log"
  kib=$(sed -n 's/.* \([0-9]*\) KiB of written data taken over from the last worker.*/\1/p' "$log" | paste -sd+ | bc)
  recovered_kib=$((recovered_kib + ${kib:-0}))
  kills=$((kills + part_kills))
  if [ "${proxy:-}" ]; then wait_for "[ \"\$(proxy_stat current)\" = 0 ]" 10; fi # tgtd may remember one for ever
}
# The stall that was told last was of workers that died, and of nothing else.
count_stall () { [ "$stall" -le "$worst_ms" ] || worst_ms=$stall; }
report () {
  say "$kills kills; $resent requests were sent again by the kernel; $recovered_kib KiB of acknowledged data was taken over (seed $seed)"
  if [ "$worst_ms" -gt 0 ]; then say "the worst pause of an application whose target was up: $worst_ms ms"; fi
}
