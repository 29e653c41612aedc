#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lunfs and its rivals through the same outages, one after the other, each with a tgtd of its own behind tests/tools/faultproxy:
#   tests/run tests/bench/outages.sh [SYSTEM...]      lunfs qsd nbdfuse; about three minutes each; LUNFS_OUTAGES=LIST for some
# Prints one line per system and outage: errors that a program on the disk saw, its longest wait, wrong bytes, and whether
# the disk works afterwards.  The README's table is made from it.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
requires python3 jq fusermount3
test_limit 3600
[ $# -gt 0 ] || set -- lunfs qsd nbdfuse

mib=64
start_system () { # NAME: sets $file and $pids
  mnt=$scratch/$1.$2
  mkdir -p "$mnt"
  case $1 in
  lunfs)
    lunfs -f -o initiator_name="$initiator" -o log="$scratch/lunfs-$2.log" "iscsi://$portal/$iqn/1" "$mnt" </dev/null >"$scratch/$1.$2.err" 2>&1 &
    pids=$!
    file=$mnt/lun1
    ;;
  qsd)
    : >"$mnt/disk"
    qemu-storage-daemon --blockdev "driver=raw,node-name=disk,cache.direct=on,discard=unmap,file.driver=iscsi,file.transport=tcp,file.portal=$portal,file.target=$iqn,file.lun=1,file.cache.direct=on" \
      --export "type=fuse,id=export,node-name=disk,mountpoint=$mnt/disk,writable=on,growable=off" </dev/null >"$scratch/$1.$2.err" 2>&1 &
    pids=$!
    file=$mnt/disk
    ;;
  nbdfuse)
    qemu-nbd -f raw --cache=none --discard=unmap -t -e 16 -k "$scratch/nbd.$2" "iscsi://$portal/$iqn/1" </dev/null >"$scratch/$1.$2.err" 2>&1 &
    pids=$!
    wait_for "[ -S '$scratch/nbd.$2' ]" 10
    nbdfuse "$mnt/disk" "nbd+unix:///?socket=$scratch/nbd.$2" </dev/null >>"$scratch/$1.$2.err" 2>&1 &
    pids="$pids $!"
    file=$mnt/disk
    ;;
  esac
  disown -a
  wait_for "[ \"\$(stat -c %s '$file')\" = $((mib << 20)) ]" 20
}
stop_system () {
  local target pid
  for target in "$file" "$mnt"; do timeout 20 fusermount3 -uz "$target" 2>/dev/null || :; done
  for pid in $pids; do
    kill -TERM "$pid" 2>/dev/null || :
    (wait_for "! alive $pid" 8) 2>/dev/null || kill -KILL "$pid" 2>/dev/null || :
  done
}

# What happens; afterwards the target is as before, but for what the outage is about.
killed () { # and restarted after 5 s
  kill_target
  sleep 5
  restart_target
}
reset () { # five resets under load
  local n
  for n in 1 2 3 4 5; do
    proxy rst side=both
    sleep 2
  done
}
blackhole () { # nothing passes for 20 s
  proxy drop both
  proxy drop both future
  sleep 20
  proxy heal
}
frozen () { # for 30 s
  stop_answering
  sleep 30
  answer_again
}
new_lun () { # SIZE-MIB FILE ID SERIAL
  truncate -s "$1M" "$scratch/other"
  wait_for "tgt --mode logicalunit --op delete --tid 1 --lun 1" 10 # not while a command is at it
  tgt --mode logicalunit --op new --tid 1 --lun 1 --backing-store "$2"
  tgt --mode logicalunit --op update --tid 1 --lun 1 --params "scsi_id=$3,scsi_sn=$4"
}
grown () { # to twice the size, told by a reset of the connection
  truncate -s $((2 * mib))M "$scratch/disk"
  new_lun $((2 * mib)) "$scratch/disk" id-1-1 sn11
  proxy rst side=both
  sleep 8
}
swapped () { # another LUN under the same number
  new_lun $mib "$scratch/other" other other
  proxy rst side=both
  sleep 8
}

try () { # SYSTEM OUTAGE
  local user result size notes=() tag=$1.$2
  tgt=tgt.$tag
  rm -f "$scratch/disk" "$scratch/other"
  start_target "$tgt"
  add_target out
  add_lun "$(backing disk ${mib}M)"
  start_proxy "proxy.$tag"
  start_system "$1" "$2"
  cleanup_fn stop_system
  python3 "$top_srcdir/tests/bench/disk-user.py" "$file" $mib >"$scratch/user.$tag" 2>&1 &
  user=$!
  sleep 3
  "$2"
  sleep 7
  kill -TERM "$user"
  (wait_for "! alive $user" 20) 2>/dev/null || { kill -KILL "$user"; notes+=("hangs"); }
  result=$(tail -n 1 "$scratch/user.$tag")
  jq -e . >/dev/null 2>&1 <<<"$result" || result='{"errors":-1,"longest_ms":-1,"wrong":-1,"first_error":""}'
  # A process that waits for a FUSE request cannot be killed: nobody waits for it here.
  dd if="$file" of=/dev/null bs=4k count=1 iflag=direct status=none 2>"$scratch/dd.$tag" &
  if ! (wait_for "! alive $!" 10) 2>/dev/null; then notes+=("hangs afterwards"); elif [ -s "$scratch/dd.$tag" ]; then
    notes+=("does not work afterwards"); else notes+=("works again"); fi
  if [ "$2" = grown ]; then
    size=$(timeout 5 stat -c %s "$file" || echo 0)
    notes+=("size $((size >> 20)) of $((2 * mib)) MiB")
  fi
  if [ "$2" = swapped ]; then
    notes+=("$(tr -d '\0' <"$scratch/other" | wc -c) bytes written to the wrong LUN")
  fi
  jq -r --arg s "$1" --arg o "$2" --arg n "$(IFS=,; echo "${notes[*]}")" \
    '"\($s)\t\($o)\t\(.errors) errors \(.first_error)\t\(.longest_ms) ms\t\(.wrong) wrong\t\($n)"' <<<"$result"
  stop_system
  kill_target "$tgt"
}

IFS=, read -ra outages <<<"${LUNFS_OUTAGES:-killed,reset,blackhole,frozen,grown,swapped}"
for system; do
  for outage in "${outages[@]}"; do try "$system" "$outage"; done
done
