/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every mode of the cache has in common, shown with "none": FLUSH, FUA, what is written again, losses. */
#include "config.h"

#include "cache-harness.h"

static void
start_none (void)
{
  setup ();
  start (LUNFS_CACHE_NONE, 512);
}

/* ---- flush ---- */

START_TEST (test_nothing_to_flush)
{
  put (0, LUNFS_OP_FLUSH, 0, 0, 0);
  turn ();
  ends (0, 0);
  ck_assert_uint_eq (nsent, 0);
  lunfs_cache_inherit (cache, 1 << 17, bs); /* an earlier worker may have written */
  put (1, LUNFS_OP_FLUSH, 0, 0, 0);
  is_sent (0, LUNFS_OP_FLUSH, 0, 0, 0);
  answer (0, 0);
  ends (1, 0);
}
END_TEST

START_TEST (test_flush_once)
{
  written (0, 0, 1);
  put (1, LUNFS_OP_FLUSH, 0, 0, 0);
  is_sent (1, LUNFS_OP_FLUSH, 0, 0, 0);
  turn ();
  ck_assert (!io[1].done);
  answer (1, 0);
  ends (1, 0);
  ck_assert_uint_eq (lunfs_cache_unstable_bytes (cache), 0);
  put (2, LUNFS_OP_FLUSH, 0, 0, 0); /* nothing new since */
  turn ();
  ends (2, 0);
  ck_assert_uint_eq (nsent, 2);
}
END_TEST

/* What was acknowledged after a SYNCHRONIZE CACHE was sent is not covered by it; one more serves all that wait. */
START_TEST (test_group_commit)
{
  written (0, 0, 1);
  put (1, LUNFS_OP_FLUSH, 0, 0, 0);
  written (2, 1, 1);
  put (3, LUNFS_OP_FLUSH, 0, 0, 0);
  put (4, LUNFS_OP_FLUSH, 0, 0, 0);
  ck_assert_uint_eq (nsent, 3);
  answer (1, 0);
  ck_assert (io[1].done && !io[3].done && !io[4].done);
  ck_assert_uint_ne (lunfs_cache_unstable_bytes (cache), 0);
  is_sent (3, LUNFS_OP_FLUSH, 0, 0, 0);
  answer (3, 0);
  ck_assert (io[3].done && io[4].done);
  ck_assert_uint_eq (nsent, 4);
  ck_assert_uint_eq (lunfs_cache_unstable_bytes (cache), 0);
}
END_TEST

/* A write under way when the flush comes is nobody's promise; it counts for the next one. */
START_TEST (test_flush_beside_write)
{
  put (0, LUNFS_OP_WRITE, 0, 0, 1);
  put (1, LUNFS_OP_FLUSH, 0, 0, 0);
  turn ();
  ends (1, 0);
  answer (0, 0);
  put (2, LUNFS_OP_FLUSH, 0, 0, 0);
  is_sent (1, LUNFS_OP_FLUSH, 0, 0, 0);
  answer (1, 0);
}
END_TEST

START_TEST (test_no_write_cache)
{
  info.modes.wce = false;
  up ();
  written (0, 0, 1);
  put (1, LUNFS_OP_WRITE, LUNFS_REQ_FUA, 1, 1);
  answer (1, 0);
  ends (1, 0);
  put (2, LUNFS_OP_FLUSH, 0, 0, 0);
  turn ();
  ends (2, 0);
  ck_assert_uint_eq (nsent, 2);
  ck_assert_uint_eq (lunfs_cache_unstable_bytes (cache), 0);
}
END_TEST

START_TEST (test_commit_by_age)
{
  written (0, 0, 1);
  advance (7 * SECOND_US);
  is_sent (1, LUNFS_OP_FLUSH, 0, 0, 0);
  ck_assert_uint_eq (nsent, 2);
  answer (1, 0);
  ck_assert_uint_eq (lunfs_cache_unstable_bytes (cache), 0);
}
END_TEST

START_TEST (test_reads_pass)
{
  put (0, LUNFS_OP_READ, 0, 3, 2);
  ck_assert_ptr_eq (sent[0], &io[0].req);
  answer (0, 0);
  ends (0, 0);
}
END_TEST

/* ---- FUA ---- */

START_TEST (test_fua)
{
  info.modes.dpofua = true;
  up ();
  put (0, LUNFS_OP_WRITE, LUNFS_REQ_FUA, 0, 1);
  is_sent (0, LUNFS_OP_WRITE, 0, 1, LUNFS_REQ_FUA);
  answer (0, 0);
  ends (0, 0);
  put (1, LUNFS_OP_FLUSH, 0, 0, 0); /* it was stable */
  turn ();
  ends (1, 0);
  ck_assert_uint_eq (nsent, 1);
}
END_TEST

START_TEST (test_fua_without_dpofua)
{
  put (0, LUNFS_OP_WRITE, LUNFS_REQ_FUA, 0, 1);
  answer (0, 0);
  ck_assert (!io[0].done);
  is_sent (1, LUNFS_OP_FLUSH, 0, 0, 0);
  answer (1, 0);
  ends (0, 0);
  put (1, LUNFS_OP_WRITE, LUNFS_REQ_FUA, 0, 1);
  answer (2, 0);
  answer (3, -EIO);
  ends (1, -EIO);
}
END_TEST

/* Older data that is written again must not be what stands on the medium in the end. */
START_TEST (test_fua_written_again)
{
  info.modes.dpofua = true;
  up ();
  written (0, 0, 2);
  put (1, LUNFS_OP_WRITE, LUNFS_REQ_FUA, 1, 1);
  answer (1, 0);
  ends (1, 0);
  memset (disk, 0xff, LUNFS_PAGE_BYTES);
  up ();
  is_sent (2, LUNFS_OP_WRITE, 0, 2, LUNFS_REQ_RECOVERY);
  answer (2, 0);
  ck_assert_uint_eq (nsent, 3);
  disk_holds (0, 1, 1);
  disk_holds (1, 1, 2);
}
END_TEST

/* A discard that is not stable is done again, so a FUA write behind it is not stable by itself either. */
START_TEST (test_fua_behind_discard)
{
  info.modes.dpofua = true;
  up ();
  put (0, LUNFS_OP_DISCARD, 0, 0, 8);
  answer (0, 0);
  put (1, LUNFS_OP_WRITE, LUNFS_REQ_FUA, 0, 1);
  answer (1, 0);
  ends (1, 0); /* on the medium, and kept, too */
  up ();
  is_sent (2, LUNFS_OP_DISCARD, 0, 8, LUNFS_REQ_RECOVERY);
  answer (2, 0);
  is_sent (3, LUNFS_OP_WRITE, 0, 1, LUNFS_REQ_RECOVERY);
  answer (3, 0);
  disk_holds (0, 1, 2);
}
END_TEST

/* ---- written again ---- */

/* Discards and zeroes first, in their order, one at a time; then what is newer than they are. */
START_TEST (test_order)
{
  written (0, 0, 4);
  put (1, LUNFS_OP_DISCARD, 0, 2, 4);
  answer (1, 0);
  written (2, 5, 1);
  written (3, 20, 1);
  put (4, LUNFS_OP_ZERO, 0, 20, 1);
  answer (4, 0);
  put (5, LUNFS_OP_DISCARD, LUNFS_REQ_UNMAP, 40, 8);
  answer (5, 0);
  nsent = 0;
  up ();
  ck_assert_uint_eq (recovered, 1);
  is_sent (0, LUNFS_OP_DISCARD, 2, 4, LUNFS_REQ_RECOVERY);
  ck_assert_uint_eq (nsent, 1);
  answer (0, 0);
  is_sent (1, LUNFS_OP_ZERO, 20, 1, LUNFS_REQ_RECOVERY);
  ck_assert_uint_eq (nsent, 2);
  answer (1, 0);
  is_sent (2, LUNFS_OP_DISCARD, 40, 8, LUNFS_REQ_RECOVERY | LUNFS_REQ_UNMAP);
  ck_assert_uint_eq (nsent, 3);
  answer (2, 0);
  is_sent (3, LUNFS_OP_WRITE, 0, 2, LUNFS_REQ_RECOVERY); /* one page, with a gap: piece by piece */
  ck_assert_uint_eq (nsent, 4);
  answer (3, 0);
  is_sent (4, LUNFS_OP_WRITE, 5, 1, LUNFS_REQ_RECOVERY);
  ck_assert_uint_eq (recovered, 1);
  answer (4, 0);
  ck_assert_uint_eq (recovered, 2);
  ck_assert_uint_eq (nsent, 5);
  disk_holds (0, 2, 1);
  disk_holds (2, 3, 0);
  disk_holds (5, 1, 3);
  ck_assert_uint_eq (LUNFS_VALUE (&stats, rewritten), 4);
  put (6, LUNFS_OP_FLUSH, 0, 0, 0); /* written again is not yet stable */
  is_sent (5, LUNFS_OP_FLUSH, 0, 0, 0);
  answer (5, 0);
  up ();
  ck_assert_uint_eq (recovered, 3);
  ck_assert_uint_eq (nsent, 6);
}
END_TEST

START_TEST (test_neighbours_written_again)
{
  for (unsigned i = 0; i < 40; i++)
    written (i, i * 8, 8);
  nsent = 0;
  up ();
  is_sent (0, LUNFS_OP_WRITE, 0, 320, LUNFS_REQ_RECOVERY);
  answer (0, 0);
  ck_assert_uint_eq (recovered, 2);
  for (unsigned i = 0; i < 40; i++)
    disk_holds (i * 8, 8, i + 1);
}
END_TEST

/* The target takes less than a page at a time. */
START_TEST (test_small_commands)
{
  info.limits.max_transfer_blocks = 3;
  up ();
  written (0, 0, 3);
  written (1, 3, 3);
  written (2, 6, 3);
  nsent = 0;
  up ();
  for (unsigned i = 0; i < nsent; i++) {
    ck_assert_uint_le (sent[i]->length, 3 * bs);
    ck_assert_uint_eq (sent[i]->flags, LUNFS_REQ_RECOVERY);
    answer (i, 0);
  }
  ck_assert_uint_eq (nsent, 4);
  ck_assert_uint_eq (recovered, 3);
  disk_holds (0, 3, 1);
  disk_holds (3, 3, 2);
  disk_holds (6, 3, 3);
}
END_TEST

START_TEST (test_recovery_broken_off)
{
  for (unsigned i = 0; i < 40; i++)
    written (i, i * 16, 1);
  nsent = 0;
  up ();
  ck_assert_uint_eq (nsent, 32);
  answer (3, 0);
  ck_assert_uint_eq (nsent, 33);
  for (unsigned i = 0; i < 33; i++)
    if (i != 3)
      answer (i, -ECANCELED);
  turn ();
  ck_assert_uint_eq (nsent, 33);
  ck_assert_uint_eq (recovered, 1);
  memset (disk, 0, 40 * 16 * bs);
  nsent = 0;
  up (); /* all of it again */
  for (unsigned i = 0; i < nsent; i++) {
    ck_assert_uint_eq (sent[i]->flags, LUNFS_REQ_RECOVERY);
    answer (i, 0);
  }
  ck_assert_uint_eq (nsent, 40);
  for (unsigned i = 0; i < 40; i++)
    disk_holds (i * 16, 1, i + 1);
  ck_assert_uint_eq (recovered, 2);
}
END_TEST

/* Kept, tried again each second and by each FLUSH, which fails until it works. */
START_TEST (test_rewrite_refused)
{
  written (0, 0, 1);
  written (1, 16, 1);
  nsent = 0;
  up ();
  answer (0, -EIO);
  answer (1, 0);
  ck_assert_uint_eq (recovered, 2);
  put (2, LUNFS_OP_FLUSH, 0, 0, 0);
  turn ();
  is_sent (2, LUNFS_OP_WRITE, 0, 1, LUNFS_REQ_RETURN);
  answer (2, -EIO);
  ends (2, -EIO);
  turn ();
  ck_assert_uint_eq (nsent, 3);
  advance (SECOND_US + 100000);
  is_sent (3, LUNFS_OP_WRITE, 0, 1, LUNFS_REQ_RETURN);
  answer (3, 0);
  put (3, LUNFS_OP_FLUSH, 0, 0, 0);
  is_sent (4, LUNFS_OP_FLUSH, 0, 0, 0);
  answer (4, 0);
  ends (3, 0);
  ck_assert_uint_eq (LUNFS_VALUE (&stats, losses), 0);
  disk_holds (0, 1, 1);
}
END_TEST

/* Older data that could not be written again must not come after, or beside, what the session has had since before. */
START_TEST (test_rewrite_refused_beside_newer)
{
  written (0, 0, 8);
  if (_i == 0)
    put (1, LUNFS_OP_WRITE, 0, 2, 2);
  else
    put (1, LUNFS_OP_DISCARD, 0, 2, 2);
  up ();
  is_sent (2, LUNFS_OP_WRITE, 0, 8, LUNFS_REQ_RECOVERY);
  answer (2, -EIO);
  ck_assert_uint_eq (recovered, 2);
  put (2, LUNFS_OP_FLUSH, 0, 0, 0);
  advance (2 * SECOND_US);
  ck_assert_uint_eq (nsent, 3);
  answer (1, 0);
  ends (1, 0);
  answer_all (0);
  ends (2, 0);
  disk_holds (0, 2, 1);
  disk_holds (2, 2, _i == 0 ? 2 : 0);
  disk_holds (4, 4, 1);
}
END_TEST

/* A discard that the target does not take any more is a loss: said once to every open file. */
START_TEST (test_range_refused)
{
  put (0, LUNFS_OP_DISCARD, 0, 0, 8);
  answer (0, 0);
  up ();
  answer (1, -EIO);
  ck_assert_uint_eq (recovered, 2);
  put (2, LUNFS_OP_FLUSH, 0, 0, 0);
  answer (2, 0);
  ends (2, -EIO);
  prepare_io (3, LUNFS_OP_FLUSH, 0, 0, 0);
  io[3].req.losses_seen = io[2].req.losses_seen; /* the same open file */
  submit_io (3);
  turn ();
  ends (3, 0);
  put (4, LUNFS_OP_FLUSH, 0, 0, 0); /* another one that was open then */
  turn ();
  ends (4, -EIO);
  ck_assert_uint_eq (LUNFS_VALUE (&stats, losses), 1);
  ck_assert_uint_eq (LUNFS_VALUE (&stats, losses_told), 1);
}
END_TEST

START_TEST (test_lost)
{
  written (0, 0, 1);
  lunfs_cache_lost (cache, EIO); /* kept, and written again at the up() that follows */
  up ();
  answer (1, 0);
  put (1, LUNFS_OP_FLUSH, 0, 0, 0);
  answer (2, 0);
  ends (1, 0);
  lunfs_cache_lost (cache, EIO); /* nothing is kept */
  put (2, LUNFS_OP_FLUSH, 0, 0, 0);
  turn ();
  ends (2, -EIO);
}
END_TEST

/* The LUN is smaller than it was: nothing is written to it, nothing is given up. */
START_TEST (test_shrunk)
{
  written (0, 0, 1);
  info.shrunk_from_nblocks = info.capacity.nblocks;
  up ();
  ck_assert_uint_eq (recovered, 2);
  ck_assert_uint_eq (nsent, 1);
  ck_assert (lunfs_cache_layer (cache)->ops->refuses (lunfs_cache_layer (cache)));
  info.shrunk_from_nblocks = 0;
  up ();
  is_sent (1, LUNFS_OP_WRITE, 0, 1, LUNFS_REQ_RECOVERY);
  answer (1, 0);
  ck_assert_uint_eq (recovered, 3);
}
END_TEST

/* ---- errors of a commit ---- */

START_TEST (test_commit_fails)
{
  written (0, 0, 1);
  put (1, LUNFS_OP_FLUSH, 0, 0, 0);
  put (2, LUNFS_OP_FLUSH, 0, 0, 0);
  answer (1, -EIO);
  ends (1, -EIO);
  answer (2, -EIO);
  ends (2, -EIO);
  ck_assert_uint_ne (lunfs_cache_unstable_bytes (cache), 0); /* kept */
  put (3, LUNFS_OP_FLUSH, 0, 0, 0);
  answer (3, 0);
  ends (3, 0);
  ck_assert_uint_eq (lunfs_cache_unstable_bytes (cache), 0);
}
END_TEST

START_TEST (test_write_fails)
{
  put (0, LUNFS_OP_WRITE, 0, 0, 1);
  answer (0, -ENOSPC);
  ends (0, -ENOSPC);
  ck_assert_uint_eq (lunfs_cache_unstable_bytes (cache), 0);
  put (1, LUNFS_OP_FLUSH, 0, 0, 0);
  turn ();
  ends (1, 0);
}
END_TEST

/* ---- memory ---- */

/* No memory to keep it: acknowledged when it is stable, and not lost if the target forgets it before. */
START_TEST (test_unkept)
{
  uint32_t chunk[CHUNKS];
  unsigned n;

  written (0, 0, 8);
  n = take_all (chunk);
  for (unsigned i = 1; i < 16; i++) /* fill the chunk there is */
    written (1, i * 8, 8);
  put (2, LUNFS_OP_WRITE, 0, 5, 128);
  answer (nsent - 1, 0);
  ck_assert (!io[2].done);
  is_sent (nsent - 1, LUNFS_OP_FLUSH, 0, 0, 0);
  if (_i == 0) {
    answer (nsent - 1, 0);
  } else { /* a login comes between */
    unsigned flush = nsent - 1, again = 0;

    up ();
    for (unsigned i = flush + 1; i < nsent; i++)
      if (sent[i] && sent[i]->flags & LUNFS_REQ_RECOVERY)
        answer (i, 0);
      else if (sent[i] && sent[i]->op == LUNFS_OP_WRITE)
        again = i;
    if (!again) { /* it waits for what is written again of its range */
      turn ();
      again = nsent - 1;
      is_sent (again, LUNFS_OP_WRITE, 5, 128, 0);
    }
    answer (flush, 0);
    ck_assert (!io[2].done); /* that one does not cover it any more */
    answer (again, 0);
    while (!io[2].done)
      answer (nsent - 1, 0);
  }
  ends (2, 0);
  disk_holds (0, 5, 1);
  disk_holds (5, 128, 3);
  lunfs_pool_give (pool, chunk, n);
}
END_TEST

/* A block of several pages is kept as a whole or not at all: here not at all, so that it is stable when it is answered. */
START_TEST (test_large_blocks)
{
  teardown ();
  memset (io, 0, sizeof io);
  nsent = recovered = 0;
  setup ();
  start (LUNFS_CACHE_WRITEBACK, 8192);
  put (0, LUNFS_OP_WRITE, 0, 0, 2);
  is_sent (0, LUNFS_OP_WRITE, 0, 2, 0);
  answer (0, 0);
  ck_assert (!io[0].done);
  is_sent (1, LUNFS_OP_FLUSH, 0, 0, 0);
  up ();
  answer (1, 0);
  ck_assert (!io[0].done);
  is_sent (2, LUNFS_OP_WRITE, 0, 2, 0);
  answer (2, 0);
  is_sent (3, LUNFS_OP_FLUSH, 0, 0, 0);
  answer (3, 0);
  ends (0, 0);
  up ();
  ck_assert_uint_eq (nsent, 4);
  put (1, LUNFS_OP_READ, 0, 0, 2);
  ck_assert_ptr_eq (sent[4], &io[1].req);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("cache");
  TCase *tc = tcase_create ("cache");

  tcase_add_checked_fixture (tc, start_none, teardown);
  tcase_add_test (tc, test_nothing_to_flush);
  tcase_add_test (tc, test_flush_once);
  tcase_add_test (tc, test_group_commit);
  tcase_add_test (tc, test_flush_beside_write);
  tcase_add_test (tc, test_no_write_cache);
  tcase_add_test (tc, test_commit_by_age);
  tcase_add_test (tc, test_reads_pass);
  tcase_add_test (tc, test_fua);
  tcase_add_test (tc, test_fua_without_dpofua);
  tcase_add_test (tc, test_fua_written_again);
  tcase_add_test (tc, test_fua_behind_discard);
  tcase_add_test (tc, test_order);
  tcase_add_test (tc, test_neighbours_written_again);
  tcase_add_test (tc, test_small_commands);
  tcase_add_test (tc, test_recovery_broken_off);
  tcase_add_test (tc, test_rewrite_refused);
  tcase_add_loop_test (tc, test_rewrite_refused_beside_newer, 0, 2);
  tcase_add_test (tc, test_range_refused);
  tcase_add_test (tc, test_lost);
  tcase_add_test (tc, test_shrunk);
  tcase_add_test (tc, test_commit_fails);
  tcase_add_test (tc, test_write_fails);
  tcase_add_loop_test (tc, test_unkept, 0, 2);
  tcase_add_test (tc, test_large_blocks);
  suite_add_tcase (suite, tc);
  return run_suite (suite);
}
