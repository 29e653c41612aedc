#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Fault 10: the name service does not answer when a session wants to log in again.  Only that session waits: LUNs whose
# sessions are up, and the status, do not notice.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
# shellcheck source=tests/faults/faults.sh
. "$top_srcdir/tests/faults/faults.sh"

private_network
test_limit 150
requires python3
# A name server that never answers, for this test's network only.
printf 'nameserver %s\noptions timeout:2 attempts:2\n' $tgt_host >"$scratch/resolv.conf"
printf '127.0.0.1 localhost\n%s target.lunfs.test\n' $tgt_host >"$scratch/hosts.good"
printf '127.0.0.1 localhost\n' >"$scratch/hosts.bad"
cp "$scratch/hosts.good" "$scratch/hosts"
printf 'hosts: files dns\n' >"$scratch/nsswitch.conf"
for f in hosts resolv.conf nsswitch.conf; do
  [ -e /etc/$f ] || skip "no /etc/$f to put another one in its place"
  mount --bind "$scratch/$f" "$(realpath /etc/$f)"
done
python3 -c 'import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 53))
print("ready", flush=True)
time.sleep(3600)' $tgt_host >"$scratch/dns.out" &
cleanup_fn kill_quietly $!
disown
wait_for "grep -q ready '$scratch/dns.out'" 10

target_with 16M 2
portal=target.lunfs.test:$port
mount_all 2
start_load 1 --punch --zero
start_load 2 --punch --zero
cat "$scratch/hosts.bad" >"$scratch/hosts" # the same file
# LUN 1's connection alone.
sid=$(tgt --mode conn --op show --tid "$tid" | awk '/^Session:/ {print $2}' | sort -n | head -n 1)
tgt --mode conn --op delete --tid "$tid" --sid "$sid" --cid 0
wait_for "[ \"\$(status_get '$mnt' '[.targets[].luns[] | select (.state != \"up\")] | length')\" = 1 ]" 10
lost=$(status_get "$mnt" '[.targets[].luns[] | select (.state != "up")][0].lun')
other=$((3 - lost))
# What the other one's application sees from now on:
stop_load "another session, while the names are gone: before" "$other"
start_load "$other" --punch --zero
from=$(date +%s%N)
status_get "$mnt" .lunfs.version
took=$((($(date +%s%N) - from) / 1000000))
[ "$took" -lt $((1000 * slow)) ] || fail "the status took $took ms"
wait_for "[ \"\$(counter $lost login_failures)\" -ge 1 ]" 40 # look-ups take 4 s each
moves "$other"
stop_load "another session, while the names are gone" "$other"
[ "$stall" -lt $((1500 * slow)) ] || fail "a session that was up has waited for the name service"
logged "$mnt" 'target.lunfs.test' || fail "the log does not say why"
cat "$scratch/hosts.good" >"$scratch/hosts"
relogins "$lost" 1 60
moves "$lost"
stop_load "names gone until the second look-up (4 s each)" "$lost"
no_errors 1 2
stop_lunfs "$mnt"
