/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads of the cache: what comes from memory, what is fetched, who waits for whom, and what must not stay. */
#include "config.h"

#include "cache-harness.h"

static void
begin (LunfsCacheMode mode, uint32_t block_size)
{
  setup ();
  start (mode, block_size);
  memset (disk, 0xff, 4 << 20);
}

static void
start_through_of_ones (void)
{
  begin (LUNFS_CACHE_WRITETHROUGH, 4096);
}

static void
start_limited (void)
{
  setup ();
  conf.request_limit_s = 20;
  start (LUNFS_CACHE_WRITETHROUGH, 4096);
}

static void
start_blocks_of_ones (void)
{
  begin (LUNFS_CACHE_WRITEBACK, 512);
}

/* From memory, all of it @value. */
static void
hits (unsigned n, uint64_t lba, uint64_t nblocks, unsigned value)
{
  unsigned before = nsent;

  put (n, LUNFS_OP_READ, 0, lba, nblocks);
  ck_assert_uint_eq (nsent, before);
  ends (n, 0);
  holds (n, 0, nblocks, value);
}

static void
misses (unsigned n, uint64_t lba, uint64_t nblocks, unsigned value)
{
  unsigned before = nsent;

  put (n, LUNFS_OP_READ, 0, lba, nblocks);
  ck_assert_uint_gt (nsent, before);
  ck_assert (!io[n].done);
  while (!io[n].done)
    answer (before++, 0);
  ends (n, 0);
  holds (n, 0, nblocks, value);
}

/* ---- hits and misses ---- */

START_TEST (test_hit)
{
  misses (0, 10, 3, 0xff);
  ck_assert_uint_eq (nsent, 1);
  hits (0, 10, 3, 0xff);
  hits (1, 11, 1, 0xff);
  put (2, LUNFS_OP_READ, 0, 8, 8); /* what is missing, on both sides */
  is_sent (1, LUNFS_OP_READ, 8, 2, 0);
  is_sent (2, LUNFS_OP_READ, 13, 3, 0);
  answer (2, 0);
  ck_assert (!io[2].done);
  answer (1, 0);
  ends (2, 0);
  holds (2, 0, 8, 0xff);
  ck_assert_uint_eq (LUNFS_VALUE (&stats, cache_hits), 2);
  ck_assert_uint_eq (LUNFS_VALUE (&stats, cache_misses), 2);
}
END_TEST

/* Nothing is copied where the reader allows it and the pages are not in too many places. */
START_TEST (test_lend)
{
  misses (0, 0, 2, 0xff);
  memset (disk, 0x11, LUNFS_PAGE_BYTES);
  written (1, 1, 1);
  written (2, 40, 1);
  written (3, 2, 1);
  prepare_io (5, LUNFS_OP_READ, LUNFS_REQ_LEND, 0, 3);
  io[5].req.niov = _i ? 1 : 3;
  for (unsigned i = 1; i < 3; i++)
    io[5].iov[i] = (struct iovec){ io[5].data, 0 };
  submit_io (5);
  ends (5, 0);
  holds (5, 0, 1, 0xff);
  holds (5, 1, 1, 2);
  holds (5, 2, 1, 4);
  ck_assert_uint_le (io[5].req.niov, 3);
  if (_i) /* one place for what is in two */
    ck_assert_ptr_eq (io[5].iov[0].iov_base, io[5].data);
  else
    ck_assert ((uint8_t *) io[5].iov[0].iov_base >= arena->chunks
               && (uint8_t *) io[5].iov[0].iov_base < arena->chunks + CHUNKS * LUNFS_CHUNK_BYTES);
}
END_TEST

START_TEST (test_join)
{
  put (0, LUNFS_OP_READ, 0, 4, 4);
  put (1, LUNFS_OP_READ, 0, 5, 2);
  put (2, LUNFS_OP_READ, 0, 7, 3);
  ck_assert_uint_eq (nsent, 2);
  is_sent (0, LUNFS_OP_READ, 4, 4, 0);
  is_sent (1, LUNFS_OP_READ, 8, 2, 0);
  answer (1, 0);
  ck_assert (!io[2].done);
  answer (0, 0);
  for (unsigned i = 0; i < 3; i++) {
    ends (i, 0);
    holds (i, 0, io[i].req.length / bs, 0xff);
  }
}
END_TEST

/* Another's error is not one's own. */
START_TEST (test_read_fails)
{
  put (0, LUNFS_OP_READ, 0, 4, 4);
  put (1, LUNFS_OP_READ, 0, 5, 2);
  answer (0, -EIO);
  ends (0, -EIO);
  ck_assert (!io[1].done);
  is_sent (1, LUNFS_OP_READ, 5, 2, 0);
  answer (1, 0);
  ends (1, 0);
  holds (1, 0, 2, 0xff);
  misses (2, 4, 1, 0xff);
}
END_TEST

START_TEST (test_unaligned)
{
  put (0, LUNFS_OP_READ, 0, 3, 18);
  is_sent (0, LUNFS_OP_READ, 0, 24, 0);
  answer (0, 0);
  ends (0, 0);
  holds (0, 0, 18, 0xff);
  put (1, LUNFS_OP_READ, 0, 8 * 400 + 1, IO_BYTES / 512 - 2); /* 256 pages, not whole */
  answer_all (0);
  ends (1, 0);
  holds (1, 0, 4, 0xff);
  put (2, LUNFS_OP_READ, 0, 8 * 700 + 5, IO_BYTES / 512); /* 257 */
  answer_all (0);
  ends (2, 0);
  holds (2, 0, IO_BYTES / 512, 0xff);
  ck_assert_uint_eq (nsent, 4);
}
END_TEST

START_TEST (test_small_commands)
{
  info.limits.max_transfer_blocks = 100; /* 12 pages */
  up ();
  put (0, LUNFS_OP_READ, 0, 0, 400);
  for (unsigned i = 0; i < nsent; i++)
    ck_assert_uint_le (sent[i]->length, 12 * LUNFS_PAGE_BYTES);
  answer_all (0);
  ends (0, 0);
  holds (0, 0, 400, 0xff);
}
END_TEST

/* Since the reader came, the target takes less than a page at a time. */
START_TEST (test_smaller_commands)
{
  put (0, LUNFS_OP_READ, 0, 0, 16);
  put (1, LUNFS_OP_READ, 0, 4, 12);
  ck_assert_uint_eq (nsent, 1);
  info.limits.max_transfer_blocks = 1;
  up ();
  answer (0, -EIO);
  ends (0, -EIO);
  answer_all (0);
  ends (1, 0);
  holds (1, 0, 12, 0xff);
  put (2, LUNFS_OP_READ, 0, 8, 1);
  ck_assert_ptr_eq (sent[nsent - 1], &io[2].req);
}
END_TEST

START_TEST (test_end_of_lun)
{
  info.capacity.nblocks -= 3;
  up ();
  memset (disk + DISK_BYTES - LUNFS_PAGE_BYTES, 0x77, LUNFS_PAGE_BYTES);
  put (0, LUNFS_OP_READ, 0, info.capacity.nblocks - 1, 1);
  is_sent (0, LUNFS_OP_READ, info.capacity.nblocks - 5, 5, 0);
  answer (0, 0);
  ends (0, 0);
  holds (0, 0, 1, 0x77);
  hits (1, info.capacity.nblocks - 5, 5, 0x77);
}
END_TEST

/* ---- pages of which some blocks are there ---- */

START_TEST (test_partly_valid)
{
  written (0, 1, 1);
  written (1, 6, 1);
  put (2, LUNFS_OP_READ, 0, 0, 8);
  is_sent (0, LUNFS_OP_READ, 0, 8, 0);
  answer (0, 0);
  ends (2, 0);
  holds (2, 0, 1, 0xff);
  holds (2, 1, 1, 1);
  holds (2, 2, 4, 0xff);
  holds (2, 6, 1, 2);
  holds (2, 7, 1, 0xff);
  hits (3, 2, 4, 0xff);
  hits (4, 1, 1, 1);
  answer_all (0);
  put (5, LUNFS_OP_FLUSH, 0, 0, 0);
  answer_all (0);
  disk_holds (0, 1, 0xff); /* what was only read is not written */
  disk_holds (1, 1, 1);
}
END_TEST

/* A block is written while the others are being fetched. */
START_TEST (test_partly_valid_and_written)
{
  written (0, 1, 1);
  put (1, LUNFS_OP_READ, 0, 0, 8);
  execute (0);
  written (2, 2, 1);
  put (3, LUNFS_OP_READ, 0, 2, 1);
  ends (3, 0);
  holds (3, 0, 1, 3);
  answer (0, 0);
  ends (1, 0);
  holds (1, 0, 1, 0xff);
  holds (1, 1, 1, 2 - 1);
  put (4, LUNFS_OP_READ, 0, 0, 8);
  answer_all (0);
  holds (4, 2, 1, 3);
  holds (4, 3, 5, 0xff);
}
END_TEST

/* Every second block of every page is there, so a fetch goes to many places: as many as one command may have. */
START_TEST (test_many_pieces)
{
  for (unsigned i = 0; i < 64; i++)
    written (i, 128 + 2 * i, 1);
  put (70, LUNFS_OP_READ, 0, 128, 256);
  answer_all (0);
  ends (70, 0);
  for (unsigned i = 0; i < 64; i++) {
    holds (70, 2 * i, 1, i + 1);
    holds (70, 2 * i + 1, 1, 0xff);
  }
  holds (70, 128, 128, 0xff);
}
END_TEST

/* ---- what must not stay ---- */

/* The target reads, then somebody writes, then the answer of the first comes. */
START_TEST (test_write_during_fill)
{
  put (0, LUNFS_OP_READ, 0, 4, 4);
  execute (0);
  put (1, LUNFS_OP_WRITE, 0, 5, 1);
  answer (1, 0);
  ends (1, 0);
  put (2, LUNFS_OP_READ, 0, 5, 1); /* it must see the write */
  ends (2, 0);
  holds (2, 0, 1, 2);
  answer (0, 0);
  ends (0, 0);
  holds (0, 0, 1, 0xff);
  holds (0, 2, 2, 0xff);
  hits (3, 5, 1, 2);
  hits (4, 4, 1, 0xff);
}
END_TEST

START_TEST (test_write_of_blocks_during_fill)
{
  put (0, LUNFS_OP_READ, 0, 0, 8);
  execute (0);
  written (1, 3, 1);
  put (2, LUNFS_OP_READ, 0, 2, 3); /* fetches on its own */
  ck_assert (!io[2].done);
  answer (0, 0);
  ends (0, 0);
  answer_all (0);
  ends (2, 0);
  holds (2, 0, 1, 0xff);
  holds (2, 1, 1, 2);
  holds (2, 2, 1, 0xff);
}
END_TEST

START_TEST (test_discard_during_fill)
{
  put (0, LUNFS_OP_READ, 0, 4, 4);
  execute (0);
  put (1, LUNFS_OP_DISCARD, 0, 5, 2);
  answer (1, 0);
  answer (0, 0);
  ends (0, 0);
  hits (2, 4, 1, 0xff);
  misses (3, 5, 2, 0);
  hits (4, 7, 1, 0xff);
}
END_TEST

START_TEST (test_partly_valid_and_discarded)
{
  info.modes.wce = false;
  up ();
  put (0, LUNFS_OP_WRITE, LUNFS_REQ_FUA, 1, 1);
  answer (0, 0);
  put (1, LUNFS_OP_READ, 0, 0, 8);
  execute (1);
  put (2, LUNFS_OP_DISCARD, 0, 3, 1);
  answer (2, 0);
  answer (1, 0);
  ends (1, 0);
  put (3, LUNFS_OP_READ, 0, 0, 8);
  answer_all (0);
  ends (3, 0);
  holds (3, 0, 1, 0xff);
  holds (3, 1, 1, 1);
  holds (3, 3, 1, 0);
  holds (3, 4, 4, 0xff);
}
END_TEST

/* Another initiator may have written. */
START_TEST (test_forget)
{
  misses (0, 0, 2, 0xff);
  written (1, 8, 1);
  put (2, LUNFS_OP_READ, 0, 4, 2);
  execute (2);
  memset (disk, 0x33, 8 * LUNFS_PAGE_BYTES);
  lunfs_cache_forget (cache);
  answer (2, 0);
  ends (2, 0);
  misses (3, 4, 2, 0x33);
  misses (4, 0, 2, 0x33);
  hits (5, 8, 1, 2); /* what is kept stays */
}
END_TEST

START_TEST (test_forget_partly_valid)
{
  written (0, 1, 1);
  put (1, LUNFS_OP_READ, 0, 0, 8);
  execute (0);
  lunfs_cache_forget (cache);
  memset (disk, 0x33, LUNFS_PAGE_BYTES);
  answer (0, 0);
  ends (1, 0);
  misses (2, 2, 6, 0x33);
  hits (3, 1, 1, 1);
}
END_TEST

/* What was only read of a page goes, what is kept of it stays. */
START_TEST (test_forget_part)
{
  memset (disk, 1, LUNFS_PAGE_BYTES);
  written (0, 1, 1);
  misses (1, 0, 8, 1);
  lunfs_cache_forget (cache);
  memset (disk, 0x33, LUNFS_PAGE_BYTES);
  misses (2, 2, 6, 0x33);
  hits (3, 1, 1, 1);
}
END_TEST

/* A block is in memory when the reader comes, and at the target, and gone from memory, when the others come. */
START_TEST (test_written_and_forgotten)
{
  written (0, 1, 1);
  put (1, LUNFS_OP_READ, 0, 0, 8);
  execute (0);
  put (2, LUNFS_OP_FLUSH, 0, 0, 0);
  turn ();
  answer (1, 0);
  answer (2, 0);
  ends (2, 0);
  lunfs_cache_forget (cache);
  answer (0, 0);
  ends (1, 0);
  holds (1, 0, 1, 0xff);
  holds (1, 1, 1, 1);
  holds (1, 2, 6, 0xff);
}
END_TEST

/* ---- memory ---- */

/* Into the reader's own memory, and nothing stays. */
START_TEST (test_no_memory)
{
  uint32_t chunk[CHUNKS];
  unsigned n = take_all (chunk);

  put (0, LUNFS_OP_READ, 0, 8, 4);
  is_sent (0, LUNFS_OP_READ, 8, 4, 0);
  ck_assert_ptr_eq (sent[0]->iov[0].iov_base, io[0].data);
  answer (0, 0);
  ends (0, 0);
  holds (0, 0, 4, 0xff);
  misses (1, 8, 4, 0xff);
  lunfs_pool_give (pool, chunk, n);
}
END_TEST

START_TEST (test_no_memory_around)
{
  uint32_t chunk[CHUNKS];
  unsigned n;

  for (unsigned i = 0; i < 16; i++) /* all of one chunk */
    written (i, i * 8 + 2, 2);
  n = take_all (chunk);
  put (20, LUNFS_OP_READ, 0, 1, 8 + 4);
  answer_all (0);
  ends (20, 0);
  holds (20, 0, 1, 0xff);
  holds (20, 1, 2, 1);
  holds (20, 3, 6, 0xff);
  holds (20, 9, 2, 2);
  holds (20, 11, 1, 0xff);
  memset (disk + 16 * LUNFS_PAGE_BYTES, 0x55, LUNFS_PAGE_BYTES); /* behind them, of which nothing is there */
  memset (disk + 17 * LUNFS_PAGE_BYTES, 0x66, LUNFS_PAGE_BYTES);
  put (21, LUNFS_OP_READ, 0, 15 * 8 + 1, 7 + 8 + 2);
  answer_all (0);
  ends (21, 0);
  holds (21, 0, 1, 0xff);
  holds (21, 1, 2, 16);
  holds (21, 3, 4, 0xff);
  holds (21, 7, 8, 0x55);
  holds (21, 15, 2, 0x66);
  lunfs_pool_give (pool, chunk, n);
}
END_TEST

/* More is read than there is memory for. */
START_TEST (test_eviction)
{
  for (unsigned i = 0; i < 40; i++) {
    put (i, LUNFS_OP_READ, 0, (i * 256) % 1000, 256);
    answer_all (0);
    ends (i, 0);
    holds (i, 0, 16, 0xff);
  }
  ck_assert_uint_le (LUNFS_VALUE (&stats, cached_bytes), cache_limit_bytes);
}
END_TEST

/* ---- users lose patience ---- */

START_TEST (test_cancel)
{
  put (0, LUNFS_OP_READ, 0, 4, 4);
  put (1, LUNFS_OP_READ, 0, 5, 1);
  ck_assert (!cancel_io (0, false) && !cancel_io (1, false));
  is_stalled = true;
  cancels = 0;
  ck_assert (cancel_io (1, false)); /* waits for the other's */
  ck_assert_uint_eq (cancels, 0);
  turn ();
  ends (1, -EINTR);
  ck_assert (cancel_io (0, false));
  ck_assert_uint_eq (cancels, 1);
  ck_assert (!io[0].done);
  answer (0, -EINTR);
  ends (0, -EINTR);
  is_stalled = false;
  ck_assert_uint_eq (nsent, 1);
}
END_TEST

/* One gives up, another still wants it. */
START_TEST (test_cancel_of_fetcher)
{
  put (0, LUNFS_OP_READ, 0, 4, 4);
  put (1, LUNFS_OP_READ, 0, 5, 1);
  is_stalled = true;
  ck_assert (cancel_io (0, false));
  answer (0, -EINTR);
  ends (0, -EINTR);
  ck_assert (!io[1].done);
  is_sent (1, LUNFS_OP_READ, 5, 1, 0);
  answer (1, 0);
  ends (1, 0);
  is_stalled = false;
}
END_TEST

/* The kernel's limit counts for each by its own age, also where a younger one fetches. */
START_TEST (test_limit)
{
  now_us += 100 * SECOND_US;
  put (0, LUNFS_OP_READ, 0, 4, 4);
  now_us += 5 * SECOND_US;
  prepare_io (1, LUNFS_OP_READ, 0, 5, 1); /* has waited elsewhere */
  io[1].req.submit_us = now_us - 15 * SECOND_US;
  submit_io (1);
  put (2, LUNFS_OP_READ, 0, 6, 1);
  advance (4 * SECOND_US);
  ck_assert (!io[1].done);
  advance (2 * SECOND_US);
  ends (1, -EIO);
  ck_assert (!io[0].done && !io[2].done);
  ck_assert_uint_eq (LUNFS_VALUE (&stats, timeouts), 1);
  advance (10 * SECOND_US);
  ck_assert (!io[0].done); /* is the layer's below */
  answer (0, 0);
  ends (0, 0);
  ends (2, 0);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("cache_read");
  TCase *tc = tcase_create ("pages");

  tcase_add_checked_fixture (tc, start_through_of_ones, teardown);
  tcase_add_test (tc, test_hit);
  tcase_add_loop_test (tc, test_lend, 0, 2);
  tcase_add_test (tc, test_join);
  tcase_add_test (tc, test_read_fails);
  tcase_add_test (tc, test_write_during_fill);
  tcase_add_test (tc, test_discard_during_fill);
  tcase_add_test (tc, test_forget);
  tcase_add_test (tc, test_no_memory);
  tcase_add_test (tc, test_eviction);
  tcase_add_test (tc, test_cancel);
  tcase_add_test (tc, test_cancel_of_fetcher);
  suite_add_tcase (suite, tc);
  tc = tcase_create ("limited");
  tcase_add_checked_fixture (tc, start_limited, teardown);
  tcase_add_test (tc, test_limit);
  suite_add_tcase (suite, tc);
  tc = tcase_create ("blocks");
  tcase_add_checked_fixture (tc, start_blocks_of_ones, teardown);
  tcase_add_test (tc, test_unaligned);
  tcase_add_test (tc, test_small_commands);
  tcase_add_test (tc, test_smaller_commands);
  tcase_add_test (tc, test_end_of_lun);
  tcase_add_test (tc, test_partly_valid);
  tcase_add_test (tc, test_partly_valid_and_written);
  tcase_add_test (tc, test_many_pieces);
  tcase_add_test (tc, test_write_of_blocks_during_fill);
  tcase_add_test (tc, test_forget_partly_valid);
  tcase_add_test (tc, test_partly_valid_and_discarded);
  tcase_add_test (tc, test_forget_part);
  tcase_add_test (tc, test_written_and_forgotten);
  tcase_add_test (tc, test_no_memory_around);
  suite_add_tcase (suite, tc);
  return run_suite (suite);
}
