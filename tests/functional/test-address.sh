#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# IPv4, IPv6 and host names; header digests.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

start_target
add_target four
add_lun "$(random_file a 1M)"
mnt=$scratch/mnt
for digest in none crc32c; do
  say "host name, header digest $digest"
  start_lunfs "iscsi://localhost:$port/$iqn" "$mnt" -o header_digest=$digest
  lun_up "$mnt" 1
  same_data "$mnt/lun1" "$scratch/a"
  stop_lunfs "$mnt"
done
say "a name that does not resolve: mounted or not, it ends and says why"
if timeout $((30 * slow)) bash -c 'exec "$@"' _ lunfs -o "log=$scratch/lunfs9.log,initiator_name=$initiator,login_wait=2" \
  -o "pidfile=$scratch/lunfs9.pid" "iscsi://no-such-host.invalid/$iqn" "$mnt" 2>"$scratch/message"; then
  lunfs_pids[$mnt]=$scratch/lunfs9.pid
  lunfs_logs[$mnt]=$scratch/lunfs9.log
  cleanup_fn kill_lunfs "$mnt"
  status_get "$mnt" .lunfs.version
  cat "$scratch/lunfs9.log" "$scratch/message" >"$scratch/all"
  grep -q no-such-host.invalid "$scratch/all" || fail "no word about the host name"
  stop_lunfs "$mnt"
else
  cat "$scratch/message"
  expect_message no-such-host.invalid
fi

if [ ! -e /proc/sys/net/ipv6 ] || ! grep -q '^0\{31\}1 ' /proc/net/if_inet6; then
  say "no IPv6 here"
  exit 0
fi
say "IPv6"
tgt_host='[::1]'
start_target six
add_target six
add_lun "$(random_file b 1M)"
start_lunfs "iscsi://$portal/$iqn" "$mnt"
lun_up "$mnt" 1
same_data "$mnt/lun1" "$scratch/b"
stop_lunfs "$mnt"
