# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: GPL-2.0-or-later
# What quickstart.sh and check.sh share: packages and the build.

say () { printf '\033[1m==> %s\033[0m\n' "$*"; }
die () {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build_packages=(autoconf automake gcc libc6-dev make pkg-config xz-utils libfuse3-dev libglib2.0-dev libiscsi-dev libjson-glib-dev)
PATH=$PATH:/usr/sbin:/sbin

# The way to root, if there is one: become_root=() as root, (sudo), or "no".
have_root=yes
become_root=()
if [ "$(id -u)" != 0 ]; then
  if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then become_root=(sudo); else have_root=no; fi
fi

# need_packages NAME...: install those that are missing.
need_packages () {
  local missing=() p
  command -v dpkg-query >/dev/null || {
    say "not a Debian system: taking for granted that what is needed is installed"
    return 0
  }
  for p; do
    [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$p" 2>/dev/null)" = "ii " ] || missing+=("$p")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  [ "$have_root" = yes ] || die "packages are missing; as root: apt-get install ${missing[*]}"
  say "installing: ${missing[*]}"
  "${become_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq update
  "${become_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends -y "${missing[@]}" \
    >/dev/null
}

# fusermount3 unmounts nothing without it.  Debian's installer makes it, debootstrap does not.
need_mtab () {
  [ ! -e /etc/mtab ] || return 0
  [ "$have_root" = yes ] || die "/etc/mtab is missing; as root: ln -s ../proc/self/mounts /etc/mtab"
  "${become_root[@]}" ln -s ../proc/self/mounts /etc/mtab
}

# configure_tree DIRECTORY [OPTION...]: sets $build, a build tree of its own for each of the two scripts, so that one
# does not replace the programs the other one runs; unless the source tree itself is configured already (then configure
# refuses to work elsewhere, and keeps its options) or LUNFS_BUILD_DIR names a finished build.
configure_tree () {
  local directory=$1 old=
  shift
  if [ -n "${LUNFS_BUILD_DIR:-}" ]; then
    build=$(cd "$LUNFS_BUILD_DIR" && pwd)
    [ -e "$build/config.status" ] || die "$build is not configured"
    return 0
  fi
  if [ ! -x "$top/configure" ]; then
    say "autoreconf -fi"
    (cd "$top" && autoreconf -fi >/dev/null)
  fi
  build=$top/$directory
  if [ -e "$top/config.status" ]; then build=$top; fi
  if [ -e "$build/config.status" ]; then
    old=$("$build/config.status" --config)
    case $old in *"$*"*) return 0 ;; esac
  fi
  say "configure${old:+ $old}${*:+ $*}"
  mkdir -p "$build"
  (cd "$build" && eval "\"\$top/configure\" -q $old $*")
}
