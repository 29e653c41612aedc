/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The log against a list of what was put into it. */
#include "config.h"

#include "cache/unstable.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define CHUNKS 40u
#define ENTRIES 32768

typedef struct {
  LunfsOp op;
  uint64_t offset, length;
  uint8_t pattern;
} Entry;

static LunfsArena *arena;
static LunfsPool *pool;
static LunfsUnstable *u;
static Entry model[ENTRIES];

static void
setup (void)
{
  arena = lunfs_arena_create (CHUNKS * LUNFS_CHUNK_BYTES, NULL);
  pool = lunfs_pool_new (arena, false);
  u = lunfs_unstable_new (pool);
}

static void
teardown (void)
{
  uint32_t chunk[CHUNKS];

  lunfs_unstable_free (u);
  ck_assert (lunfs_pool_take (pool, chunk, CHUNKS)); /* every chunk has come back, each once */
  for (unsigned i = 0; i < CHUNKS; i++)
    for (unsigned k = 0; k < i; k++)
      ck_assert_uint_ne (chunk[i], chunk[k]);
  lunfs_pool_free (pool);
  lunfs_arena_free (arena);
}

static void
compare (uint64_t number)
{
  const LunfsUnstableEntry *e = lunfs_unstable_entry (u, number);
  const Entry *m = &model[number];
  struct iovec iov[18];
  uint64_t bytes = 0;
  unsigned n;

  ck_assert (e->op == m->op && e->offset == m->offset && e->length == m->length);
  if (e->op != LUNFS_OP_WRITE)
    return;
  n = lunfs_unstable_data (u, e, iov, 18);
  for (unsigned i = 0; i < n; i++) {
    const uint8_t *p = iov[i].iov_base;

    bytes += iov[i].iov_len;
    ck_assert (p[0] == m->pattern && (iov[i].iov_len == 1 || memcmp (p, p + 1, iov[i].iov_len - 1) == 0));
  }
  ck_assert_uint_eq (bytes, m->length);
}

static void
check_all (void)
{
  for (uint64_t i = lunfs_unstable_first (u); i <= lunfs_unstable_last (u); i++)
    compare (i);
  ck_assert_uint_le (lunfs_unstable_bytes (u), CHUNKS * LUNFS_CHUNK_BYTES);
}

static uint64_t
adopt (const Entry *e)
{
  unsigned n = (unsigned) ((e->length + LUNFS_CHUNK_BYTES - 1) / LUNFS_CHUNK_BYTES);
  uint32_t chunk[LUNFS_CHUNKS_PER_REQUEST];

  if (!lunfs_pool_take (pool, chunk, n))
    return 0;
  for (unsigned i = 0; i < n; i++)
    memset (lunfs_pool_chunk (pool, chunk[i]), e->pattern, LUNFS_CHUNK_BYTES);
  return lunfs_unstable_adopt (u, e->offset, e->length, chunk, n);
}

START_TEST (test_random)
{
  static uint8_t data[LUNFS_MAX_WRITE];
  GRand *rand = g_rand_new_with_seed ((guint32) _i);
  unsigned refused = 0;

  for (unsigned step = 0; step < 6000; step++) {
    uint64_t last = lunfs_unstable_last (u);
    Entry e = { .op = g_rand_int_range (rand, 0, 5) ? LUNFS_OP_WRITE : LUNFS_OP_DISCARD, .pattern = (uint8_t) step };
    struct iovec iov[2];
    uint64_t number;

    e.offset = (uint64_t) g_rand_int_range (rand, 0, 1 << 20) * 512;
    e.length = (uint64_t) g_rand_int_range (rand, 1, g_rand_int_range (rand, 0, 8) ? 40 : 2049) * 512;
    if (e.op == LUNFS_OP_WRITE && g_rand_int_range (rand, 0, 3) == 0) {
      number = adopt (&e);
    } else {
      memset (data, e.pattern, e.length);
      iov[0] = (struct iovec){ data, e.length / 3 };
      iov[1] = (struct iovec){ data + e.length / 3, e.length - e.length / 3 };
      number = lunfs_unstable_append (u, e.op, 0, e.offset, e.length, iov, 2);
    }
    if (number) {
      ck_assert_uint_eq (number, last + 1);
      model[number] = e;
    } else {
      refused++;
      ck_assert_uint_eq (lunfs_unstable_last (u), last);
    }
    if (!number || g_rand_int_range (rand, 0, 12) == 0) {
      uint64_t first = lunfs_unstable_first (u);
      uint64_t n = first + (uint64_t) g_rand_int_range (rand, 0, (gint32) (lunfs_unstable_last (u) - first + 2));

      lunfs_unstable_drop (u, MIN (n, lunfs_unstable_last (u)));
      lunfs_unstable_drop (u, first - 1); /* nothing new */
      if (g_rand_int_range (rand, 0, 3) == 0)
        check_all ();
    }
    if (lunfs_unstable_first (u) > lunfs_unstable_last (u))
      ck_assert_uint_eq (lunfs_unstable_bytes (u), 0); /* nothing is held for nothing */
  }
  check_all ();
  ck_assert_uint_ne (refused, 0);
  g_rand_free (rand);
}
END_TEST

/* The memory stays where it is while more is added. */
START_TEST (test_stays)
{
  static uint8_t data[70000];
  struct iovec iov = { data, sizeof data }, before[4], after[4];
  unsigned n;

  memset (data, 7, sizeof data);
  lunfs_unstable_append (u, LUNFS_OP_WRITE, 0, 0, sizeof data, &iov, 1);
  n = lunfs_unstable_data (u, lunfs_unstable_entry (u, 1), before, 4);
  iov.iov_len = 512;
  for (unsigned i = 0; i < 1000; i++)
    ck_assert_uint_ne (lunfs_unstable_append (u, LUNFS_OP_WRITE, 0, 0, 512, &iov, 1), 0);
  ck_assert_uint_eq (lunfs_unstable_data (u, lunfs_unstable_entry (u, 1), after, 4), n);
  ck_assert_int_eq (memcmp (before, after, n * sizeof *before), 0);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("unstable");
  TCase *tc = tcase_create ("unstable");
  SRunner *runner;
  int failed;

  tcase_set_timeout (tc, 20);
  tcase_add_checked_fixture (tc, setup, teardown);
  tcase_add_loop_test (tc, test_random, 0, 4);
  tcase_add_test (tc, test_stays);
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
