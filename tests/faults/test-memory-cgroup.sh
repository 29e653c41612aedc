#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Want of memory: ext4 on a loop device on a LUN, and ten times as much is written to it, unsynced, as the memory group of the
# writers may hold, so that each further page waits for one that lunfs has written; then the same with lunfs itself in a
# group as small as it can do with.  It ends within a time, nothing is killed, and all files are right.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
# shellcheck source=tests/faults/faults.sh
. "$top_srcdir/tests/faults/faults.sh"
private_mounts
not_under_valgrind "it has much memory of its own"
[ "$sanitizers" = no ] || { echo "SKIPPED: sanitizers have much memory of their own" >&2; exit 77; }
test_limit 240
requires losetup mkfs.ext4 e2fsck
modprobe ext4 2>/dev/null || :
grep -qw ext4 /proc/filesystems || skip "this kernel has no ext4"

# A memory group below the one that this test is in (version 2: if that may be; else at the top).  Sets $group.
find_groups () {
  local own
  own=$(sed -n 's/^[0-9]*:memory://p' /proc/self/cgroup)
  if [ "$own" ]; then
    groups=$(awk '$3 == "cgroup" && $4 ~ /(^|,)memory(,|$)/ {print $2; exit}' /proc/self/mounts)$own
    limit_file=memory.limit_in_bytes kills_file=memory.oom_control most_file=memory.max_usage_in_bytes
    [ -d "$groups" ] || groups=${groups%"$own"} # of another name in a container
  else
    groups=$(awk '$3 == "cgroup2" {print $2; exit}' /proc/self/mounts)
    own=$(sed -n 's/^0:://p' /proc/self/cgroup)
    limit_file=memory.max kills_file=memory.events most_file=memory.peak
    if grep -qw memory "$groups$own/cgroup.subtree_control" 2>/dev/null; then groups=$groups$own; fi
    grep -qw memory "$groups/cgroup.subtree_control" 2>/dev/null || skip "no memory controller for groups of ours"
  fi
  [ -d "$groups" ] || skip "no memory controller"
}
new_group () { # NAME MIB
  group=$groups/lunfs-test-$$-$1
  mkdir "$group" 2>/dev/null || skip "no memory group can be made"
  cleanup_fn end_group "$group"
  echo $(($2 << 20)) >"$group/$limit_file" || skip "a memory group cannot be limited"
}
end_group () {
  wait_for "rmdir '$1' || [ ! -e '$1' ]" 10
}
in_group () { # COMMAND...
  (
    trap - EXIT ERR
    echo "$BASHPID" >"$group/cgroup.procs"
    "$@"
  )
}
ooms () { awk '$1 == "oom_kill" {print $2}' "$group/$kills_file"; }
abort_mount () { umount -f "$1" 2>/dev/null || :; } # nothing else wakes what waits for a page

files=10
write_files () {
  local i
  for ((i = 0; i < files; i++)); do cat "$scratch/data" >"$fs/f$i"; done
  sync -f "$fs"
}
check_files () {
  local i
  for ((i = 0; i < files; i++)); do cmp "$fs/f$i" "$scratch/data"; done
}
# The older groups do not slow down who dirties memory, and the kernel kills where writing it back is late (a busy machine): then
# there is twice as much.  False: it was not that.
more_memory () {
  [ "$limit_file" = memory.limit_in_bytes ] && [ "$(ooms)" -gt "$killed" ] && [ "$(cat "$group/$limit_file")" -le $((64 << 20)) ] || return 1
  killed=$(ooms)
  echo $(($(cat "$group/$limit_file") * 2)) >"$group/$limit_file"
  say "killed by the kernel: once more with $(($(cat "$group/$limit_file") >> 20)) MiB"
}
# fill [in_group]
fill () {
  local from pid killed=0
  lun_up "$mnt" 1
  attach_loop "$mnt/lun1" --direct-io=on
  cleanup_fn abort_mount "$mnt"
  mkfs.ext4 -q -F -E nodiscard "$loop"
  cleanup_fn umount -l -q "$fs"
  mount "$loop" "$fs"
  from=$(date +%s%N)
  while :; do
    "$@" write_files &
    pid=$!
    wait_for "! alive $pid" 60 || fail "it stands still: $(cat "/proc/$(worker "$mnt")/task/"*/stack)"
    ! wait $pid || break
    more_memory || fail "the writer"
  done
  say "$((files * 16)) MiB in $((($(date +%s%N) - from) / 1000000)) ms; the group had" \
    "$(($(cat "$group/$most_file" || echo 0) >> 20)) of $(($(cat "$group/$limit_file") >> 20)) MiB at most"
  expect_equal "$(ooms)" "$killed" "processes killed for want of memory"
  umount "$fs"
  e2fsck -fn "$loop" >/dev/null
  mount "$loop" "$fs"
  check_files
  umount "$fs"
  detach_loop "$loop"
  no_errors 1
  expect_equal "$(status_get "$mnt" .lunfs.workers_started)" 1 "workers"
  sync "$mnt/lun1"
  same_lun 1
  stop_lunfs "$mnt"
}

find_groups
fs=$scratch/fs
mkdir "$fs"
random_file data 16M >/dev/null
target_with 256M 1

say "the writers in a small group"
new_group writers 16
mount_all 1
fill in_group

say "lunfs in a small group"
new_group lunfs 24
# shellcheck disable=SC2016 # expanded there
lunfs_as=(bash -c 'echo $$ >"$0/cgroup.procs"; exec "$@"' "$group")
mount_all 1 -o cache_size=8M,buffer_size=8M
lunfs_as=()
fill
