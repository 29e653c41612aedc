/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Read-ahead of the cache: what is fetched before anybody asks, who waits for it, and what becomes of it. */
#include "config.h"

#include "cache-harness.h"

static void
start_ahead (void)
{
  setup ();
  conf.read_ahead_bytes = 1 << 20;
  start (LUNFS_CACHE_WRITEBACK, 4096);
  for (unsigned i = 0; i < 2000; i++)
    memset (disk + (size_t) i * LUNFS_PAGE_BYTES, (int) i & 0xff, LUNFS_PAGE_BYTES);
}

static void
page_holds (unsigned n)
{
  holds (n, 0, 1, (unsigned) io[n].req.offset / LUNFS_PAGE_BYTES & 0xff);
}

/* @n reads in a row, each answered; where the next one begins. */
static unsigned
stream (unsigned from, unsigned n)
{
  for (unsigned i = 0; i < n; i++) {
    put (0, LUNFS_OP_READ, 0, from + i, 1);
    for (unsigned k = 0; k < nsent && !io[0].done; k++)
      if (sent[k])
        answer (k, 0);
    ends (0, 0);
    page_holds (0);
  }
  return from + n;
}

START_TEST (test_ahead)
{
  unsigned at = stream (1000, 8), before;

  answer_all (0);
  ck_assert_uint_gt (LUNFS_VALUE (&stats, ahead_bytes), 0);
  before = nsent;
  stream (at, 4); /* there already, and more is asked for */
  for (unsigned i = before; i < nsent; i++)
    if (sent[i])
      ck_assert_uint_ge (sent[i]->offset, (uint64_t) (at + 4) * bs);
}
END_TEST

/* The reader has come to what is being fetched for it. */
START_TEST (test_ahead_joined)
{
  unsigned at, ahead = 0;

  stream (1000, 8);
  turn ();
  for (at = 1008; !ahead && at < 1400; at++) {
    for (unsigned i = 0; i < nsent; i++)
      if (sent[i] && sent[i]->offset <= (uint64_t) at * bs && sent[i]->offset + sent[i]->length > (uint64_t) at * bs)
        ahead = i + 1;
    if (ahead)
      break;
    stream (at, 1);
  }
  ck_assert_uint_gt (ahead, 0);
  put (1, LUNFS_OP_READ, 0, at, 1);
  ck_assert (!io[1].done);
  for (unsigned i = 0; i < nsent; i++) /* nobody else fetches it */
    if (sent[i] && i != ahead - 1)
      ck_assert (sent[i]->offset > (uint64_t) at * bs || sent[i]->offset + sent[i]->length <= (uint64_t) at * bs);
  if (_i == 0) {
    answer (ahead - 1, 0);
    ends (1, 0);
  } else { /* its failure is nobody's */
    answer (ahead - 1, -EIO);
    ck_assert (!io[1].done);
    answer_all (0);
    ends (1, 0);
  }
  page_holds (1);
}
END_TEST

/* What nobody has read is told as wasted when it has to go. */
START_TEST (test_wasted)
{
  stream (1000, 8);
  answer_all (0);
  for (unsigned i = 0; i < 400; i++) { /* small, so that they do not take each other's place only */
    put (1, LUNFS_OP_READ, 0, 4000 + ((i * 7) % 300) * 32, 32);
    answer_all (0);
    ends (1, 0);
  }
  ck_assert_uint_gt (LUNFS_VALUE (&stats, ahead_wasted_bytes), 0);
}
END_TEST

START_TEST (test_not_ahead_while_stalled)
{
  stream (1000, 8);
  answer_all (0);
  is_stalled = true;
  for (unsigned i = 0; i < 200; i++) {
    put (1, LUNFS_OP_READ, 0, 1008 + i, 1);
    if (!io[1].done)
      break;
  }
  ck_assert (!io[1].done); /* all that was fetched before has been read, and no more came */
  is_stalled = false;
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("cache_ahead");
  TCase *tc = tcase_create ("ahead");

  tcase_add_checked_fixture (tc, start_ahead, teardown);
  tcase_add_test (tc, test_ahead);
  tcase_add_loop_test (tc, test_ahead_joined, 0, 2);
  tcase_add_test (tc, test_wasted);
  tcase_add_test (tc, test_not_ahead_while_stalled);
  suite_add_tcase (suite, tc);
  return run_suite (suite);
}
