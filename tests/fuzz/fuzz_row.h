/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tests/unit/row.h for a harness: no libcheck, a failed assertion ends the process. */
#ifndef LUNFS_FUZZ_ROW_H
#define LUNFS_FUZZ_ROW_H

#include "fuzz.h"

#include <stdio.h>

#define ck_abort_msg(...)                                                                                              \
  do {                                                                                                                 \
    fprintf (stderr, __VA_ARGS__);                                                                                     \
    fuzz_failed (__FILE__, __LINE__, "see above");                                                                     \
  } while (0)
#define ck_assert_uint_eq(a, b) must ((a) == (b))
#define ck_assert_ptr_nonnull(p) must ((p) != NULL)
#include "../unit/row.h"

#endif
