# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion for lunfs(1).  The options are those "lunfs --help" prints, so there is no second list to keep.

_lunfs_options ()
{
  "$1" --help 2>/dev/null | sed -n 's/^  ...\{0,3\} *--\([a-z-]*\)\(\[\{0,1\}=\{0,1\}\).*/\1\2/p'
}

_lunfs ()
{
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} names name head
  COMPREPLY=()

  # A value after "--name=": only those that are files can be completed.
  if [ "$cur" = "=" ] || [ "$prev" = "=" ]; then
    [ "$prev" = "=" ] && name=${COMP_WORDS[COMP_CWORD - 2]} || name=$prev
    case $name in
    --credentials | --log | --pidfile)
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -f -- "${cur#=}")
      ;;
    --header-digest) mapfile -t COMPREPLY < <(compgen -W "none crc32c" -- "${cur#=}") ;;
    --stale-write-guard) mapfile -t COMPREPLY < <(compgen -W "auto on off" -- "${cur#=}") ;;
    --log-level) mapfile -t COMPREPLY < <(compgen -W "error warning notice info debug" -- "${cur#=}") ;;
    --uid) mapfile -t COMPREPLY < <(compgen -u -- "${cur#=}") ;;
    --gid) mapfile -t COMPREPLY < <(compgen -g -- "${cur#=}") ;;
    esac
    return
  fi

  names=$(_lunfs_options "${COMP_WORDS[0]}")
  if [ "$prev" = -o ]; then
    # The last of a list "a,b=c,...".
    head=
    case $cur in *,*) head=${cur%,*}, ;; esac
    compopt -o nospace
    mapfile -t COMPREPLY < <(compgen -P "$head" -W "$(printf '%s\n' "$names" | tr -d '[' | tr - _)" -- "${cur##*,}")
  elif [[ $cur == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(printf '%s\n' "$names" | sed 's/\[=//; s/^/--/') -f -d -s -r -h -V -o" -- "$cur")
    [[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace
  else
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -W "iscsi://" -- "$cur"; compgen -f -- "$cur")
  fi
}

complete -F _lunfs lunfs
