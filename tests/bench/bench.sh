#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Speed of lunfs beside its rivals and the bare library; the method is in README.  All on loopback, on targets of our own.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top_srcdir=${top_srcdir:-$(cd "$here/../.." && pwd)}
top_builddir=${top_builddir:-$top_srcdir}
PATH=$PATH:/usr/sbin:/sbin

# shellcheck source=tests/bench/workloads.sh
. "$here/workloads.sh"

rounds=3
seconds=2
systems=''
workloads=core
targets=tgtd,ramtgt
lun_mib=''
background=64
output=bench
iqn=iqn.2026-01.org.example:bench

usage ()
{
  cat <<END
usage: bench.sh [OPTION]...
  --rounds N        rounds of all systems ($rounds)
  --seconds S       length of one measurement ($seconds)
  --systems LIST    raw, raw2 (two sessions), null (FUSE alone), qsd, nbdfuse, lunfs, lunfs@OPT+OPT... (with -o OPT,OPT)
                    (raw,qsd,nbdfuse,lunfs; null, too, if cr1 or cr32 is measured)
  --workloads LIST  of these, and of the sets core ($core_set)
                    and cache ($cache_set) ($workloads)
                    rr1 rr32 rw1 rw32  4k random read/write at depth 1 and 32
                    r8t w8t            4k random read/write, 8 synchronous threads
                    sr1 sr8 sr32 sw1 sw8 sw32   1 MiB sequential read/write
                    rw1f rw32f w8tf sw8f        the same with a final fsync, which counts
                    cr1 cr32           4k random read of $hot_mib MiB that were read before
                    br bw              buffered: 128 KiB sequential read; 4k random write with a final fsync
                    ws1 ws8            4k random write and fdatasync after each, 1 and 8 threads
                    l4w lx lr          on a loop device: 4k random write at depth 32 with a final fsync; on ext4:
                                       creation of many small files and syncfs, cold read of them (root only)
  --targets LIST    tgtd, ramtgt, ramtgt@US (replies leave US microseconds later) ($targets)
  --lun-mib N       size of each LUN; each system has its own (256; 1024 for the set cache)
  --max-background N  of the rivals' FUSE connections; 0 leaves the kernel's 12 ($background)
  --output PREFIX   PREFIX.tsv has each measurement, PREFIX.json the summary ($output)
  --quick           one round of one second, 4k and two sequential workloads
LUNFS, LUNFSFLAGS, NULLFS, RAWBENCH and RAMTGT name other programs or options than those of the build tree.
END
}

while [ $# -gt 0 ]; do
  case $1 in
  --rounds) rounds=$2; shift ;;
  --seconds) seconds=$2; shift ;;
  --systems) systems=$2; shift ;;
  --workloads) workloads=$2; shift ;;
  --targets) targets=$2; shift ;;
  --lun-mib) lun_mib=$2; shift ;;
  --max-background) background=$2; shift ;;
  --output) output=$2; shift ;;
  --quick) rounds=1 seconds=1 workloads=rr1,rr32,rw32,w8t,sr1,sw32 ;;
  --help) usage; exit 0 ;;
  *) usage >&2; exit 3 ;;
  esac
  shift
done
if [[ ,$workloads, = *,cache,* ]]; then
  lun_mib=${lun_mib:-1024} # larger than caches usually are
fi
lun_mib=${lun_mib:-256}
workloads=$(sed "s/\bcore\b/$core_set/; s/\bcache\b/$cache_set/" <<<"$workloads")
if [ -z "$systems" ]; then
  systems=raw,qsd,nbdfuse,lunfs
  [[ ,$workloads != *,cr* ]] || systems=raw,null,qsd,nbdfuse,lunfs
fi
IFS=, read -ra systems <<<"$systems"
IFS=, read -ra workloads <<<"$workloads"
IFS=, read -ra targets <<<"$targets"

lunfs=${LUNFS:-$top_builddir/lunfs}
nullfs=${NULLFS:-$top_builddir/tests/bench/nullfs}
rawbench=${RAWBENCH:-$top_builddir/tests/bench/rawbench}
ramtgt=${RAMTGT:-$top_builddir/tests/tools/ramtgt}

say () { echo "bench: $*" >&2; }
for tool in fio python3; do
  command -v $tool >/dev/null || { say "$tool is not installed"; exit 77; }
done

# -- clean-up: processes by pid, mounts, the directory; in reverse order of their making ---------------------------
tmp=$(mktemp -d "${BENCH_TMPDIR:-$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")}/lunfs-bench.XXXXXX") || exit 1
undo=()

unmount () { mountpoint -q "$1" && { fusermount3 -u "$1" || umount -l "$1"; } 2>/dev/null; }

# end PID: asks, then insists
end ()
{
  local i
  kill "$1" 2>/dev/null || return 0
  for ((i = 0; i < 50; i++)); do
    kill -0 "$1" 2>/dev/null || break
    sleep 0.1
  done
  kill -9 "$1" 2>/dev/null
  wait "$1" 2>/dev/null
}

undo_all ()
{
  local i
  for ((i = ${#undo[@]} - 1; i >= 0; i--)); do ${undo[i]}; done
  undo=()
}

finish ()
{
  local status=$?
  trap '' HUP INT TERM
  undo_all
  rm -rf --one-file-system "$tmp"
  exit $status
}
trap finish EXIT
trap 'exit 130' HUP INT TERM

# wait_for SECONDS COMMAND...
wait_for ()
{
  local tries=$(($1 * 20))
  shift
  while ! "$@" >/dev/null 2>&1; do
    ((tries-- > 0)) || return 1
    sleep 0.05
  done
}

free_port () { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# shellcheck source=tests/bench/systems.sh
. "$here/systems.sh"

# -- measuring -----------------------------------------------------------------------------------------------------
# Clock ticks used by processes and their children that still run: lunfs has a worker below its supervisor.
ticks ()
{
  local pid sum=0 queue=("$@") stat fields
  while [ ${#queue[@]} -gt 0 ]; do
    pid=${queue[0]}
    queue=("${queue[@]:1}")
    stat=$(cat "/proc/$pid/stat" 2>/dev/null) || continue
    read -ra fields <<<"${stat##*) }"
    sum=$((sum + fields[11] + fields[12]))
    read -ra fields <<<"$(cat "/proc/$pid/task/"*/children 2>/dev/null | tr '\n' ' ')"
    queue+=("${fields[@]}")
  done
  echo $sum
}

# measure_prepared TARGET ROUND SYSTEM WORKLOAD: one line of the TSV
measure_prepared ()
{
  local before target_before out
  # shellcheck disable=SC2086 # pids are words
  before=$(ticks ${pids_of[$3]})
  target_before=$(ticks "$target_pid")
  out=$(run "$3")
  # shellcheck disable=SC2086
  printf '%s' "$out" | python3 "$here/summary.py" row "$1" "$2" "$3" "$4" \
    $(($(ticks ${pids_of[$3]}) - before)) $(($(ticks "$target_pid") - target_before)) >>"$output.tsv" 2>>"$tmp/run.log"
}

measure ()
{
  local subject=''
  : >"$tmp/run.log"
  if ! { prepare "$3" "$4" 2>>"$tmp/run.log" && measure_prepared "$@"; }; then
    say "failed: $3 $4 on $1: $(tail -n1 "$tmp/run.log")"
  fi
  settle "$3"
}

run_target ()
{
  local target=$1 round w i n system
  "start_${target%@*}" "$target" || return 0
  start_systems
  undo+=(loop_down)
  n=${#running[@]}
  for ((round = 1; round <= rounds && n; round++)); do
    say "$target: round $round of $rounds: ${running[*]}"
    for w in "${workloads[@]}"; do
      workload "$w" || continue
      for ((i = 0; i < n; i++)); do # each round another one begins
        system=${running[(i + round) % n]}
        ! runs "$system" "$w" || measure "$target" $round "$system" "$w"
      done
    done
  done
}

python3 "$here/summary.py" header >"$output.tsv" || exit 1
for t in "${targets[@]}"; do
  case $t in
  tgtd | ramtgt | ramtgt@*) run_target "$t" ;;
  *) say "skipped: target $t is not known" ;;
  esac
  undo_all
done
python3 "$here/summary.py" table "$output.tsv" "$output.json"
