#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lunfs.conf: lunfs NAME, lunfs --all, who wins, errors with line numbers, several portals, fstab; root and user.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
private_mounts
requires fusermount3 setpriv mount.fuse3
share_programs

start_target
add_target one
add_lun "$(random_file a 1M)"
add_lun "$(random_file b 2M)"
one=$iqn
add_target two
add_lun "$(random_file c 3M)"
add_account joe one-way-secret
two=$iqn
(umask 077 && printf 'user=joe\npassword=one-way-secret\n' >"$scratch/cred")
conf=$scratch/lunfs.conf
mkdir "$scratch/m1" "$scratch/m2" "$scratch/m3"
# As lunfs_pids and lunfs_logs of start_lunfs, which gives source and mount point itself.
for m in m1 m2 m3; do
  lunfs_logs[$scratch/$m]=$scratch/lunfs-$m.log
  lunfs_pids[$scratch/$m]=$scratch/lunfs-$m.pid
  cleanup_fn kill_lunfs "$scratch/$m"
done
cat >"$conf" <<END
[defaults]
portal=$portal
initiator_name=$initiator
replacement_timeout=31
read_ahead=1M
cache_write_delay=11

[one]
target=$one
luns=2
replacement_timeout=32
read_ahead=2M
startup=automatic
mountpoint=$scratch/m1
log=$scratch/lunfs-m1.log
pidfile=$scratch/lunfs-m1.pid

[two]
target=$two
lun=1
ro=true
credentials=$scratch/cred
startup=automatic
mountpoint=$scratch/m2
log=$scratch/lunfs-m2.log
pidfile=$scratch/lunfs-m2.pid
END
chmod 644 "$conf"
set_lunfs_cmd
run () { "${lunfs_cmd[@]}" "$@" </dev/null; }

say "a name, its values, and who wins"
run --config "$conf" one -o replacement_timeout=33
lun_up "$scratch/m1" 2
expect_equal "$(cd "$scratch/m1" && ls -d lun*)" lun2 "files"
same_data "$scratch/m1/lun2" "$scratch/b"
expect_equal "$(lun_get "$scratch/m1" 2 .replacement_timeout) $(status_get "$scratch/m1" \
  '.cache | "\(.read_ahead_bytes) \(.write_delay_ms)"')" "33 2097152 11" "command line, [one], [defaults]"
expect_equal "$(awk -v m="$scratch/m1" '$2 == m {print $1}' /proc/self/mounts)" one "source in the mount table"

say "--all mounts the rest"
run --config "$conf" --all >"$scratch/out"
grep -q ': 1 mounted, 1 mounted already' "$scratch/out" || fail "$(cat "$scratch/out")"
lun_up "$scratch/m2" 1
same_data "$scratch/m2/lun1" "$scratch/c"
! dd if=/dev/zero of="$scratch/m2/lun1" bs=512 count=1 conv=notrunc 2>/dev/null || fail "it is not read only"
stop_lunfs "$scratch/m1"
stop_lunfs "$scratch/m2"

say "--all goes on after failures"
cat >>"$conf" <<END
[none]
target=iqn.2026-01.org.example:none
mountpoint=$scratch/m3
startup=automatic
[broken]
target=$one
startup=automatic
mountpoint=$scratch/m3
queue_depth=many
[nowhere]
target=$one
startup=automatic
[by-hand]
target=$one
END
expect_fail run --config "$conf" --all
expect_status 7
expect_message "lunfs.conf:$(sed -n '/^queue_depth/=' "$conf"): queue_depth: 'many' is not a whole number"
expect_message 'example:none'
expect_message '\[nowhere\] has startup=automatic and needs mountpoint='
expect_message '2 mounted, 0 mounted already, 3 failed: '
lun_up "$scratch/m1" 2
lun_up "$scratch/m2" 1
stop_lunfs "$scratch/m1"
stop_lunfs "$scratch/m2"
! mounted "$scratch/m3" || fail "mounted"

say "errors"
expect_fail run --config "$conf" three
expect_status 7
expect_message "lunfs.conf has no \[three\]; it names one, two, none"
expect_fail run --config "$conf" by-hand
expect_message 'MOUNTPOINT is missing'
chmod 666 "$conf"
expect_fail run --config "$conf" one
expect_status 13
expect_message 'can be written by others than root'
chmod 644 "$conf"

say "the first portal is dead, and the second has another port"
cat >"$conf" <<END
[one]
portal=127.0.0.1:9, 127.0.0.3:$port,127.0.0.1:$port
initiator_name=$initiator
target=$one
mountpoint=$scratch/m1
log=$scratch/lunfs-m1.log
pidfile=$scratch/lunfs-m1.pid
[all-targets]
portal=127.0.0.1:9 127.0.0.1:$port
initiator_name=$initiator
mountpoint=$scratch/m2
log=$scratch/lunfs-m2.log
pidfile=$scratch/lunfs-m2.pid
END
run --config "$conf" one
lun_up "$scratch/m1" 1
same_data "$scratch/m1/lun1" "$scratch/a"
expect_equal "$(lun_get "$scratch/m1" 1 .portal)" "127.0.0.1:$port" "portal"
cut_tid=$tid
tid=1
cut_connections
tid=$cut_tid
wait_for "lun_get '$scratch/m1' 1 '.counters.relogins >= 1 and .state == \"up\"'" 15
stop_lunfs "$scratch/m1"
run --config "$conf" all-targets
wait_for "[ -f '$scratch/m2/$one/lun1' ]" 15
stop_lunfs "$scratch/m2"

say "the portal in use goes away: the next one"
direct=$port
start_proxy front "127.0.0.1:$direct"
cat >"$conf" <<END
[one]
portal=127.0.0.1:$port 127.0.0.1:$direct
initiator_name=$initiator
target=$one
lun=1
mountpoint=$scratch/m1
log=$scratch/lunfs-m1.log
pidfile=$scratch/lunfs-m1.pid
END
run --config "$conf" one
lun_up "$scratch/m1" 1
expect_equal "$(lun_get "$scratch/m1" 1 .portal)" "127.0.0.1:$port" "portal"
dd if=/dev/urandom of="$scratch/m1/lun1" bs=64k count=3 conv=notrunc status=none
kill_quietly "${proxy_pids[front]}"
dd if=/dev/urandom of="$scratch/m1/lun1" bs=64k count=3 seek=7 conv=notrunc,fsync status=none
expect_equal "$(lun_get "$scratch/m1" 1 .portal)" "127.0.0.1:$direct" "portal"
same_data "$scratch/m1/lun1" "$scratch/a"
stop_lunfs "$scratch/m1"
port=$direct
portal=127.0.0.1:$direct

say "fstab, the usual place: root"
mkdir -p /etc/lunfs
mount -t tmpfs -o mode=755 tmpfs /etc/lunfs
cleanup_fn umount -l /etc/lunfs
mount -t tmpfs -o mode=755 tmpfs /usr/local/bin
cleanup_fn umount -l /usr/local/bin
cp "$scratch/bin/lunfs" /usr/local/bin/lunfs
cat >/etc/lunfs/lunfs.conf <<END
[all-targets]
portal=$portal
initiator_name=$initiator
ro=true
log=$scratch/lunfs-m2.log
pidfile=$scratch/lunfs-m2.pid
END
echo "all-targets $scratch/m2 fuse.lunfs _netdev,nofail,noauto 0 0" >"$scratch/fstab"
mount -T "$scratch/fstab" "$scratch/m2"
wait_for "[ -f '$scratch/m2/$one/lun1' ]" 15
! dd if=/dev/zero of="$scratch/m2/$one/lun1" bs=512 count=1 conv=notrunc 2>/dev/null || fail "mount(8)'s rw undid ro=true"
stop_lunfs "$scratch/m2"

say "an ordinary user's own file"
mkdir -p "$scratch/home/.config/lunfs" "$scratch/home/san"
printf '[mine]\nportal=%s\ntarget=%s\nstartup=automatic\nmountpoint=~/san\nlog=~/log\npidfile=~/pid\n' "$portal" "$one" \
  >"$scratch/home/.config/lunfs/lunfs.conf"
chown -R "$user_id:$user_id" "$scratch/home"
mnt=$scratch/home/san
lunfs_as=(as_user)
lunfs_logs[$mnt]=$scratch/home/log
lunfs_pids[$mnt]=$scratch/home/pid
cleanup_fn kill_lunfs "$mnt"
set_lunfs_cmd
run --all >"$scratch/out"
grep -q ': 1 mounted' "$scratch/out" || fail "$(cat "$scratch/out")"
wait_for "as_user jq -e '.targets[0].luns[0].state == \"up\"' '$mnt/.lunfs/status.json'" 15
as_user cmp "$mnt/lun1" "$scratch/a"
run --all | grep -q ': 0 mounted, 1 mounted already'

say "the name is the mount's for lunfsctl, too"
cp "$(command -v lunfsctl)" "$scratch/bin/"
chmod 755 "$scratch/bin/lunfsctl"
as_user lunfsctl ls mine | grep -q "^$mnt/lun1 " || fail "not the mount of that name"
expect_fail as_user lunfsctl ls min
expect_status 21
as_user bash -c "exec sleep 1000 <'$mnt/lun1' & echo \$! >~/sleeper"
sleeper=$(cat "$scratch/home/sleeper")
cleanup_fn eval "! ours $sleeper || kill $sleeper"
wait_for "readlink /proc/$sleeper/fd/0 | grep -q lun1" 10
expect_fail as_user lunfsctl logout mine
expect_status 28
kill "$sleeper"
wait_for "! alive $sleeper" 10
as_user lunfsctl logout mine
as_user lunfsctl login mine
as_user lunfsctl umount mine
! mounted "$mnt" || fail "still mounted"
sed -i '/^startup/d' "$scratch/home/.config/lunfs/lunfs.conf"
run --all | grep -q 'no target has startup=automatic'
