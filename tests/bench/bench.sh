#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Speed of lunfs beside its rivals and the bare library; the method is in README.  All on loopback, on targets of our own.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top_srcdir=${top_srcdir:-$(cd "$here/../.." && pwd)}
top_builddir=${top_builddir:-$top_srcdir}
PATH=$PATH:/usr/sbin:/sbin

rounds=3
seconds=2
systems=raw,qsd,nbdfuse,lunfs
workloads=rr1,rr32,rw1,rw32,r8t,w8t,sr1,sr32,sw1,sw32
targets=tgtd,ramtgt
lun_mib=256
background=64
output=bench
iqn=iqn.2026-01.org.example:bench

usage ()
{
  cat <<END
usage: bench.sh [OPTION]...
  --rounds N        rounds of all systems ($rounds)
  --seconds S       length of one measurement ($seconds)
  --systems LIST    raw, raw2 (two sessions), qsd, nbdfuse, lunfs, lunfs@OPT+OPT... (with -o OPT,OPT) ($systems)
  --workloads LIST  {r|w}{r|w}.. below ($workloads)
                    rr1 rr32 rw1 rw32  4k random read/write at depth 1 and 32
                    r8t w8t            4k random read/write, 8 synchronous threads
                    sr1 sr8 sr32 sw1 sw8 sw32   1 MiB sequential read/write
  --targets LIST    tgtd, ramtgt, ramtgt@US (replies leave US microseconds later) ($targets)
  --lun-mib N       size of each LUN; each system has its own ($lun_mib)
  --max-background N  of the rivals' FUSE connections; 0 leaves the kernel's 12 ($background)
  --output PREFIX   PREFIX.tsv has each measurement, PREFIX.json the summary ($output)
  --quick           one round of one second, 4k and two sequential workloads
LUNFS, LUNFSFLAGS, RAWBENCH and RAMTGT name other programs or options than those of the build tree.
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
IFS=, read -ra systems <<<"$systems"
IFS=, read -ra workloads <<<"$workloads"
IFS=, read -ra targets <<<"$targets"

lunfs=${LUNFS:-$top_builddir/lunfs}
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

# -- targets: set url (without LUN) and target_pid -----------------------------------------------------------------
url='' target_pid=''

# tgtd and tgtadm meet at a socket whose path is ours, so that no other instance is touched.
export TGT_IPC_SOCKET=$tmp/tgtd.ctl
tgt () { tgtadm -C 0 --lld iscsi "$@"; }
stop_tgtd ()
{
  tgt --op delete --mode target --tid 1 --force
  tgt --op delete --mode system
  end "$target_pid"
} >/dev/null 2>&1

start_tgtd ()
{
  local port key i
  command -v tgtd >/dev/null || { say "skipped: tgtd is not installed"; return 1; }
  port=$(free_port)
  tgtd -f -C 0 --iscsi portal=127.0.0.1:"$port" >"$tmp/tgtd.log" 2>&1 &
  target_pid=$!
  undo+=("end $target_pid")
  wait_for 10 tgt --op show --mode target || { say "skipped: tgtd does not start: $(tail -n1 "$tmp/tgtd.log")"; return 1; }
  undo+=(stop_tgtd)
  tgt --op new --mode target --tid 1 -T $iqn || return 1
  for key in MaxRecvDataSegmentLength MaxXmitDataSegmentLength FirstBurstLength MaxBurstLength; do
    tgt --op update --mode target --tid 1 --name $key --value 262144 || return 1
  done
  for ((i = 1; i <= ${#systems[@]}; i++)); do
    fallocate -l "${lun_mib}M" "$tmp/lun$i" || return 1
    undo+=("rm -f $tmp/lun$i")
    tgt --op new --mode logicalunit --tid 1 --lun $i -b "$tmp/lun$i" || return 1
    tgt --op update --mode logicalunit --tid 1 --lun $i --params "scsi_id=bench-$i,scsi_sn=bench$i" || return 1
  done
  tgt --op bind --mode target --tid 1 -I 127.0.0.1 || return 1
  url=iscsi://127.0.0.1:$port/$iqn
}

start_ramtgt ()
{
  local latency=0
  [[ $1 != *@* ]] || latency=${1#*@}
  [ -x "$ramtgt" ] || { say "skipped: $1: $ramtgt is not built"; return 1; }
  "$ramtgt" --iqn $iqn --luns ${#systems[@]} --first-lun 1 --size "${lun_mib}m" --populate --latency-us "$latency" \
    >"$tmp/ramtgt.log" 2>&1 &
  target_pid=$!
  undo+=("end $target_pid")
  wait_for 20 grep -q listening "$tmp/ramtgt.log" || { say "skipped: $1 does not start"; return 1; }
  url=iscsi://$(sed -n 's/^listening on //p' "$tmp/ramtgt.log")/$iqn
}

# -- systems: start_X LUN DIR sets file and pids -------------------------------------------------------------------
declare -A file_of pids_of lun_of

max_background ()
{
  local dev f
  [ "$background" != 0 ] || return 0
  dev=$(stat -c %d "$1")
  f=/sys/fs/fuse/connections/$((dev & 0xff | dev >> 12 & ~0xff))/max_background
  [ ! -w "$f" ] || echo "$background" >"$f"
}

start_qsd ()
{
  command -v qemu-storage-daemon >/dev/null || { say "skipped: qemu-storage-daemon is not installed"; return 1; }
  file=$2/disk
  : >"$file"
  qemu-storage-daemon --blockdev driver=raw,node-name=disk,cache.direct=on,discard=unmap,file.driver=iscsi,file.transport=tcp,file.portal="$(portal)",file.target=$iqn,file.lun="$1",file.cache.direct=on \
    --export type=fuse,id=export,node-name=disk,mountpoint="$file",writable=on >"$2.log" 2>&1 &
  pids=$!
  undo+=("end $pids" "unmount $file")
  wait_for 10 mountpoint -q "$file" || { say "skipped: qsd: $(tail -n1 "$2.log")"; return 1; }
  max_background "$file"
}
portal () { local p=${url#iscsi://}; echo "${p%%/*}"; }

start_nbdfuse ()
{
  local nbd
  if ! command -v nbdfuse >/dev/null || ! command -v qemu-nbd >/dev/null; then
    say "skipped: nbdfuse or qemu-nbd is not installed"
    return 1
  fi
  qemu-nbd -f raw --cache=none --discard=unmap -t -e 16 -k "$2.sock" "$url/$1" >"$2.log" 2>&1 &
  nbd=$!
  undo+=("end $nbd")
  wait_for 10 test -S "$2.sock" || { say "skipped: qemu-nbd: $(tail -n1 "$2.log")"; return 1; }
  nbdfuse "$2/disk" "nbd+unix:///?socket=$2.sock" >>"$2.log" 2>&1 &
  pids="$nbd $!"
  file=$2/disk
  undo+=("end $!" "unmount $2")
  wait_for 10 test -s "$file" || { say "skipped: nbdfuse: $(tail -n1 "$2.log")"; return 1; }
  max_background "$file"
}

# lunfs or lunfs@option+option
start_lunfs ()
{
  local system=$3 options=()
  [ -x "$lunfs" ] || { say "skipped: $system: $lunfs is not built"; return 1; }
  if [[ $system == *@* ]]; then
    options=(-o "$(tr + , <<<"${system#*@}")")
  fi
  # shellcheck disable=SC2086 # flags are words
  "$lunfs" -f ${LUNFSFLAGS:-} "${options[@]}" "$url/$1" "$2" >"$2.log" 2>&1 &
  pids=$!
  file=$2/lun$1
  undo+=("end $pids" "unmount $2")
  wait_for 15 test -s "$file" || { say "skipped: $system: $(tail -n1 "$2.log")"; return 1; }
}

start_systems ()
{
  local i system dir file pids
  running=()
  for ((i = 0; i < ${#systems[@]}; i++)); do
    system=${systems[i]} dir=$tmp/$i file='' pids=''
    mkdir -p "$dir"
    lun_of[$system]=$((i + 1))
    case $system in
    raw | raw2) [ -x "$rawbench" ] || { say "skipped: $system: $rawbench is not built"; continue; } ;;
    qsd) start_qsd $((i + 1)) "$dir" || continue ;;
    nbdfuse) start_nbdfuse $((i + 1)) "$dir" || continue ;;
    lunfs | lunfs@*) start_lunfs $((i + 1)) "$dir" "$system" || continue ;;
    *) say "skipped: $system is not known"; continue ;;
    esac
    file_of[$system]=$file
    pids_of[$system]=$pids
    running+=("$system")
  done
}

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

# workload NAME: sets rw bs depth jobs
workload ()
{
  bs=4k depth=1 jobs=1
  case $1 in
  rr1) rw=randread ;;
  rr32) rw=randread depth=32 ;;
  rw1) rw=randwrite ;;
  rw32) rw=randwrite depth=32 ;;
  r8t) rw=randread jobs=8 ;;
  w8t) rw=randwrite jobs=8 ;;
  sr1 | sr8 | sr32) rw=read bs=1m depth=${1#sr} ;;
  sw1 | sw8 | sw32) rw=write bs=1m depth=${1#sw} ;;
  *) say "skipped: workload $1 is not known"; return 1 ;;
  esac
}

run_raw ()
{
  local sessions=1 bytes=4096 all=$((depth * jobs))
  [ "$bs" = 4k ] || bytes=1048576
  [ "$1" != raw2 ] || sessions=$((all > 1 ? 2 : 1))
  timeout $((seconds + 30)) "$rawbench" "$url/${lun_of[$1]}" "$rw" $bytes $all "$seconds" $sessions
}

run_fio ()
{
  local engine=libaio
  [ $jobs = 1 ] || engine=psync
  timeout $((seconds + 60)) fio --name=x --filename="${file_of[$1]}" --size="${lun_mib}m" --direct=1 --ioengine=$engine \
    --iodepth="$depth" --numjobs=$jobs --thread --group_reporting --rw="$rw" --bs=$bs --runtime="$seconds" --time_based \
    --norandommap --randrepeat=0 --output-format=json 2>>"$tmp/fio.log"
}

# measure TARGET ROUND SYSTEM WORKLOAD: one line of the TSV
measure ()
{
  local before target_before out
  # shellcheck disable=SC2086 # pids are words
  before=$(ticks ${pids_of[$3]})
  target_before=$(ticks "$target_pid")
  case $3 in
  raw | raw2) out=$(run_raw "$3") ;;
  *) out=$(run_fio "$3") ;;
  esac
  # shellcheck disable=SC2086
  printf '%s' "$out" | python3 "$here/summary.py" row "$1" "$2" "$3" "$4" \
    $(($(ticks ${pids_of[$3]}) - before)) $(($(ticks "$target_pid") - target_before)) \
    >>"$output.tsv" || say "failed: $3 $4 on $1"
}

run_target ()
{
  local target=$1 round w i n
  "start_${target%@*}" "$target" || return 0
  start_systems
  n=${#running[@]}
  for ((round = 1; round <= rounds && n; round++)); do
    say "$target: round $round of $rounds: ${running[*]}"
    for w in "${workloads[@]}"; do
      workload "$w" || continue
      for ((i = 0; i < n; i++)); do # each round another one begins
        measure "$target" $round "${running[(i + round) % n]}" "$w"
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
