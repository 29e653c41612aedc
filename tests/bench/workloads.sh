# shellcheck shell=bash disable=SC2034,SC2154 # shared with bench.sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Workloads: what each is, who can run it, what is done before and after it, and how it is run.

core_set=rr1,rr32,rw1,rw32,r8t,w8t,sr1,sr32,sw1,sw32
cache_set=cr1,cr32,sr8,sw8,sw8f,rw1f,rw32f,w8tf,br,bw,ws1,ws8,l4w,lx,lr
hot_mib=16

# workload NAME: sets
#   rw bs depth jobs engine direct   as in fio
#   area_mib                         of the LUN: all of it or its beginning
#   ends     time: after --seconds; sync: then fsync, which counts; once: at the end of the area or after --seconds
#   place    lun: the LUN's file; loop: a loop device on it; ext4: a file system on that
#   each     none or data: fdatasync after each write
#   files    of 8 KiB on average, on ext4
workload ()
{
  rw='' bs=4k depth=1 jobs=1 engine=libaio direct=1 area_mib=$lun_mib ends=time place=lun each=none files=0
  case $1 in
  rr1 | rr32) rw=randread depth=${1#rr} ;;
  rw1 | rw32) rw=randwrite depth=${1#rw} ;;
  rw1f | rw32f) rw=randwrite depth=${1//[a-z]/} ends=sync ;;
  cr1 | cr32) rw=randread depth=${1#cr} area_mib=$hot_mib ;;
  r8t) rw=randread jobs=8 engine=psync ;;
  w8t) rw=randwrite jobs=8 engine=psync ;;
  w8tf) rw=randwrite jobs=8 engine=psync ends=sync ;;
  ws1 | ws8) rw=randwrite jobs=${1#ws} engine=psync each=data ;;
  sr1 | sr8 | sr32) rw=read bs=1m depth=${1#sr} ;;
  sw1 | sw8 | sw32) rw=write bs=1m depth=${1#sw} ;;
  sw8f) rw=write bs=1m depth=8 ends=sync ;;
  br) rw=read bs=128k engine=psync direct=0 ends=once ;;
  bw) rw=randwrite engine=psync direct=0 ends=sync ;;
  l4w) rw=randwrite depth=32 ends=sync place=loop ;;
  lx) rw=write place=ext4 files=16000 ;;
  lr) rw=read place=ext4 files=6000 ;;
  *) say "skipped: workload $1 is not known"; return 1 ;;
  esac
  [ "$place" = lun ] || can_loop "$1"
}

# can_loop WORKLOAD: does this machine allow loop devices?
can_loop ()
{
  local tool
  for tool in losetup mkfs.ext4; do
    command -v $tool >/dev/null || { say "skipped: $1: $tool is not installed"; return 1; }
  done
  if [ "$(id -u)" != 0 ] || ! losetup --find >/dev/null 2>&1; then
    say "skipped: $1: loop devices need root and the kernel's driver"
    return 1
  fi
  modprobe ext4 2>/dev/null
  [ "$place" != ext4 ] || grep -qw ext4 /proc/filesystems || { say "skipped: $1: this kernel has no ext4"; return 1; }
}

# runs SYSTEM WORKLOAD: bare libiscsi has no cache, no page cache and no file
runs ()
{
  case $1:$2 in
  raw*:cr* | raw*:br | raw*:bw | raw*:ws* | raw*:l*) return 1 ;;
  esac
}

# -- before and after: not measured --------------------------------------------------------------------------------
loop=''

# Idempotent; also called when the target's systems are ended.
loop_down ()
{
  mountpoint -q "$tmp/fs" && { umount "$tmp/fs" || umount -l "$tmp/fs"; }
  [ -z "$loop" ] || losetup -d "$loop"
  loop=''
}

# loop_up FILE: a loop device, and on it, if the workload is one of ext4, a file system
loop_up ()
{
  loop=$(losetup --find --show --direct-io=on "$1") || return 1
  [ "$(losetup -n -O DIO "$loop" | tr -d ' ')" = 1 ] || { echo "no direct I/O from a loop device to $1" >&2; return 1; }
  [ "$place" = ext4 ] || return 0
  mkdir -p "$tmp/fs"
  # Nothing that the kernel would initialise later, in the middle of a measurement; nothing that unmaps blocks (see fill).
  UNIX_IO_NOZEROOUT=1 mkfs.ext4 -q -F -E nodiscard,lazy_itable_init=0,lazy_journal_init=0 "$loop" &&
    mount "$loop" "$tmp/fs" && return
  echo "the new ext4 cannot be mounted: is what was written read again?" >&2
  return 1
}

# prepare SYSTEM WORKLOAD: sets subject, the file or directory of the measurement
prepare ()
{
  subject=${file_of[$1]}
  [ -n "$subject" ] || return 0
  case $place in
  loop) loop_up "$subject" && subject=$loop || return 1 ;;
  ext4) loop_up "$subject" && subject=$tmp/fs || return 1 ;;
  esac
  case $2 in
  cr*) dd if="$subject" of=/dev/null bs=1M count=$hot_mib iflag=direct status=none ;;
  lr) python3 "$here/tree.py" create "$subject" "$files" >/dev/null && echo 3 >/proc/sys/vm/drop_caches ;;
  esac
}

# settle SYSTEM: what is still in a cache must not be written while the next system is measured.
settle ()
{
  loop_down
  if [ -n "${file_of[$1]}" ] && [[ $rw = *write || $place != lun ]]; then
    timeout 60 sync "${file_of[$1]}" || say "$1: what it still has to write may slow the next one"
  fi
}

# -- running: each prints JSON for summary.py ----------------------------------------------------------------------
run_raw ()
{
  local sessions=1 bytes=4096 all=$((depth * jobs)) mode=$rw
  [ "$bs" = 4k ] || bytes=1048576
  [ "$ends" != sync ] || mode=$rw+sync
  [ "$1" != raw2 ] || sessions=$((all > 1 ? 2 : 1))
  timeout $((seconds + 30)) "$rawbench" "$url/${lun_of[$1]}" "$mode" $bytes $all "$seconds" $sessions
}

run_fio ()
{
  local options=() size=$area_mib
  case $ends in
  time) options=(--time_based --norandommap) ;;
  sync) # lfsr: no block a second time before all others, so that a cache cannot merge more for who is faster
    options=(--time_based --random_generator=lfsr --end_fsync=1)
    size=$((area_mib / jobs))
    [ "$jobs" = 1 ] || options+=(--offset_increment="${size}m")
    ;;
  esac
  [ "$each" = none ] || options+=(--fdatasync=1)
  timeout $((seconds + 60)) fio --name=x --filename="$subject" --size="${size}m" --direct="$direct" --invalidate=1 \
    --ioengine="$engine" --iodepth="$depth" --numjobs="$jobs" --thread --group_reporting --rw="$rw" --bs="$bs" \
    --runtime="$seconds" --randrepeat=0 --output-format=json "${options[@]}" 2>>"$tmp/run.log"
}

run_tree ()
{
  local verb='create'
  [ "$rw" = write ] || verb='read'
  timeout 120 python3 "$here/tree.py" "$verb" "$subject" "$files" 2>>"$tmp/run.log"
}

# run SYSTEM
run ()
{
  case $1:$place in
  raw*) run_raw "$1" ;;
  *:ext4) run_tree ;;
  *) run_fio ;;
  esac
}
