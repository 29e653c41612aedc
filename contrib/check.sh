#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#   contrib/check.sh           all tests, from a bare Debian 12
#   contrib/check.sh TEST...   these only, as in tests/unit/check_url tests/functional/test-tree.sh
#
# Installs what they need, builds in build-check/ with warnings as errors, runs "make check" and, unless
# LUNFS_CHECK_QUICK=1, the unit tests and some functional ones again with AddressSanitizer and UBSan.
# The last line is "N passed, N failed, N skipped".  The status is not 0 if a test failed or was skipped that must run.
set -uo pipefail
# shellcheck source=contrib/lib.sh
. "$(dirname "$0")/lib.sh"

usage () { sed -n '3,8s/^# \{0,1\}//p' "$0"; }
case ${1:-} in
  --help | -h)
    usage
    exit 0
    ;;
esac
for test; do
  if [[ $test == -* || ! -e $top/$test && ! -e $top/$test.c ]]; then
    echo "error: there is no test '$test'" >&2
    usage >&2
    exit 7
  fi
done
only=()
[ "$#" = 0 ] || only=("TESTS=$*")

passed=0 failed=0 skipped=0 verdict=1
trap 'printf "%d passed, %d failed, %d skipped\n" "$passed" "$failed" "$skipped"; exit "$verdict"' EXIT
give_up () {
  echo "error: $*" >&2
  failed=$((failed + 1))
  exit 1
}

# add_results BUILD-TREE: what its test logs say
add_results () {
  local kind name
  while IFS=: read -r name _ kind; do
    kind=${kind# }
    case $kind in
      PASS | XFAIL) passed=$((passed + 1)) ;;
      SKIP) skipped=$((skipped + 1)) && echo "skipped: ${name%.trs}" ;;
      *) failed=$((failed + 1)) && echo "$kind: ${name%.trs}" && tail -n 40 "$1/${name%.trs}.log" ;;
    esac
  done < <(cd "$1" && find tests -name '*.trs' -exec grep -H -o '^:global-test-result: .*' {} + |
    sed 's/::global-test-result: /:x: /')
}

export LC_ALL=C LUNFS_CI=1
need_packages "${build_packages[@]}" check fuse3 tgt fio qemu-utils qemu-block-extra qemu-system-x86 e2fsprogs xfsprogs \
  btrfs-progs jq python3 shellcheck attr busybox-static iproute2 kmod mount util-linux procps psmisc libiscsi-bin \
  man-db zsh prometheus || give_up "packages"
need_mtab
configure_tree build-check --enable-werror || give_up "configure"

as_root=()
if [ "$(id -u)" != 0 ] && [ "$have_root" = yes ]; then as_root=(sudo env LC_ALL=C LUNFS_CI=1); fi
jobs=$(nproc)

say "make"
make -s -C "$build" -j"$jobs" || give_up "the build failed"
say "make check"
status=0
find "$build/tests" -name '*.trs' -exec "${as_root[@]}" rm -f {} +
"${as_root[@]}" make -C "$build" -j"$jobs" check "${only[@]}" || status=1
add_results "$build"

if [ "${LUNFS_CHECK_QUICK:-0}" != 1 ] && [ "$status" = 0 ] && [ "$#" = 0 ]; then
  say "make check-asan"
  "${as_root[@]}" make -s -C "$build" -j"$jobs" check-asan-short || status=1
  add_results "$build/build-asan/build"
fi
[ "$status" != 0 ] || [ "$failed" != 0 ] || verdict=0
