#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The packages for Debian and for rpm are built of what "make dist" gives; lintian finds nothing; the Debian one is installed in a
# Debian 12 that has nothing else, used as the README begins, and purged without a trace; so is the other, by rpm alone.
# shellcheck disable=SC2034 # read there
optional=1
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
requires make tar dpkg-buildpackage dh lintian rpmbuild rpm
private_mounts
not_under_valgrind "packages are built anew"
# shellcheck source=tests/long/debian.sh
. "$top_srcdir/tests/long/debian.sh"
test_limit 1800
version=$("$top_builddir/lunfs" --version | sed -n 's/^lunfs //p')

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

say "rpm"
logged rpm rpmbuild --nodeps --nocheck --define "_topdir $scratch/rpm" --define "_smp_mflags -j2" \
  -bb "lunfs-$version/packaging/rpm/lunfs.spec"
rpm=$(find "$scratch/rpm/RPMS" -name "lunfs-$version-*.rpm" ! -name '*debug*')
[ -n "$rpm" ] || fail "no package: $(tail "$scratch/rpm.out")"

say "both hold the same programs, manual pages, completions and units"
# What must be there, as the two have it: where Debian wants a file elsewhere, that comes second.
cat >"$scratch/wanted" <<'LIST'
/usr/bin/lunfs
/usr/bin/lunfsctl
/usr/sbin/lunfs-mounter
/usr/share/man/man5/lunfs.conf.5
/usr/share/man/man8/lunfs.8
/usr/share/man/man8/lunfs-mounter.8
/usr/share/man/man8/lunfsctl.8
/usr/share/man/man8/mount.fuse.lunfs.8
/usr/share/bash-completion/completions/lunfs
/usr/share/bash-completion/completions/lunfsctl
/usr/share/zsh/site-functions/_lunfs /usr/share/zsh/vendor-completions/_lunfs
/usr/share/zsh/site-functions/_lunfsctl /usr/share/zsh/vendor-completions/_lunfsctl
/usr/lib/systemd/system/lunfs@.service /lib/systemd/system/lunfs@.service
/usr/lib/systemd/system/lunfs-loop@.service /lib/systemd/system/lunfs-loop@.service
/usr/lib/systemd/user/lunfs@.service
/usr/share/doc/lunfs/README
/usr/share/doc/lunfs/NEWS
/usr/share/doc/lunfs/lunfs.conf
/usr/share/doc/lunfs/examples/fstab
/usr/share/doc/lunfs/examples/srv-data.mount
LIST
# What each packager adds of its own.
own='/usr/share/(doc/lunfs/(changelog.Debian|copyright)|lintian/.*|licenses/.*)|/usr/lib/.build-id.*'
compare () { # LIST FIELD: its files, as they are installed, are those that are wanted
  awk -v field="$2" '{print (NF < field ? $1 : $field)}' "$scratch/wanted" | sort >"$scratch/expected"
  sed 's/\.gz$//' "$scratch/$1.files" | grep -vxE "$own" | sort >"$scratch/found"
  diff "$scratch/expected" "$scratch/found" >"$scratch/differ" || fail "$1 has not what it should (<) or more (>): $(cat "$scratch/differ")"
}
dpkg-deb -c "$deb" | awk '$6 !~ /\/$/ {print substr ($6, 2)}' >"$scratch/deb.files"
plain rpm -qp --queryformat '[%{FILEMODES:perms} %{FILENAMES}\n]' "$rpm" | awk '/^-/ {print $2}' >"$scratch/rpm.files"
compare deb 2
compare rpm 1

# Nothing of it was there before, nothing is there after.  What apt and man have kept of it is theirs.
remains () { find "$root"/{etc,lib,usr,var,run} -xdev -name '*lunfs*' ! -path "$root/var/cache/*" ! -path "$root/var/lib/apt/*"; }
begin_traces () {
  remains >"$scratch/before"
  [ ! -s "$scratch/before" ] || fail "this is not a bare Debian: $(cat "$scratch/before")"
}
no_traces () { # AFTER WHAT
  remains >"$scratch/left"
  [ ! -s "$scratch/left" ] || fail "$1 leaves: $(cat "$scratch/left")"
}

say "a bare Debian 12"
root=$scratch/root
debian_root "$root"
inside () { plain HOME=/root TMPDIR=/tmp chroot "$root" "$@"; }
begin_traces
cp "$deb" "$root/root/"
logged update chroot "$root" apt-get update
# With what it depends on, and nothing that is only recommended.
logged install chroot "$root" apt-get install -y --no-install-recommends "/root/$(basename "$deb")"

say "installed"
expect_equal "$(inside lunfs --version | sed -n 1p)" "lunfs $version" "version"
expect_equal "$(inside lunfsctl --version | sed 's/.* //')" "$version" "version of lunfsctl"
inside lunfs-mounter --version >/dev/null
inside bash -n /usr/share/bash-completion/completions/lunfs
expect_equal "$(stat -c %U:%a "$root/etc/lunfs")" root:755 "/etc/lunfs"
# What looks at the rest comes after lunfs, which must not need it.
logged others chroot "$root" apt-get install -y --no-install-recommends man-db systemd
for page in "$root"/usr/share/man/man[58]/*lunfs*; do
  inside man --local-file --warnings "${page#"$root"}" >"$scratch/page" 2>"$scratch/message" || cat "$scratch/message"
  if [ -s "$scratch/message" ] || [ ! -s "$scratch/page" ]; then fail "$page: $(cat "$scratch/message")"; fi
done
# The unit, the programs it starts and the pages it names.
unit_is_good () { # --system|--user UNIT
  inside env XDG_RUNTIME_DIR=/run systemd-analyze "$1" verify "$2" >"$scratch/message" 2>&1 || fail "$2: $(cat "$scratch/message")"
  [ ! -s "$scratch/message" ] || fail "$2: $(cat "$scratch/message")"
}
unit_is_good --system lunfs@t1.service
unit_is_good --system lunfs-loop@srv-t1-lun1.service
unit_is_good --user lunfs@t1.service

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
rm "$root/root/$(basename "$deb")"
logged purge chroot "$root" dpkg --purge lunfs
no_traces purge

say "the other package, by rpm alone"
begin_traces
mkdir "$root/root/db"
logged rpm-install rpm --root "$root" --dbpath /root/db --install --nodeps "$rpm"
expect_equal "$(inside lunfs --version | sed -n 1p)" "lunfs $version" "version"
logged rpm-verify rpm --root "$root" --dbpath /root/db --verify --nodeps lunfs
logged rpm-erase rpm --root "$root" --dbpath /root/db --erase lunfs
no_traces "rpm --erase"
