#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What bash completes for lunfs and lunfsctl.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
compopt () { :; } # only works while bash completes
for program in lunfs lunfsctl; do
  # shellcheck disable=SC1090
  . "$top_srcdir/contrib/completion/$program"
  complete -p "$program" | grep -q -- "-F _$program"
done
completes () { # WORDS-SO-FAR EXPECTED-REGEX: one of the completions, whole
  IFS=' ' read -r -a COMP_WORDS <<<"$1"
  case $1 in *' ') COMP_WORDS+=('') ;; esac
  COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
  ( # as in an interactive shell
    trap - ERR EXIT
    set +eu
    "_${COMP_WORDS[0]}"
    printf '%s\n' "${COMPREPLY[@]}"
  ) >"$scratch/completions"
  grep -qxE -- "$2" "$scratch/completions" || fail "'$1' is completed to: $(cat "$scratch/completions")"
}
: >"$scratch/some-file"
completes 'lunfs --cred' '--credentials='
completes 'lunfs --no-m' '--no-mlock'
completes 'lunfs --debug' '--debug'
completes 'lunfs -o replacement' 'replacement_timeout='
completes 'lunfs -o ro,allow_r' 'ro,allow_root'
completes 'lunfs --log-level = no' 'notice'
completes 'lunfs --cache = writet' 'writethrough'
completes 'lunfs --crash-recovery = in' 'inbox'
completes 'lunfs --cache-m' '--cache-max-dirty='
completes 'lunfs -o ro,read_a' 'ro,read_ahead='
completes 'lunfs --credentials = some' 'some-file'
mkdir "$scratch/some-dir"
completes 'lunfs --state-d' '--state-dir='
completes 'lunfs --state-dir = some' 'some-dir'
completes 'lunfs isc' 'iscsi://'
completes 'lunfs iscsi://san some' 'some-file'
printf '[defaults]\n[db.1]\n' >"$scratch/names.conf"
completes "lunfs --config = $scratch/names.conf d" 'db.1'
completes 'lunfs --conf' '--config='
completes 'lunfs -o lun' 'luns='
completes 'lunfsctl st' 'status'
completes 'lunfsctl --v' '--version'
completes 'lunfsctl upg' 'upgrade'
completes 'lunfsctl upgrade --' '--all'
completes 'lunfsctl upgrade some' 'some-file'
completes 'lunfsctl status some' 'some-file'
completes 'lunfsctl set some-file noop_out_t' 'noop_out_timeout='
completes 'lunfsctl saved in' 'inspect'
completes 'lunfsctl saved discard --y' '--yes'
completes 'lunfsctl che' 'check'
completes 'lunfsctl check --j' '--json'
completes 'lunfsctl import --out' '--output'
completes 'lunfsctl import some' 'some-file'
mkdir -p "$scratch/config/lunfs"
cp "$scratch/names.conf" "$scratch/config/lunfs/lunfs.conf"
[ "$(id -u)" = 0 ] || XDG_CONFIG_HOME=$scratch/config completes 'lunfsctl check d' 'db.1'
completes 'lunfsctl dra' 'drain'
completes 'lunfsctl drain --ti' '--timeout'
completes 'lunfsctl top --on' '--once'
completes 'lunfsctl ls --json some' 'some-file'
completes 'lunfsctl set some-file cache_s' 'cache_size='
completes 'lunfsctl stats re' 'reset'
completes 'lunfsctl reserve --register' '--register-only'
completes 'lunfsctl reserve --type write-exclusive-a' 'write-exclusive-all-registrants'
completes 'lunfsctl reserve --type = exclusive-access-r' 'exclusive-access-registrants-only'
completes 'lunfsctl preempt some' 'some-file'
