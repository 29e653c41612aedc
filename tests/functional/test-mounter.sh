#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# As packaging/container/pod.yaml has it: lunfs-mounter mounts; lunfs is process 1 of a container with no privilege, no capability and no /dev/fuse.  It
# buries orphans; killed, the next one goes on with mount and memory; told to stop, it does.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
test_limit 150
private_mounts
not_under_valgrind "signals by process number"
requires setpriv unshare nsenter
share_programs
cp "$(command -v lunfs-mounter)" "$scratch/bin/"
start_target
add_target pod
disk=$(random_file disk 8M)
add_lun "$disk"
add_account joe 'twelve-bytes!'
cred=$scratch/cred # as Kubernetes mounts a secret: root's, and readable by a group
printf 'user=joe\npassword=twelve-bytes!\n' >"$cred"
chown "0:$user_id" "$cred"
chmod 440 "$cred"
mnt=$scratch/pod/luns
mkdir "$scratch/run" "$scratch/pod"
mount --bind "$scratch/pod" "$scratch/pod"
cleanup_fn umount -l "$scratch/pod"
mount --make-shared "$scratch/pod" # Bidirectional there, HostToContainer here
socket=$scratch/run/mount.sock
first=
export G_DEBUG=fatal-criticals

# The Nth command of pod.yaml, in $words.
pod_command () {
  mapfile -t words < <(sed -n 's/^    command: //p' "$top_srcdir/packaging/container/pod.yaml" | sed -n "$1p" | jq -r '.[]' |
    sed "s#^\(lunfs\(-mounter\)\?\)\$#$scratch/bin/\1#; s#/run/lunfs-mounter/socket#$socket#; s#/srv/pod/luns#$mnt#; s#10000#$user_id#
      s#/etc/lunfs/credentials#$cred#; s#iscsi://san.example/iqn.2026-01.org.example:t1#iscsi://$portal/$iqn#")
  [ "${#words[@]}" -gt 3 ] || fail "no command $1 in pod.yaml"
}
start_mounter () {
  pod_command 1
  "${words[0]}" "$@" "${words[@]:1}" 2>>"$scratch/lunfs-mounter.log" &
  mounter=$!
  cleanup_fn kill_quietly "$mounter"
  wait_for "[ -S '$socket' ] || ! alive $mounter" 10
}
mounter_said () { grep -q -- "$1" "$scratch/lunfs-mounter.log"; }
# A container: process numbers and mounts of its own, no /dev/fuse.  Sets $pod, what waits for it, and $first, its process 1.
start_pod () {
  local log=$scratch/lunfs-pod.log
  touch "$log" && chown "$user_id" "$log"
  mkdir -p "$scratch/home" && chown "$user_id" "$scratch/home"
  pod_command 2
  # shellcheck disable=SC2016 # expanded there
  unshare --mount --propagation slave --pid --fork --kill-child --mount-proc bash -c 'mount --bind /dev/null /dev/fuse
    exec setpriv --reuid="$0" --regid="$0" --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs "$@"' \
    "$user_id" env HOME="$scratch/home" "${words[@]:0:5}" -o "log=$log" "$@" "${words[@]:5}" </dev/null &
  pod=$!
  cleanup_fn kill_quietly "$pod"
  wait_for "first=\$(tr -d ' ' <'/proc/$pod/task/$pod/children') && [ -n \"\$first\" ]" 10
  lun_up "$mnt" 1
}
end_pod () { # STATUS
  local status=0
  wait "$pod" || status=$?
  expect_equal "$status" "$1" "the container's exit status"
}

start_mounter
start_pod
grep -q '^CapEff:[[:space:]]*0*$' "/proc/$first/status" || fail "it has capabilities"
grep -q '^NSpid:.*[[:space:]]1$' "/proc/$first/status" || fail "it is not process 1"
same_data "$mnt/lun1" "$disk"
dd if=/dev/urandom of="$mnt/lun1" bs=64k count=3 conv=notrunc,fsync status=none
same_data "$mnt/lun1" "$disk"

say "a secret that others may read is none"
chmod 444 "$cred"
expect_fail as_user lunfs -o "credentials=$cred" "iscsi://$portal/$iqn" "$scratch/home"
expect_message 'open to others'
chmod 440 "$cred"

say "orphans are buried"
nsenter --pid --target "$first" bash -c 'sleep 0.2 & exec true'
wait_for "! ps -o comm= --ppid $first | grep -q sleep" 10 # neither alive nor dead

say "a worker that dies is replaced"
kill -KILL "$(tr -d ' ' <"/proc/$first/task/$first/children")"
wait_for "[ \"\$(status_get '$mnt' .lunfs.workers_started)\" = 2 ]" 10
same_data "$mnt/lun1" "$disk"

say "SIGTERM: process 1 stops, and the mount is gone"
lun_up "$mnt" 1
kill -TERM "$first"
end_pod 0
wait_for "! mounted '$mnt'" 10

say "killed with data that the target has not: the next container goes on with it"
start_pod -o cache_write_delay=60000
dd if=/dev/urandom of="$scratch/new" bs=64k count=4 status=none
exec 7<"$mnt/lun1"
dd if="$scratch/new" of="$mnt/lun1" bs=4k oflag=direct conv=notrunc status=none
! cmp -s -n 262144 "$scratch/new" "$disk" || fail "it is on the disk already: the test is not one"
kill -KILL "$first"
wait "$pod" || :
wait_for "mounter_said 'wait for the next one'" 10
head -c 262144 <&7 >"$scratch/read" &
reader=$!
start_pod -o cache_write_delay=60000
wait $reader || fail "a file that was open in between cannot be read"
exec 7<&-
cmp "$scratch/read" "$scratch/new"
mounter_said 'goes on with it' || fail "the mounter did not hand the mount over again"
grep -q 'going on with' "$scratch/lunfs-pod.log" || fail "lunfs did not go on with the mount"
sync "$mnt/lun1"
cmp -n 262144 "$scratch/new" "$disk"

say "unmounted while it is away: mounted again for what is not written"
dd if=/dev/urandom of="$scratch/new" bs=64k count=4 status=none
dd if="$scratch/new" of="$mnt/lun1" bs=4k oflag=direct conv=notrunc status=none
kill -KILL "$first"
wait "$pod" || :
umount -l "$mnt"
start_pod
sync "$mnt/lun1"
cmp -n 262144 "$scratch/new" "$disk"

say "nobody else may serve"
kill -TERM "$first"
end_pod 0
chmod 666 "$socket"
expect_fail setpriv --reuid=$((user_id + 1)) --clear-groups "$scratch/bin/lunfs-mounter" --receive "$socket" -- true
expect_message 'no mount came'
mounter_said 'is not the one who may serve' || fail "the log says nothing of it"

say "a link in the place of the mount point is not followed"
wait_for "! mounted '$mnt'" 10
rmdir "$mnt"
ln -s "$scratch/home" "$mnt"
expect_fail as_user "$scratch/bin/lunfs-mounter" --receive "$socket" -- true
expect_message 'no mount came'
! mounted "$scratch/home" || fail "it was"
rm "$mnt"
mkdir "$mnt"

say "the mounter is told to stop: when its users have gone it unmounts, and lunfs flushes and ends"
start_pod -o cache_write_delay=60000
dd if=/dev/urandom of="$scratch/new" bs=64k count=4 status=none
exec 7<"$mnt/lun1"
dd if="$scratch/new" of="$mnt/lun1" bs=4k oflag=direct conv=notrunc status=none
kill -TERM "$mounter"
wait_for "mounter_said stopping" 10
mounted "$mnt" || fail "it did not wait for the file to be closed"
exec 7<&-
end_pod 0
wait "$mounter" || fail "the mounter ended with status $?"
! mounted "$mnt" || fail "still mounted"
cmp -n 262144 "$scratch/new" "$disk"

say "what it unmounts is its own: its device number is another mount's by then"
start_mounter
start_pod
device=$(mountpoint -d "$mnt")
ended=$(grep -c 'has ended: unmounted' "$scratch/lunfs-mounter.log")
kill -STOP "$mounter"
umount "$mnt"
end_pod 0
take_number "$device"
kill -CONT "$mounter"
wait_for "[ \$(grep -c 'has ended: unmounted' '$scratch/lunfs-mounter.log') -gt $ended ]" 10
mountpoint -q "$scratch/other$others" || fail "it has unmounted what is not its own"
for ((n = 1; n <= others; n++)); do umount "$scratch/other$n"; done

say "aborted while it is in use: what is left there goes"
start_pod
exec 7<"$mnt/lun1"
! umount -f "$mnt" 2>/dev/null || fail "it was not in use"
wait "$pod" || :
wait_for "! mounted '$mnt'" 10
exec 7<&-
start_pod
same_data "$mnt/lun1" "$disk"
kill -TERM "$mounter"
end_pod 0
wait "$mounter" || fail "the mounter ended with status $?"

say "nobody comes: it gives up"
start_mounter --keep=1
start_pod
kill -KILL "$first"
wait "$pod" || :
wait_for "! mounted '$mnt'" 20
start_pod

say "a killed mounter: lunfs serves on; the next mounter makes a new mount"
kill -KILL "$mounter"
wait "$mounter" || :
same_data "$mnt/lun1" "$disk"
start_mounter
end_pod 0
start_pod
same_data "$mnt/lun1" "$disk"
kill -TERM "$mounter"
end_pod 0
wait "$mounter" || fail "the mounter ended with status $?"
