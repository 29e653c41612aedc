/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "cache/ranges.h"

#include "lunfs/request.h"

#include <check.h>
#include <stdlib.h>

static LunfsArena *arena;
static LunfsRanges ranges;

static void
setup (void)
{
  arena = lunfs_arena_create (0, NULL);
  lunfs_ranges_init (&ranges, arena, 3);
}

static void
teardown (void)
{
  lunfs_ranges_clear (&ranges);
  lunfs_arena_free (arena);
}

static LunfsArenaRange
range_of (uint64_t seq)
{
  return (LunfsArenaRange){
    .offset = seq * 4096, .length = 512, .seq = seq, .flags = LUNFS_REQ_UNMAP, .op = LUNFS_OP_DISCARD
  };
}

static bool
add (LunfsRanges *r, uint64_t seq)
{
  LunfsArenaRange range = range_of (seq);

  return lunfs_ranges_add (r, &range);
}

static bool
add_due (LunfsRanges *r, uint64_t seq)
{
  LunfsArenaRange range = range_of (seq);

  return lunfs_ranges_add_due (r, &range);
}

static unsigned
in_use (void)
{
  unsigned n = 0;

  for (unsigned i = 0; i < LUNFS_ARENA_RANGES; i++)
    n += arena->ranges[i].kept != 0;
  return n;
}

/* All with a seq from @from on, every @step, up to @to. */
static void
has_just (const LunfsRanges *r, uint64_t from, uint64_t to, uint64_t step)
{
  uint64_t seq = 0;

  for (; from <= to; from += step) {
    const LunfsArenaRange *range = lunfs_ranges_after (r, seq);

    ck_assert_ptr_nonnull (range);
    ck_assert_uint_eq (range->seq, from);
    ck_assert_uint_eq (range->offset, from * 4096);
    ck_assert_uint_eq (range->length, 512);
    ck_assert_uint_eq (range->flags, LUNFS_REQ_UNMAP);
    ck_assert_uint_eq (range->op, LUNFS_OP_DISCARD);
    ck_assert_uint_eq (range->lun, r->lun);
    seq = range->seq;
  }
  ck_assert_ptr_null (lunfs_ranges_after (r, seq));
}

START_TEST (test_order)
{
  ck_assert_ptr_null (lunfs_ranges_after (&ranges, 0));
  for (uint64_t seq = 10; seq <= 30; seq += 5)
    ck_assert (add (&ranges, seq));
  ck_assert_uint_eq (lunfs_ranges_count (&ranges), 5);
  has_just (&ranges, 10, 30, 5);
  lunfs_ranges_drop (&ranges, 9);
  has_just (&ranges, 10, 30, 5);
  lunfs_ranges_drop (&ranges, 19);
  has_just (&ranges, 20, 30, 5);
  lunfs_ranges_drop (&ranges, 20);
  has_just (&ranges, 25, 30, 5);
  ck_assert_uint_eq (in_use (), 2);
  lunfs_ranges_drop (&ranges, UINT64_MAX);
  ck_assert_uint_eq (in_use (), 0);
  ck_assert_uint_eq (lunfs_ranges_count (&ranges), 0);
}
END_TEST

/* What is due is not dropped, and takes its place when it is done; a successor knows which is which. */
START_TEST (test_due)
{
  ck_assert (add_due (&ranges, 1));
  ck_assert (add (&ranges, 2));
  ck_assert (add_due (&ranges, 3));
  ck_assert (add (&ranges, 4));
  ck_assert (add_due (&ranges, 5));
  has_just (&ranges, 1, 5, 1);
  ck_assert (!lunfs_ranges_is_due (&ranges, 4096 + 512, 3 * 4096));
  ck_assert (lunfs_ranges_is_due (&ranges, 4096 + 511, 4096 + 512));
  ck_assert_ptr_null (lunfs_ranges_find_due (&ranges, 2));
  if (_i) {
    lunfs_ranges_clear (&ranges);
    lunfs_ranges_init (&ranges, arena, 3);
    ck_assert_uint_eq (lunfs_ranges_restore (&ranges), 5);
  }
  ck_assert_ptr_null (lunfs_ranges_check (&ranges));
  ck_assert_uint_eq (lunfs_ranges_count (&ranges), 2);
  ck_assert_uint_eq (lunfs_ranges_count_due (&ranges), 3);
  lunfs_ranges_did (&ranges, lunfs_ranges_find_due (&ranges, 3), false);
  ck_assert_ptr_null (lunfs_ranges_check (&ranges));
  has_just (&ranges, 1, 5, 1);
  lunfs_ranges_did (&ranges, lunfs_ranges_find_due (&ranges, 5), true);
  has_just (&ranges, 1, 4, 1);
  lunfs_ranges_drop (&ranges, 3);
  ck_assert_uint_eq (lunfs_ranges_oldest_due (&ranges)->seq, 1);
  lunfs_ranges_give_up (&ranges, lunfs_ranges_find_due (&ranges, 1));
  has_just (&ranges, 4, 4, 1);
  ck_assert_uint_eq (in_use (), 1);
}
END_TEST

/* A commit withdraws what was done when it began, whatever its age. */
START_TEST (test_cover)
{
  ck_assert (add_due (&ranges, 1));
  for (uint64_t seq = 2; seq <= 5; seq++)
    ck_assert (add (&ranges, seq));
  lunfs_ranges_cover (&ranges);
  ck_assert (add (&ranges, 6));
  lunfs_ranges_did (&ranges, lunfs_ranges_find_due (&ranges, 1), false);
  if (_i)
    lunfs_ranges_drop (&ranges, 3);
  ck_assert_ptr_null (lunfs_ranges_check (&ranges));
  lunfs_ranges_stable (&ranges);
  if (_i)
    has_just (&ranges, 6, 6, 1);
  else
    has_just (&ranges, 1, 6, 5);
  lunfs_ranges_stable (&ranges);
  ck_assert_uint_eq (lunfs_ranges_count (&ranges), _i ? 1 : 2);
}
END_TEST

/* The slots are everybody's; each LUN finds its own, in order, wherever they stand. */
START_TEST (test_restore)
{
  LunfsRanges other, next;

  lunfs_ranges_init (&other, arena, 4);
  for (uint64_t seq = 1; seq <= 20; seq++) {
    ck_assert (add (&ranges, seq));
    ck_assert (add (&other, 100 + seq));
  }
  ranges.hint = 0;
  lunfs_ranges_drop (&ranges, 5); /* so that the newest stand in the first slots */
  for (uint64_t seq = 21; seq <= 24; seq++)
    ck_assert (add (&ranges, seq));
  lunfs_ranges_clear (&ranges);
  lunfs_ranges_clear (&other);
  ck_assert_uint_eq (in_use (), 39);
  lunfs_ranges_init (&ranges, arena, 3);
  ck_assert_uint_eq (lunfs_ranges_restore (&ranges), 24);
  has_just (&ranges, 6, 24, 1);
  lunfs_ranges_init (&other, arena, 4);
  ck_assert_uint_eq (lunfs_ranges_restore (&other), 120);
  has_just (&other, 101, 120, 1);
  lunfs_ranges_init (&next, arena, 5);
  ck_assert_uint_eq (lunfs_ranges_restore (&next), 0);
  lunfs_ranges_drop (&ranges, 30);
  ck_assert_uint_eq (in_use (), 20);
  lunfs_ranges_clear (&other);
}
END_TEST

START_TEST (test_full)
{
  uint64_t seq = 0;

  while (add (&ranges, ++seq))
    ;
  ck_assert_uint_eq (seq, LUNFS_ARENA_RANGES + 1);
  has_just (&ranges, 1, LUNFS_ARENA_RANGES, 1);
  lunfs_ranges_drop (&ranges, 1);
  ck_assert (add (&ranges, seq));
  ck_assert (!add (&ranges, seq + 1));
  has_just (&ranges, 2, LUNFS_ARENA_RANGES + 1, 1);
}
END_TEST

/* A worker that died while it filled a slot in leaves it to its successor, once, before there are others who use it. */
START_TEST (test_half_filled)
{
  for (unsigned i = 0; i < LUNFS_ARENA_RANGES; i++)
    arena->ranges[i].kept = 2; /* RESERVED */
  arena->ranges[7] = (LunfsArenaRange){
    .seq = 9, .offset = 9 * 4096, .length = 512, .flags = LUNFS_REQ_UNMAP, .op = LUNFS_OP_DISCARD, .lun = 3, .kept = 1
  };
  lunfs_ranges_reclaim (arena);
  ck_assert_uint_eq (in_use (), 1);
  ck_assert_uint_eq (lunfs_ranges_restore (&ranges), 9);
  ck_assert (add (&ranges, 10));
  has_just (&ranges, 9, 10, 1);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("ranges");
  TCase *tc = tcase_create ("ranges");
  SRunner *runner;
  int failed;

  tcase_add_checked_fixture (tc, setup, teardown);
  tcase_add_test (tc, test_order);
  tcase_add_loop_test (tc, test_due, 0, 2);
  tcase_add_loop_test (tc, test_cover, 0, 2);
  tcase_add_test (tc, test_restore);
  tcase_add_test (tc, test_full);
  tcase_add_test (tc, test_half_filled);
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
