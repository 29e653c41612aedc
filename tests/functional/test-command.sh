#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The command line itself: help, version, and messages with the right exit status.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

expect_equal "$(lunfs -V 2>&1 | grep -c '^lunfs.* [0-9]')" 1 "version lines"
lunfs -h >"$scratch/help"
lunfs --help >"$scratch/help2"
cmp "$scratch/help" "$scratch/help2"
for word in credentials replacement_timeout header_digest allow_other; do
  grep -q "${word//_/[-_]}" "$scratch/help" || fail "--help does not name $word"
done
grep -q -- '--cache=writeback|writethrough|none|page .*\[writeback\]' "$scratch/help"
grep -q -- '--cache-size=SIZE .*\[128M\]' "$scratch/help"
grep -q -- '--cache-max-dirty=SIZE .*\[half of cache_size\]' "$scratch/help"
grep -q -- '--cache-write-delay=MILLISECONDS .*\[5\]' "$scratch/help"
grep -q -- '--read-ahead=SIZE .*\[8M\]' "$scratch/help"
grep -q -- '--buffer-size=SIZE .*\[as much as max_background needs\]' "$scratch/help"
! grep -F '[0M]' "$scratch/help" || fail "a default of nothing"

usage='usage|option|argument|source|mount ?point|--help'
mkdir "$scratch/mnt"
expect_fail lunfs
expect_status 7
expect_message "$usage"
expect_fail lunfs iscsi://127.0.0.1
expect_status 7
expect_fail lunfs --no-such-option iscsi://127.0.0.1 "$scratch/mnt"
expect_status 7
expect_message 'no.such.option'
expect_fail lunfs -o no_such_option=1 iscsi://127.0.0.1 "$scratch/mnt"
expect_status 7
expect_message 'no.such.option'
expect_fail lunfs -o replacement_timeout=soon iscsi://127.0.0.1 "$scratch/mnt"
expect_status 7
expect_message 'replacement_timeout.*soon'
expect_fail lunfs -o cache_max_dirty=97M iscsi://127.0.0.1 "$scratch/mnt"
expect_status 7
expect_message 'cache_max_dirty.*cache_size'
expect_fail lunfs http://127.0.0.1 "$scratch/mnt"
expect_status 7
expect_message 'iscsi://'
for source in iscsi:// iscsi://host:99999 iscsi://host/not-a-name iscsi://host/iqn.2026-01.org.example:t/99999 \
  iscsi://host/iqn.2026-01.org.example:t/0/1 'iscsi://[::1' iscsi://@/; do
  expect_fail lunfs "$source" "$scratch/mnt"
  expect_status 7
done
expect_fail lunfs iscsi://127.0.0.1 "$scratch/nowhere"
expect_message 'nowhere'
[ "$status" = 40 ] || [ "$status" = 13 ] || [ "$status" = 7 ] || fail "status $status"
# A plain file stands for one LUN, so the source must name one.
: >"$scratch/plain"
expect_fail lunfs iscsi://127.0.0.1/iqn.2026-01.org.example:t "$scratch/plain"
expect_status 7
