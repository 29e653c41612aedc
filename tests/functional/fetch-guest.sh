#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# fetch-guest.sh DIRECTORY: what test-qemu-guest.sh boots, from Debian's packages, unpacked and not installed:
# DIRECTORY/{vmlinuz,initrd.img,syslinux} (syslinux: the boot loader's programs).  Does nothing if it is there.
set -euo pipefail
dir=$1
[ ! -e "$dir/complete" ] || exit 0
busybox=$(command -v busybox) || { echo "busybox is not installed" >&2; exit 1; }
if ldd "$busybox" >/dev/null 2>&1; then echo "busybox is not static (install busybox-static)" >&2; exit 1; fi
mkdir -p "$dir/deb" "$dir/root" "$dir/initrd"
dir=$(cd "$dir" && pwd)

kernel=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -n 1)
[ -n "$kernel" ] || { echo "no kernel package in the package lists" >&2; exit 1; }
(
  cd "$dir/deb"
  apt-get -q -o APT::Sandbox::User=root download "$kernel" syslinux syslinux-common mtools dosfstools
  for deb in *.deb; do dpkg-deb -x "$deb" "$dir/root"; done
)
cp "$dir"/root/boot/vmlinuz-* "$dir/vmlinuz"

# The initramfs: busybox, the modules of a virtio disk, and what to do.
cd "$dir/initrd"
mkdir -p bin dev proc sys lib
cp "$busybox" bin/busybox
release=$(basename "$dir"/root/lib/modules/*)
modules=$dir/root/lib/modules/$release
busybox depmod -b "$dir/root" "$release" 2>/dev/null || /sbin/depmod -b "$dir/root" "$release"
: >lib/order
add_module () { # NAME: with what it depends on, in the order of loading
  local path dep
  path=$(cd "$modules" && find . -name "$1.ko*" | head -n 1)
  [ -n "$path" ] || return 0 # built in
  # shellcheck disable=SC2013 # words are meant
  for dep in $(sed -n "s|^\(\./\)\{0,1\}${path#./}: *||p" "$modules/modules.dep"); do
    add_module "$(basename "${dep%.ko*}")"
  done
  ! grep -qx "$1.ko" lib/order || return 0
  cp "$modules/$path" "lib/$1.ko"
  echo "$1.ko" >>lib/order
}
for module in virtio_pci virtio_blk; do add_module $module; done
cat >init <<'INIT'
#!/bin/busybox sh
# First boot: write a pattern behind the boot file system, sync.  Second boot: look whether it is there.
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t devtmpfs dev /dev 2>/dev/null
$b mount -t sysfs sys /sys
while read -r m; do $b insmod /lib/$m; done </lib/order
n=0
while [ ! -b /dev/vda ] && [ $n -lt 100 ]; do $b usleep 100000; n=$((n + 1)); done
at=$($b sed -n 's/.*lunfs_at=\([0-9]*\).*/\1/p' /proc/cmdline)
read -r mark </dev/vda_mark 2>/dev/null
mark=$($b dd if=/dev/vda bs=1M skip=$at count=1 2>/dev/null | $b head -c 9)
pattern () { $b seq 1 200000 | $b head -c 1048576; }
if [ "$mark" = LUNFSDATA ]; then
  want=$(pattern | $b md5sum)
  have=$($b dd if=/dev/vda bs=1M skip=$((at + 1)) count=1 2>/dev/null | $b md5sum)
  [ "$want" = "$have" ] && echo "GUEST: data found" || echo "GUEST: data lost"
  echo SECOND | $b dd of=/dev/vda bs=1M seek=$((at + 2)) conv=notrunc,fsync 2>/dev/null
else
  pattern | $b dd of=/dev/vda bs=64k seek=$(((at + 1) * 16)) conv=notrunc,fsync 2>/dev/null
  echo LUNFSDATA | $b dd of=/dev/vda bs=1M seek=$at conv=notrunc,fsync 2>/dev/null
  echo "GUEST: data written"
fi
$b sync
$b poweroff -f
INIT
sed -i '/vda_mark/d' init
chmod 755 init
find . | LC_ALL=C sort | busybox cpio -o -H newc 2>/dev/null | gzip -9 >"$dir/initrd.img"
cd "$dir"
rm -rf deb "root/lib/modules" root/boot initrd
: >complete
