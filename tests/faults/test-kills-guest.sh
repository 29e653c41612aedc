#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The worker is killed with -9 every 50 to 500 ms under a virtual machine, which writes, syncs and reads again all the time.
# It sees neither an error nor a wrong byte, and the target has in the end what it wrote.  kills.sh has the settings.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
# shellcheck source=tests/faults/faults.sh
. "$top_srcdir/tests/faults/faults.sh"
# shellcheck source=tests/faults/kills.sh
. "$top_srcdir/tests/faults/kills.sh"
test_limit $((kills_wanted + 240))
not_under_valgrind "a whole machine"
requires bc qemu-system-x86_64 busybox apt-get dpkg-deb

guest=${LUNFS_GUEST_DIR:-$top_builddir/tests/functional/scratch/guest}
mkdir -p "$guest"
(
  flock 9
  bash "$srcdir/fetch-guest.sh" "$guest" 9>&-
) 9>"$guest/lock" >"$scratch/fetch.out" 2>&1 || {
  cat "$scratch/fetch.out"
  skip "the guest's packages cannot be had"
}

# What is in the second archive goes over the first one's.
mkdir "$scratch/initrd"
cat >"$scratch/initrd/init" <<'INIT'
#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t devtmpfs dev /dev 2>/dev/null
$b mount -t sysfs sys /sys
while read -r m; do $b insmod /lib/$m; done </lib/order
n=0
while [ ! -b /dev/vda ] && [ $n -lt 100 ]; do $b usleep 100000; n=$((n + 1)); done
(read -r _ </dev/console; : >/stop) &
places=16 round=0 patterns=5
while [ $round -lt $patterns ]; do # this machine is slow
  $b seq ${round}00000 ${round}99999 | $b head -c 524288 >/pattern$round
  $b md5sum </pattern$round >/sum$round
  round=$((round + 1))
done
place () { $b dd if=/dev/vda bs=64k skip=$(($1 * 8)) count=8 2>/dev/null | $b md5sum; }
echo "GUEST: running"
while [ ! -e /stop ]; do
  at=$((round * 7 % places)) n=$((round % patterns))
  $b dd if=/pattern$n of=/dev/vda bs=64k seek=$((at * 8)) conv=notrunc,fsync 2>/err || { $b cat /err; echo "GUEST: error in round $round"; }
  echo 1 >/proc/sys/vm/drop_caches
  [ "$(place $at)" = "$($b cat /sum$n)" ] || echo "GUEST: wrong data in round $round"
  round=$((round + 1))
done
at=0
while [ $at -lt $places ]; do echo "GUEST: place $at $(place $at)"; at=$((at + 1)); done
$b dmesg | $b grep -i 'i/o error' && echo "GUEST: error in the log"
echo "GUEST: $round rounds"
$b poweroff -f
INIT
chmod 755 "$scratch/initrd/init"
{ cat "$guest/initrd.img" && cd "$scratch/initrd" && echo init | busybox cpio -o -H newc 2>/dev/null | gzip; } >"$scratch/initrd.img"

target_with 8M 1
disk=$scratch/disk1
begin_part "a virtual machine" 6 -o cache_write_delay=300
lun_up "$mnt" 1
file=$mnt/lun1
mkfifo "$scratch/keys"
timeout $((limit * 2)) qemu-system-x86_64 -accel tcg -m 256 -nodefaults -no-user-config -display none -serial stdio -no-reboot \
  -kernel "$guest/vmlinuz" -initrd "$scratch/initrd.img" -append "console=ttyS0 quiet panic=-1" \
  -drive "file=$file,format=raw,if=virtio,cache=none,aio=native,werror=report,rerror=report" \
  <"$scratch/keys" >"$scratch/console.log" 2>&1 &
qemu=$!
cleanup_fn kill_quietly $qemu
exec 8>"$scratch/keys"
wait_for "grep -q 'GUEST: running' '$scratch/console.log' || ! alive $qemu" 60
moves 1
start_kills
end_kills
all_served 1
moves 1
echo >&8
wait_for "! alive $qemu" 60
wait $qemu || fail "qemu ended with status $?"
exec 8>&-
tr -d '\r' <"$scratch/console.log" >"$scratch/console"
! grep -E 'GUEST: (error|wrong)' "$scratch/console" || fail "$part: it saw an error"
grep 'GUEST: .* rounds' "$scratch/console" || fail "$part: it did not end"
sync "$file"
same_lun 1
for ((n = 0; n < 16; n++)); do
  there=$(dd if="$disk" bs=64k skip=$((n * 8)) count=8 status=none | md5sum)
  grep -qx "GUEST: place $n $there" "$scratch/console" || fail "$part: place $n is not what it wrote"
done
no_errors 1
end_part
report
