#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# From nothing to a LUN as a file, on Debian 12, as root or as an ordinary user.
#
#   contrib/quickstart.sh               a private target on the loopback interface with a scratch LUN
#   contrib/quickstart.sh iscsi://...   your own target instead, read-only (--write: writable)
#   contrib/quickstart.sh --stop        unmount, stop the target, remove what was made
#
#   -o OPTIONS                          handed on to lunfs: -o credentials=FILE for a target that wants CHAP
set -euo pipefail
# shellcheck source=contrib/lib.sh
. "$(dirname "$0")/lib.sh"

usage () { sed -n '5,9s/^# \{0,1\}//p' "$0"; }
wrong () {
  echo "error: $*" >&2
  usage >&2
  exit 7
}
action=start source='' write=no options=()
while [ "$#" -gt 0 ]; do
  case $1 in
    --stop) action=stop ;;
    --write) write=yes ;;
    --help | -h)
      usage
      exit 0
      ;;
    -o)
      [ "$#" -gt 1 ] || wrong "-o needs OPTIONS, as lunfs has them"
      options+=(-o "$2")
      shift
      ;;
    -o?*) options+=("$1") ;;
    iscsi://*) source=$1 ;;
    *) wrong "unknown argument '$1'" ;;
  esac
  shift
done

# Everything this script makes is in here (short: tgtd's control socket has a path of 108 bytes at most).
state=${LUNFS_QUICKSTART_DIR:-/tmp/lunfs-quickstart-$(id -u)}
mnt=$state/mnt
export TGT_IPC_SOCKET=$state/tgtd

is_mounted () { grep -q " $1 " /proc/self/mounts; }
running () { # PIDFILE: its process runs; the file may vanish at any time
  local pid
  pid=$(cat "$1" 2>/dev/null) && [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null
}
wait_until () { # SECONDS COMMAND...
  local n=$(($1 * 10))
  shift
  until "$@"; do
    n=$((n - 1))
    [ "$n" -gt 0 ] || return 1
    sleep 0.1
  done
}
tgt () {
  if [ "$(id -u)" = 0 ]; then tgtadm -C 0 --lld iscsi "$@"; else
    nsenter -U --preserve-credentials -t "$(cat "$state/tgtd.pid")" tgtadm -C 0 --lld iscsi "$@"
  fi
}
lunfs_gone () { ! running "$state/lunfs.pid"; }
# Loop devices on files of the mount, with what is mounted from them.
complain_about_loops () {
  local loop file target found=no
  while read -r loop file; do
    case $file in "$mnt"/*) ;; *) continue ;; esac
    found=yes
    echo "$loop is attached to $file; end that first:"
    while read -r target; do echo "    umount $target"; done < <(findmnt --noheadings --output TARGET --source "$loop")
    echo "    losetup --detach $loop"
  done < <(losetup --list --noheadings --output NAME,BACK-FILE 2>/dev/null)
  [ $found = yes ]
}

stop () {
  local loop
  if [ ! -e "$state" ]; then
    echo "nothing is running"
    return 0
  fi
  check_state
  if is_mounted "$state/fs"; then umount "$state/fs"; fi
  if [ -s "$state/loop" ]; then
    loop=$(cat "$state/loop")
    losetup --detach "$loop" 2>/dev/null || :
  fi
  if complain_about_loops >&2; then exit 1; fi
  if is_mounted "$mnt" && ! fusermount3 -u "$mnt"; then die "$mnt is not unmounted; if it is busy: an open file, a shell in it"; fi
  wait_until 40 lunfs_gone || die "lunfs does not end; see $state/lunfs.log"
  if running "$state/target.pid"; then kill -KILL "$(cat "$state/target.pid")"; fi
  if running "$state/tgtd.pid"; then kill -KILL "$(cat "$state/tgtd.pid")"; fi
  rm -rf --one-file-system "$state"
  echo "stopped and cleaned up"
}
check_state () { # /tmp belongs to everybody: nobody else's directory is taken for ours
  if [ ! -O "$state" ] || [ -L "$state" ] || [ ! -d "$state" ]; then die "$state exists and is not yours"; fi
}

free_port () { echo $((10240 + (RANDOM * 7 + $$) % 22000)); }
start_tgtd () { # sets $portal
  local port userns=() disk=$state/disk.img
  [ "$(id -u)" = 0 ] || userns=(unshare --user --map-root-user)
  truncate -s 64M "$disk"
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    port=$(free_port)
    rm -f "$TGT_IPC_SOCKET".*
    "${userns[@]}" tgtd -f -C 0 --iscsi "portal=127.0.0.1:$port" </dev/null >"$state/tgtd.log" 2>&1 &
    echo $! >"$state/tgtd.pid"
    disown
    if wait_until 5 portal_is_up "$port"; then break; fi
    kill -KILL "$(cat "$state/tgtd.pid")" 2>/dev/null || :
    port=
  done
  [ -n "$port" ] || return 1
  tgt --mode target --op new --tid 1 --targetname iqn.2026-01.org.example:quickstart
  tgt --mode logicalunit --op new --tid 1 --lun 1 --backing-store "$disk"
  tgt --mode logicalunit --op update --tid 1 --lun 1 --params thin_provisioning=1
  tgt --mode target --op bind --tid 1 --initiator-address 127.0.0.1
  portal=127.0.0.1:$port
}
portal_is_up () { tgt --mode portal --op show 2>/dev/null | grep -q ":$1,"; }
# Without user namespaces an ordinary user has no tgtadm: the project's own small target takes its place.
start_ramtgt () {
  make -s -C "$build" tests/tools/ramtgt >/dev/null
  "$build/tests/tools/ramtgt" --port 0 --iqn iqn.2026-01.org.example:quickstart --first-lun 1 \
    </dev/null >"$state/target.log" 2>&1 &
  echo $! >"$state/target.pid"
  disown
  wait_until 5 grep -q 'listening on' "$state/target.log" || die "no target: $(cat "$state/target.log")"
  portal=$(sed -n 's/.*listening on \([^ ]*\).*/\1/p' "$state/target.log" | head -n 1)
}

lun_files () { find "$mnt" -path "$mnt/.lunfs" -prune -o -type f -name 'lun*' -print | sort; }
have_lun () { [ -n "$(lun_files)" ]; }

try_out_as_root () { # FILE
  local fs=$state/fs loop
  loop=$(losetup --find --show --direct-io=on "$1") || return 1
  echo "$loop" >"$state/loop"
  say "ext4 on $loop, which is $1"
  mkfs.ext4 -q "$loop"
  mkdir -p "$fs"
  mount "$loop" "$fs"
  cp "$top/README" "$fs/"
  sync -f "$fs"
  cmp "$top/README" "$fs/README"
  ls -l "$fs"
  umount "$fs"
  e2fsck -fn "$loop" >/dev/null 2>&1 || die "the file system is not clean"
  losetup --detach "$loop"
  rm "$state/loop"
  echo "a file was written and read back; e2fsck finds the file system clean"
}
try_out_as_user () { # FILE
  say "ext4 in $1, made and read without a mount"
  mkdir -p "$state/tree"
  cp "$top/README" "$state/tree/"
  mkfs.ext4 -q -F -d "$state/tree" "$1"
  debugfs -R 'ls -l /' "$1" 2>/dev/null
  debugfs -R "dump /README $state/README" "$1" 2>/dev/null
  cmp "$top/README" "$state/README"
  e2fsck -fn "$1" >/dev/null 2>&1 || die "the file system is not clean"
  echo "a file was written and read back; e2fsck finds the file system clean"
}

if [ "$action" = stop ]; then
  stop
  exit 0
fi
if is_mounted "$mnt"; then
  say "running already"
  ls -l "$mnt"
  echo "stop it with: $0 --stop"
  exit 0
fi

packages=("${build_packages[@]}" fuse3 e2fsprogs mount util-linux)
[ -n "$source" ] || packages+=(tgt)
need_packages "${packages[@]}"
need_mtab
configure_tree build
say "make (in $build)"
make -s -C "$build" -j"$(nproc)" lunfs lunfsctl >/dev/null

if [ -e "$state" ]; then stop >/dev/null; fi # left over from a run that was cut short
mkdir -m 700 "$state"
mkdir "$mnt"
own=yes
if [ -n "$source" ]; then
  own=no
  [ "$write" = yes ] || options=(-o ro "${options[@]}")
else
  # leaves no name of its own behind
  options=(-o initiator_name=iqn.2026-01.org.example:quickstart-initiator "${options[@]}")
  say "a private target with a LUN of 64 MiB"
  if ! start_tgtd; then
    [ "$(id -u)" != 0 ] || die "tgtd does not start: $(cat "$state/tgtd.log")"
    start_ramtgt
  fi
  source=iscsi://$portal/iqn.2026-01.org.example:quickstart # the files are mnt/lunN, without a colon in their paths
  echo "$source"
fi

say "lunfs ${options[*]} $source $mnt"
"$build/lunfs" -o "log=$state/lunfs.log" -o "pidfile=$state/lunfs.pid" "${options[@]}" "$source" "$mnt" || {
  status=$?
  [ "$own" = no ] || stop >/dev/null
  exit "$status"
}
wait_until 20 have_lun || die "no LUN has appeared; see $mnt/.lunfs/status.json and $state/lunfs.log"
file=$(lun_files | head -n 1)
lun_files | xargs -d '\n' ls -l

if [ "$own" = yes ]; then
  if [ "$(id -u)" != 0 ] || ! try_out_as_root "$file"; then try_out_as_user "$file"; fi
fi

say "it is yours"
cat <<END
the LUN:      $file
its state:    $build/lunfsctl status; or top
END
fio_file=$file
case $file in *:*) fio_file="'${file//:/\\:}'" ;; esac # two files, else
if [ "$own" = yes ] || [ "$write" = yes ]; then
  cat <<END
go on with:   losetup --find --show --direct-io=on $file     (root: a block device; mount it)
              qemu-system-x86_64 -drive file=$file,format=raw,cache=none,aio=native
              fio --name=try --filename=$fio_file --direct=1 --rw=randread --bs=4k --iodepth=32 --ioengine=libaio --runtime=5
END
else
  echo "read-only:    with --write before the URL it is writable"
fi
case $file in *:*) echo "note:         a ':' in a path is special to fio (write '\\:', quoted) and to qemu (write an absolute path)" ;; esac
echo "stop it:      $0 --stop"
echo "install it:   make -C $build install    (root; then README, First mount)"
