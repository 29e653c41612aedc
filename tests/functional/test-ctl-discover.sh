#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lunfsctl discover: iscsiadm's lines, JSON, CHAP of its own, and the exit statuses of what goes wrong.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
requires jq
options=(-o "initiator_name=$initiator,login_timeout=5")

start_target
add_target one
tgt --mode target --op unbind --tid 1 --initiator-address ALL
expect_fail lunfsctl discover "${options[@]}" "$portal"
expect_status 21
expect_message 'offers no targets'
tgt --mode target --op bind --tid 1 --initiator-address ALL
add_target two
lunfsctl discover "${options[@]}" "$portal" | tee "$scratch/out"
printf '%s,1 iqn.2026-01.org.example:%s\n' "$portal" one "$portal" two | sort >"$scratch/expected"
sort "$scratch/out" | cmp - "$scratch/expected"
lunfsctl discover "${options[@]}" "iscsi://$portal" | sort | cmp - "$scratch/expected"
lunfsctl discover "${options[@]}" --json "localhost:$port" |
  jq -e 'length == 2 and all (.[]; .portal == "'"$portal"'" and .tpgt == 1) and ([.[].target] | sort)[0] == "'"${iqn%two}one"'"'

say "CHAP"
start_fake --lun "8M,file=$scratch/disk" --chap me:a-long-secret
(umask 077 && printf 'user=me\npassword=a-long-secret\n' >"$scratch/right" && printf 'user=me\npassword=another-secret\n' >"$scratch/wrong")
expect_equal "$(lunfsctl discover "${options[@]}" -o "credentials=$scratch/right" "$portal")" "$portal,1 $iqn" "with CHAP"
expect_fail lunfsctl discover "${options[@]}" -o "credentials=$scratch/wrong" "$portal"
expect_status 24
expect_fail lunfsctl discover "${options[@]}" "$portal"
expect_status 24
use_target target

say "what goes wrong"
expect_fail lunfsctl discover "${options[@]}" nowhere.invalid
expect_status 4
kill_target
expect_fail lunfsctl discover "${options[@]}" "$portal"
expect_status 4
expect_message "discovery on 127.0.0.1 port $port: "
expect_fail lunfsctl discover -o nonsense=1 "$portal"
expect_status 7
expect_message "unknown option 'nonsense'"
expect_fail lunfsctl discover
expect_status 7
expect_fail lunfsctl discover 'iscsi://[::1'
expect_status 7
