/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "cache/frames.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define CHUNKS 20u
#define LIMIT 8u /* chunks */
#define KEPT (UINT64_C (1) << 20)

static LunfsArena *arena;
static LunfsPool *pool;
static LunfsFrames *frames;
static LunfsLane *lane;
static LunfsFramesUser user[3];
static unsigned squeezes[3];

static void
squeezed (LunfsMail *mail)
{
  for (unsigned i = 0; i < 3; i++)
    if (mail == &user[i].squeeze) {
      squeezes[i]++;
      atomic_store (&user[i].squeezed, false);
    }
}

static void
setup (void)
{
  memset (user, 0, sizeof user); /* under valgrind the tests share one process */
  memset (squeezes, 0, sizeof squeezes);
  arena = lunfs_arena_create (CHUNKS * LUNFS_CHUNK_BYTES, NULL);
  pool = lunfs_pool_new (arena, false);
  lane = lunfs_lane_new (0, NULL, NULL);
  frames = lunfs_frames_new (arena, pool, LIMIT * LUNFS_CHUNK_BYTES, KEPT);
  for (unsigned i = 0; i < 3; i++) {
    user[i].lane = lane;
    user[i].squeeze.deliver = squeezed;
    lunfs_frames_join (frames, &user[i]);
  }
}

static void
teardown (void)
{
  for (unsigned i = 0; i < 3; i++)
    lunfs_frames_leave (frames, &user[i]);
  lunfs_frames_free (frames);
  lunfs_lane_free (lane);
  lunfs_pool_free (pool);
  lunfs_arena_free (arena);
}

static uint64_t
bytes (unsigned n)
{
  return atomic_load (&user[n].bytes);
}

START_TEST (test_limit)
{
  uint32_t chunk[LIMIT + 1];

  for (unsigned i = 0; i < LIMIT; i++)
    ck_assert (lunfs_frames_take (frames, &user[i % 2], &chunk[i]));
  ck_assert (!lunfs_frames_take (frames, &user[0], &chunk[LIMIT]));
  ck_assert (!lunfs_frames_take (frames, &user[2], &chunk[LIMIT]));
  ck_assert_uint_eq (bytes (0), LIMIT / 2 * LUNFS_CHUNK_BYTES);
  ck_assert_uint_eq (bytes (2), 0); /* what was refused is not charged */
  lunfs_frames_give (frames, &user[1], chunk[1]);
  ck_assert (lunfs_frames_take (frames, &user[2], &chunk[1]));
  ck_assert (!lunfs_frames_take (frames, &user[2], &chunk[LIMIT]));
  ck_assert (lunfs_pool_take (pool, chunk, CHUNKS - LIMIT - 12)); /* the pool has more than the caches may use */
}
END_TEST

START_TEST (test_pool_empty)
{
  uint32_t chunk[CHUNKS], mine;

  ck_assert (lunfs_pool_take (pool, chunk, CHUNKS));
  ck_assert (!lunfs_frames_take (frames, &user[0], &mine));
  ck_assert_uint_eq (bytes (0), 0);
  lunfs_pool_give (pool, chunk, 1);
  ck_assert (lunfs_frames_take (frames, &user[0], &mine));
  ck_assert_uint_eq (mine, chunk[0]);
}
END_TEST

/* Chunks of a request become a table's: no memory is taken, but it counts. */
START_TEST (test_adopt)
{
  uint32_t chunk[CHUNKS], one;

  ck_assert (lunfs_pool_take (pool, chunk, 6));
  ck_assert (lunfs_frames_adopt (frames, &user[0], 6));
  ck_assert_uint_eq (bytes (0), 6 * LUNFS_CHUNK_BYTES);
  ck_assert (!lunfs_frames_adopt (frames, &user[1], 3));
  ck_assert (lunfs_frames_adopt (frames, &user[1], 2));
  ck_assert (!lunfs_frames_take (frames, &user[1], &one));
  lunfs_frames_charge (frames, &user[2], 4); /* without asking */
  ck_assert_uint_eq (bytes (2), 4 * LUNFS_CHUNK_BYTES);
  for (unsigned i = 0; i < 4; i++) {
    lunfs_frames_give (frames, &user[0], chunk[i]);
    ck_assert (!lunfs_frames_take (frames, &user[1], &one)); /* twelve, eleven, ... eight are in use */
  }
  lunfs_frames_give (frames, &user[0], chunk[4]);
  ck_assert (lunfs_frames_take (frames, &user[1], &one));
}
END_TEST

/* Half for one, a third each for two; never nothing. */
START_TEST (test_may_keep)
{
  ck_assert_uint_eq (lunfs_frames_may_keep (frames, &user[0]), KEPT);
  lunfs_frames_count_kept (frames, &user[0], KEPT / 2);
  ck_assert_uint_eq (lunfs_frames_may_keep (frames, &user[0]), KEPT / 2); /* it has just that: no more */
  lunfs_frames_count_kept (frames, &user[0], KEPT / 3);
  lunfs_frames_count_kept (frames, &user[1], KEPT / 3);
  ck_assert_uint_eq (lunfs_frames_may_keep (frames, &user[2]), KEPT - 2 * (KEPT / 3));
  lunfs_frames_count_kept (frames, &user[0], 4 * KEPT); /* over it: a predecessor's */
  ck_assert_uint_gt (lunfs_frames_may_keep (frames, &user[2]), 0);
  ck_assert_uint_lt (lunfs_frames_may_keep (frames, &user[2]), KEPT / 100);
  lunfs_frames_count_kept (frames, &user[0], 0);
  lunfs_frames_count_kept (frames, &user[1], 0);
  ck_assert_uint_eq (lunfs_frames_may_keep (frames, &user[2]), KEPT);
}
END_TEST

/* Whoever has most to give is asked, once at a time, and only if it has more than the one who asks. */
START_TEST (test_squeeze)
{
  lunfs_frames_squeeze (frames, &user[0]);
  lunfs_lane_run_once (lane, 0);
  ck_assert_uint_eq (squeezes[0] + squeezes[1] + squeezes[2], 0);
  lunfs_frames_charge (frames, &user[0], 2);
  atomic_store (&user[0].evictable, 9 * LUNFS_CHUNK_BYTES);
  atomic_store (&user[1].evictable, 3 * LUNFS_CHUNK_BYTES);
  atomic_store (&user[2].evictable, 4 * LUNFS_CHUNK_BYTES);
  lunfs_frames_squeeze (frames, &user[0]);
  lunfs_frames_squeeze (frames, &user[0]);
  lunfs_lane_run_once (lane, 0);
  ck_assert_uint_eq (squeezes[2], 1);
  lunfs_frames_squeeze (frames, &user[0]);
  lunfs_lane_run_once (lane, 0);
  ck_assert_uint_eq (squeezes[2], 2);
  lunfs_frames_charge (frames, &user[0], 2); /* its share, no less than theirs */
  lunfs_frames_squeeze (frames, &user[0]);
  lunfs_lane_run_once (lane, 0);
  ck_assert_uint_eq (squeezes[0] + squeezes[1] + squeezes[2], 2);
}
END_TEST

/* What a dead worker's tables kept: found once, by LUN; the chunks are not given to anybody else. */
START_TEST (test_left)
{
  LunfsFrames *next;
  LunfsPool *its_pool;
  uint32_t chunk[CHUNKS], seen = 0;

  arena->pages[5] = (LunfsArenaPage){ .number = 1, .lun = 2, .blocks = 1, .kept = 1 };
  arena->pages[7] = (LunfsArenaPage){ .number = 2, .lun = 3, .blocks = 1, .kept = 1 };
  arena->pages[33] = (LunfsArenaPage){ .number = 3, .lun = 2, .blocks = 1, .kept = 1 };
  arena->pages[34] = (LunfsArenaPage){ .number = 4, .lun = LUNFS_ARENA_LUNS, .blocks = 1, .kept = 1 }; /* nobody's */
  arena->pages[35] = (LunfsArenaPage){ .number = 4, .lun = 2, .blocks = 1 };
  its_pool = lunfs_pool_new (arena, false);
  next = lunfs_frames_new (arena, its_pool, LIMIT * LUNFS_CHUNK_BYTES, KEPT);
  for (uint32_t i = lunfs_frames_left (next, 2); i != LUNFS_NO_PAGE; i = lunfs_frames_pages (next)[i].next) {
    ck_assert (i == 5 || i == 33);
    seen++;
  }
  ck_assert_uint_eq (seen, 2);
  ck_assert_uint_eq (lunfs_frames_left (next, 2), LUNFS_NO_PAGE);
  ck_assert_uint_eq (lunfs_frames_left (next, 3), 7);
  ck_assert_uint_eq (lunfs_frames_left (next, 0), LUNFS_NO_PAGE);
  ck_assert (!lunfs_pool_take (its_pool, chunk, CHUNKS - 1));
  ck_assert (lunfs_pool_take (its_pool, chunk, CHUNKS - 2));
  for (unsigned i = 0; i < CHUNKS - 2; i++)
    ck_assert (chunk[i] != 0 && chunk[i] != 2);
  lunfs_frames_free (next);
  lunfs_pool_free (its_pool);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("frames");
  TCase *tc = tcase_create ("frames");
  SRunner *runner;
  int failed;

  tcase_add_checked_fixture (tc, setup, teardown);
  tcase_add_test (tc, test_limit);
  tcase_add_test (tc, test_pool_empty);
  tcase_add_test (tc, test_adopt);
  tcase_add_test (tc, test_may_keep);
  tcase_add_test (tc, test_squeeze);
  tcase_add_test (tc, test_left);
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
