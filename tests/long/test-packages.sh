#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The packages for Debian and for rpm are built of what "make dist" gives; lintian finds nothing; the Debian one is installed, used
# as the README begins, and purged without a trace.
# shellcheck disable=SC2034 # read there
optional=1
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
requires make tar dpkg-buildpackage dh lintian rpmbuild
private_mounts
not_under_valgrind "packages are built anew"
test_limit 1800
version=$("$top_builddir/lunfs" --version | sed -n 's/^lunfs //p')
# Neither make's settings nor those of the tests around this one.
plain () { env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME="$scratch" LC_ALL=C TMPDIR="$scratch" "$@"; }
logged () { # NAME COMMAND...
  local log=$scratch/$1.out
  shift
  plain "$@" >"$log" 2>&1 || {
    tail -n 40 "$log"
    fail "$*"
  }
}

say "make dist"
logged dist make -C "$top_builddir" distdir "distdir=$scratch/lunfs-$version"
tar -cJf "lunfs_$version.orig.tar.xz" "lunfs-$version"
mkdir -p rpm/SOURCES
cp "lunfs_$version.orig.tar.xz" "rpm/SOURCES/lunfs-$version.tar.xz"

say "Debian"
cp -a "lunfs-$version/packaging/debian" "lunfs-$version/debian"
cd "lunfs-$version"
logged deb env DEB_BUILD_OPTIONS="parallel=2" dpkg-buildpackage -us -uc
cd "$scratch"
logged lintian lintian --fail-on error,warning --allow-root ./*.changes
cat "$scratch/lintian.out"
deb=$(echo "$scratch/lunfs_${version}"-*.deb)
dpkg-deb -c "$deb" | awk '$6 !~ /\/$/ {print $6}' | sort >"$scratch/deb.files"

say "rpm"
logged rpm rpmbuild --nodeps --nocheck --define "_topdir $scratch/rpm" --define "_smp_mflags -j2" \
  -bb "lunfs-$version/packaging/rpm/lunfs.spec"
rpm=$(find "$scratch/rpm/RPMS" -name "lunfs-$version-*.rpm" ! -name '*debug*')
[ -n "$rpm" ] || fail "no package: $(tail "$scratch/rpm.out")"
plain rpm -qpl "$rpm" >"$scratch/rpm.files"

say "both hold the same programs, manual pages and completions"
names () { # LIST: without directories, which differ
  grep -E '/(bin|man|completions|[a-z]*-functions|vendor-completions|systemd)/.*[^/]$' "$1" | sed -e 's/.*\///' -e 's/\.gz$//' | sort -u
}
for list in deb rpm; do
  names "$scratch/$list.files" >"$scratch/$list.names"
  for name in lunfs lunfsctl lunfsctl.8 _lunfs _lunfsctl lunfs@.service; do
    grep -qxF "$name" "$scratch/$list.names" || fail "$name is not in the $list: $(cat "$scratch/$list.names")"
  done
done
diff <(grep -vxE 'man[0-9]|system|user' "$scratch/deb.names") <(grep -vxE 'man[0-9]|system|user' "$scratch/rpm.names") >"$scratch/differ" ||
  fail "the packages differ: $(cat "$scratch/differ")"

say "install"
root=$scratch/root
mkdir "$scratch/layer" "$root"
mount -t tmpfs tmpfs "$scratch/layer"
cleanup_fn umount -l "$scratch/layer"
mkdir "$scratch/layer/upper" "$scratch/layer/work"
# This system's own files with a layer above: what the package needs is there, or it would not have been built.
mount -t overlay -o "lowerdir=/,upperdir=$scratch/layer/upper,workdir=$scratch/layer/work" overlay "$root" 2>/dev/null ||
  { say "no overlay file system: not installed"; exit 0; }
cleanup_fn umount -l "$root"
mount --bind /proc "$root/proc"
mount --bind /dev "$root/dev"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mkdir -p "$root/root/pkg"
cp "$deb" "$root/root/pkg/lunfs.deb"
inside () { plain DEBIAN_FRONTEND=noninteractive HOME=/root TMPDIR=/tmp chroot "$root" "$@"; }
remains () { find "$root"/{etc,lib,usr/lib,usr/bin,usr/share,var/lib,run} -xdev -name '*lunfs*' ! -path '*/doc-base/*' 2>/dev/null | sort; }
remains >"$scratch/before"
logged install chroot "$root" dpkg -i /root/pkg/lunfs.deb
inside lunfs --version | grep -qx "lunfs $version" || fail "another lunfs is installed"
inside lunfsctl --version
[ "$(stat -c %U:%a "$root/etc/lunfs")" = root:755 ] || fail "/etc/lunfs: $(ls -ld "$root/etc/lunfs")"

say "as the README begins"
start_ramtgt --iqn iqn.2026-01.org.example:t1 --luns 2 --size 16m
command=$(sed -n 's/^    \(touch .*lunfs iscsi:\/\/san.*disk\) .*/\1/p' "$top_srcdir/README" | sed "s,iscsi://san/,iscsi://$portal/,")
say "$command"
[ -n "$command" ] || fail "the command was not found"
inside sh -c "$command"
unmount_disk () { umount -l "$root/root/disk" 2>/dev/null || :; }
cleanup_fn unmount_disk
expect_equal "$(stat -c %s "$root/root/disk")" $((16 << 20)) "size of the LUN"
supervisor=$(basename "$root"/run/lunfs/*.sock .sock)
echo hello | dd of="$root/root/disk" conv=notrunc,fsync status=none
inside umount /root/disk
wait_for "! alive $supervisor" 15

say "purge"
logged purge chroot "$root" dpkg --purge lunfs
remains | grep -vxFf "$scratch/before" >"$scratch/left" || :
[ ! -s "$scratch/left" ] || fail "purge leaves: $(cat "$scratch/left")"
