#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# 13: the target sends us elsewhere: to another portal, by address and by name, to one that refuses, to a name nobody
# knows, to nonsense, round in circles, and to a name that is looked up for ever.  Each attempt ends, the status says why,
# other LUNs do not suffer, and the next attempt begins at the portal that the user named.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
private_mounts

printf '127.0.0.1 localhost lunfs-there.test\n' >"$scratch/hosts"
mount --bind "$scratch/hosts" /etc/hosts
echo 'nameserver 127.0.0.77' >"$scratch/resolv.conf"
mount --bind "$scratch/resolv.conf" "$(realpath /etc/resolv.conf)"

disk=$scratch/disk
start_fake --lun "8M,file=$disk" --lun 8M --portal 127.0.0.1 --portal 127.0.0.1:0
mnt=$scratch/mnt
file=$mnt/lun0
random_file new 1M >/dev/null
up () { # [LUN]
  start_lunfs "iscsi://$portal/$iqn${1:+/$1}" "$mnt" -o login_timeout=2,replacement_timeout=60
  lun_up "$mnt" 0
}
for there in "${portals[1]}" "lunfs-there.test:${portals[1]##*:}"; do
  fake_rule "login port=0 times=all : redirect $there,1"
  fake_rule "discovery port=0 times=all : redirect $there,1"
  for lun in 0 ''; do # asked for by number, or found by REPORT LUNS
    up "$lun"
    expect_equal "$(lun_get "$mnt" 0 .portal)" "${portals[1]}" "portal"
    dd if=/dev/urandom of="$scratch/new" bs=64k count=16 status=none
    dd if="$scratch/new" of="$file" bs=64k conv=notrunc,fsync status=none
    cmp -n 1048576 "$scratch/new" "$disk"
    stop_lunfs "$mnt"
  done
  fake clear
done

for where in 127.0.0.1:9,1 lunfs-nowhere.invalid:3260,1 127.0.0.1:notaport "$portal,1"; do
  say "redirected to $where"
  up 0
  tried=$(fake_get .connections)
  fake_rule "login times=all : redirect $where"
  fake drop
  wait_for "[ \"\$(lun_get '$mnt' 0 .counters.login_failures)\" -gt 0 ]" 30
  lun_get "$mnt" 0 '.error | length > 0' >/dev/null || fail "the status gives no reason"
  lun_get "$mnt" 0 .error
  # A circle is left after some logins, and a failed attempt is followed by a pause.
  tried=$(($(fake_get .connections) - tried))
  [ "$tried" -le 60 ] || fail "$tried connections"
  fake clear
  lun_up "$mnt" 0 30
  expect_equal "$(lun_get "$mnt" 0 .portal)" "$portal" "portal"
  cmp -n 1048576 "$scratch/new" "$file"
  expect_equal "$(lun_get "$mnt" 0 .counters.errors)" 0 "errors"
  logged "$mnt" 'trying again' || fail "the log says nothing"
  stop_lunfs "$mnt"
done

say "looked up for ever"
python3 -c 'import socket, time
s = socket.socket (socket.AF_INET, socket.SOCK_DGRAM)
s.bind (("127.0.0.77", 53))
print ("deaf", flush = True)
time.sleep (1000)' >"$scratch/nameserver" 2>&1 &
nameserver=$!
disown $nameserver
cleanup_fn kill_quietly $nameserver
wait_for "grep -q deaf '$scratch/nameserver' || ! alive $nameserver" 10
up
lun_up "$mnt" 1
fake_rule "login times=all : redirect lunfs-silent.test:3260,1"
fake_rule "read lun=0 : drop"
dd if="$file" of="$scratch/read" bs=64k count=1 iflag=direct status=none &
reader=$!
wait_for "[ \"\$(lun_get '$mnt' 0 .state)\" = resolve ]" 10
dd if=/dev/urandom of="$mnt/lun1" bs=64k count=16 conv=notrunc,fsync status=none
expect_equal "$(lun_get "$mnt" 0 .state)" resolve "state after other I/O"
fake clear
wait $reader
same_data "$scratch/read" "$scratch/new" 65536
expect_equal "$(lun_get "$mnt" 0 .counters.errors)" 0 "errors"
fake_no_violations
stop_lunfs "$mnt"
