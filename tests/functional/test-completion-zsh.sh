#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What zsh completes for lunfs and lunfsctl: all the options and commands that they print themselves.
# shellcheck disable=SC2034 # read there
optional=1
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
requires zsh
# zsh completes only on a terminal: it gets one.  What stands there goes to $scratch/screen, the line to $scratch/done.
cat >"$scratch/terminal.zsh" <<'END'
zmodload zsh/zpty zsh/zselect
zpty -b shell zsh -f -i
zpty -w shell "source $scratch/shell.zsh"
zpty -w -n shell "$line"$'\t\a'
integer rounds=1200
while zpty -t shell && (( rounds-- > 0 )); do
  if zpty -r -t shell output; then print -rn -- $output; elif [[ -e $scratch/done ]]; then break; else zselect -t 5; fi
done
zpty -d shell
END
cat >"$scratch/shell.zsh" <<END
unset zle_bracketed_paste
PROMPT= HISTFILE= LISTMAX=-1
stty rows 400 cols 250
fpath=($top_srcdir/contrib/completion \$fpath)
autoload -Uz compinit && compinit -D -u
end-here () { print -r -- "\$BUFFER" >$scratch/done.new; mv $scratch/done.new $scratch/done; }
zle -N end-here
bindkey '^G' end-here
END
export scratch
offered () { # WORDS-SO-FAR
  rm -f "$scratch/done"
  line=$1 TERM=dumb zsh -f "$scratch/terminal.zsh" </dev/null 2>&1 | tr -d '\r' >"$scratch/screen"
  [ -e "$scratch/done" ] || fail "zsh has not completed '$1': $(cat "$scratch/screen")"
}
lists () { # WORDS-SO-FAR WORD...: they are among what is offered
  local word
  offered "$1"
  for word in "${@:2}"; do
    grep -qE -- "(^|[ ,])$word([ =]|\$)" "$scratch/screen" || fail "'$1' does not offer $word, but: $(cat "$scratch/screen")"
  done
}
becomes () { # WORDS-SO-FAR LINE
  offered "$1"
  expect_equal "$(cat "$scratch/done")" "$2" "the line '$1'"
}
cd "$scratch"
: >some-file

say "all options, all commands"
mapfile -t options < <(lunfs --help | sed -n 's/^  ...\{0,3\} *\(--[a-z-]*\).*/\1/p')
[ "${#options[@]}" -gt 40 ] || fail "the options were not found"
lists 'lunfs --' "${options[@]}"
mapfile -t listed < <(printf '%s\n' "${options[@]#--}" | tr - _)
lists 'lunfs -o ' "${listed[@]}"
lists 'lunfs -' -h -V -f -d -s -r -o
mapfile -t commands < <(lunfsctl --help | sed -n 's/^  \([a-z]\{1,\}\) .*/\1/p')
[ "${#commands[@]}" -ge 4 ] || fail "the commands were not found"
lists 'lunfsctl ' "${commands[@]}" --help --version

say "values"
becomes 'lunfsctl reserve --type exclusive-access-r' 'lunfsctl reserve --type exclusive-access-registrants-only '
becomes 'lunfsctl reserve --type=write-exclusive-a' 'lunfsctl reserve --type=write-exclusive-all-registrants '
becomes 'lunfs --pidf' 'lunfs --pidfile='
becomes 'lunfs --credentials=some' 'lunfs --credentials=some-file '
becomes 'lunfs --no-ml' 'lunfs --no-mlock '
becomes 'lunfs -o ro,allow_r' 'lunfs -o ro,allow_root,'
becomes 'lunfs -o ro,cache=writet' 'lunfs -o ro,cache=writethrough,'
becomes 'lunfs --log-level=no' 'lunfs --log-level=notice '
becomes 'lunfs --log=sy' 'lunfs --log=syslog '
becomes 'lunfs --debug=sess' 'lunfs --debug=session '
becomes 'lunfs isc' 'lunfs iscsi://'
becomes 'lunfs iscsi://san some' 'lunfs iscsi://san some-file '
becomes 'lunfsctl upg' 'lunfsctl upgrade '
becomes 'lunfsctl upgrade --a' 'lunfsctl upgrade --all '
becomes 'lunfsctl status some' 'lunfsctl status some-file '
becomes 'lunfsctl set some-file noop_out_t' 'lunfsctl set some-file noop_out_timeout='
