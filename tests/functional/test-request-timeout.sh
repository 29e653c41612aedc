#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# fs.fuse.default_request_timeout and max_request_timeout: the kernel would end the mount; lunfs answers before that.
# What the kernel has set is not touched: lunfs is shown other files.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
private_mounts

[ -e /proc/sys/fs/fuse ] || optional=1 skip "no /proc/sys/fs/fuse"
mkdir "$scratch/sys"
echo 0 >"$scratch/sys/default_request_timeout"
echo 6 >"$scratch/sys/max_request_timeout"
mount --bind "$scratch/sys" /proc/sys/fs/fuse
one_lun 8M 512 "" -o noop_out_interval=1,noop_out_timeout=1,replacement_timeout=-1
logged "$mnt" 'a request takes 6 s .*requests fail after 4 s'
stop_answering
from=$SECONDS
expect_fail dd if="$file" of=/dev/null bs=4k count=1 iflag=direct status=none
expect_message 'input/output error'
[ $((SECONDS - from)) -le $((7 * slow)) ] || fail "took $((SECONDS - from)) s"
from=$SECONDS
expect_fail dd if="$file" of=/dev/null bs=4k count=1 iflag=direct status=none
expect_message 'input/output error'
[ $((SECONDS - from)) -le $((7 * slow)) ] || fail "took $((SECONDS - from)) s"
answer_again
lun_up "$mnt" 1 20
dd if="$file" of=/dev/null bs=4k count=1 iflag=direct status=none
stop_lunfs "$mnt"

say "an open that waits for the first login"
kill_target
touch "$scratch/plain"
start_lunfs "iscsi://$portal/$iqn/1" "$scratch/plain" -o replacement_timeout=-1,login_wait=0
from=$SECONDS
expect_fail dd if="$scratch/plain" of=/dev/null count=1 status=none
expect_message 'input/output error'
[ $((SECONDS - from)) -le $((7 * slow)) ] || fail "took $((SECONDS - from)) s"
umount "$scratch/plain"
