#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# As a service with state_dir: the service manager keeps the arena file open, and so its lock, across deaths of lunfs.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
# shellcheck source=tests/functional/service.sh
. "$srcdir/service.sh"
test_limit 150
requires fusermount3
start_target
add_target service
disk=$(backing disk 32M)
add_lun "$disk"
mnt=$scratch/mnt
file=$mnt/lun1
state=$scratch/state
mkdir "$mnt"
mkdir -m 700 "$state"
head -c 64K /dev/urandom >"$scratch/new"
write_new () { dd if="$scratch/new" of="$file" bs=4k oflag=direct conv=notrunc status=none; }
killed () { # [all]
  service kill "$@"
  service_ended
}
started () {
  service start >/dev/null
  service_ready
  lun_up "$mnt" 1 20
}

begin_service -o "cache_write_delay=60000,state_dir=$state,buffer_size=8M,cache_size=16M" "iscsi://$portal/$iqn" "$mnt"
service_ready
lun_up "$mnt" 1
wait_for "[ \"\$(service_get '.stored | join (\" \")')\" = 'lunfs-arena lunfs-fuse lunfs-probe lunfs-settings' ]" 10

say "both are killed: gone on with, from the file"
write_new
! cmp -s -n 65536 "$scratch/new" "$disk" || fail "it is on the disk already: the test is not one"
killed all
started
cmp -n 65536 "$scratch/new" "$file"
sync "$file"
cmp -n 65536 "$scratch/new" "$disk"

say "the supervisor is killed while its worker is leaving: the next upgrade is not refused for that"
stop_answering
write_new
kill -USR2 "$(supervisor "$mnt")"
wait_for "logged '$mnt' 'takes over from'" 10
killed
answer_again
started
lunfsctl upgrade "$mnt"
lun_up "$mnt" 1
sync "$file"

say "unmounted while nobody ran, with nothing left to write: the file is not in use for ever"
killed all
fusermount3 -u "$mnt"
started
expect_equal "$(status_get "$mnt" .lunfs.workers_started)" 1 "workers"
expect_equal "$(find "$state" -type f | wc -l)" 1 "files in state_dir"

say "an orderly end"
service term
service_ended
expect_equal "$(service_get .status)" 0 "status"
expect_equal "$(find "$state" -type f | wc -l)" 0 "files in state_dir"
