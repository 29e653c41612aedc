#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The proxy does what it is told, to the byte: otherwise the tests that use it prove nothing.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

requires python3
python3 "$top_srcdir/tests/faults/proxy.py" "$(command -v faultproxy)" "$scratch/p.sock"
