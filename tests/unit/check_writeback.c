/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cache with "writeback": what is answered from memory, and when and how it is sent.  A block is a page here, but in the
 * case "blocks", where eight are. */
#include "config.h"

#include "cache-harness.h"

static void
start_large (void)
{
  setup ();
  cache_limit_bytes = 250 * LUNFS_CHUNK_BYTES;
  kept_limit_bytes = 64 << 20;
  start (LUNFS_CACHE_WRITEBACK, 4096);
}

/* ---- when, and with what ---- */

START_TEST (test_delay)
{
  written (0, 7, 1);
  advance (WRITE_DELAY_US - 1000);
  ck_assert_uint_eq (nsent, 0);
  advance (2000);
  is_sent (0, LUNFS_OP_WRITE, 7, 1, OURS);
  put (1, LUNFS_OP_READ, 0, 7, 1); /* while it is under way */
  ends (1, 0);
  holds (1, 0, 1, 1);
  answer (0, 0);
  disk_holds (7, 1, 1);
  advance (WRITE_DELAY_US * 5);
  ck_assert_uint_eq (nsent, 1);
  ck_assert_uint_ne (lunfs_cache_unstable_bytes (cache), 0);
}
END_TEST

START_TEST (test_neighbours)
{
  written (2, 12, 1);
  written (0, 10, 1);
  written (1, 11, 1);
  written (3, 14, 1);
  written (4, 10, 1); /* over the second */
  advance (WRITE_DELAY_US + 1000);
  ck_assert_uint_eq (nsent, 2);
  is_sent (0, LUNFS_OP_WRITE, 10, 3, OURS);
  is_sent (1, LUNFS_OP_WRITE, 14, 1, OURS);
  answer_all (0);
  disk_holds (10, 1, 5);
  disk_holds (11, 1, 2);
  disk_holds (12, 1, 3);
  disk_holds (14, 1, 4);
}
END_TEST

/* What goes together lies within one aligned MiB, or what the target takes. */
START_TEST (test_windows)
{
  unsigned window = _i ? 8 : 256;

  if (_i) {
    info.limits.max_transfer_blocks = 13; /* eight, as windows are aligned to themselves: 13 pages */
    window = 13;
    up ();
  }
  for (unsigned i = 0; i < 12; i++)
    written (i, window * 4 - 6 + i, 1);
  advance (WRITE_DELAY_US + 1000);
  ck_assert_uint_eq (nsent, 2);
  is_sent (0, LUNFS_OP_WRITE, window * 4 - 6, 6, OURS);
  is_sent (1, LUNFS_OP_WRITE, window * 4, 6, OURS);
}
END_TEST

/* Nothing is gained by waiting. */
START_TEST (test_large_at_once)
{
  written (0, 0, 16);
  turn ();
  is_sent (0, LUNFS_OP_WRITE, 0, 16, OURS);
}
END_TEST

/* The request's own memory becomes the pages'. */
START_TEST (test_chunks)
{
  put_chunks (0, 0, 32, 24);
  ends (0, 0);
  ck_assert_uint_eq (io[0].req.nchunks, 0);
  turn ();
  is_sent (0, LUNFS_OP_WRITE, 32, 24, OURS);
  put_chunks (1, 0, 32, 24); /* over what is being sent: after it */
  ends (1, 0);
  turn ();
  ck_assert_uint_eq (nsent, 1);
  put_chunks (2, 0, 32, 24); /* over what waits: instead of it */
  turn ();
  put (3, LUNFS_OP_READ, 0, 32, 24);
  ends (3, 0);
  holds (3, 0, 24, 3);
  answer (0, 0);
  disk_holds (32, 24, 1);
  advance (WRITE_DELAY_US + 1000);
  is_sent (1, LUNFS_OP_WRITE, 32, 24, OURS);
  answer (1, 0);
  disk_holds (32, 24, 3);
  turn ();
  ck_assert_uint_eq (nsent, 2);
}
END_TEST

START_TEST (test_no_write_cache)
{
  info.modes.wce = false;
  up ();
  written (0, 0, 1);
  put (1, LUNFS_OP_FLUSH, 0, 0, 0);
  turn ();
  is_sent (0, LUNFS_OP_WRITE, 0, 1, OURS);
  answer (0, 0);
  turn ();
  ends (1, 0);
  ck_assert_uint_eq (nsent, 1);
  ck_assert_uint_eq (lunfs_cache_unstable_bytes (cache), 0);
}
END_TEST

/* ---- twice ---- */

/* Two WRITEs of a page are never under way at once, and what the first sends is not changed under its hands. */
START_TEST (test_overwritten)
{
  written (0, 5, 1);
  advance (WRITE_DELAY_US + 1000);
  written (1, 5, 1);
  advance (WRITE_DELAY_US + 1000);
  written (2, 5, 1);
  ck_assert_uint_eq (nsent, 1);
  answer (0, 0);
  disk_holds (5, 1, 1);
  advance (WRITE_DELAY_US + 1000);
  is_sent (1, LUNFS_OP_WRITE, 5, 1, OURS);
  answer (1, 0);
  disk_holds (5, 1, 3);
  advance (WRITE_DELAY_US + 1000);
  ck_assert_uint_eq (nsent, 2);
}
END_TEST

START_TEST (test_overwritten_and_failed)
{
  written (0, 5, 1);
  advance (WRITE_DELAY_US + 1000);
  written (1, 5, 1);
  answer (0, _i ? -EIO : -ECANCELED);
  put (2, LUNFS_OP_READ, 0, 5, 1);
  holds (2, 0, 1, 2);
  if (_i)
    advance (2 * SECOND_US);
  else
    up ();
  is_sent (1, LUNFS_OP_WRITE, 5, 1, _i ? OURS : LUNFS_REQ_RECOVERY);
  answer (1, 0);
  disk_holds (5, 1, 2);
}
END_TEST

/* ---- blocks smaller than a page ---- */

START_TEST (test_block)
{
  written (0, 11, 1);
  advance (WRITE_DELAY_US + 1000);
  is_sent (0, LUNFS_OP_WRITE, 11, 1, OURS);
}
END_TEST

/* A page with gaps is sent piece by piece, so that nothing is written that nobody wrote. */
START_TEST (test_gaps)
{
  memset (disk, 0xff, LUNFS_PAGE_BYTES);
  written (0, 0, 1);
  written (1, 2, 1);
  written (2, 4, 2);
  written (3, 8, 1); /* the next page: no piece of this one */
  advance (WRITE_DELAY_US + 1000);
  ck_assert_uint_eq (nsent, 2);
  is_sent (0, LUNFS_OP_WRITE, 0, 1, OURS);
  is_sent (1, LUNFS_OP_WRITE, 8, 1, OURS);
  answer (0, 0);
  is_sent (2, LUNFS_OP_WRITE, 2, 1, OURS);
  if (_i) { /* all of it again */
    answer (2, -EIO);
    memset (disk, 0xff, LUNFS_PAGE_BYTES);
    advance (2 * SECOND_US);
  }
  answer_all (0);
  disk_holds (0, 1, 1);
  disk_holds (1, 1, 0xff);
  disk_holds (2, 1, 2);
  disk_holds (3, 1, 0xff);
  disk_holds (4, 2, 3);
  disk_holds (6, 2, 0xff);
}
END_TEST

START_TEST (test_parts_of_neighbours)
{
  written (0, 6, 2);
  written (1, 8, 8);
  written (2, 16, 3);
  written (3, 31, 1); /* does not touch the one behind it */
  written (4, 33, 1);
  advance (WRITE_DELAY_US + 1000);
  ck_assert_uint_eq (nsent, 3);
  is_sent (0, LUNFS_OP_WRITE, 6, 13, OURS);
  is_sent (1, LUNFS_OP_WRITE, 31, 1, OURS);
  is_sent (2, LUNFS_OP_WRITE, 33, 1, OURS);
}
END_TEST

/* The LUN ends within a page. */
START_TEST (test_end_of_lun)
{
  info.capacity.nblocks -= 5;
  up ();
  written (0, info.capacity.nblocks - 10, 10);
  advance (WRITE_DELAY_US + 1000);
  is_sent (0, LUNFS_OP_WRITE, info.capacity.nblocks - 10, 10, OURS);
  answer (0, 0);
  put (1, LUNFS_OP_READ, 0, info.capacity.nblocks - 10, 10);
  ends (1, 0);
  holds (1, 0, 10, 1);
}
END_TEST

/* Other blocks of a page that is being sent: after that, and if it fails, with it. */
START_TEST (test_other_block)
{
  written (0, 0, 1);
  advance (WRITE_DELAY_US + 1000);
  written (1, 1, 1);
  written (2, 3, 1);
  answer (0, _i ? -EIO : 0);
  put (3, LUNFS_OP_READ, 0, 0, 2);
  ends (3, 0);
  holds (3, 0, 1, 1);
  holds (3, 1, 1, 2);
  advance (2 * SECOND_US);
  is_sent (1, LUNFS_OP_WRITE, _i ? 0 : 1, _i ? 2 : 1, OURS);
  answer_all (0);
  disk_holds (0, 1, 1);
  disk_holds (1, 1, 2);
  disk_holds (3, 1, 3);
}
END_TEST

/* ---- memory ---- */

/* At the limit writes wait, in order, for a commit that is started for them. */
START_TEST (test_kept_limit)
{
  unsigned n = 0;

  for (; n < 30; n++) {
    put (n, LUNFS_OP_WRITE, 0, n * 32, 16);
    if (!io[n].done)
      break;
  }
  ck_assert_uint_eq (n, 16);
  put (n + 1, LUNFS_OP_WRITE, 0, (n + 1) * 32, 16);
  put (n + 2, LUNFS_OP_FLUSH, 0, 0, 0);
  turn ();
  ck_assert (!io[n].done && !io[n + 1].done);
  for (unsigned i = 0; i < nsent; i++)
    if (sent[i] && sent[i]->op == LUNFS_OP_WRITE)
      answer (i, 0);
  turn ();
  ck_assert (!io[n].done);
  for (unsigned i = 0; i < nsent; i++)
    if (sent[i] && sent[i]->op == LUNFS_OP_FLUSH) {
      answer (i, _i ? -EIO : 0);
      turn ();
    }
  ends (n, _i ? -EIO : 0);
  ends (n + 1, _i ? -EIO : 0);
}
END_TEST

/* Commands at a time, and bytes; what may be dirty is what the target takes in 50 ms. */
START_TEST (test_dirty_limit)
{
  unsigned n = 0;
  uint64_t bytes = 0;

  for (; n < 15; n++) {
    put (n, LUNFS_OP_WRITE, 0, n * 256, 256);
    if (!io[n].done)
      break;
  }
  ck_assert_uint_eq (n, 12); /* of large requests not more than can be under way, and some */
  turn ();
  for (unsigned i = 0; i < nsent; i++)
    bytes += sent[i]->length;
  ck_assert_uint_eq (bytes, 8 << 20);
  answer (0, 0);
  ends (n, 0);
  turn ();
  ck_assert_uint_eq (nsent, 9);
}
END_TEST

/* A slow target: fewer may be dirty, so that a flush is quick. */
START_TEST (test_slow_target)
{
  unsigned n = 0, at = 0;

  while (n < 100 && now_us < 20 * SECOND_US) {
    if (io[at].done || !io[at].data) {
      put (at, LUNFS_OP_WRITE, 0, (n++ % 100) * 64, 64);
      at = io[at].done ? at : at + 1;
    }
    for (unsigned i = 0; i < nsent; i++)
      if (sent[i] && sent[i]->op == LUNFS_OP_FLUSH)
        answer (i, 0);
    for (unsigned i = 0; i < nsent; i++)
      if (sent[i]) { /* 256 KiB in 25 ms: 10 MiB/s */
        answer (i, 0);
        break;
      }
    advance (25000);
  }
  ck_assert_uint_le (LUNFS_VALUE (&stats, dirty_bytes), (2 << 20) + (256 << 10));
}
END_TEST

START_TEST (test_commands_at_once)
{
  for (unsigned i = 0; i < 50; i++)
    written (i, i * 2, 1);
  advance (WRITE_DELAY_US + 1000);
  ck_assert_uint_eq (nsent, 32);
  answer (0, 0);
  turn ();
  ck_assert_uint_eq (nsent, 33);
}
END_TEST

/* No memory at all: the target takes it first. */
START_TEST (test_no_memory)
{
  uint32_t chunk[CHUNKS];
  unsigned n = 0;

  while (lunfs_pool_take (pool, &chunk[n], 1))
    n++;
  put (0, LUNFS_OP_WRITE, 0, 0, 2);
  turn ();
  ck_assert (!io[0].done);
  ck_assert_ptr_eq (sent[0], &io[0].req);
  answer (0, 0);
  is_sent (1, LUNFS_OP_FLUSH, 0, 0, 0);
  answer (1, 0);
  ends (0, 0);
  lunfs_pool_give (pool, chunk, n);
}
END_TEST

/* There is memory for a part: no mixture is ever told to be written, and in the end all is. */
START_TEST (test_little_memory)
{
  uint32_t chunk[CHUNKS];
  unsigned n = 0;

  while (lunfs_pool_take (pool, &chunk[n], 1))
    n++;
  lunfs_pool_give (pool, &chunk[--n], 1);
  put (0, LUNFS_OP_WRITE, 0, 0, 10);
  put (1, LUNFS_OP_WRITE, 0, 20, 10);
  put (2, LUNFS_OP_WRITE, 0, 25, 20);
  ck_assert (!io[2].done);
  for (unsigned i = 0; i < 20 && !io[2].done; i++) {
    answer_all (0);
    advance (10000);
  }
  ends (1, 0);
  ends (2, 0);
  put (3, LUNFS_OP_FLUSH, 0, 0, 0);
  answer_all (0);
  disk_holds (0, 10, 1);
  disk_holds (20, 5, 2);
  disk_holds (25, 20, 3);
  lunfs_pool_give (pool, chunk, n);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("writeback");
  TCase *tc = tcase_create ("pages");

  tcase_add_checked_fixture (tc, start_pages, teardown);
  tcase_add_test (tc, test_delay);
  tcase_add_test (tc, test_neighbours);
  tcase_add_loop_test (tc, test_windows, 0, 2);
  tcase_add_test (tc, test_large_at_once);
  tcase_add_test (tc, test_chunks);
  tcase_add_test (tc, test_no_write_cache);
  tcase_add_test (tc, test_overwritten);
  tcase_add_loop_test (tc, test_overwritten_and_failed, 0, 2);
  tcase_add_test (tc, test_commands_at_once);
  tcase_add_test (tc, test_no_memory);
  tcase_add_test (tc, test_little_memory);
  suite_add_tcase (suite, tc);
  tc = tcase_create ("blocks");
  tcase_add_checked_fixture (tc, start_blocks, teardown);
  tcase_add_test (tc, test_block);
  tcase_add_loop_test (tc, test_gaps, 0, 2);
  tcase_add_test (tc, test_parts_of_neighbours);
  tcase_add_test (tc, test_end_of_lun);
  tcase_add_loop_test (tc, test_other_block, 0, 2);
  suite_add_tcase (suite, tc);
  tc = tcase_create ("small");
  tcase_add_checked_fixture (tc, start_small, teardown);
  tcase_add_loop_test (tc, test_kept_limit, 0, 2);
  suite_add_tcase (suite, tc);
  tc = tcase_create ("large");
  tcase_add_checked_fixture (tc, start_large, teardown);
  tcase_add_test (tc, test_dirty_limit);
  tcase_add_test (tc, test_slow_target);
  suite_add_tcase (suite, tc);
  return run_suite (suite);
}
