#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Debian 12's own kernel (6.1, in qemu), which cannot send requests again: workers are killed under fio --verify in each cache
# mode, and under ext4, and what they had read is found in the arena (fuse/inbox.h).  Everything runs in the guest.
# shellcheck disable=SC2016,SC2034,SC2154 # expanded, read, and set, there
optional=1
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
requires_root
requires make mkfs.ext4 qemu-system-x86_64
private_mounts
not_under_valgrind "another system starts these programs"
[ "$sanitizers" = no ] || skip "the other system does not have the sanitizers' libraries"
# shellcheck source=tests/long/debian.sh
. "$top_srcdir/tests/long/debian.sh"
test_limit 1800
root=$scratch/root
kills=${LUNFS_KERNEL_KILLS:-15} # in each mode, at least

debian_root "$root"
logged packages chroot "$root" sh -c 'apt-get -qq update && apt-get -qq install --no-install-recommends linux-image-cloud-amd64 \
  initramfs-tools fuse3 tgt e2fsprogs kmod procps iproute2 fio libiscsi7 libglib2.0-0 libjson-glib-1.0-0 libfuse3-3'
logged install make -C "$top_builddir" install prefix=/usr DESTDIR="$root"
cat >"$root/init-test" <<'EOF'
#!/bin/bash
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc
for dir in /run /tmp /dev/shm; do mkdir -p $dir && mount -t tmpfs tmpfs $dir; done
ip link set lo up
modprobe -a fuse loop
uname -r
tgt () { tgtadm --lld iscsi --op "$@"; }
mkdir -p /run/tgt /run/tgtd
tgtd
for _ in {1..100}; do
  ! tgt show --mode target >/dev/null 2>&1 || break
  sleep 0.2
done
truncate -s 96M /tmp/disk
tgt new --mode target --tid 1 -T iqn.2026-01.org.example:t1
tgt new --mode logicalunit --tid 1 --lun 1 -b /tmp/disk
tgt bind --mode target --tid 1 -I ALL
mkdir -p /mnt/t1 /mnt/ext4
supervisor () { pgrep -x lunfs-super | head -n 1; }
kill_worker () { # some, at random times, while process $1 lives, but for the last ones
  while kill -0 "$1" 2>/dev/null; do
    sleep "0.$((RANDOM % 9 + 1))"
    [ "$count" -ge "$kills" ] || { kill -KILL "$(pgrep -P "$(supervisor)" | head -n 1)" && count=$((count + 1)); }
  done
  wait "$1"
}
for mode in writeback writethrough none page; do
  lunfs -o "cache=$mode,login_wait=60" iscsi://127.0.0.1/iqn.2026-01.org.example:t1 /mnt/t1
  direct=1 count=0
  [ $mode != page ] || direct=0
  fio --name=verify --filename=/mnt/t1/lun1 --rw=randrw --bs=4k-64k --size=64M --time_based --runtime=$((kills * 3)) --verify=crc32c \
    --verify_fatal=1 --verify_backlog=64 --ioengine=libaio --iodepth=8 --direct=$direct --fsync=64 --allow_file_create=0 >/tmp/fio 2>&1 &
  kill_worker $!
  ended=$?
  [ $ended = 0 ] || cat /tmp/fio
  number () { grep -oE "\"$1\" *: *[0-9]+" /mnt/t1/.lunfs/status.json | head -n 1 | grep -oE '[0-9]+$'; }
  echo "$mode: fio ended with $ended, kills $count, resent $(number requests_resent), replayed $(number replayed)"
  if [ $mode = writeback ]; then
    dev=$(losetup -f --show --direct-io=on /mnt/t1/lun1)
    mkfs.ext4 -q "$dev" && mount "$dev" /mnt/ext4
    count=0
    cp -a /usr/sbin /mnt/ext4/ &
    kill_worker $!
    diff -r --no-dereference /usr/sbin /mnt/ext4/sbin && echo "ext4: the same"
    umount /mnt/ext4 && losetup -d "$dev"
  fi
  umount /mnt/t1
  while [ -n "$(supervisor)" ]; do sleep 0.1; done
done
echo "end of the guest"
echo o >/proc/sysrq-trigger
sleep 60
EOF
sed -i "s/^export PATH.*/&\nkills=$kills/" "$root/init-test"
chmod 755 "$root/init-test"
# What debian_root has mounted is not of the image.
umount "$root/run" "$root/dev" "$root/proc"
truncate -s 1500M image
mkfs.ext4 -q -F -d "$root" image
cp "$root"/boot/vmlinuz-* kernel
cp "$root"/boot/initrd.img-* initrd
say "the guest"
timeout 1500 qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 1500 -nographic -no-reboot -kernel kernel -initrd initrd \
  -append "root=/dev/vda rw console=ttyS0 quiet panic=1 init=/init-test" -drive file=image,format=raw,if=virtio,cache=unsafe \
  </dev/null >raw 2>&1 || :
tr -d '\r' <raw >console
sed -n '/Booting from ROM/,$p' console
for mode in writeback writethrough none page; do
  grep -qE "^$mode: fio ended with 0, kills $kills, resent 0, replayed [0-9]+" console || fail "$mode"
done
grep -qE '^w.*replayed [1-9]' console || fail "nothing was replayed: the kernel's own way?"
grep -q '^ext4: the same' console || fail "ext4"
grep -q '^end of the guest' console || fail "the guest did not end"
