#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The scripted target does what it is told, sees what an initiator does wrong, and loses what a disk may lose, the same
# each time: otherwise the tests that use it prove nothing.
# shellcheck source=tests/functional/functions.sh
. "${top_srcdir:?}/tests/functional/functions.sh"

requires python3
python3 "$top_srcdir/tests/faults/fake.py" "$top_srcdir/tests/tools/faketgt" "$scratch"
