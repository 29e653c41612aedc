#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The example unit is one that systemd accepts without a warning.
# shellcheck disable=SC2034
optional=1
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
requires systemd-analyze
unit=$scratch/lunfs@.service
# Neither the program nor its manual page is installed.
sed "s#^ExecStart=[^ ]*#ExecStart=$(command -v lunfs)#; /^Documentation=/d" "$top_srcdir/contrib/systemd/lunfs@.service" >"$unit"
systemd-analyze verify "$unit" >"$scratch/message" 2>&1 || fail "$(cat "$scratch/message")"
[ ! -s "$scratch/message" ] || fail "$(cat "$scratch/message")"

say "a word that it does not know would be seen"
echo Nonsense=1 >>"$unit"
systemd-analyze verify "$unit" >"$scratch/message" 2>&1 || :
expect_message "unknown key"
