#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Every library that the programs need is in the packages that the container's last stage installs.
# shellcheck disable=SC2034
optional=1
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
requires dpkg-query apt-cache ldd
[ "$sanitizers" = no ] || skip "sanitizers bring libraries of their own"
grep -qs '^VERSION_ID="12"' /etc/os-release || skip "this is not Debian 12"
awk '/^FROM/ {text = ""} {text = text $0 "\n"} END {print text}' "$top_srcdir/packaging/container/Containerfile" >"$scratch/stage"
packages=$(sed -n 's/.*--no-install-recommends \(.*\) && .*/\1/p' "$scratch/stage")
[ -n "$packages" ] || fail "no packages in: $(cat "$scratch/stage")"
# shellcheck disable=SC2086 # a list
apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances --installed \
  $packages | sed -n 's/^\([a-z0-9]\)/\1/p' | sed 's/:.*//' | sort -u >"$scratch/closure"
for program in lunfs lunfsctl lunfs-mounter; do
  grep -q "/$program\b" "$scratch/stage" || fail "$program is not in the image"
  ldd "$(command -v $program)" | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p'
done | sort -u >"$scratch/libraries"
# With /usr merged, packages still name what was in /lib so.
sed 'p; s#^#/usr#' "$scratch/libraries" | xargs dpkg-query -S 2>/dev/null | sed 's/:.*: / /' >"$scratch/owners" || :
while read -r library; do
  package=$(sed -n "s#^\([^ ]*\) \(/usr\)\?$library\$#\1#p" "$scratch/owners" | head -n 1)
  grep -qx "${package:-none}" "$scratch/closure" || fail "$library is of ${package:-no package}, which is not installed"
done <"$scratch/libraries"
[ -s "$scratch/libraries" ] || fail "no libraries"
