#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Upgrades that come to nothing: a program that does not fit, that is none, that is not there is refused before anything
# happens; one that fits and then does not serve is taken back.  And the small upgrades: SIGUSR2, during an outage, all mounts.
# shellcheck disable=SC2016 # what stands in the scripts is theirs
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
private_mounts
not_under_valgrind "a program that is replaced is run by its descriptor"
mkdir -p /run/lunfs
mount -t tmpfs -o mode=755 tmpfs /run/lunfs # other tests' mounts are not ours to ask
requires jq

share_programs
program=$scratch/bin/lunfs
real=$scratch/real
cp "$program" "$real"
install_program () { # < FILE, as a package manager does: another file, by rename
  cat >"$program.new"
  chmod 755 "$program.new"
  mv "$program.new" "$program"
}
# A script that is the real program but for what stdin says; in it $1 is --worker-interface, or nothing for a worker.
install_script () { { echo '#!/bin/sh'; cat; echo "exec '$real' \"\$@\""; } | install_program; }
state () { echo "$(worker "$mnt") $(status_get "$mnt" .lunfs.upgrades) $(status_get "$mnt" .lunfs.workers_started)"; }
refused () { # REGEX STATUS: and nothing has changed
  local before
  before=$(state)
  expect_fail lunfsctl upgrade "$mnt"
  expect_status "$2"
  expect_message "$1"
  expect_equal "$(state)" "$before" "worker, upgrades, workers"
}

start_target
add_target disk
disk=$(backing disk 8M)
add_lun "$disk"
add_lun "$(backing disk2 8M)"
mnt=$scratch/mnt
start_lunfs "iscsi://$portal/$iqn" "$mnt" -o noop_out_interval=1,noop_out_timeout=1
lun_up "$mnt" 1
lun_up "$mnt" 2
exec 7<>"$mnt/lun1" # open through all of it
write_some () { # and it is written, with what was open before
  head -c 65536 /dev/urandom >"$scratch/new"
  dd if="$scratch/new" bs=4k oflag=seek_bytes seek=$((RANDOM * 4096 % 4194304)) conv=notrunc,fsync status=none of=/proc/self/fd/7 ||
    fail "write"
  same_data "$mnt/lun1" "$disk"
}
write_some

say "another layout of the arena, another protocol: refused, with both versions"
install_script <<EOF
[ "\$1" != --worker-interface ] || { '$real' "\$1" | sed 's/version=[^ ]*/version=99.2/; s/arena=/arena=9/'; exit; }
EOF
refused "lunfs 99.2 cannot take over a mount of lunfs $("$real" --version | sed -n 's/^lunfs //p'): layout of the memory 9" 41
install_script <<EOF
[ "\$1" != --worker-interface ] || { '$real' "\$1" | sed 's/protocol=/protocol=7/'; exit; }
EOF
refused 'protocol 7' 41

say "no lunfs, no program, nothing: refused"
install_script <<<'[ "$1" != --worker-interface ] || exit 7'
refused 'does not say what it can take over' 41
install_program <<<'this is no program'
refused 'does not say what it can take over' 41
chmod 644 "$program"
refused 'not a program that may be run' 13
rm "$program"
refused 'No such file' 7

say "one that does not answer: given up, and a second upgrade meanwhile is declined"
install_script <<EOF
[ "\$1" != --worker-interface ] || { : >'$scratch/asked'; exec sleep 60; }
EOF
before=$(state)
lunfsctl upgrade "$mnt" 2>"$scratch/slow" &
asking=$!
wait_for "[ -e '$scratch/asked' ]" 5
expect_fail lunfsctl upgrade "$mnt"
expect_status 28
expect_message 'an upgrade is under way'
kill -USR2 "$(supervisor "$mnt")"
wait_for "logged '$mnt' 'no upgrade now: one is under way'" 5
! wait $asking || fail "it should have been given up"
grep -q 'does not say whether' "$scratch/slow" || fail "it says: $(cat "$scratch/slow")"
expect_equal "$(state)" "$before" "worker, upgrades, workers"
write_some

taken_back () { # REGEX: the new worker is no good, the old program serves again
  local before
  before=$(worker "$mnt")
  expect_fail lunfsctl upgrade "$mnt"
  expect_status 1
  expect_message "$1.*serves again"
  [ "$(worker "$mnt")" != "$before" ] || fail "the same worker"
  expect_equal "$(status_get "$mnt" .lunfs.upgrades)" 0 "upgrades"
  [ "$(stat -L -c %i "/proc/$(worker "$mnt")/exe")" = "$(stat -L -c %i "/proc/$(supervisor "$mnt")/exe")" ] ||
    fail "not the old program"
  lun_up "$mnt" 1
  write_some
}
say "it fits, and dies: the old program serves again"
install_script <<<'[ "$1" = --worker-interface ] || kill -KILL $$'
taken_back 'signal 9'
install_script <<<'[ "$1" = --worker-interface ] || exit 3'
taken_back 'status 3'

say "it fits, and finds that it does not: it touches nothing"
install_script <<'EOF'
[ "$1" = --worker-interface ] || { LUNFS_WORKER_FDS=${LUNFS_WORKER_FDS%%;*}\;99,1; export LUNFS_WORKER_FDS; }
EOF
taken_back 'status 41: it cannot take over'

say "SIGUSR2; what lunfsctl has set stays"
lunfsctl set "$mnt/lun2" replacement_timeout=77
install_program <"$real"
kill -USR2 "$(supervisor "$mnt")"
wait_for "[ \"\$(status_get '$mnt' .lunfs.upgrades)\" = 1 ]" 15
[ "$(stat -L -c %i "/proc/$(worker "$mnt")/exe")" = "$(stat -c %i "$program")" ] || fail "not the new file"
expect_equal "$(lun_get "$mnt" 2 .replacement_timeout)" 77 "replacement_timeout of lun2"
expect_equal "$(lun_get "$mnt" 1 .replacement_timeout)" 120 "replacement_timeout of lun1"
lun_up "$mnt" 1
write_some

say "during an outage: at once; who waits goes on waiting, and gets what it asked for"
kill_target
wait_for "[ \"\$(lun_get '$mnt' 1 .state)\" != up ]" 15
head -c 4096 /dev/urandom >"$scratch/block"
dd if="$scratch/block" of="$mnt/lun1" bs=4k seek=7 oflag=direct,sync conv=notrunc status=none &
writer=$!
dd if="$mnt/lun2" of="$scratch/read" bs=4k count=1 iflag=direct status=none &
reader=$!
wait_for "[ \"\$(lun_get '$mnt' 2 .counters.queued)\" -ge 1 ]" 5
install_program <"$real"
lunfsctl upgrade "$mnt"
expect_equal "$(status_get "$mnt" .lunfs.upgrades)" 2 "upgrades"
restart_target 7<&-
wait $writer || fail "the write failed"
wait $reader || fail "the read failed"
cmp -i "0:$((7 * 4096))" -n 4096 "$scratch/block" "$disk"
[ "$(status_get "$mnt" .lunfs.requests_resent)" -ge 2 ] || fail "what waited was not asked for again"
lun_up "$mnt" 1
write_some
expect_equal "$(lun_get "$mnt" 1 .counters.errors)" 0 "errors"

say "an open that waits for the first login goes on waiting"
use_target target
add_target later
add_lun "$(random_file later 1M)"
touch "$scratch/plain"
stop_answering
start_lunfs "iscsi://$portal/$iqn/1" "$scratch/plain" -o login_wait=0
head -c 4096 "$scratch/plain" >"$scratch/head" &
reader=$!
install_program <"$real"
lunfsctl upgrade "$scratch/plain"
answer_again
wait $reader || fail "the open failed"
cmp -n 4096 "$scratch/head" "$scratch/later"

say "all mounts"
install_program <"$real"
lun_up "$mnt" 1
lunfsctl upgrade --all >"$scratch/all"
cat "$scratch/all"
expect_equal "$(grep -c 'paused for' "$scratch/all")" 2 "mounts"
expect_fail lunfsctl upgrade
expect_message 'say which'
expect_fail lunfsctl upgrade /usr
expect_status 21

say "it still ends as it should"
exec 7<&-
stop_lunfs "$scratch/plain"
stop_lunfs "$mnt"

say "what is dirty is handed over, also by a worker whose target does not answer; nothing is sent again"
start_lunfs "iscsi://$portal/${iqn%:*}:disk" "$mnt" -o cache_write_delay=60000
lun_up "$mnt" 1
lun_up "$mnt" 2
head -c 1M /dev/urandom >"$scratch/new"
dd if="$scratch/new" of="$mnt/lun1" bs=4k oflag=direct conv=notrunc status=none
expect_equal "$(lun_get "$mnt" 1 .counters.dirty_bytes)" 1048576 "dirty bytes"
stop_answering
lunfsctl upgrade "$mnt" &
asking=$!
wait_for "logged '$mnt' '1024 KiB of written data taken over'" 15
answer_again
wait $asking || fail "lunfsctl upgrade: $?"
same_data "$scratch/new" "$mnt/lun1" 1048576
expect_equal "$(status_get "$mnt" .lunfs.requests_resent)" 0 "requests sent again"
sync "$mnt/lun1"
same_data "$scratch/new" "$disk" 1048576
stop_lunfs "$mnt"
expect_fail lunfsctl upgrade --all
expect_message 'no lunfs mount'
