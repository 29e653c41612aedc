# shellcheck shell=bash disable=SC2154
# SPDX-License-Identifier: GPL-2.0-or-later
# Debian 12 and nothing else, for the tests here: what the machine happens to have installed does not help, and nothing that is
# done there is done to the machine.  Comes after functions.sh, and wants private_mounts.

debian_mirror=${LUNFS_DEBIAN_MIRROR:-http://deb.debian.org/debian}
# Sets $debian, a tar archive of it.  Made once for a build tree; some 40 MB from Debian's archive.
debian_archive () {
  requires debootstrap tar flock
  local dir=$top_builddir/tests/functional/scratch
  debian=$dir/debian-12.tar
  mkdir -p "$dir"
  (
    flock 9
    [ ! -e "$debian" ] || exit 0
    debootstrap --variant=minbase bookworm "$scratch/debian" "$debian_mirror" 9>&- || exit
    rm -rf "$scratch"/debian/var/cache/apt/archives/*.deb
    tar -C "$scratch/debian" -cf "$debian.new" .
    mv "$debian.new" "$debian"
  ) 9>"$dir/debian.lock" >"$scratch/debootstrap.out" 2>&1 || {
    tail -n 5 "$scratch/debootstrap.out"
    skip "debootstrap cannot make a Debian 12 from $debian_mirror"
  }
  rm -rf --one-file-system "$scratch/debian"
}
# debian_root DIRECTORY: unpacked there, with what programs want to have mounted.  Nothing is started when it is installed.
debian_root () {
  local root=$1
  debian_archive
  mkdir "$root"
  tar -C "$root" -xf "$debian"
  mount --bind "$root" "$root"
  cleanup_fn umount -l "$root"
  mount -t proc proc "$root/proc"
  mount --bind /dev "$root/dev"
  mount -t tmpfs -o mode=755 tmpfs "$root/run"
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
  chmod 755 "$root/usr/sbin/policy-rc.d"
  cp /etc/resolv.conf "$root/etc/resolv.conf"
}
# Neither make's settings nor those of the tests around this one.
plain () {
  env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME="$scratch" LC_ALL=C TMPDIR="$scratch" DEBIAN_FRONTEND=noninteractive "$@"
}
# logged NAME COMMAND...: what it says goes into $scratch/NAME.out, and is seen when it fails.
logged () {
  local log=$scratch/$1.out
  shift
  plain "$@" >"$log" 2>&1 || {
    tail -n 40 "$log"
    fail "$*"
  }
}
