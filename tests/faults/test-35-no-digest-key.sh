#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# 35: a target that leaves HeaderDigest out of its answer; one that needs login to go through SecurityNegotiation; one
# with a header digest.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

disk=$scratch/disk
start_fake --lun "8M,file=$disk"
mnt=$scratch/mnt
file=$mnt/lun0
works () {
  start_lunfs "iscsi://$portal/$iqn" "$mnt" "$@"
  lun_up "$mnt" 0
  begin_load
  end_load
  stop_lunfs "$mnt"
}
fake_rule "login times=all : nodigest"
fake_rule "discovery times=all : nodigest"
works
fake clear
say "CRC32C"
works -o header_digest=crc32c
say "offered CRC32C, and the key is left out: None it is, or no login, but nothing that hangs"
fake_rule "login times=all : nodigest"
start_lunfs "iscsi://$portal/$iqn/0" "$mnt" -o header_digest=crc32c,login_timeout=2,cmd_timeout=2 || :
if mounted "$mnt"; then
  wait_for "[ \"\$(lun_get '$mnt' 0 '.counters.login_failures + .counters.logins')\" -gt 0 ]" 10
  stop_lunfs "$mnt"
fi
fake_no_violations
