/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "lun/discard.h"

#include <check.h>
#include <glib.h>
#include <stdlib.h>

#define BIT(m) (1u << LUNFS_ZERO_##m)

static const struct {
  LunfsOp op;
  bool lbpu, lbpws, lbprz;
  uint32_t max_unmap, granularity, alignment;
  LunfsZeroRefused refused;
  uint64_t first, end;
  LunfsZeroMethod method;
} cases[] = {
  /* nothing but WRITE SAME, and not even that */
  { LUNFS_OP_DISCARD, 0, 0, 1, 0, 0, 0, 0, 0, 8, LUNFS_ZERO_WRITE_SAME },
  { LUNFS_OP_DISCARD, 0, 0, 1, 0, 0, 0, BIT (WRITE_SAME), 0, 8, LUNFS_ZERO_WRITE },
  /* zeroing keeps the space: never by giving it back */
  { LUNFS_OP_ZERO, 1, 1, 1, 100, 0, 0, 0, 0, 8, LUNFS_ZERO_WRITE_SAME },
  { LUNFS_OP_ZERO, 1, 1, 1, 100, 0, 0, BIT (WRITE_SAME), 0, 8, LUNFS_ZERO_WRITE },
  /* the best first, then down the list */
  { LUNFS_OP_DISCARD, 1, 1, 1, 100, 0, 0, 0, 0, 8, LUNFS_ZERO_WRITE_SAME_UNMAP },
  { LUNFS_OP_DISCARD, 1, 1, 1, 100, 0, 0, BIT (WRITE_SAME_UNMAP), 0, 8, LUNFS_ZERO_UNMAP },
  { LUNFS_OP_DISCARD, 1, 1, 1, 100, 0, 0, BIT (WRITE_SAME_UNMAP) | BIT (UNMAP), 0, 8, LUNFS_ZERO_WRITE_SAME },
  /* unmapped blocks that do not read as zeroes are of no use */
  { LUNFS_OP_DISCARD, 1, 1, 0, 100, 0, 0, 0, 0, 8, LUNFS_ZERO_WRITE_SAME },
  /* UNMAP: whole granules only */
  { LUNFS_OP_DISCARD, 1, 0, 1, 100, 8, 0, 0, 0, 8, LUNFS_ZERO_UNMAP },
  { LUNFS_OP_DISCARD, 1, 0, 1, 100, 8, 0, 0, 1, 9, LUNFS_ZERO_WRITE_SAME },
  { LUNFS_OP_DISCARD, 1, 0, 1, 100, 8, 0, 0, 0, 7, LUNFS_ZERO_WRITE_SAME },
  { LUNFS_OP_DISCARD, 1, 0, 1, 100, 8, 0, 0, 992, 1000, LUNFS_ZERO_UNMAP },
  { LUNFS_OP_DISCARD, 1, 0, 1, 100, 16, 0, 0, 992, 1000, LUNFS_ZERO_UNMAP }, /* the LUN ends in the last one */
  { LUNFS_OP_DISCARD, 1, 0, 1, 100, 8, 3, 0, 3, 19, LUNFS_ZERO_UNMAP },
  { LUNFS_OP_DISCARD, 1, 0, 1, 100, 8, 3, 0, 0, 16, LUNFS_ZERO_WRITE_SAME },
  { LUNFS_OP_DISCARD, 1, 0, 1, 7, 8, 0, 0, 0, 8, LUNFS_ZERO_WRITE_SAME }, /* no command covers a granule */
  { LUNFS_OP_DISCARD, 1, 0, 1, 0, 0, 0, 0, 0, 8, LUNFS_ZERO_WRITE_SAME },
};

START_TEST (test_method)
{
  LunfsLunInfo info = {
    .capacity = { .nblocks = 1000, .block_size = 512 },
    .limits = { .lbpu = cases[_i].lbpu, .lbpws = cases[_i].lbpws, .lbprz = cases[_i].lbprz,
                .max_unmap_blocks = cases[_i].max_unmap, .unmap_granularity_blocks = cases[_i].granularity,
                .unmap_alignment_blocks = cases[_i].alignment },
  };

  ck_assert_int_eq (lunfs_zero_method (&info, cases[_i].refused, cases[_i].op, cases[_i].first, cases[_i].end),
                    cases[_i].method);
}
END_TEST

START_TEST (test_max_bytes)
{
  LunfsLunInfo info = { .capacity = { .nblocks = UINT64_C (1) << 40, .block_size = 512 } };

  ck_assert_uint_eq (lunfs_zero_max_bytes (&info, LUNFS_ZERO_WRITE), 1 << 20);
  ck_assert_uint_eq (lunfs_zero_max_bytes (&info, LUNFS_ZERO_WRITE_SAME), 65535 * 512);
  info.limits.max_write_same_blocks = 3;
  ck_assert_uint_eq (lunfs_zero_max_bytes (&info, LUNFS_ZERO_WRITE_SAME), 3 * 512);
  info.limits.max_write_same_blocks = UINT64_MAX;
  ck_assert_uint_eq (lunfs_zero_max_bytes (&info, LUNFS_ZERO_WRITE_SAME_UNMAP), 256 << 20);
  info.limits.max_unmap_blocks = UINT32_MAX;
  ck_assert_uint_eq (lunfs_zero_max_bytes (&info, LUNFS_ZERO_UNMAP), 256 << 20);
  info.limits.max_unmap_blocks = 8;
  ck_assert_uint_eq (lunfs_zero_max_bytes (&info, LUNFS_ZERO_UNMAP), 8 * 512);
}
END_TEST

START_TEST (test_request)
{
  static const struct {
    LunfsOp op;
    uint32_t flags;
  } want[] = { { LUNFS_OP_DISCARD, 0 }, { LUNFS_OP_DISCARD, LUNFS_REQ_UNMAP }, { LUNFS_OP_ZERO, 0 }, { LUNFS_OP_WRITE, 0 } };

  for (unsigned i = 0; i < G_N_ELEMENTS (want); i++) {
    LunfsRequest req = { .flags = ~0u };

    lunfs_zero_request ((LunfsZeroMethod) i, &req);
    ck_assert_int_eq (req.op, want[i].op);
    ck_assert_uint_eq (req.flags, want[i].flags);
  }
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("discard");
  TCase *tc = tcase_create ("discard");
  SRunner *runner;
  int failed;

  tcase_add_loop_test (tc, test_method, 0, G_N_ELEMENTS (cases));
  tcase_add_test (tc, test_max_bytes);
  tcase_add_test (tc, test_request);
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
