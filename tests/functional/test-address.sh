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

say "a target that sends us elsewhere"
tgt_host=127.0.0.2
start_target there
add_target moved
add_lun "$(backing moved 8M)"
there=$port
tgt_host=127.0.0.1
start_target here
add_target moved
tgt --mode target --op update --tid "$tid" --name RedirectAddress --value 127.0.0.2
tgt --mode target --op update --tid "$tid" --name RedirectPort --value "$there"
tgt --mode target --op update --tid "$tid" --name RedirectReason --value Temporary
start_lunfs "iscsi://$portal/$iqn/1" "$mnt"
lun_up "$mnt" 1
head -c 1000000 /dev/urandom | dd of="$mnt/lun1" conv=notrunc,fsync status=none
same_data "$mnt/lun1" "$scratch/moved"
use_target there
expect_equal "$(count_connections)" 1 "connections"
stop_lunfs "$mnt"

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
