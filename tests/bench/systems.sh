# shellcheck shell=bash disable=SC2034,SC2154 # shared with bench.sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Targets and systems: how each is started; bench.sh ends them.

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
  tgt --op new --mode target --tid 1 -T "$iqn" || return 1
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
  "$ramtgt" --iqn "$iqn" --luns ${#systems[@]} --first-lun 1 --size "${lun_mib}m" --populate --latency-us "$latency" \
    >"$tmp/ramtgt.log" 2>&1 &
  target_pid=$!
  undo+=("end $target_pid")
  wait_for 120 grep -q listening "$tmp/ramtgt.log" || { say "skipped: $1 does not start"; return 1; }
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
  qemu-storage-daemon --blockdev driver=raw,node-name=disk,cache.direct=on,discard=unmap,file.driver=iscsi,file.transport=tcp,file.portal="$(portal)",file.target="$iqn",file.lun="$1",file.cache.direct=on \
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

start_null ()
{
  [ -x "$nullfs" ] || { say "skipped: null: $nullfs is not built"; return 1; }
  "$nullfs" "$lun_mib" "$2" >"$2.log" 2>&1 &
  pids=$!
  file=$2/disk
  undo+=("end $pids" "unmount $2")
  wait_for 15 test -s "$file" || { say "skipped: null: $(tail -n1 "$2.log")"; return 1; }
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

# QEMU answers large reads of what was never written itself, without asking the target.
fill ()
{
  dd of="$1" bs=1M count="$lun_mib" iflag=fullblock oflag=direct conv=notrunc,fsync status=none \
    < <(tr '\0' Z </dev/zero 2>/dev/null)
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
    null) start_null $((i + 1)) "$dir" || continue ;;
    qsd) start_qsd $((i + 1)) "$dir" || continue ;;
    nbdfuse) start_nbdfuse $((i + 1)) "$dir" || continue ;;
    lunfs | lunfs@*) start_lunfs $((i + 1)) "$dir" "$system" || continue ;;
    *) say "skipped: $system is not known"; continue ;;
    esac
    [ -z "$file" ] || fill "$file" || { say "skipped: $system: cannot be written"; continue; }
    file_of[$system]=$file
    pids_of[$system]=$pids
    running+=("$system")
  done
}
