/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the target has to take before it is answered: the mode "writethrough", WRITEs with FUA, discards and zeroes, also
 * beside what is dirty. */
#include "config.h"

#include "cache-harness.h"

static void
start_through (void)
{
  setup ();
  start (LUNFS_CACHE_WRITETHROUGH, 4096);
}

static void
start_through_small (void)
{
  setup ();
  kept_limit_bytes = 1 << 20; /* of which one LUN alone may keep half */
  start (LUNFS_CACHE_WRITETHROUGH, 4096);
}

static void
reads (unsigned n, uint64_t lba, uint64_t nblocks, unsigned value)
{
  put (n, LUNFS_OP_READ, 0, lba, nblocks);
  answer_all (0);
  ends (n, 0);
  holds (n, 0, nblocks, value);
}

/* ---- writethrough ---- */

START_TEST (test_written_through)
{
  put (0, LUNFS_OP_WRITE, 0, 3, 2);
  ck_assert_ptr_eq (sent[0], &io[0].req);
  ck_assert (!io[0].done);
  answer (0, 0);
  ends (0, 0);
  put (1, LUNFS_OP_READ, 0, 3, 2);
  ends (1, 0);
  holds (1, 0, 2, 1);
  ck_assert_uint_eq (nsent, 1);
  put_chunks (2, 0, 16, 16);
  answer (1, 0);
  ends (2, 0);
  ck_assert_uint_eq (io[2].req.nchunks, 0); /* taken over */
  put (3, LUNFS_OP_READ, 0, 16, 16);
  ends (3, 0);
  holds (3, 0, 16, 3);
  ck_assert_uint_eq (lunfs_cache_unstable_bytes (cache), 18 * LUNFS_PAGE_BYTES);
}
END_TEST

START_TEST (test_fails)
{
  written (0, 3, 1);
  put (1, LUNFS_OP_WRITE, 0, 3, 1);
  answer (1, -EIO);
  ends (1, -EIO);
  put (2, LUNFS_OP_WRITE, 0, 4, 1);
  answer (2, -ENOSPC);
  ends (2, -ENOSPC);
  put (3, LUNFS_OP_READ, 0, 4, 1);
  ck_assert_uint_eq (nsent, 4); /* not from memory */
  answer (3, 0);
  holds (3, 0, 1, 0);
}
END_TEST

/* What is kept has its limit here, too: a commit makes room, and writes wait for it in order. */
START_TEST (test_kept_limit)
{
  unsigned n = 0, before;

  for (; n < 30; n++) {
    before = nsent;
    put (n, LUNFS_OP_WRITE, 0, n * 16, 16);
    if (nsent == before || sent[before]->op != LUNFS_OP_WRITE)
      break;
    answer (before, 0);
    ends (n, 0);
  }
  ck_assert_uint_eq (n, 8);
  put (n + 1, LUNFS_OP_WRITE, 0, (n + 1) * 16, 16);
  turn ();
  for (unsigned i = 0; i < nsent; i++)
    if (sent[i]) {
      is_sent (i, LUNFS_OP_FLUSH, 0, 0, 0);
      before = nsent;
      answer (i, 0);
      break;
    }
  turn ();
  ck_assert_uint_ge (nsent, before + 1);
  answer_all (0);
  ends (n, 0);
  ends (n + 1, 0);
}
END_TEST

/* A target that takes less than a page at a time: nor does what is written again ask for more. */
START_TEST (test_less_than_a_page)
{
  info.limits.max_transfer_blocks = 3;
  up ();
  for (unsigned i = 0; i < 2; i++) {
    put (i, LUNFS_OP_WRITE, 0, i * 3, 3);
    answer (i, 0);
    ends (i, 0);
  }
  up ();
  is_sent (2, LUNFS_OP_WRITE, 0, 3, LUNFS_REQ_RECOVERY);
  answer (2, 0);
  is_sent (3, LUNFS_OP_WRITE, 3, 3, LUNFS_REQ_RECOVERY);
  ck_assert_uint_eq (recovered, 2);
  answer (3, 0);
  ck_assert_uint_eq (recovered, 3);
  disk_holds (0, 3, 1);
  disk_holds (3, 3, 2);
}
END_TEST

/* ---- behind what is dirty ---- */

/* Older data must not come after it. */
START_TEST (test_blocked)
{
  static const LunfsOp ops[] = { LUNFS_OP_WRITE, LUNFS_OP_DISCARD, LUNFS_OP_ZERO };
  uint32_t flags = ops[_i] == LUNFS_OP_WRITE ? LUNFS_REQ_FUA : 0;
  unsigned n = ops[_i] == LUNFS_OP_ZERO ? 40 : 4; /* fewer zeroes are data like any other */

  written (0, 5, 1);
  written (1, 1000, 1);
  put (2, ops[_i], flags, 4, n);
  put (3, ops[_i], flags, 500, n); /* nothing dirty there */
  ck_assert_ptr_eq (sent[0], &io[3].req);
  turn ();
  ck_assert_uint_eq (nsent, 3);
  is_sent (1, LUNFS_OP_WRITE, 5, 1, OURS);
  is_sent (2, LUNFS_OP_WRITE, 1000, 1, OURS);
  answer (1, 0);
  ck_assert_ptr_eq (sent[3], &io[2].req);
  answer (3, 0);
  answer_all (0);
  ends (2, 0);
  disk_holds (4, 4, ops[_i] == LUNFS_OP_WRITE ? 3 : 0);
  reads (4, 5, 1, ops[_i] == LUNFS_OP_WRITE ? 3 : 0);
}
END_TEST

START_TEST (test_short_zeroes)
{
  written (0, 5, 1);
  put (1, LUNFS_OP_ZERO, 0, 4, 4);
  ends (1, 0);
  reads (2, 4, 4, 0);
  turn ();
  advance (WRITE_DELAY_US + 1000);
  is_sent (0, LUNFS_OP_WRITE, 4, 4, OURS);
  answer_all (0);
  disk_holds (4, 4, 0);
}
END_TEST

START_TEST (test_blocked_and_failed)
{
  written (0, 5, 1);
  put (1, LUNFS_OP_DISCARD, 0, 0, 8);
  turn ();
  answer (0, -EIO);
  ends (1, -EIO);
  reads (2, 5, 1, 1);
}
END_TEST

/* A discard of more than there are pages in memory. */
START_TEST (test_large_discard)
{
  written (0, 5, 1);
  written (1, 3000, 1);
  written (2, 9000, 1);
  put (3, LUNFS_OP_WRITE, LUNFS_REQ_FUA, 20, 1);
  answer (0, 0);
  prepare_io (4, LUNFS_OP_DISCARD, 0, 5, 1);
  io[4].req.length = 5000 * bs;
  submit_io (4);
  ck_assert (!io[4].done);
  answer_all (0);
  ends (4, 0);
  reads (5, 5, 1, 0);
  reads (6, 20, 1, 0);
  reads (7, 3000, 1, 0);
  put (8, LUNFS_OP_READ, 0, 9000, 1);
  ends (8, 0);
  holds (8, 0, 1, 3);
  up ();
  answer_all (0);
  disk_holds (5, 1, 0);
  disk_holds (3000, 1, 0);
  disk_holds (9000, 1, 3);
}
END_TEST

/* Many discards that nobody flushes: a commit comes before there is no room for more. */
START_TEST (test_many_discards)
{
  unsigned commits = 0;

  for (unsigned i = 0; i < 1200; i++) {
    put (0, LUNFS_OP_DISCARD, LUNFS_REQ_UNMAP, i, 1); /* that is never answered before it is done */
    answer (nsent - 1, 0);
    ends (0, 0);
    for (unsigned k = nsent > 2 ? nsent - 2 : 0; k < nsent; k++)
      commits += sent[k] && sent[k]->op == LUNFS_OP_FLUSH;
    if (commits)
      break;
  }
  ck_assert_uint_eq (commits, 1);
  answer_all (0);
  nsent = 0;
  up ();
  ck_assert_uint_eq (nsent, 0);
}
END_TEST

/* No room for one more: it is stable before it is answered. */
START_TEST (test_no_slot)
{
  for (unsigned i = 0; i < LUNFS_ARENA_RANGES; i++)
    arena->ranges[i].kept = 1;
  put (0, LUNFS_OP_DISCARD, 0, 0, 8);
  answer (0, 0);
  ck_assert (!io[0].done);
  is_sent (1, LUNFS_OP_FLUSH, 0, 0, 0);
  up (); /* undone, perhaps: done again */
  ck_assert_ptr_eq (sent[2], &io[0].req);
  answer (1, 0);
  answer (2, 0);
  answer_all (0);
  ends (0, 0);
  for (unsigned i = 0; i < LUNFS_ARENA_RANGES; i++)
    arena->ranges[i].kept = 0;
}
END_TEST

/* ---- parts of pages ---- */

/* A FUA write beside a block of the same page that is dirty, or is being sent. */
START_TEST (test_fua_beside)
{
  info.modes.dpofua = _i & 1;
  up ();
  put (1, LUNFS_OP_WRITE, LUNFS_REQ_FUA, 1, 1);
  written (0, 3, 1);
  if (_i & 2) {
    advance (WRITE_DELAY_US + 1000);
    is_sent (1, LUNFS_OP_WRITE, 3, 1, OURS);
  }
  answer (0, 0); /* while the other one is under way */
  if (_i & 4 && _i & 2)
    answer (1, -EIO);
  put (2, LUNFS_OP_READ, 0, 1, 1);
  ends (2, 0);
  holds (2, 0, 1, 2);
  advance (2 * SECOND_US);
  answer_all (0);
  advance (2 * SECOND_US);
  answer_all (0);
  ends (1, 0);
  disk_holds (1, 1, 2);
  disk_holds (3, 1, 1);
  flush_ends (3, 0);
  ck_assert_uint_eq (lunfs_cache_unstable_bytes (cache), 0);
}
END_TEST

/* A discard of some blocks, while others of the page are written. */
START_TEST (test_discard_beside)
{
  memset (disk, 0xff, 2 * LUNFS_PAGE_BYTES);
  written (0, 0, 8);
  put (1, LUNFS_OP_FLUSH, 0, 0, 0);
  answer_all (0);
  put (2, LUNFS_OP_DISCARD, 0, 2, 3);
  written (3, 6, 1);
  if (_i) {
    advance (WRITE_DELAY_US + 1000);
    written (4, 7, 1);
  }
  for (unsigned i = 0; i < nsent; i++)
    if (sent[i] == &io[2].req) {
      answer (i, 0);
      break;
    }
  ends (2, 0);
  reads (5, 2, 3, 0);
  reads (6, 0, 2, 1);
  reads (7, 6, 1, 4);
  flush_ends (8, 0);
  disk_holds (0, 2, 1);
  disk_holds (2, 3, 0);
  disk_holds (5, 1, 1);
  disk_holds (6, 1, 4);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("through");
  TCase *tc = tcase_create ("through");

  tcase_add_checked_fixture (tc, start_through, teardown);
  tcase_add_test (tc, test_written_through);
  tcase_add_test (tc, test_fails);
  suite_add_tcase (suite, tc);
  tc = tcase_create ("limits");
  tcase_add_checked_fixture (tc, start_through_small, teardown);
  tcase_add_test (tc, test_kept_limit);
  suite_add_tcase (suite, tc);
  tc = tcase_create ("back");
  tcase_add_checked_fixture (tc, start_pages, teardown);
  tcase_add_loop_test (tc, test_blocked, 0, 3);
  tcase_add_test (tc, test_short_zeroes);
  tcase_add_test (tc, test_blocked_and_failed);
  tcase_add_test (tc, test_large_discard);
  tcase_add_test (tc, test_many_discards);
  tcase_add_test (tc, test_no_slot);
  suite_add_tcase (suite, tc);
  tc = tcase_create ("blocks");
  tcase_add_checked_fixture (tc, start_blocks, teardown);
  tcase_add_test (tc, test_less_than_a_page);
  tcase_add_loop_test (tc, test_fua_beside, 0, 8);
  tcase_add_loop_test (tc, test_discard_beside, 0, 2);
  suite_add_tcase (suite, tc);
  return run_suite (suite);
}
