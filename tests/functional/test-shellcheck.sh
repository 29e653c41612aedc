#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# All scripts are clean for shellcheck, where it is installed.
# shellcheck disable=SC2034 # read there
optional=1
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"
requires shellcheck
cd "$top_srcdir"
shellcheck -x contrib/*.sh contrib/completion/* tests/functional/*.sh tests/faults/*.sh tests/fuzz/*.sh tests/unit/under-valgrind
