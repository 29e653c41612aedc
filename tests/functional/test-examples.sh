#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Every example of README and of the manual pages is taken from there and run as it stands, one after the other: in a network
# of its own, where the hosts have the names and ports of the examples, and with an /etc, /srv, /mnt and so on of its own.
# What is no command, or run by another test, is in elsewhere (); what is replaced is in meant ().  Anything else must succeed.
if [ "$(id -u)" = 0 ] && [ "${LUNFS_EXAMPLES_NET:-}" = "" ]; then
  LUNFS_EXAMPLES_NET=own exec unshare --net bash "$(realpath "$0")"
fi
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
requires_root
requires ip losetup fusermount3 mkfs.ext4 qemu-img
private_mounts
test_limit 400

# -- the examples -----------------------------------------------------------------------------------------------

# README: what is four or six columns in.  A manual page: what is between .nf and .fi, without escapes and prompts.
examples () { # README, or a page's name: lines of section, tab, example
  if [ "$1" = README ]; then
    awk '/^(---|===)/ {section = last} {last = $0} /^    [^ ]|^      [^ ]/ {sub (/^ */, ""); print section "\t" $0}' "$top_srcdir/README"
  else
    awk '/^\.SH/ {section = $0} /^\.fi/ {on = 0} on && !/^(\.|$)/ {print section "\t" $0} /^\.nf/ {on = 1}' \
      "$(find "$top_srcdir/src" -maxdepth 1 -name "$1.[1-9]")" | sed -e 's/\\-/-/g' -e 's/\\e/\\/g' -e 's/\t[$#] /\t/'
  fi
}
elsewhere () { # SECTION EXAMPLE
  case $1:$2 in
    *'EXIT STATUS'*) ;;                                        # no commands
    *:SOURCE* | *:MOUNTPOINT* | *:MNT/*) ;;                    # nor these
    *:'<'* | *:' '*'<'* | *libvirt-qemu*) [ -e "$srcdir/../long/test-libvirt.sh" ] ;;
    *:apt-get* | *:autoreconf*) ;;                             # it is built; the packages are compared below
    *:./contrib/*) [ -e "$srcdir/test-quickstart.sh" ] ;;      # and check.sh is what runs this
    *:podman* | *:kubectl*) [ -e "$srcdir/test-container-file.sh" ] ;;
    *:lunfs-mounter*) [ -e "$srcdir/test-mounter.sh" ] ;;
    *:UUID=*) [ -e "$srcdir/test-boot.sh" ] ;;                 # needs units
    *) return 1 ;;
  esac
}
meant () { # EXAMPLE: what to type in place of it
  # "..." is a machine that stops before its first instruction and is told to quit; it has opened the disk by then.
  sed -e "s|^qemu-system-x86_64 \.\.\.|printf 'info block\\\\nquit\\\\n' \| qemu-system-x86_64 -display none -S -monitor stdio|" \
    -e 's/^-o [^ ]*/lunfs & iscsi:\/\/san\/iqn.2026-01.org.example:t1 MNT # /' <<<"$1"
}

# -- where they run ---------------------------------------------------------------------------------------------

cp -a /etc "$scratch/etc"
mount --bind "$scratch/etc" /etc
cleanup_fn umount -l /etc
echo '127.0.0.1 localhost san san.example san2.example' >/etc/hosts
rm -rf /etc/lunfs /etc/iscsi
mkdir /etc/lunfs
for dir in /srv /mnt /run /var/lib /usr/local/bin; do
  mount -t tmpfs -o mode=755 tmpfs "$dir"
  cleanup_fn umount -l "$dir"
done
mkdir -p /run/lunfs /var/lib/lunfs "$scratch/home" MNT
cp "$(command -v lunfs)" /usr/local/bin/lunfs # mount(8) runs it by name
export HOME=$scratch/home
unset STATE_DIRECTORY
ip link set lo up
ip address add 192.0.2.7/32 dev lo

start_target target 3260
export TGT_IPC_SOCKET=$scratch/target.ctl # for tgtadm as it stands in README
tgt_set --mode portal --op new --param portal=192.0.2.7:3261
add_target t1
t1=$(backing t1-1 32M)
add_lun "$t1"
add_lun "$(backing t1-2 32M)"
add_target db
add_lun "$(backing db-1 16M)"
add_target backup
add_lun "$(backing backup-1 16M)"
lun=3
add_lun "$(backing backup-4 16M)"
random_file image.raw 16M >/dev/null
qemu-img convert -f raw -O qcow2 image.raw image.qcow2
for name in t1 db discovery; do (umask 077; printf 'user=joe\npassword=twelve bytes!\n' >"/etc/lunfs/$name.cred"); done
mkdir -p /etc/iscsi/nodes/iqn.2026-01.org.example:db/127.0.0.1,3260,1
printf '%s\n' 'node.name = iqn.2026-01.org.example:db' 'node.conn[0].address = 127.0.0.1' 'node.conn[0].port = 3260' \
  >/etc/iscsi/nodes/iqn.2026-01.org.example:db/127.0.0.1,3260,1/default

# -- running them -----------------------------------------------------------------------------------------------

lunfs_mounts () { awk '$3 == "fuse.lunfs" {print $2}' /proc/self/mounts | tac; }
supervisors () { find /run/lunfs -name '*.sock' -printf '%f\n' | sed 's/\.sock$//'; }
no_process_left () { # of those whose mount has gone: their LUNs are in use until then
  [ "$(supervisors | wc -l)" -le "$(lunfs_mounts | wc -l)" ]
}
run_line () {
  say "$1"
  eval "$1" >"$scratch/out" || fail "the example failed: $1"
  cat "$scratch/out"
  wait_for no_process_left 20
}
have_t1 () { mkdir -p "$1" && { mounted "$(realpath "$1")" || run_line "lunfs iscsi://san/iqn.2026-01.org.example:t1 $1"; }; }
kill_with_data () { # what a mount had written, and not flushed, when both its processes were killed, becomes saved data FILE
  unmount_all
  run_line "lunfs -o state_dir=$(dirname "$1") iscsi://san/iqn.2026-01.org.example:db /mnt"
  stop_answering
  dd if=/dev/zero of=/mnt/lun1 bs=64k count=1 conv=notrunc status=none
  kill -STOP "$(supervisors)" # or the worker would notice, and unmount
  kill -KILL "$(cat "/proc/$(supervisors)/task/$(supervisors)/children")" "$(supervisors)"
  umount /mnt
  answer_again
  rm -f /run/lunfs/*.sock
  mv "$(dirname "$1")"/*.arena "$1.arena"
}
other_host () { # a registration with KEY that is not ours
  mkdir other
  run_line "lunfs -o ro,initiator_name=iqn.2026-01.org.example:other iscsi://san/iqn.2026-01.org.example:t1 other"
  run_line "lunfsctl reserve --register-only other/lun1 $1"
}
fstab_line () {
  local dir
  read -r _ dir _ <<<"$1"
  echo "$1" >>"$scratch/fstab"
  [ -e "$dir" ] || mkdir "$dir"
  say "mount $dir"
  mount -T "$scratch/fstab" "$dir"
  mounted "$dir" || fail "not mounted: $1"
}
before () { # SECTION EXAMPLE: what the page takes for granted
  case $1:$2 in
    *:'lunfsctl saved discard '*) kill_with_data "${2##* }" ;;
    'lunfs.conf '*:lunfsctl*) touch /srv/db.img && mkdir -p /srv/backup ;;
    *:'lunfsctl preempt '*) other_host "${2##* }" ;;
    'lunfsctl '*) have_t1 /srv/lun ;;
    *:losetup*' san/lun1' | *file=san/lun1*) unmount_all && have_t1 san ;;
    *fuse.lunfs*_netdev*) unmount_all ;;
    *'AT BOOT'*:*' ext4 '*) have_t1 /srv/t1 && mkfs.ext4 -q /srv/t1/lun2 ;;
    *) ;;
  esac
}
after () { # EXAMPLE: what it must have brought about
  case $1 in
    'ls '*) grep -q lun1 "$scratch/out" || fail "no LUN" ;;
    'lunfs '*/1' '*) [ "$(stat -c %s "${1##*/1 }")" = $((32 << 20)) ] || fail "not the LUN" ;;
    'qemu-img convert '* | 'dd if=image.raw '*) same_data "$(grep -o '[^ =]*/lun1' <<<"$1")" image.raw "$((16 << 20))" ;;
    *MaxRecvDataSegmentLength*) tgt --mode target --op show --tid 1 | grep -q 'MaxRecvDataSegmentLength=262144' ;;
    *'losetup '*--show' san/lun1') losetup --detach "$(cat "$scratch/out")" ;;
    '-o '*) run_line "umount MNT" ;;
    qemu-system*) grep -q '/lun1 (raw)' "$scratch/out" || fail "qemu has not got the LUN" ;;
    *) ;;
  esac
}
example () { # SECTION EXAMPLE
  if elsewhere "$1" "$2"; then return; fi
  before "$1" "$2"
  if [[ $2 =~ ^\[|^[a-z_]+=[^$] ]]; then
    echo "$2" >>/etc/lunfs/lunfs.conf
  elif [[ $2 =~ \ (fuse\.lunfs|ext4)\ .*_netdev ]]; then
    fstab_line "$2"
  elif [[ $2 != qemu-system* ]] || command -v qemu-system-x86_64 >/dev/null; then
    run_line "$(meant "$2")"
    after "${2%%  *}"
  fi
}
unmount_all () {
  local m
  for m in $(awk '$1 ~ "^/dev/loop" && $2 ~ "^/(srv|mnt)" {print $2}' /proc/self/mounts | tac) $(lunfs_mounts); do
    wait_for "umount '$m'" 10 # a loop device may be on its way out
  done
  wait_for no_process_left 20
}
cleanup_fn unmount_all
detach_all () { # after a failure: no other test's mount is seen here at these places
  local loop file
  while read -r loop file; do
    case $file in
      /srv/* | "$scratch"/*)
        umount "$loop" 2>/dev/null
        losetup --detach "$loop"
        ;;
    esac
  done < <(losetup --noheadings --output NAME,BACK-FILE)
}
cleanup_fn detach_all

for page in README lunfs lunfsctl lunfs.conf lunfs-mounter; do
  examples "$page" >"$scratch/examples"
  [ -s "$scratch/examples" ] || fail "$page: no examples"
  current=
  while IFS=$'\t' read -r section line <&8; do
    if [ "$section" != "$current" ]; then
      say "-- $page: $section"
      unmount_all
      rm -f /etc/lunfs/lunfs.conf "$scratch/fstab"
      current=$section
    fi
    [[ -n $section && -n $line ]] || fail "$page: not understood: '$section', '$line'"
    example "$page $section" "$line"
  done 8<"$scratch/examples"
done

say "contrib/lunfs.conf, with all that is a comment there"
unmount_all
sed 's/^#\([^ ]\)/\1/' "$top_srcdir/contrib/lunfs.conf" >/etc/lunfs/lunfs.conf
run_line "lunfsctl check"

say "README: what the build needs"
while read -r package; do
  [ "$package" = debhelper-compat ] || grep -qE "^ *apt-get install .* $package( |\$)" "$top_srcdir/README" ||
    fail "README does not say that $package is needed"
done < <(sed -n '/^Build-Depends:/,/^[A-Z].*: /s/^ \([a-z0-9.+-]*\).*/\1/p' "$top_srcdir/packaging/debian/control")
