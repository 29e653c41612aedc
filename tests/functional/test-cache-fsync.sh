#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What goes over the wire in each cache mode, and what does not: by a target's own counters (wire.py).
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
not_under_valgrind "counts depend on time"

requires python3
mnt=$scratch/mnt
bad=0
checks () { # "RAMTGT-OPTION..." MOUNT-OPTIONS CHECK...
  local target=$1 mode=$2
  shift 2
  say "ramtgt $target, $mode"
  # shellcheck disable=SC2086 # a list
  start_ramtgt --size 4g --thin --control "$scratch/ram.sock" $target
  start_lunfs "iscsi://$portal/$iqn" "$mnt" -o "$mode"
  lun_up "$mnt" 0
  python3 "$srcdir/wire.py" "$mnt" "$scratch/ram.sock" "$@" || bad=1
  stop_lunfs "$mnt"
  kill_quietly "$ramtgt_pid"
  wait_for "! alive $ramtgt_pid" 10
  rm -f "$scratch/ram.sock"
}
cached=(repeated_reads_send_nothing what_was_written_is_read_from_memory parts_of_cached_blocks_send_no_read)
ahead=(streams_are_fetched_ahead random_reads_fetch_what_is_asked)
checks "" cache=writeback idle_fsync_sends_nothing sequential_writes_are_merged overwriting_sends_little \
  scattered_writes_are_all_sent small_fsync_goes_with_fua dsync_is_stable_when_answered "${ahead[@]}"
checks "" cache=writeback,read_ahead=0 "${cached[@]}"
checks "" cache=writethrough,read_ahead=0 "${cached[@]}"
checks "--latency-us 2000" cache=writeback streams_are_fetched_ahead
checks "--no-dpofua" cache=writeback small_fsync_without_fua idle_fsync_sends_nothing
checks "--no-wce" cache=writeback without_write_cache_nothing_is_synchronised
checks "" cache=writethrough idle_fsync_sends_nothing writes_are_at_the_target_when_answered "${ahead[@]}"
checks "" cache=none idle_fsync_sends_nothing writes_are_at_the_target_when_answered every_read_comes_from_the_target
exit $bad
