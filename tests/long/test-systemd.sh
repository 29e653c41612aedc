#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A real systemd (a small Debian in namespaces of its own, its target included): the service and its kills, boot and power-off with the
# example fstab, the unit of a user's systemd.
# shellcheck disable=SC2016,SC2034,SC2154 # expanded, read, and set, there
optional=1
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
requires_root
requires make unshare nsenter mkfs.ext4
private_mounts
not_under_valgrind "another system starts these programs"
[ "$sanitizers" = no ] || skip "the other system does not have the sanitizers' libraries"
mountpoint -q /sys/fs/cgroup/unified || [ -f /sys/fs/cgroup/cgroup.procs ] || skip "no cgroup2"
# shellcheck source=tests/long/debian.sh
. "$top_srcdir/tests/long/debian.sh"
test_limit 1200
root=$scratch/root
iqn=iqn.2026-01.org.example:t1
examples=$top_srcdir/contrib/systemd/examples

say "a small Debian"
debian_root "$root"
logged packages chroot "$root" sh -c 'apt-get -qq update && apt-get -qq install --no-install-recommends systemd-sysv udev dbus \
  dbus-user-session libpam-systemd fuse3 tgt e2fsprogs kmod procps iproute2 fio libiscsi7 libglib2.0-0 libjson-glib-1.0-0 libfuse3-3'
make -C "$top_builddir" install prefix=/usr DESTDIR="$root" >"$scratch/install.out" 2>&1 || fail "$(tail "$scratch/install.out")"
mkdir -p "$root"/var/lib/disks "$root"/etc/lunfs "$root"/srv/{db,t1,t2,data,archive}
truncate -s 64M "$root/var/lib/disks/"{1,2}
printf '<target %s>\n  backing-store /var/lib/disks/1\n  backing-store /var/lib/disks/2\n</target>\n' $iqn >"$root/etc/tgt/conf.d/t1.conf"
# A target is another machine as a rule; this one goes after its users.
mkdir "$root/etc/systemd/system/tgt.service.d" "$root/etc/systemd/system/lunfs@.service.d"
printf '[Unit]\nBefore=remote-fs-pre.target\nWants=remote-fs-pre.target\n' >"$root/etc/systemd/system/tgt.service.d/first.conf"
printf '[Service]\nWatchdogSec=5\n' >"$root/etc/systemd/system/lunfs@.service.d/short.conf"
install -m 600 /dev/stdin "$root/etc/lunfs/lunfs.conf" <<EOF
[db]
portal=127.0.0.1
target=$iqn
startup=automatic
mountpoint=/srv/db
EOF

# What runs first in the namespaces: mounts, and init as process 1.
cat >"$scratch/boot" <<'EOF'
set -e
root=$1
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for n in null zero full random urandom tty loop-control; do
  cp -a "/dev/$n" "$root/dev/"
done
mknod -m 666 "$root/dev/fuse" c 10 229
for n in {0..63}; do mknod -m 660 "$root/dev/loop$n" b 7 "$n"; done
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
ip link set lo up
hostname lunfs-test
cd "$root"
mkdir -p .old
pivot_root . .old
umount -l /.old
exec env -i container=lunfs-test PATH=/usr/sbin:/usr/bin:/sbin:/bin /sbin/init </dev/null
EOF
group=/sys/fs/cgroup/unified
[ -d $group ] || group=/sys/fs/cgroup
group=$group/lunfs-test-$$
mkdir "$group"
remove_group () { find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || :; }
cleanup_fn remove_group
init=
halt () {
  [ -z "$init" ] || kill -KILL "$init" 2>/dev/null || :
  init=
}
cleanup_fn halt
inside () { # SCRIPT
  nsenter -t "$init" -a env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin bash -c "$*"
}
boot () {
  bash -c 'echo $$ >"$1/cgroup.procs"; shift; exec "$@"' _ "$group" \
    unshare --mount --pid --cgroup --uts --ipc --net --fork bash "$scratch/boot" "$root" >"$scratch/boot.out" 2>&1 &
  unshared=$!
  wait_for "init=\$(cat /proc/$unshared/task/$unshared/children) && [ -n \"\$init\" ]" 10
  init=${init% }
  # Process 1 hears of devices only where udev ran before it, or /dev is a devtmpfs (which would be the host's).
  wait_for "inside systemctl is-active systemd-udevd dbus" 60
  inside systemctl daemon-reexec
  wait_for "inside systemctl is-system-running | grep -qE 'running|degraded'" 120
  inside '[ -z "$(systemctl --failed --no-legend)" ] || { systemctl --failed; false; }'
}
power_off () { # SECONDS
  inside systemctl poweroff || :
  wait_for "! alive $unshared" "$1"
  init=
  wait "$unshared" || :
}

say "the service"
: >"$root/etc/fstab"
boot
inside systemctl enable --now lunfs@db
inside 'lunfsctl status && mountpoint /srv/db'
processes () { inside 'p=$(systemctl show -P MainPID lunfs@db); echo $p $(pgrep -P $p)'; }
serves () { inside "systemctl is-active lunfs@db && set -- $1 && [ \$(systemctl show -P MainPID lunfs@db) != \$1 ]"; }
inside fio --name=w --filename=/srv/db/lun2 --rw=randrw --bs=4k --size=32M --ioengine=libaio --iodepth=8 --direct=1 \
  --verify=crc32c --verify_fatal=1 --verify_backlog=512 --fsync=64 --time_based --runtime=45 --allow_file_create=0 >"$scratch/fio.out" 2>&1 &
fio=$!
wait_for "inside pgrep -x fio" 10
# The namespaces' own numbers of processes.
for what in 'kill -KILL ${1}' 'kill -KILL $*' 'kill -KILL ${2}' 'kill -STOP ${1}' 'kill -KILL $*' 'kill -KILL ${1}'; do
  was=$(processes)
  inside "set -- $was; $what || :" # a worker that has lost its supervisor leaves by itself
  case $what in
    *"{2}"*) wait_for "[ \"\$(processes)\" != '$was' ]" 20 ;;
    *) wait_for "serves '$was'" 40 ;;
  esac
  wait_for "inside \"lunfsctl status | grep -q 'lun2 *up'\"" 30
done
inside lunfsctl upgrade /srv/db
wait $fio || fail "fio: $(tail -n 30 "$scratch/fio.out")"
inside "journalctl -o cat -u lunfs@db | grep -c 'going on with db'" >"$scratch/times" || :
[ "$(cat "$scratch/times")" -ge 4 ] || fail "adopted $(cat "$scratch/times") times"
inside systemctl restart lunfs@db
inside systemctl disable --now lunfs@db
inside '! grep -q lunfs /proc/mounts && ! pgrep -x lunfs'

say "the unit of a user's systemd"
inside 'useradd -m -u 1000 me && mkdir -p /home/me/.config/lunfs /home/me/san && loginctl enable-linger me'
sed 's#/srv/db#/home/me/san#' "$root/etc/lunfs/lunfs.conf" >"$root/home/me/.config/lunfs/lunfs.conf"
inside chown -R me: /home/me
user () { inside "setpriv --reuid me --regid me --init-groups env XDG_RUNTIME_DIR=/run/user/1000 HOME=/home/me $*"; }
wait_for "user systemctl --user is-system-running" 20
user systemctl --user start lunfs@db
user 'bash -c "set -- \$(systemctl --user show -P MainPID lunfs@db); kill -KILL \$1 \$(pgrep -P \$1)"'
wait_for "user 'lunfsctl status | grep -q \"lun2 *up\"'" 20
user dd if=/dev/zero of=/home/me/san/lun2 bs=1M count=4 conv=notrunc,fsync status=none
user systemctl --user stop lunfs@db
power_off 30

say "boot and power-off with the example fstab"
uuid=$(sed -n 's/^UUID=\([^ ]*\) .*/\1/p' "$examples/fstab")
mkfs.ext4 -q -F -U "$uuid" "$root/var/lib/disks/1"
mkfs.ext4 -q -F "$root/var/lib/disks/2"
sed "s/san.example/127.0.0.1/; s/credentials=[^,]*,//" "$examples/fstab" >"$root/etc/fstab"
for turn in 1 2; do
  boot
  wait_for "inside 'mountpoint /srv/data && mountpoint /srv/archive'" 60
  inside "dd if=/dev/urandom of=/srv/data/$turn bs=1M count=10 status=none && md5sum /srv/data/$turn >/srv/archive/$turn.sum"
  inside "md5sum -c --status /srv/archive/*.sum"
  power_off 60
  for disk in 1 2; do
    e2fsck -fn "$root/var/lib/disks/$disk" >"$scratch/e2fsck.out" 2>&1 || fail "disk $disk: $(cat "$scratch/e2fsck.out")"
    ! grep -q 'journal recovery' "$scratch/e2fsck.out" || fail "disk $disk was not unmounted"
  done
done
