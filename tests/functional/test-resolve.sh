#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Host names on a host that has only its loopback interface (a network namespace): /etc/hosts is enough.
# A name that does not resolve is one clear message, and the mount waits for it.
if [ "${LUNFS_NETNS:-}" != 1 ] && [ "$(id -u)" = 0 ]; then LUNFS_NETNS=1 exec unshare --net bash "$0"; fi
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
private_mounts
requires ip
ip link set lo up
for name in hosts nsswitch.conf; do [ -e "/etc/$name" ] || skip "no /etc/$name"; done
printf '127.0.0.1 localhost\n127.0.0.1 disk-box\n' >"$scratch/dev/hosts"
echo 'hosts: files' >"$scratch/dev/nsswitch.conf"
mount --bind "$scratch/dev/hosts" /etc/hosts
mount --bind "$scratch/dev/nsswitch.conf" /etc/nsswitch.conf

start_target
add_target named
disk=$(random_file disk 1M)
add_lun "$disk"
mnt=$scratch/mnt
for host in disk-box localhost; do
  say "$host"
  start_lunfs "iscsi://$host:$port/$iqn" "$mnt"
  lun_up "$mnt" 1
  same_data "$mnt/lun1" "$disk"
  expect_equal "$(lun_get "$mnt" 1 .portal)" "127.0.0.1:$port" "portal"
  stop_lunfs "$mnt"
done

say "a name that appears later: for one LUN and for all"
for source in "san-box:$port/$iqn/1" "san-box:$port/$iqn"; do
  start_lunfs "iscsi://$source" "$mnt" 2>"$scratch/message"
  cat "$scratch/message"
  expect_message 'cannot find the address of san-box: Name or service not known'
  expect_equal "$(wc -l <"$scratch/message")" 1 "lines said"
  echo '127.0.0.1 san-box' >>"$scratch/dev/hosts"
  lun_up "$mnt" 1 40
  same_data "$mnt/lun1" "$disk"
  stop_lunfs "$mnt"
  sed '/san-box/d' "$scratch/dev/hosts" >"$scratch/hosts"
  cat "$scratch/hosts" >"$scratch/dev/hosts" # the bind mount holds the file itself
done
