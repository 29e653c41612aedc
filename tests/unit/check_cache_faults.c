/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cache with "writeback" where something fails after it was answered: a WRITE, the session, the LUN's owner, the worker. */
#include "config.h"

#include "cache-harness.h"

/* ---- failures ---- */

START_TEST (test_write_fails)
{
  int error = _i ? -ENOSPC : -EIO;

  written (0, 0, 1);
  advance (WRITE_DELAY_US + 1000);
  answer (0, error);
  advance (SECOND_US - 100000);
  ck_assert_uint_eq (nsent, 1);
  put (10, LUNFS_OP_FLUSH, 0, 0, 0); /* one more attempt */
  turn ();
  is_sent (1, LUNFS_OP_WRITE, 0, 1, OURS);
  answer (1, error);
  ends (10, error);
  advance (WRITE_DELAY_US * 3); /* and no more until it is time */
  ck_assert_uint_eq (nsent, 2);
  put (1, LUNFS_OP_WRITE, 0, 100, 1); /* goes through, to see the error */
  ck_assert_ptr_eq (sent[2], &io[1].req);
  answer (2, error);
  ends (1, error);
  put (2, LUNFS_OP_WRITE, 0, 0, 1); /* behind what is older */
  turn ();
  is_sent (3, LUNFS_OP_WRITE, 0, 1, OURS);
  answer (3, error);
  ends (2, error);
  put (3, LUNFS_OP_READ, 0, 0, 1); /* kept */
  ends (3, 0);
  holds (3, 0, 1, 1);
  advance (2 * SECOND_US);
  is_sent (4, LUNFS_OP_WRITE, 0, 1, OURS);
  answer (4, 0);
  disk_holds (0, 1, 1);
  written (4, 0, 1); /* from memory again */
  flush_ends (11, 0);
  disk_holds (0, 1, 5);
}
END_TEST

/* Memory is full of what the target does not take: nobody waits for ever, and other places can still be written. */
START_TEST (test_write_fails_at_limit)
{
  unsigned n = 0, before;

  for (; n < 30; n++) {
    put (n, LUNFS_OP_WRITE, 0, n * 32, 16);
    if (!io[n].done)
      break;
  }
  ck_assert_uint_eq (n, 16);
  turn ();
  before = nsent;
  for (unsigned i = 0; i < before; i++)
    answer (i, -EIO);
  ck_assert_ptr_eq (sent[before], &io[n].req);
  answer (before, 0);
  ends (n, 0);
  disk_holds (n * 32, 16, n + 1);
  put (n + 1, LUNFS_OP_WRITE, 0, 0, 1); /* not this one, which is behind what fails */
  for (unsigned k = 0; k < 3 && !io[n + 1].done; k++) {
    answer_all (-EIO);
    advance (SECOND_US);
  }
  ends (n + 1, -EIO);
}
END_TEST

/* One bad page must not hold up its neighbours; when it is well again it goes with them. */
START_TEST (test_failed_alone)
{
  written (0, 0, 1);
  written (1, 1, 1);
  written (2, 2, 1);
  advance (WRITE_DELAY_US + 1000);
  is_sent (0, LUNFS_OP_WRITE, 0, 3, OURS);
  answer (0, -EIO);
  advance (2 * SECOND_US);
  ck_assert_uint_eq (nsent, 4);
  for (unsigned i = 1; i < 4; i++) {
    ck_assert_uint_eq (sent[i]->length, bs);
    answer (i, 0);
  }
  written (0, 0, 1);
  written (1, 1, 1);
  written (2, 2, 1);
  advance (WRITE_DELAY_US + 1000);
  is_sent (nsent - 1, LUNFS_OP_WRITE, 0, 3, OURS);
}
END_TEST

/* The session is lost: it waits for the next one, and so does a flush; writes are taken meanwhile. */
START_TEST (test_session_lost)
{
  written (0, 0, 1);
  put (10, LUNFS_OP_FLUSH, 0, 0, 0);
  turn ();
  is_stalled = true;
  answer (0, -ECANCELED);
  written (1, 1, 1);
  put (11, LUNFS_OP_FLUSH, 0, 0, 0);
  advance (3 * SECOND_US);
  ck_assert_uint_eq (nsent, 1);
  ck_assert (!io[10].done && !io[11].done);
  is_stalled = false;
  up ();
  is_sent (1, LUNFS_OP_WRITE, 0, 2, LUNFS_REQ_RECOVERY);
  ck_assert_uint_eq (recovered, 1);
  answer (1, 0);
  ck_assert_uint_eq (recovered, 2);
  answer_all (0);
  ends (10, 0);
  ends (11, 0);
}
END_TEST

/* Written while all is being written again. */
START_TEST (test_write_while_recovering)
{
  written (0, 0, 1);
  advance (WRITE_DELAY_US + 1000);
  answer (0, 0);
  up ();
  is_sent (1, LUNFS_OP_WRITE, 0, 1, LUNFS_REQ_RECOVERY);
  written (1, 0, 1);
  written (2, 8, 1);
  advance (WRITE_DELAY_US + 1000);
  ck_assert_uint_eq (nsent, 2);
  answer (1, _i ? -EIO : 0);
  ck_assert_uint_eq (recovered, 2);
  advance (2 * SECOND_US);
  answer_all (0);
  disk_holds (0, 1, 2);
  disk_holds (8, 1, 3);
}
END_TEST

/* One bad place does not keep the target busy with itself, and does not make others wait. */
START_TEST (test_one_bad_page)
{
  written (0, 0, 1);
  written (1, 64, 1);
  advance (WRITE_DELAY_US + 1000);
  ck_assert_uint_eq (nsent, 2);
  answer (0, -EIO);
  answer (1, 0);
  advance (SECOND_US / 2);
  for (unsigned i = 2; i < nsent; i++)
    ck_assert (sent[i] == NULL || sent[i]->op == LUNFS_OP_FLUSH);
  ck_assert_uint_le (nsent, 3);
  put (2, LUNFS_OP_DISCARD, 0, 0, 8); /* ends the trouble, if it works: first what is dirty there is tried once more */
  turn ();
  answer (nsent - 1, 0);
  answer_all (0);
  ends (2, 0);
  advance (2 * SECOND_US);
  written (3, 128, 1); /* from memory again */
}
END_TEST

START_TEST (test_refuses)
{
  put (0, LUNFS_OP_WRITE, 0, 0, 1);
  put (1, LUNFS_OP_FLUSH, 0, 0, 0);
  put (2, LUNFS_OP_WRITE, LUNFS_REQ_FUA, 0, 1); /* blocked by the first */
  is_stalled = is_refusing = true;
  lunfs_cache_failing (cache);
  turn ();
  ends (1, -EIO);
  ends (2, -EIO);
  put (3, LUNFS_OP_WRITE, 0, 8, 1);
  put (4, LUNFS_OP_FLUSH, 0, 0, 0);
  ck_assert (!io[3].done);
  turn ();
  ends (3, -EIO);
  ends (4, -EIO);
  put (5, LUNFS_OP_READ, 0, 0, 1); /* not even what is in memory: it may be another LUN now */
  is_sent (nsent - 1, LUNFS_OP_READ, 0, 1, 0);
  answer (nsent - 1, -EIO);
  ends (5, -EIO);
  is_stalled = is_refusing = false;
  up ();
  answer_all (0);
  disk_holds (0, 1, 1); /* not given up */
  disk_holds (8, 1, 0);
}
END_TEST

/* The LUN is smaller than it was when the session is back: nobody waits for what is not written until it has its size. */
START_TEST (test_shrunk)
{
  put (0, LUNFS_OP_WRITE, 0, 0, 1);
  put (1, LUNFS_OP_FLUSH, 0, 0, 0);
  put (2, LUNFS_OP_WRITE, LUNFS_REQ_FUA, 0, 1);
  put (3, LUNFS_OP_FLUSH, 0, 0, 0);
  turn ();
  is_stalled = true;
  answer (0, -ECANCELED);
  turn ();
  is_stalled = false;
  info.shrunk_from_nblocks = info.capacity.nblocks;
  up ();
  turn ();
  for (unsigned i = 1; i < 4; i++)
    ends (i, -EIO);
  info.shrunk_from_nblocks = 0;
  up ();
  answer_all (0);
  disk_holds (0, 1, 1);
}
END_TEST

/* ---- losses ---- */

/* Another initiator has the LUN to itself: nothing that is kept so far is written over its data. */
START_TEST (test_disown)
{
  written (0, 0, 1);
  advance (WRITE_DELAY_US + 1000);
  answer (0, 0); /* unstable */
  written (1, 8, 1);
  advance (WRITE_DELAY_US + 1000); /* being sent */
  written (2, 16, 1);              /* dirty */
  memset (disk, 0, LUNFS_PAGE_BYTES);
  lunfs_cache_disown (cache);
  ck_assert_uint_eq (cancels, 1);
  answer (1, -EINTR);
  advance (2 * SECOND_US);
  ck_assert_uint_eq (nsent, 2);
  flush_ends (3, -EIO);
  disk_holds (0, 32, 0);
  written (4, 16, 1);
  put (5, LUNFS_OP_FLUSH, 0, 0, 0);
  answer_all (0);
  disk_holds (16, 1, 5);
}
END_TEST

START_TEST (test_disown_unstable)
{
  written (0, 0, 1);
  advance (WRITE_DELAY_US + 1000);
  answer (0, 0);
  lunfs_cache_disown (cache);
  up ();
  ck_assert_uint_eq (nsent, 1);
  flush_ends (1, -EIO);
}
END_TEST

/* Nor are discards done again. */
START_TEST (test_disown_range)
{
  put (0, LUNFS_OP_DISCARD, 0, 0, 8);
  answer (0, 0);
  lunfs_cache_disown (cache);
  put (1, LUNFS_OP_DISCARD, 0, 16, 8); /* after it: is */
  turn ();
  answer (1, 0);
  up ();
  is_sent (2, LUNFS_OP_DISCARD, 16, 8, LUNFS_REQ_RECOVERY);
  answer (2, 0);
  ck_assert_uint_eq (nsent, 3);
  flush_ends (2, -EIO);
}
END_TEST

/* A page that waits for a WRITE of its older self is kept, too. */
START_TEST (test_disown_held)
{
  written (0, 0, 1);
  advance (WRITE_DELAY_US + 1000);
  written (1, 0, 1);
  lunfs_cache_disown (cache);
  answer (0, _i == 0 ? -EINTR : _i == 1 ? 0 : -EIO);
  memset (disk, 0, LUNFS_PAGE_BYTES);
  advance (3 * SECOND_US);
  for (unsigned i = 1; i < nsent; i++)
    ck_assert_int_ne (sent[i]->op, LUNFS_OP_WRITE);
  flush_ends (2, -EIO);
  disk_holds (0, 1, 0);
}
END_TEST

/* Blocks of a page that the target has, and that another initiator may have written since, do not go with newer ones. */
START_TEST (test_disown_block)
{
  written (0, 0, 1);
  advance (WRITE_DELAY_US + 1000);
  answer (0, 0);
  lunfs_cache_disown (cache);
  memset (disk, 0xff, LUNFS_PAGE_BYTES); /* it has */
  written (1, 1, 1);
  up ();
  answer_all (0);
  disk_holds (0, 1, 0xff);
  disk_holds (1, 1, 2);
}
END_TEST

/* ---- a worker's successor ---- */

START_TEST (test_inherit)
{
  written (0, 0, 1);
  advance (WRITE_DELAY_US + 1000);
  answer (0, 0); /* unstable */
  written (1, 8, 1);
  advance (WRITE_DELAY_US + 1000);
  sent[1] = NULL; /* being sent */
  written (2, 8, 1);
  written (3, 9, 1);
  put (4, LUNFS_OP_DISCARD, 0, 100, 8);
  turn ();
  for (unsigned i = 2; i < nsent; i++)
    answer (i, 0);
  memset (disk, 0xff, 1 << 20);
  succeed ();
  ck_assert_uint_eq (lunfs_cache_unstable_bytes (cache), 3 * LUNFS_PAGE_BYTES);
  up ();
  is_sent (0, LUNFS_OP_DISCARD, 100, 8, LUNFS_REQ_RECOVERY);
  answer_all (0);
  ck_assert_uint_eq (recovered, 2);
  disk_holds (0, 1, 1);
  disk_holds (8, 1, 3);
  disk_holds (9, 1, 4);
  disk_holds (100, 8, 0);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("cache_faults");
  TCase *tc = tcase_create ("pages");

  tcase_add_checked_fixture (tc, start_pages, teardown);
  tcase_add_loop_test (tc, test_write_fails, 0, 2);
  tcase_add_test (tc, test_failed_alone);
  tcase_add_test (tc, test_session_lost);
  tcase_add_loop_test (tc, test_write_while_recovering, 0, 2);
  tcase_add_test (tc, test_refuses);
  tcase_add_test (tc, test_one_bad_page);
  tcase_add_test (tc, test_shrunk);
  tcase_add_test (tc, test_disown);
  tcase_add_test (tc, test_disown_unstable);
  tcase_add_test (tc, test_disown_range);
  tcase_add_loop_test (tc, test_disown_held, 0, 3);
  tcase_add_test (tc, test_inherit);
  suite_add_tcase (suite, tc);
  tc = tcase_create ("limits");
  tcase_add_checked_fixture (tc, start_small, teardown);
  tcase_add_test (tc, test_write_fails_at_limit);
  suite_add_tcase (suite, tc);
  tc = tcase_create ("blocks");
  tcase_add_checked_fixture (tc, start_blocks, teardown);
  tcase_add_test (tc, test_disown_block);
  suite_add_tcase (suite, tc);
  return run_suite (suite);
}
