/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "lunfs/pool.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define CHUNKS 20u

static LunfsArena *arena;
static LunfsPool *pool;
static unsigned freed;

static void
on_freed (void *user)
{
  ck_assert_ptr_eq (user, &freed);
  freed++;
}

static void
setup (void)
{
  arena = lunfs_arena_create (CHUNKS * LUNFS_CHUNK_BYTES, NULL);
  ck_assert_uint_eq (arena->header->nchunks, CHUNKS);
  pool = lunfs_pool_new (arena, false);
  lunfs_pool_set_hook (pool, on_freed, &freed);
  freed = 0;
}

static void
teardown (void)
{
  lunfs_pool_free (pool);
  lunfs_arena_free (arena);
}

START_TEST (test_all_or_none)
{
  uint32_t chunk[CHUNKS + 1];
  bool seen[CHUNKS] = { false };

  ck_assert (!lunfs_pool_take (pool, chunk, CHUNKS + 1));
  ck_assert (lunfs_pool_take (pool, chunk, CHUNKS - 1));
  ck_assert (!lunfs_pool_take (pool, chunk + CHUNKS - 1, 2));
  ck_assert (lunfs_pool_take (pool, chunk + CHUNKS - 1, 1));
  for (unsigned i = 0; i < CHUNKS; i++) {
    ck_assert_uint_lt (chunk[i], CHUNKS);
    ck_assert (!seen[chunk[i]]);
    seen[chunk[i]] = true;
    memset (lunfs_pool_chunk (pool, chunk[i]), (int) i, LUNFS_CHUNK_BYTES);
  }
  ck_assert_uint_eq (lunfs_pool_chunk (pool, chunk[3])[LUNFS_CHUNK_BYTES - 1], 3);
  lunfs_pool_give (pool, chunk, CHUNKS);
}
END_TEST

START_TEST (test_last_in_first_out)
{
  uint32_t a[5], b[5];

  ck_assert (lunfs_pool_take (pool, a, 5));
  lunfs_pool_give (pool, a, 5);
  ck_assert (lunfs_pool_take (pool, b, 5));
  ck_assert_int_eq (memcmp (a, b, sizeof a), 0);
  lunfs_pool_give (pool, b, 0);
  lunfs_pool_give (pool, b, 5);
}
END_TEST

START_TEST (test_hook)
{
  uint32_t chunk[CHUNKS];

  ck_assert (lunfs_pool_take (pool, chunk, CHUNKS));
  ck_assert (lunfs_pool_short (pool, 1));
  lunfs_pool_give (pool, chunk, 1);
  ck_assert_uint_eq (freed, 1);
  lunfs_pool_give (pool, chunk + 1, 1); /* nobody asked in between */
  ck_assert_uint_eq (freed, 1);
  ck_assert (!lunfs_pool_short (pool, 2));
  ck_assert (!lunfs_pool_take (pool, chunk, 3));
  lunfs_pool_give (pool, chunk + 2, CHUNKS - 2);
  ck_assert_uint_eq (freed, 2);
}
END_TEST

static gpointer
hammer (gpointer data)
{
  for (unsigned i = 0; i < 20000; i++) {
    uint32_t chunk[7];
    unsigned n = 1 + i % 7;

    if (!lunfs_pool_take (pool, chunk, n))
      continue;
    for (unsigned k = 0; k < n; k++) {
      uint8_t *p = lunfs_pool_chunk (pool, chunk[k]);

      *p = (uint8_t) GPOINTER_TO_UINT (data);
      if (*p != GPOINTER_TO_UINT (data))
        abort ();
    }
    lunfs_pool_give (pool, chunk, n);
  }
  return NULL;
}

START_TEST (test_threads)
{
  GThread *threads[4];
  uint32_t chunk[CHUNKS];

  lunfs_pool_set_hook (pool, NULL, NULL);
  for (unsigned i = 0; i < 4; i++)
    threads[i] = g_thread_new ("hammer", hammer, GUINT_TO_POINTER (i + 1));
  for (unsigned i = 0; i < 4; i++)
    g_thread_join (threads[i]);
  ck_assert (lunfs_pool_take (pool, chunk, CHUNKS));
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("pool");
  TCase *tc = tcase_create ("pool");
  SRunner *runner;
  int failed;

  tcase_set_timeout (tc, 20);
  tcase_add_checked_fixture (tc, setup, teardown);
  tcase_add_test (tc, test_all_or_none);
  tcase_add_test (tc, test_last_in_first_out);
  tcase_add_test (tc, test_hook);
  tcase_add_test (tc, test_threads);
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
