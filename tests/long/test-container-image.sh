#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The image of packaging/container is built as README says, on a bare Debian 12, and its containers do what pod.yaml asks of
# them: the same commands, user, read-only root and directions of mounts, with podman in place of Kubernetes.
# shellcheck disable=SC2034 # read there
optional=1
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
requires podman jq make python3
python3 -c "import yaml" 2>/dev/null || skip "python3-yaml is not installed"
private_mounts
not_under_valgrind "the image is built anew"
# shellcheck source=tests/long/debian.sh
. "$top_srcdir/tests/long/debian.sh"
test_limit 1800
pod_yaml=$top_srcdir/packaging/container/pod.yaml

# All of podman's is in our own directory; what a machine may forbid it (limits, cgroups) is not asked for.
umount -l /sys/fs/cgroup/unified 2>/dev/null || : # crun wants to see either kind of cgroups, not both
cat >"$scratch/containers.conf" <<CONF
[containers]
cgroups = "disabled"
netns = "host"
default_ulimits = ["nofile=$(ulimit -Hn):$(ulimit -Hn)", "nproc=1000:1000"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
CONF
cat >"$scratch/storage.conf" <<CONF
[storage]
driver = "overlay"
graphroot = "$scratch/podman/storage"
runroot = "$scratch/podman/run"
CONF
export CONTAINERS_CONF=$scratch/containers.conf CONTAINERS_STORAGE_CONF=$scratch/storage.conf
remove_containers () {
  podman rm --all --force --time 0
  podman rmi --all --force
  umount -l "$scratch/podman/storage/overlay"
  rm -rf "$scratch/podman"
} >/dev/null 2>&1
cleanup_fn remove_containers

say "a base image"
base=$(sed -n 's/^FROM \([^ ]*\).*/\1/p' "$top_srcdir/packaging/container/Containerfile" | sort -u)
debian_archive
podman import "$debian" "$base" >"$scratch/import.out" 2>&1 || skip "podman cannot import an image: $(tail -n 1 "$scratch/import.out")"
podman run --rm "$base" true 2>"$scratch/run.out" || skip "podman cannot run a container here: $(tail -n 1 "$scratch/run.out")"

say "the image, as README says"
version=$("$top_builddir/lunfs" --version | sed -n 's/^lunfs //p')
logged dist make -C "$top_builddir" distdir "distdir=$scratch/lunfs-$version"
command=$(sed -n 's/^    \(podman build .*\)/\1/p' "$top_srcdir/README")
[ -n "$command" ] || fail "README does not say how"
(cd "$scratch/lunfs-$version" && eval "$command") >"$scratch/build.out" 2>&1 || {
  tail -n 30 "$scratch/build.out"
  fail "$command"
}
podman images
expect_equal "$(podman run --rm lunfs --version | sed -n 1p)" "lunfs $version" "version"
expect_equal "$(podman run --rm --entrypoint lunfsctl lunfs --version | sed 's/.* //')" "$version" "lunfsctl"
expect_equal "$(podman run --rm --entrypoint id lunfs -u)" 10000 "user"

# -- the pod ----------------------------------------------------------------------------------------------------

start_target
add_target t1
disk=$(random_file disk 8M)
add_lun "$disk"
add_account joe 'twelve-bytes!'
mkdir "$scratch/pod"
mount --bind "$scratch/pod" "$scratch/pod"
cleanup_fn umount -l "$scratch/pod"
mount --make-shared "$scratch/pod"
python3 "$top_srcdir/tests/long/pod.py" "$pod_yaml" "$scratch/pod" >"$scratch/pod.json"
mnt=$scratch/pod/luns/luns

# of CONTAINER JQ-EXPRESSION: the words, in $words, with our own target in place of the example's.
of () {
  mapfile -t words < <(jq -r --arg name "$1" ".[\$name] | $2 | .[]" "$scratch/pod.json" |
    sed "s#iscsi://san.example/iqn.2026-01.org.example:t1#iscsi://$portal/$iqn#")
  [ "${#words[@]}" -gt 0 ] || fail "pod.yaml has no $2 of $1"
}
# start NAME [LUNFS-OPTION...]: as the kubelet would: not the image's entry point, but the pod's command; then the probe.
start () {
  local who=$1 flags
  shift
  of "$who" .options
  flags=("${words[@]}")
  of "$who" .command
  if [ "$#" != 0 ]; then words=("${words[@]:0:${#words[@]}-2}" "$@" "${words[@]: -2}"); fi
  podman run --detach --name "$who" "${flags[@]}" --entrypoint "$(jq -nc '$ARGS.positional' --args -- "${words[@]}")" \
    "$(jq -r --arg name "$who" '.[$name].image' "$scratch/pod.json")" >"$scratch/$who.id"
}
probe () { # NAME [KIND]: what the kubelet asks in the container
  of "$1" ".probes.${2:-startupProbe}"
  podman exec "$1" "${words[@]}" >"$scratch/probe.out" 2>&1
}
logs () { podman logs "$1" 2>&1; }
ready () {
  wait_for "probe $1 || [ \"\$(state $1)\" != running ]" 30
  probe "$1" || fail "$1: $(cat "$scratch/probe.out"; logs "$1")"
}
state () { podman inspect --format '{{.State.Status}}' "$1"; }
exit_code () { podman inspect --format '{{.State.ExitCode}}' "$1"; }
inside () { podman exec "$@"; }
dirty () { # FILE: in lunfs's memory and not on the disk
  head -c 262144 /dev/urandom >"$1"
  dd if="$1" of="$mnt/lun1" bs=4k oflag=direct conv=notrunc status=none
  ! cmp -s -n 262144 "$1" "$disk" || fail "it is on the disk already: the test is not one"
}

say "the mounter, lunfs, and one who uses the LUN"
start mounter
ready mounter
start example # before there is a mount: it must see one that comes later, as after a new start of the mounter
start lunfs -o cache_write_delay=60000
ready lunfs
lun_up "$mnt" 1
probe lunfs livenessProbe
[[ "$(inside lunfs cat /proc/1/comm)" = lunfs* ]] || fail "lunfs is not process 1"
expect_equal "$(inside lunfs id -u)" 10000 "its user"
expect_equal "$(inside lunfs sed -n 's/^CapBnd:[[:space:]]*0*//p' /proc/1/status)" "" "capabilities"
expect_fail podman exec lunfs touch /etc/written
expect_message 'Read-only'
wait_for "[ \"\$(state example)\" = exited ]" 30
expect_equal "$(logs example)" "$(sha256sum "$disk" | sed "s#$disk#/srv/luns/lun1#")" "what the example says"
podman rm example >/dev/null

say "lunfsctl in the container: lunfs was handed a descriptor and knows no path, so none is given"
inside lunfs lunfsctl status | grep -q "lun1 .*up" || fail "lunfsctl does not show the LUN"

say "written by another container, flushed when lunfs is stopped"
dirty "$scratch/new"
podman stop --time 60 lunfs >/dev/null
expect_equal "$(exit_code lunfs)" 0 "exit status of lunfs"
cmp -n 262144 "$scratch/new" "$disk" || fail "podman stop lost what was written"
wait_for "! mounted '$mnt'" 10

say "killed with data in its memory: the kubelet starts it again, and it goes on"
podman start lunfs >/dev/null
ready lunfs
lun_up "$mnt" 1
exec 7<"$mnt/lun1"
dirty "$scratch/new"
podman kill --signal KILL lunfs >/dev/null
podman wait lunfs >/dev/null
podman start lunfs >/dev/null
head -c 262144 <&7 | cmp - "$scratch/new"
exec 7<&-
sync "$mnt/lun1"
cmp -n 262144 "$scratch/new" "$disk" || fail "it was lost"

say "the target is away: alive all the same; and the end, in the pod's order"
kill_target
probe lunfs livenessProbe || fail "$(cat "$scratch/probe.out")"
restart_target
lun_up "$mnt" 1 30
podman stop --time 60 lunfs >/dev/null
podman stop --time 60 mounter >/dev/null
expect_equal "$(exit_code lunfs) $(exit_code mounter)" "0 0" "exit statuses"
! mounted "$mnt" || fail "still mounted"

say "a probe can fail: nobody serves there"
podman run --detach --name idle --entrypoint sleep lunfs 1000 >/dev/null
of lunfs .probes.livenessProbe
expect_fail podman exec idle "${words[@]}"

say "without a pod: somebody else has mounted; lunfs is given /dev/fuse as a descriptor, and no privilege"
printf 'user=joe\npassword=twelve-bytes!\n' >"$scratch/cred"
chown 10000:10000 "$scratch/cred"
chmod 600 "$scratch/cred"
fd_mnt=$scratch/fd
mkdir "$fd_mnt"
unmount_fd () { umount -l "$fd_mnt" 2>/dev/null || :; }
cleanup_fn unmount_fd
cat >"$scratch/mount.py" <<'PY'
import ctypes, os, sys
mnt, *command = sys.argv[1:]
os.dup2(os.open("/dev/fuse", os.O_RDWR), 3)
os.set_inheritable(3, True)
options = b"fd=3,rootmode=40000,user_id=10000,group_id=10000,default_permissions,allow_other"
if ctypes.CDLL(None).mount(b"lunfs", mnt.encode(), b"fuse.lunfs", 6, options):
    sys.exit("cannot mount")
os.execvp(command[0], command)
PY
single=(-o "credentials=/cred,initiator_name=$initiator" "iscsi://$portal/$iqn")
python3 "$scratch/mount.py" "$fd_mnt" podman run --detach --name descriptor --preserve-fds=1 --cap-drop=all --read-only \
  --volume "$scratch/cred:/cred:ro" lunfs "${single[@]}" /dev/fd/3 >/dev/null
lun_up "$fd_mnt" 1
same_data "$fd_mnt/lun1" "$disk"
umount "$fd_mnt"
expect_equal "$(podman wait descriptor)" 0 "exit status after the mount has gone"

say "without a pod, as README has it: root with all privileges, who mounts for himself"
mkdir -p "$scratch/pod/plain/t1"
command=$(sed -n 's/^    \(podman run .*\)/\1/p' "$top_srcdir/README" | sed "s#-v /etc/lunfs:/etc/lunfs#-v $scratch/cred:/etc/lunfs/t1.cred#
  s#-v /srv:/srv#-v $scratch/pod/plain:/srv#; s#san\.example#$portal#; s#podman run#podman run --name plain#")
say "$command"
[ -n "$command" ] || fail "README does not say how"
eval "$command" >/dev/null
lun_up "$scratch/pod/plain/t1" 1
same_data "$scratch/pod/plain/t1/lun1" "$disk"
podman stop --time 60 plain >/dev/null
expect_equal "$(exit_code plain)" 0 "exit status of it"
