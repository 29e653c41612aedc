#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A worker's core dump never goes where that worker would have to serve the writes: the mount itself, and a file system in one of its
# LUNs, also one that comes and goes while the worker runs.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
requires_root
requires losetup mkfs.ext4 prlimit
private_mounts
ulimit -c unlimited
# What lunfs reads; the kernel's own is everybody's.
pattern () { echo "$1" >"$scratch/pattern"; }
pattern "$scratch/cores/core.%p"
mount --bind "$scratch/pattern" /proc/sys/kernel/core_pattern
cleanup_fn umount /proc/sys/kernel/core_pattern
mkdir "$scratch/cores"
limit () { prlimit --pid "$(worker "$mnt")" --core --noheadings --output SOFT | tr -d ' '; }
limit_becomes () { wait_for "[ \"\$(limit)\" = $1 ]" 20 || fail "$(limit), not $1"; }

one_lun 32M
say "elsewhere"
expect_equal "$(limit)" unlimited "limit"

say "on a loop device in a LUN"
attach_loop "$mnt/lun1" --direct-io=on
mkfs.ext4 -q -F "$loop"
cleanup_fn umount -l -q "$scratch/cores"
mount "$loop" "$scratch/cores"
limit_becomes 0
logged "$mnt" 'no core dumps: .*leads to the mount itself'
kill_worker () {
  local was
  was=$(worker "$mnt")
  kill -SEGV "$was"
  wait_for "[ \"\$(worker '$mnt')\" != $was ]" 15
}
kill_worker
lun_up "$mnt" 1
expect_equal "$(limit)" 0 "limit of the next worker"
find "$scratch/cores" -name 'core.*' | grep . && fail "a core dump"

say "it has gone"
umount "$scratch/cores"
detach_loop "$loop"
limit_becomes unlimited

say "in the mount"
pattern "$mnt/core.%p"
limit_becomes 0
pattern "|/bin/true %p"
limit_becomes unlimited
stop_lunfs "$mnt"
