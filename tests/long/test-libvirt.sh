#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A virtual machine of libvirt's on the file of a LUN, as lunfs(8), VIRTUAL MACHINES, has it: it starts, although nobody can be
# given the file; what its disk has taken is there after hard resets and ends; it sees the LUN grow; a second one is refused.
# No KVM needed, nor systemd: a libvirtd of our own.
# shellcheck disable=SC2034 # read there
optional=1
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
requires virsh libvirtd qemu-system-x86_64 busybox apt-get dpkg-deb python3
private_mounts
not_under_valgrind "a whole machine"
test_limit 1200
guest=${LUNFS_GUEST_DIR:-$top_builddir/tests/functional/scratch/guest}
mkdir -p "$guest"
(
  flock 9
  bash "$srcdir/fetch-guest.sh" "$guest" 9>&-
) 9>"$guest/lock" >"$scratch/fetch.out" 2>&1 || {
  cat "$scratch/fetch.out"
  skip "the guest's packages cannot be had"
}
mib=1048576

# The machine: it looks for what it wrote before, and goes on writing, a record each round, without ever asking for a flush; it
# names a record when the disk has taken it.  Record 0 is for the last one's number.
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
put () { $b printf '%-4096s' "$2" | $b dd of=/dev/vda bs=4k seek=$1 oflag=direct conv=notrunc 2>/err || $b cat /err; }
get () { $b dd if=/dev/vda bs=4k skip=$1 count=1 iflag=direct 2>/dev/null | $b tr -d ' \0'; }
n=$(get 0)
n=${n:-0}
echo "GUEST: found $n $(get $n)"
size=
while :; do
  n=$((n + 1))
  put $n record$n
  put 0 $n
  echo "GUEST: wrote $n"
  now=$($b cat /sys/block/vda/size)
  [ "$now" = "$size" ] || echo "GUEST: size $now"
  size=$now
done
INIT
chmod 755 "$scratch/initrd/init"
(cat "$guest/initrd.img" && cd "$scratch/initrd" && echo init | busybox cpio -o -H newc 2>/dev/null | gzip) >"$scratch/initrd.img"
cp "$guest/vmlinuz" "$scratch/vmlinuz"
chmod 644 "$scratch/vmlinuz" "$scratch/initrd.img"

# libvirt's directories are where it was told to look for them when it was built.
for dir in /run/libvirt /var/lib/libvirt /var/cache/libvirt /var/log/libvirt /etc/libvirt; do
  mkdir -p "$dir"
  mount -t tmpfs -o mode=755 tmpfs "$dir"
  cleanup_fn umount -l "$dir"
done
cat >/etc/libvirt/qemu.conf <<CONF
user = "lunfstest"
group = "+$user_id"
security_driver = "none"
cgroup_controllers = [ ]
stdio_handler = "file"
CONF
printf 'auth_unix_rw = "none"\nlog_outputs = "2:file:%s"\n' "$scratch/libvirtd.log" >/etc/libvirt/libvirtd.conf
libvirtd --pid-file "$scratch/libvirtd.pid" --timeout 0 </dev/null >"$scratch/libvirtd.out" 2>&1 &
libvirtd=$!
disown
cleanup_fn kill_quietly "$libvirtd"
vm () { virsh --quiet --connect qemu:///system "$@"; }
wait_for "vm list || ! alive $libvirtd" 30

disk_xml=$(sed -n "/^<disk type='file'/,/^<\/disk>/p" "$top_srcdir/src/lunfs.8" | sed -e 's/\\-/-/g')
[ -n "$disk_xml" ] || fail "lunfs.8 has no disk"
define () { # NAME: as in the manual, with our file
  cat >"$scratch/$1.xml" <<XML
<domain type='qemu'>
  <name>$1</name>
  <memory unit='MiB'>256</memory>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>$scratch/vmlinuz</kernel>
    <initrd>$scratch/initrd.img</initrd>
    <cmdline>console=ttyS0 quiet panic=-1</cmdline>
  </os>
  <features><acpi/></features>
  <devices>
    ${disk_xml/\/srv\/t1\/lun1/$file}
    <serial type='file'><source path='$scratch/console.$1' append='on'/></serial>
    <memballoon model='none'/>
  </devices>
</domain>
XML
  vm define "$scratch/$1.xml"
  cleanup_fn end_machine "$1"
}
end_machine () { vm destroy "$1" >/dev/null 2>&1 || :; }
machine () { cat "/run/libvirt/qemu/$1.pid"; }
said () { tr -d '\r' <"$scratch/console.one" | sed -n "s/^GUEST: $1 //p" | tail -n 1; } # WHAT: the last of it
# It has started for the Nth time, and writes.
starts=0
started () {
  starts=$((starts + 1))
  wait_for "[ \"\$(grep -c 'GUEST: found' '$scratch/console.one')\" = $starts ] && goes_on" 150
}
goes_on () { # writes more than it had
  local before
  before=$(said wrote)
  wait_for "[ \"\$(said wrote)\" -gt ${before:-0} ]" 60
}
# What the disk had taken before is there again, and nothing else.
nothing_lost () { # WHAT-WAS-WRITTEN
  local number content
  read -r number content <<<"$(said found)"
  [ "$number" -ge "$1" ] || fail "record $1 was taken by the disk, and $number is the last one that was found"
  expect_equal "$content" "record$number" "the last record"
}

say "a mount that is root's alone"
fake_lun 16M
define one
expect_fail vm start one
expect_message 'permission denied'
stop_lunfs "$mnt"

say "one whose files are the machine's user's, as in the manual; nothing is sent to the target for a minute"
mount_options=$(sed -n 's/^lunfs \\-o \(allow_other,uid=libvirt[^ ]*\) .*/\1/p' "$top_srcdir/src/lunfs.8")
[ -n "$mount_options" ] || fail "lunfs.8 has no command for libvirt"
mount_options=${mount_options/uid=libvirt\\-qemu,gid=libvirt\\-qemu/uid=lunfstest,gid=$user_id}
start_lunfs "iscsi://$portal/$iqn" "$mnt" -o "$mount_options,cache_write_delay=60000"
lun_up "$mnt" 0
cleanup_fn end_machine one
vm start one
started
expect_equal "$(head -c 8192 "$disk" | tr -d '\0' | wc -c)" 0 "bytes that the target has already: this tests nothing then"

say "a second machine on it is refused"
define two
expect_fail vm start two
expect_message 'lock'

say "virsh reset: the power button of the machine, not of its disk"
last=$(said wrote)
vm reset one
started
nothing_lost "$last"

say "virsh destroy and start"
goes_on
last=$(said wrote)
vm destroy one
vm start one
started
nothing_lost "$last"

say "its qemu killed, and lunfs's worker too"
goes_on
kill -KILL "$(worker "$mnt")"
kill -KILL "$(machine one)"
last=$(said wrote)
wait_for "[ \"\$(vm domstate one)\" = 'shut off' ]" 30
vm start one
started
nothing_lost "$last"

say "the LUN grows"
expect_equal "$(said size)" $((16 * mib / 512)) "sectors at first"
fake resize 0 24M
lunfsctl rescan "$mnt"
wait_for "[ \"\$(stat -c %s '$file')\" = $((24 * mib)) ]" 10
expect_fail vm blockresize one vda 32MiB
vm blockresize one vda 24MiB
wait_for "[ \"\$(said size)\" = $((24 * mib / 512)) ]" 60
goes_on

say "the end: all of it is the target's, and nobody has seen an error"
last=$(said wrote)
vm destroy one
sync "$file"
same_data "$file" "$disk"
number=$(head -c 4096 "$disk" | tr -d ' \0')
[ "$number" -ge "$last" ] || fail "the target has $number records of $last"
if grep -i 'error' "$scratch/console.one" | grep -v ACPI; then fail "the machine saw an error"; fi
expect_equal "$(lun_get "$mnt" 0 .counters.errors)" 0 "errors"
stop_lunfs "$mnt"
