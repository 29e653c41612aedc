#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# 49: port groups that change their state (ALUA).  In transition we wait, without pestering the target; with a portal in
# standby or unavailable too, or we go to another portal of the same name if there is one.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
private_mounts

# One name with two addresses: two portals, two port groups.
printf '127.0.0.1 localhost lunfs-two.test\n127.0.0.2 lunfs-two.test\n' >"$scratch/hosts"
mount --bind "$scratch/hosts" /etc/hosts
disk=$scratch/disk
start_fake --lun "8M,file=$disk" --alua --portal 127.0.0.1 --portal 127.0.0.2
mnt=$scratch/mnt
file=$mnt/lun0
up () { # HOST OPTIONS
  start_lunfs "iscsi://$1:$port/$iqn/0" "$mnt" -o "$2"
  lun_up "$mnt" 0
}
waits () { # STATE SENSE
  say "$1"
  begin_load
  fake alua 1 "$1"
  wait_for "lun_get '$mnt' 0 '.error | test (\"$2\")'" 10
  asked=$(fake_get .total.scsi)
  sleep 2
  asked=$(($(fake_get .total.scsi) - asked))
  [ "$asked" -le 60 ] || fail "$asked commands in 2 s"
  fake alua 1 optimized
  end_load
  lun_up "$mnt" 0
  lun_get "$mnt" 0 .alua | grep -q optimized || fail "the status says $(lun_get "$mnt" 0 .alua)"
  logged "$mnt" "$2" || fail "the log does not say why"
}
up 127.0.0.1 replacement_timeout=30,cmd_timeout=3
waits transitioning 04/0A
waits standby 04/0B
waits unavailable 04/0C
fake alua 1 nonoptimized
begin_load
end_load
fake alua 1 optimized
stop_lunfs "$mnt"

say "for longer than replacement_timeout"
up 127.0.0.1 replacement_timeout=2,cmd_timeout=2
fake alua 1 standby
expect_fail timeout $((60 * slow)) dd if="$file" of=/dev/null bs=4k count=1 iflag=direct status=none
expect_message 'input/output error'
fake alua 1 optimized
lun_up "$mnt" 0 30
same_data "$file" "$disk"
stop_lunfs "$mnt"

say "two portals"
up lunfs-two.test replacement_timeout=30,cmd_timeout=3
for n in 1 2 3; do
  here=$(lun_get "$mnt" 0 .portal)
  group=1
  [ "$here" = "${portals[0]}" ] || group=2
  say "at $here"
  begin_load
  fake alua $group standby
  wait_for "[ \"\$(lun_get '$mnt' 0 .portal)\" != $here ]" 20
  end_load
  fake alua $group optimized
done
fake_no_violations
stop_lunfs "$mnt"
