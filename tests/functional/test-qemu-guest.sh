#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A virtual machine boots from a LUN's file (boot loader, kernel and initramfs are on it), writes to the disk and
# powers off; the host finds the data; the next boot, over a new mount, finds it too.  No KVM needed.
# The guest's parts come from Debian packages; LUNFS_GUEST_DIR keeps them from run to run.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
test_limit 240
not_under_valgrind "a whole machine"
requires qemu-system-x86_64 busybox apt-get dpkg-deb

guest=${LUNFS_GUEST_DIR:-$top_builddir/tests/functional/scratch/guest}
mkdir -p "$guest"
(
  flock 9
  bash "$srcdir/fetch-guest.sh" "$guest" 9>&-
) 9>"$guest/lock" >"$scratch/fetch.out" 2>&1 || {
  cat "$scratch/fetch.out"
  skip "the guest's packages cannot be had"
}
PATH=$guest/root/usr/bin:$guest/root/sbin:$guest/root/usr/sbin:$PATH

say "a bootable disk: FAT with syslinux, kernel and initramfs; 4 MiB free behind it"
fat=56
truncate -s ${fat}M "$scratch/boot.img"
mkfs.vfat -F 16 -s 4 "$scratch/boot.img" >/dev/null
cat >"$scratch/syslinux.cfg" <<CFG
SERIAL 0 115200
DEFAULT lunfs
LABEL lunfs
  KERNEL vmlinuz
  INITRD initrd.img
  APPEND console=ttyS0 quiet panic=-1 lunfs_at=$fat
CFG
export MTOOLS_SKIP_CHECK=1
mcopy -i "$scratch/boot.img" "$guest/vmlinuz" "$guest/initrd.img" "$scratch/syslinux.cfg" ::/
chmod 644 "$scratch/boot.img"
"$guest/root/usr/bin/syslinux" --install "$scratch/boot.img"

one_lun $((fat + 4))M
dd if="$scratch/boot.img" of="$file" bs=1M conv=notrunc,fsync status=none

boot () { # EXPECTED
  timeout $((150 * slow)) qemu-system-x86_64 -accel tcg -m 256 -nodefaults -no-user-config -display none -serial stdio -no-reboot \
    -drive "file=$file,format=raw,if=virtio,cache=none,aio=native" </dev/null >"$scratch/console.log" 2>&1 ||
    fail "qemu ended with status $?"
  grep -q "GUEST: $1" "$scratch/console.log" || fail "the guest did not say: $1"
}
boot "data written"
seq 1 200000 >"$scratch/numbers"
head -c 1048576 "$scratch/numbers" >"$scratch/pattern"
cmp -n 1048576 -i 0:$(((fat + 1) << 20)) "$scratch/pattern" "$disk" || fail "the host does not find the data"
stop_lunfs "$mnt"
start_lunfs "iscsi://$portal/$iqn" "$mnt"
lun_up "$mnt" 1
boot "data found"
cmp -n 6 -i 0:$(((fat + 2) << 20)) <(echo SECOND) "$disk"
expect_equal "$(lun_get "$mnt" 1 .counters.errors)" 0 "errors"
stop_lunfs "$mnt"
