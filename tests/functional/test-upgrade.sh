#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Upgrade in place: the worker is replaced by the newly installed program twenty times under load.  No error, no request sent
# again, the data right; the worst pause is printed.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
private_mounts
not_under_valgrind "a program that is replaced is run by its descriptor"
test_limit 240
mkdir -p /run/lunfs
mount -t tmpfs -o mode=755 tmpfs /run/lunfs # other tests' mounts are not ours to ask
requires fio jq

share_programs
program=$scratch/bin/lunfs
install_again () { # as a package manager does: another file, by rename
  cp "$(command -v lunfs)" "$program.new"
  mv "$program.new" "$program"
}
upgrades () { status_get "$mnt" .lunfs.upgrades; }
pauses=()
upgrade () {
  local said
  said=$(lunfsctl upgrade "$mnt") || fail "lunfsctl upgrade: $?"
  [[ $said =~ paused\ for\ ([0-9.]+)\ ms$ ]] || fail "it says: $said"
  pauses+=("${BASH_REMATCH[1]}")
}
runs_new_file () { [ "$(stat -L -c %i "/proc/$(worker "$mnt")/exe")" = "$(stat -c %i "$program")" ]; }
no_resend () { expect_equal "$(status_get "$mnt" '.lunfs.requests_resent')" 0 "requests sent again"; }

start_target
add_target disk
disk=$(backing disk 64M)
add_lun "$disk"
add_lun "$(backing disk2 8M)"
mnt=$scratch/mnt
file=$mnt/lun1

load () { # MOUNT-OPTIONS UPGRADES
  local n=$2 i
  start_lunfs "iscsi://$portal/$iqn" "$mnt" -o "$1"
  lun_up "$mnt" 1
  lun_up "$mnt" 2
  fio --filename="$file" --allow_file_create=0 --size=24m --io_size=8g --rw=randrw --bsrange=4k-64k --blockalign=4k \
    --time_based --runtime=600 --verify=crc32c --verify_backlog=128 --verify_fatal=1 \
    --name=async --direct=1 --ioengine=libaio --iodepth=16 --offset=0 \
    --name=sync --direct=0 --ioengine=psync --fsync=16 --offset=32m >"$scratch/fio.out" 2>&1 &
  fio=$!
  cleanup_fn kill_quietly $fio
  wait_for "[ \"\$(lun_get '$mnt' 1 .counters.flushes)\" -gt 0 ]" 20
  for ((i = 1; i <= n; i++)); do
    install_again
    upgrade
    runs_new_file || fail "upgrade $i: not the new file: $(readlink "/proc/$(worker "$mnt")/exe")"
    expect_equal "$(upgrades)" "$i" "upgrades"
    expect_equal "$(lun_get "$mnt" 1 .counters.lun_resets)" 0 "LUN RESETs"
    wait_for "[ \"\$(lun_get '$mnt' 1 .counters.writes)\" -gt 0 ] || ! alive $fio" 20 # under way again
    alive $fio || fail "fio: $(cat "$scratch/fio.out")"
  done
  kill -INT $fio
  wait $fio || : # of a signal
  ! grep -E 'verify:|error=|err=[ 0-9]*[1-9]' "$scratch/fio.out" || fail "fio: $(cat "$scratch/fio.out")"
  [ "$(grep -c 'err= 0' "$scratch/fio.out")" = 2 ] || fail "fio: $(cat "$scratch/fio.out")"
  no_resend
  sync "$file"
  same_data "$file" "$disk"
  say "$1: fio's slowest requests: $(grep -E 'clat .*max=' "$scratch/fio.out" | tr -s ' ' | tr '\n' ';')"
}

say "twenty times under load"
load cache=writeback 20
stop_lunfs "$mnt"

say "without a cache: what is under way is answered first; on several lanes"
load cache=none,lanes=2 4
stop_lunfs "$mnt"

say "pauses in ms: ${pauses[*]}"
say "the worst pause: $(printf '%s\n' "${pauses[@]}" | sort -n | tail -n 1) ms"
