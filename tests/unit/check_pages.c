/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What check_pages_model.c cannot tell: arithmetic, and who goes first when memory is short. */
#include "config.h"

#include "cache/pages.h"

#include <check.h>
#include <stdlib.h>

static LunfsArena *arena;
static LunfsPool *pool;
static LunfsFrames *frames;
static LunfsLane *lane;
static LunfsPages pages, *t = &pages;

static void
setup (void)
{
  lane = lunfs_lane_new (0, NULL, NULL);
  arena = lunfs_arena_create (0, NULL);
  pool = lunfs_pool_new (arena, false);
  frames = lunfs_frames_new (arena, pool, LUNFS_CHUNK_BYTES, LUNFS_CHUNK_BYTES);
  lunfs_pages_init (t, frames, lane, 0);
}

static void
teardown (void)
{
  const char *wrong = lunfs_pages_check (t);

  ck_assert_msg (!wrong, "%s", wrong);
  lunfs_pages_clear (t);
  lunfs_frames_free (frames);
  lunfs_pool_free (pool);
  lunfs_arena_free (arena);
  lunfs_lane_free (lane);
}

START_TEST (test_masks)
{
  lunfs_pages_geometry (t, 512, 21);
  ck_assert_uint_eq (lunfs_pages_whole (t, 0), 0xff);
  ck_assert_uint_eq (lunfs_pages_whole (t, 2), 0x1f);
  ck_assert_uint_eq (lunfs_pages_whole (t, 3), 0);
  ck_assert_uint_eq (lunfs_pages_mask (t, 1, 0, 65536), 0xff);
  ck_assert_uint_eq (lunfs_pages_mask (t, 1, 4096 + 512, 1024), 0x06);
  ck_assert_uint_eq (lunfs_pages_mask (t, 1, 512, 4096), 0x01);
  ck_assert_uint_eq (lunfs_pages_mask (t, 1, 8192 - 512, 4096), 0x80);
  lunfs_pages_geometry (t, 2048, 21);
  ck_assert_uint_eq (lunfs_pages_whole (t, 0), 0x03);
  ck_assert_uint_eq (lunfs_pages_whole (t, 10), 0x01);
  ck_assert_uint_eq (lunfs_pages_mask (t, 0, 2048, 2048), 0x02);
  lunfs_pages_geometry (t, 4096, 21);
  ck_assert_uint_eq (lunfs_pages_whole (t, 20), 0x01);
  ck_assert_uint_eq (lunfs_pages_mask (t, 3, 3 * 4096, 4096), 0x01);
}
END_TEST

static uint64_t wasted_number;

static void
on_wasted (void *user, uint64_t number)
{
  wasted_number = number;
}

static void
insert_clean (uint64_t number)
{
  uint32_t i = lunfs_pages_take (t);

  ck_assert_uint_ne (i, LUNFS_NO_PAGE);
  lunfs_pages_insert (t, i, number, LUNFS_PAGE_CLEAN, 0xff);
}

/* What was read twice stays when others go; what a stream has read goes first; a page being fetched into does not. */
START_TEST (test_eviction)
{
  t->wasted = on_wasted;
  for (unsigned n = 0; n < 16; n++)
    insert_clean (n);
  for (unsigned k = 0; k < 2; k++)
    lunfs_pages_touch (t, lunfs_pages_find (t, 0), false);
  lunfs_pages_touch (t, lunfs_pages_find (t, 9), true);
  lunfs_page (t, lunfs_pages_find (t, 1))->fill = t;
  lunfs_page (t, lunfs_pages_find (t, 2))->flags |= LUNFS_PAGE_AHEAD;
  insert_clean (20);
  ck_assert_uint_eq (lunfs_pages_find (t, 9), LUNFS_NO_PAGE);
  ck_assert_uint_eq (wasted_number, 0);
  insert_clean (21);
  ck_assert_uint_eq (lunfs_pages_find (t, 2), LUNFS_NO_PAGE); /* the oldest but two */
  ck_assert_uint_eq (wasted_number, 2);
  for (unsigned n = 22; n < 50; n++)
    insert_clean (n);
  ck_assert_uint_ne (lunfs_pages_find (t, 0), LUNFS_NO_PAGE);
  ck_assert_uint_ne (lunfs_pages_find (t, 1), LUNFS_NO_PAGE);
  lunfs_page (t, lunfs_pages_find (t, 1))->fill = NULL;
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("pages");
  TCase *tc = tcase_create ("pages");
  SRunner *runner;
  int failed;

  tcase_add_checked_fixture (tc, setup, teardown);
  tcase_add_test (tc, test_masks);
  tcase_add_test (tc, test_eviction);
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
