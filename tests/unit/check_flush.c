/* SPDX-License-Identifier: GPL-2.0-or-later */
/* FLUSH and EXTENT of the cache with "writeback": what they wait for, what they share, and who loses patience. */
#include "config.h"

#include "cache-harness.h"

/* ---- flush ---- */

/* It waits for what was dirty before it came, not for what came later. */
START_TEST (test_drain)
{
  written (0, 0, 1);
  put (10, LUNFS_OP_FLUSH, 0, 0, 0);
  turn ();
  is_sent (0, LUNFS_OP_WRITE, 0, 1, OURS);
  written (1, 100, 1);
  written (2, 0, 1); /* the same page, later */
  turn ();
  answer (0, 0);
  for (unsigned i = 1; i < nsent; i++)
    if (sent[i]->op == LUNFS_OP_FLUSH) {
      answer (i, 0);
      ends (10, 0);
      return;
    }
  ck_abort_msg ("no SYNCHRONIZE CACHE");
}
END_TEST

START_TEST (test_drain_of_overwritten)
{
  written (0, 0, 1);
  put (10, LUNFS_OP_FLUSH, 0, 0, 0);
  turn ();
  written (1, 0, 1);
  answer (0, -EIO); /* what is newer has to do it */
  turn ();
  ends (10, -EIO);
  put (11, LUNFS_OP_FLUSH, 0, 0, 0);
  turn ();
  is_sent (1, LUNFS_OP_WRITE, 0, 1, OURS);
  put (12, LUNFS_OP_FLUSH, 0, 0, 0);
  answer (1, 0);
  answer_all (0);
  ends (11, 0);
  ends (12, 0);
  disk_holds (0, 1, 2);
}
END_TEST

/* What a flush waits for is replaced while it is not yet sent: it waits for that. */
START_TEST (test_drain_of_replaced)
{
  unsigned end;

  for (unsigned i = 0; i < 40; i++)
    written (i, i * 2, 1);
  put (50, LUNFS_OP_FLUSH, 0, 0, 0);
  turn ();
  ck_assert_uint_eq (nsent, 32);
  put_chunks (41, 0, 70, 16); /* over 70, 72, 74, 76, 78, not yet sent */
  ends (41, 0);
  for (unsigned i = 0; i < 32; i++)
    answer (i, 0);
  turn ();
  end = nsent;
  for (unsigned i = 32; i < end; i++) {
    ck_assert_int_eq (sent[i]->op, LUNFS_OP_WRITE);
    answer (i, 0);
  }
  turn ();
  disk_holds (70, 16, 42);
  is_sent (nsent - 1, LUNFS_OP_FLUSH, 0, 0, 0);
  answer (nsent - 1, 0);
  ends (50, 0);
}
END_TEST

START_TEST (test_flushes_share)
{
  unsigned flushes = 0;

  written (0, 0, 1);
  for (unsigned i = 10; i < 20; i++)
    put (i, LUNFS_OP_FLUSH, 0, 0, 0);
  turn ();
  ck_assert_uint_eq (nsent, 1);
  for (unsigned i = 20; i < 30; i++)
    put (i, LUNFS_OP_FLUSH, 0, 0, 0);
  answer (0, 0);
  turn ();
  for (unsigned i = 1; i < nsent; i++) {
    flushes++;
    is_sent (i, LUNFS_OP_FLUSH, 0, 0, 0);
    answer (i, 0);
    turn ();
  }
  ck_assert_uint_le (flushes, 2);
  for (unsigned i = 10; i < 30; i++)
    ends (i, 0);
}
END_TEST

/* One round trip instead of two, where that is little. */
START_TEST (test_small_flush)
{
  info.modes.dpofua = true;
  up ();
  for (unsigned i = 0; i < 16; i++)
    written (i, i, 1);
  put (20, LUNFS_OP_FLUSH, 0, 0, 0);
  turn ();
  is_sent (0, LUNFS_OP_WRITE, 0, 16, OURS | LUNFS_REQ_FUA);
  answer (0, 0);
  turn ();
  ends (20, 0);
  ck_assert_uint_eq (nsent, 1);
  ck_assert_uint_eq (lunfs_cache_unstable_bytes (cache), 0);
  for (unsigned i = 0; i < 17; i++) /* that is much */
    written (i, i, 1);
  put (20, LUNFS_OP_FLUSH, 0, 0, 0);
  turn ();
  is_sent (1, LUNFS_OP_WRITE, 0, 17, OURS);
  answer (1, 0);
  is_sent (2, LUNFS_OP_FLUSH, 0, 0, 0);
  answer (2, 0);
  ends (20, 0);
  written (0, 0, 1);
  advance (WRITE_DELAY_US + 1000);
  answer (3, 0); /* unstable now: the other page would need both */
  written (1, 8, 1);
  put (20, LUNFS_OP_FLUSH, 0, 0, 0);
  turn ();
  is_sent (4, LUNFS_OP_WRITE, 8, 1, OURS);
  answer (4, 0);
  is_sent (5, LUNFS_OP_FLUSH, 0, 0, 0);
}
END_TEST

/* The target must know of all data before it says what is mapped. */
START_TEST (test_extent)
{
  put (0, LUNFS_OP_EXTENT, 0, 0, 1);
  ck_assert_ptr_eq (sent[0], &io[0].req);
  answer (0, 0);
  written (1, 9, 1);
  put (2, LUNFS_OP_EXTENT, 0, 0, 1);
  turn ();
  is_sent (1, LUNFS_OP_WRITE, 9, 1, OURS);
  ck_assert_uint_eq (nsent, 2);
  answer (1, 0);
  ck_assert_ptr_eq (sent[2], &io[2].req);
  answer (2, 0);
  ends (2, 0);
}
END_TEST

/* ---- users lose patience ---- */

START_TEST (test_cancel)
{
  for (unsigned i = 0; i < 16; i++)
    written (i, i * 32, 16);
  put (20, LUNFS_OP_WRITE, 0, 1000, 1); /* held */
  put (21, LUNFS_OP_FLUSH, 0, 0, 0);    /* draining */
  put (22, LUNFS_OP_FLUSH, 0, 0, 0);    /* wanting */
  put (24, LUNFS_OP_EXTENT, 0, 0, 1);
  turn ();
  for (unsigned i = 20; i <= 24; i++)
    if (i != 23) {
      ck_assert (!io[i].done);
      ck_assert (!cancel_io (i, false));
    }
  is_stalled = true;
  for (unsigned i = 20; i <= 24; i++)
    if (i != 23) {
      ck_assert (cancel_io (i, false));
      ck_assert (!io[i].done);
    }
  turn ();
  for (unsigned i = 20; i <= 24; i++)
    if (i != 23)
      ends (i, -EINTR);
  is_stalled = false;
  answer_all (0);
  disk_holds (1000, 1, 0);
}
END_TEST

/* A FLUSH that waits for SYNCHRONIZE CACHE; a WRITE that does so has been done, and only a dying user gives that up. */
START_TEST (test_cancel_commit)
{
  written (0, 0, 1);
  put (1, LUNFS_OP_FLUSH, 0, 0, 0);
  turn ();
  answer (0, 0);
  is_sent (1, LUNFS_OP_FLUSH, 0, 0, 0);
  put (2, LUNFS_OP_WRITE, LUNFS_REQ_FUA, 64, 1);
  answer (2, 0);
  ck_assert (!io[2].done);
  put (3, LUNFS_OP_FLUSH, 0, 0, 0);
  is_stalled = true;
  ck_assert (cancel_io (1, false) && cancel_io (3, false));
  ck_assert (!cancel_io (2, false));
  ck_assert (cancel_io (2, true));
  turn ();
  ends (1, -EINTR);
  ends (2, -EINTR);
  ends (3, -EINTR);
  is_stalled = false;
  answer (1, 0); /* nobody waits any more */
}
END_TEST

START_TEST (test_cancel_blocked)
{
  written (0, 0, 1);
  put (1, LUNFS_OP_WRITE, LUNFS_REQ_FUA, 0, 1);
  turn ();
  ck_assert_uint_eq (nsent, 1);
  ck_assert (!cancel_io (1, false));
  is_stalled = true;
  ck_assert (cancel_io (1, false));
  turn ();
  ends (1, -EINTR);
  is_stalled = false;
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("flush");
  TCase *tc = tcase_create ("pages");

  tcase_add_checked_fixture (tc, start_pages, teardown);
  tcase_add_test (tc, test_drain);
  tcase_add_test (tc, test_drain_of_overwritten);
  tcase_add_test (tc, test_drain_of_replaced);
  tcase_add_test (tc, test_flushes_share);
  tcase_add_test (tc, test_small_flush);
  tcase_add_test (tc, test_extent);
  tcase_add_test (tc, test_cancel_commit);
  tcase_add_test (tc, test_cancel_blocked);
  suite_add_tcase (suite, tc);
  tc = tcase_create ("small");
  tcase_add_checked_fixture (tc, start_small, teardown);
  tcase_add_test (tc, test_cancel);
  suite_add_tcase (suite, tc);
  return run_suite (suite);
}
