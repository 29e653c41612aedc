# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: GPL-2.0-or-later
# Helpers of the fault tests; source it after functions.sh.
#
# An application is the stress program: it knows what every byte of a LUN must be, and how long it had to wait.  Every
# test prints that as "# stall: N ms (KIND OF OUTAGE)", so that "grep '# stall' tests/faults/*.log" is a table.
requires stress jq
long=${LUNFS_LONG:-0} # 1: the outages last as long as they do in life

# So that a test need not wait long for what takes minutes by default.
quick=(-o "noop_out_interval=1,noop_out_timeout=1,login_timeout=2,cmd_timeout=8,replacement_timeout=90")

# Run the rest of the test with a network (and mounts) of its own: a loopback interface, and 10.99.0.1 on it as
# $tgt_host.  Call it before anything else.
private_network () {
  requires_root
  requires ip unshare
  if [ "${LUNFS_PRIVATE_NETWORK:-}" != "$test_name" ]; then
    trap - EXIT
    kill "$watchdog" 2>/dev/null || :
    cd /
    rm -rf "$scratch"
    LUNFS_PRIVATE_NETWORK=$test_name exec unshare --net --mount --propagation private bash "$test_file" "$@"
  fi
  # Our copies of what other tests have mounted would keep it alive after they have unmounted it.
  local other
  while read -r other; do umount -l "$other" 2>/dev/null || :; done < <(awk '$3 ~ /^fuse\.lunfs/ || $2 ~ /lunfs-test\./ {print $2}' /proc/self/mounts)
  ip link set lo up
  tgt_host=10.99.0.1
  ip addr add $tgt_host/32 dev lo
}
# target_with SIZE LUNS: a tgtd that keeps LUN n in $scratch/disk<n>.
target_with () {
  local n
  start_target
  add_target fault
  for ((n = 1; n <= $2; n++)); do add_lun "$(backing "disk$n" "$1")" 512 thin_provisioning=1; done
}
# mount_all LUNS [OPTION...]: of the target at $portal.  Sets $mnt.
mount_all () {
  local luns=$1 n
  shift
  mnt=$scratch/mnt
  start_lunfs "iscsi://$portal/$iqn" "$mnt" "${quick[@]}" "$@"
  for ((n = 1; n <= luns; n++)); do lun_up "$mnt" "$n"; done
}
# behind_proxy SIZE LUNS [OPTION...]: a tgtd, the proxy in front of it, and a mount.
behind_proxy () {
  local size=$1 luns=$2
  shift 2
  target_with "$size" "$luns"
  start_proxy
  mount_all "$luns" "$@"
}

# start_load LUN [STRESS-OPTION...]: returns when it is under way.
declare -A load_pids=()
start_load () {
  local n=$1 how=(--unaligned)
  shift
  case " $* " in *' --direct '*) how=() ;; esac
  rm -f "$scratch/load$n.log"
  stress --seconds 36000 --threads 8 --max-bytes 16m --seed "$RANDOM" "${how[@]}" "$@" "$mnt/lun$n" >"$scratch/load$n.log" 2>&1 &
  load_pids[$n]=$!
  cleanup_fn kill_quietly "${load_pids[$n]}"
  wait_for "grep -q running '$scratch/load$n.log' || ! alive ${load_pids[$n]}" 60
  alive "${load_pids[$n]}" || fail "the load on LUN $n has ended: $(cat "$scratch/load$n.log")"
}
# stop_load KIND LUN...: ends it; it must have seen no error and no wrong byte, and the target has what it wrote.
stop_load () {
  local kind=$1 n ms longest=0
  shift
  for n; do
    alive "${load_pids[$n]}" || fail "the load on LUN $n has ended early: $(cat "$scratch/load$n.log")"
    kill -TERM "${load_pids[$n]}"
  done
  for n; do
    wait "${load_pids[$n]}" || fail "the load on LUN $n: $(cat "$scratch/load$n.log")"
    ms=$(sed -n 's/.* longest_ms=\([0-9]*\) result=ok$/\1/p' "$scratch/load$n.log")
    [ -n "$ms" ] || fail "the load on LUN $n: $(cat "$scratch/load$n.log")"
    [ "$ms" -le "$longest" ] || longest=$ms
    if [ -e "$scratch/disk$n" ]; then same_lun "$n"; fi
  done
  echo "# stall: $longest ms ($kind)"
  stall=$longest
}

# same_lun N: what lunfs shows is what the target has (cmp alone would read in small pieces).
same_lun () { dd if="$mnt/lun$1" bs=1M status=none | cmp - "$scratch/disk$1" || fail "LUN $1 and $scratch/disk$1 differ"; }

# fio_result PREFIX KIND: of a fio with --output-format=json --output=PREFIX.json >PREFIX.log 2>&1, perhaps ended by SIGINT.
fio_result () {
  sed -i '/^{/,$!d' "$1.json"
  ! grep -E 'verify:|error=' "$1.log" || fail "fio saw an error"
  expect_equal "$(jq '[.jobs[].error] | add' "$1.json")" 0 "error of fio"
  stall=$(jq '[.jobs[] | .read, .write, .sync | .lat_ns.max // 0] | max / 1000000 | floor' "$1.json")
  echo "# stall: $stall ms ($2)"
}

counter () { lun_get "$mnt" "$1" "(.counters.$2 | tostring)"; } # LUN NAME
# moves LUN [SECONDS]: requests are answered again.
moves () {
  local now
  now=$(lun_get "$mnt" "$1" '.counters | .reads + .writes')
  wait_for "[ \"\$(lun_get '$mnt' $1 '.counters | .reads + .writes')\" -gt $((now + 20)) ]" "${2:-30}"
}
no_errors () { # LUN...
  local n
  for n; do expect_equal "$(counter "$n" errors)" 0 "errors of LUN $n"; done
}
# relogins LUN N: at least; waits for it.
relogins () { wait_for "[ \"\$(counter $1 relogins)\" -ge $2 ]" "${3:-40}"; }

cpu_ms () { awk '{sub(/.*\) /, ""); print ($12 + $13) * 10}' "/proc/$1/stat"; } # PID
# quiet SECONDS: while nothing can be done, nothing is: the worker uses less than a tenth of the time.
quiet () {
  local pid before used
  pid=$(worker "$mnt")
  before=$(cpu_ms "$pid")
  sleep "$1"
  [ -e "/proc/$pid" ] || fail "the worker is gone"
  used=$(($(cpu_ms "$pid") - before))
  say "the worker used $used ms of CPU in an outage of $1 s"
  [ "$used" -le $(($1 * 100 * slow + 50)) ] || fail "it spins: $used ms of CPU in $1 s"
}
