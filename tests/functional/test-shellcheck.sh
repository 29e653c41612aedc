#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# All scripts are clean for shellcheck, where it is installed.
# shellcheck disable=SC2034 # read there
optional=1
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
requires shellcheck
test_limit 600
cd "$top_srcdir"
printf '%s\0' contrib/*.sh contrib/completion/lunfs* tests/functional/*.sh tests/faults/*.sh tests/long/*.sh tests/fuzz/*.sh tests/bench/*.sh \
  tests/unit/under-valgrind |
  xargs -0 -P 2 -n 8 shellcheck -x
