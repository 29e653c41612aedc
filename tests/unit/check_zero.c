/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Discards and zeroes that are answered before the target has done them: what is read meanwhile, in which order what overlaps
 * them is done, what a flush, a failure, a login and the death of the worker make of them. */
#include "config.h"

#include "cache-harness.h"
#include "stepped.h"

#include "util/zeroes.h"

#define OLD 0xab /* what the target holds before */

static void
know (LunfsOp op)
{
  put (NIO - 1, op, 0, 10000, 400);
  answer (nsent - 1, 0);
  ends (NIO - 1, 0);
  put (NIO - 1, LUNFS_OP_FLUSH, 0, 0, 0);
  answer_all (0);
  ends (NIO - 1, 0);
  nsent = 0;
}

static void
start_with (uint64_t read_ahead_bytes)
{
  setup ();
  memset (disk, OLD, 1 << 20);
  conf.read_ahead_bytes = read_ahead_bytes;
  start (LUNFS_CACHE_WRITEBACK, 512);
}

static void
start_unknown (void)
{
  start_with (0);
}

/* The target has shown that it can. */
static void
start_known (void)
{
  start_with (0);
  know (LUNFS_OP_DISCARD);
  know (LUNFS_OP_ZERO);
}

static void
start_ahead (void)
{
  start_with (1 << 20);
  know (LUNFS_OP_DISCARD);
  know (LUNFS_OP_ZERO);
}

/* Answered, and not sent before the end of the pass. */
static void
discarded (unsigned n, uint64_t lba, uint64_t nblocks)
{
  unsigned before = nsent;

  put (n, LUNFS_OP_DISCARD, 0, lba, nblocks);
  ends (n, 0);
  ck_assert_uint_eq (nsent, before);
}

/* Without the target. */
static void
reads_at_once (unsigned n, uint64_t lba, uint64_t nblocks, unsigned value)
{
  unsigned before = nsent;

  put (n, LUNFS_OP_READ, 0, lba, nblocks);
  ends (n, 0);
  holds (n, 0, nblocks, value);
  ck_assert_uint_eq (nsent, before);
}

/* ---- when it is answered ---- */

/* Not before the target has shown that it can, nor what has to be verified, nor where a login may have changed that. */
START_TEST (test_first)
{
  static const LunfsOp ops[] = { LUNFS_OP_DISCARD, LUNFS_OP_ZERO };
  LunfsOp op = ops[_i];

  put (0, op, 0, 0, 400);
  ck_assert_ptr_eq (sent[0], &io[0].req);
  ck_assert (!io[0].done);
  answer (0, -EOPNOTSUPP); /* seen by the lun room */
  ends (0, -EOPNOTSUPP);
  put (0, op, 0, 0, 400);
  ck_assert_ptr_eq (sent[1], &io[0].req);
  answer (1, 0);
  put (0, op, 0, 1000, 400);
  ends (0, 0);
  put (1, op == LUNFS_OP_ZERO ? LUNFS_OP_DISCARD : LUNFS_OP_ZERO, 0, 2000, 400); /* the other one is another matter */
  ck_assert (!io[1].done);
  answer_all (0);
  put (1, LUNFS_OP_DISCARD, LUNFS_REQ_UNMAP, 3000, 400);
  ck_assert (!io[1].done);
  answer_all (0);
  up ();
  answer_all (0);
  put (1, op, 0, 1000, 400);
  ck_assert (!io[1].done);
  answer_all (0);
  ends (1, 0);
}
END_TEST

START_TEST (test_no_slot)
{
  uint8_t kept[LUNFS_ARENA_RANGES];

  for (unsigned i = 0; i < LUNFS_ARENA_RANGES; i++) {
    kept[i] = arena->ranges[i].kept;
    arena->ranges[i].kept = 1;
  }
  put (0, LUNFS_OP_DISCARD, 0, 0, 8);
  ck_assert (!io[0].done);
  ck_assert_ptr_eq (sent[0], &io[0].req);
  answer_all (0);
  ends (0, 0);
  for (unsigned i = 0; i < LUNFS_ARENA_RANGES; i++)
    arena->ranges[i].kept = kept[i];
}
END_TEST

/* As many as the target does soon; others wait for it, and all are done. */
START_TEST (test_bound)
{
  unsigned n = 0, waiting;

  for (; n < 100; n++) {
    put (n, LUNFS_OP_DISCARD, 0, n * 10, 10);
    if (!io[n].done)
      break;
    ck_assert_uint_eq (LUNFS_VALUE (&stats, dirty_bytes), (n + 1) * LUNFS_PAGE_BYTES);
  }
  ck_assert_uint_eq (n, 64);
  turn ();
  ck_assert_uint_eq (under_way (), 1 + 4);
  answer_all (0);
  ends (n, 0);
  put (n, LUNFS_OP_DISCARD, 0, n * 10, 10);
  turn ();
  now_us += 30000; /* that is how long one takes */
  answer_all (0);
  ends (n, 0);
  for (waiting = n + 1; waiting < 100; waiting++) {
    put (waiting, LUNFS_OP_DISCARD, 0, waiting * 10, 10);
    if (!io[waiting].done)
      break;
  }
  ck_assert_uint_eq (waiting - n - 1, 7);
  answer_all (0);
  ends (waiting, 0);
  disk_holds (0, waiting * 10, 0);
  ck_assert_uint_eq (LUNFS_VALUE (&stats, dirty_bytes), 0);
}
END_TEST

/* ---- reading ---- */

/* Zeroes, whatever was there, dirty, clean or only at the target; what lies beside it in the page is not. */
START_TEST (test_read)
{
  put (0, LUNFS_OP_READ, 0, 0, 16);
  answer_all (0);
  written (1, 20, 8);
  nsent = 0;
  discarded (2, 3, 30);
  reads_at_once (3, 3, 30, 0);
  reads_at_once (3, 5, 1, 0);
  put (3, LUNFS_OP_READ, 0, 33, 3); /* the page's other blocks, by a READ of just them */
  is_sent (0, LUNFS_OP_READ, 33, 3, 0);
  answer (0, 0);
  ends (3, 0);
  holds (3, 0, 3, OLD);
  put (3, LUNFS_OP_READ, 0, 30, 30); /* and across the end */
  is_sent (1, LUNFS_OP_READ, 32, 8, 0);
  is_sent (2, LUNFS_OP_READ, 40, 20 + 4, 0);
  answer (1, 0);
  answer (2, 0);
  ends (3, 0);
  holds (3, 0, 3, 0);
  holds (3, 3, 27, OLD);
  written (4, 8, 3);
  reads_at_once (3, 3, 5, 0);
  reads_at_once (3, 8, 3, 5);
  reads_at_once (3, 11, 22, 0);
  turn ();
  is_sent (3, LUNFS_OP_DISCARD, 3, 30, OURS);
  reads_at_once (3, 3, 5, 0);
  answer (3, 0);
  put (3, LUNFS_OP_READ, 0, 0, 40);
  answer_all (0);
  holds (3, 0, 3, OLD);
  holds (3, 3, 5, 0);
  holds (3, 8, 3, 5);
  holds (3, 11, 22, 0);
  holds (3, 33, 7, OLD);
}
END_TEST

/* What is being fetched when it comes may be given to who asked before, but does not stay. */
START_TEST (test_read_before)
{
  put (0, LUNFS_OP_READ, 0, 0, 16);
  discarded (1, 4, 8);
  execute (0);
  turn ();
  answer (1, 0);
  answer (0, 0);
  ends (0, 0);
  put (2, LUNFS_OP_READ, 0, 0, 16);
  answer_all (0);
  holds (2, 0, 4, OLD);
  holds (2, 4, 8, 0);
  holds (2, 12, 4, OLD);
}
END_TEST

/* Nothing of it is fetched ahead. */
START_TEST (test_read_ahead)
{
  bool beyond = false;

  discarded (0, 150, 100);
  for (unsigned i = 0; i < 8; i++) {
    put (1, LUNFS_OP_READ, 0, i * 16, 16);
    for (unsigned n = 0; n < nsent; n++)
      if (sent[n] && sent[n]->op == LUNFS_OP_READ) {
        ck_assert (sent[n]->offset >= 256 * bs || sent[n]->offset + sent[n]->length <= 144 * bs);
        beyond |= sent[n]->offset >= 256 * bs;
        answer (n, 0);
      }
    ends (1, 0);
    turn ();
  }
  ck_assert (beyond);
  put (2, LUNFS_OP_READ, 0, 150, 100);
  ends (2, 0);
  holds (2, 0, 100, 0);
}
END_TEST

/* ---- order ---- */

/* What was dirty is gone, what comes after goes after, what lies elsewhere does not wait. */
START_TEST (test_writes)
{
  written (0, 0, 32);
  discarded (1, 4, 20);
  written (2, 8, 2);
  written (3, 500, 8);
  written (6, 16, 16);
  advance (WRITE_DELAY_US + 1000);
  is_sent (0, LUNFS_OP_DISCARD, 4, 20, OURS);
  is_sent (1, LUNFS_OP_WRITE, 24, 8, OURS);
  is_sent (2, LUNFS_OP_WRITE, 500, 8, OURS);
  ck_assert_uint_eq (nsent, 3); /* pages 0 and 2 lie in it, too */
  put (4, LUNFS_OP_WRITE, LUNFS_REQ_FUA, 12, 1);
  turn ();
  ck_assert_uint_eq (nsent, 3);
  answer (0, 0);
  answer_all (0);
  ends (4, 0);
  advance (WRITE_DELAY_US + 1000);
  answer_all (0);
  disk_holds (8, 2, 3);
  flush_ends (5, 0);
  disk_holds (0, 4, 1);
  disk_holds (4, 4, 0);
  disk_holds (8, 2, 3);
  disk_holds (10, 2, 0);
  disk_holds (12, 1, 5);
  disk_holds (13, 3, 0);
  disk_holds (16, 16, 7);
}
END_TEST

/* A WRITE of the range that is on its way ends first. */
START_TEST (test_write_under_way)
{
  written (0, 0, 8);
  advance (WRITE_DELAY_US + 1000);
  put (1, LUNFS_OP_DISCARD, 0, 2, 4);
  turn ();
  ck_assert (!io[1].done);
  ck_assert_uint_eq (nsent, 1);
  answer (0, 0);
  ends (1, 0);
  reads_at_once (2, 2, 4, 0);
  turn ();
  is_sent (1, LUNFS_OP_DISCARD, 2, 4, OURS);
  answer_all (0);
  disk_holds (2, 4, 0);
  disk_holds (6, 2, 1);
}
END_TEST

START_TEST (test_overlap)
{
  discarded (0, 0, 10);
  discarded (1, 5, 10);
  discarded (2, 20, 10);
  put (3, LUNFS_OP_DISCARD, LUNFS_REQ_UNMAP, 12, 2);
  turn ();
  ck_assert_uint_eq (nsent, 2);
  is_sent (0, LUNFS_OP_DISCARD, 0, 10, OURS);
  is_sent (1, LUNFS_OP_DISCARD, 20, 10, OURS);
  answer (0, 0);
  turn ();
  is_sent (2, LUNFS_OP_DISCARD, 5, 10, OURS);
  ck_assert_uint_eq (nsent, 3);
  answer (2, 0);
  turn ();
  ck_assert_ptr_eq (sent[3], &io[3].req);
  answer_all (0);
  ends (3, 0);
}
END_TEST

/* ---- flushed ---- */

START_TEST (test_flush)
{
  discarded (0, 0, 100);
  put (1, LUNFS_OP_FLUSH, 0, 0, 0);
  turn ();
  is_sent (0, LUNFS_OP_DISCARD, 0, 100, OURS);
  ck_assert_uint_eq (nsent, 1);
  discarded (2, 200, 100); /* after the flush: it does not wait for this one */
  turn ();
  is_sent (1, LUNFS_OP_DISCARD, 200, 100, OURS);
  answer (0, 0);
  is_sent (2, LUNFS_OP_FLUSH, 0, 0, 0);
  ck_assert (!io[1].done);
  answer (1, 0); /* the commit under way does not cover it */
  answer (2, 0);
  ends (1, 0);
  nsent = 0;
  up ();
  is_sent (0, LUNFS_OP_DISCARD, 200, 100, LUNFS_REQ_RECOVERY);
  answer_all (0);
  ck_assert_uint_eq (nsent, 1);
  flush_ends (1, 0);
  nsent = 0;
  up ();
  ck_assert_uint_eq (nsent, 0);
}
END_TEST

/* A commit covers all that is done, although something older is not: what was written over it is not kept any longer. */
START_TEST (test_commit_covers)
{
  discarded (0, 0, 50);
  discarded (1, 100, 8);
  turn ();
  is_sent (1, LUNFS_OP_DISCARD, 100, 8, OURS);
  answer (1, 0);
  written (2, 100, 8);
  advance (WRITE_DELAY_US + 1000);
  is_sent (2, LUNFS_OP_WRITE, 100, 8, OURS);
  answer (2, 0);
  advance (6 * SECOND_US);
  is_sent (3, LUNFS_OP_FLUSH, 0, 0, 0);
  answer (3, 0);
  answer (0, -ECANCELED);
  nsent = 0;
  up ();
  is_sent (0, LUNFS_OP_DISCARD, 0, 50, LUNFS_REQ_RECOVERY);
  answer_all (0);
  ck_assert_uint_eq (nsent, 1);
  disk_holds (100, 8, 3);
}
END_TEST

/* What a flush waits for is discarded: it waits for that instead. */
START_TEST (test_flush_dropped)
{
  written (0, 0, 1);
  put (1, LUNFS_OP_FLUSH, 0, 0, 0);
  discarded (2, 4, 1); /* in the same page, which waits for it */
  turn ();
  is_sent (0, LUNFS_OP_DISCARD, 4, 1, OURS);
  ck_assert_uint_eq (nsent, 1);
  discarded (3, 0, 8);
  answer (0, 0);
  turn ();
  is_sent (1, LUNFS_OP_DISCARD, 0, 8, OURS);
  ck_assert_uint_eq (nsent, 2);
  answer (1, 0);
  is_sent (2, LUNFS_OP_FLUSH, 0, 0, 0);
  answer (2, 0);
  ends (1, 0);
}
END_TEST

/* Also not with FUA alone. */
START_TEST (test_flush_fua)
{
  info.modes.dpofua = true;
  up ();
  know (LUNFS_OP_DISCARD);
  discarded (0, 0, 100);
  written (1, 200, 8);
  put (2, LUNFS_OP_FLUSH, 0, 0, 0);
  turn ();
  is_sent (0, LUNFS_OP_DISCARD, 0, 100, OURS);
  is_sent (1, LUNFS_OP_WRITE, 200, 8, OURS);
  answer (1, 0);
  ck_assert (!io[2].done);
  answer (0, 0);
  turn ();
  is_sent (2, LUNFS_OP_FLUSH, 0, 0, 0);
  answer (2, 0);
  ends (2, 0);
}
END_TEST

/* ---- failures ---- */

/* It is tried again, a flush says so meanwhile, and nobody else waits for it. */
START_TEST (test_fails)
{
  discarded (0, 0, 100);
  turn ();
  answer (0, -EIO);
  put (1, LUNFS_OP_WRITE, 0, 8, 8);
  reads_at_once (2, 0, 8, 0);
  answer_all (0); /* the write came behind the failure: it goes to the target first, behind the range */
  ends (1, 0);
  disk_holds (0, 8, 0);
  disk_holds (8, 8, 2);
  flush_ends (3, 0);
}
END_TEST

START_TEST (test_fails_on)
{
  discarded (0, 0, 100);
  written (1, 8, 8);
  written (2, 200, 8);
  put (3, LUNFS_OP_FLUSH, 0, 0, 0);
  turn ();
  ck_assert_uint_eq (nsent, 2);
  is_sent (0, LUNFS_OP_DISCARD, 0, 100, OURS);
  is_sent (1, LUNFS_OP_WRITE, 200, 8, OURS);
  answer (1, 0);
  answer (0, -EIO);
  ends (3, -EIO);
  reads_at_once (4, 0, 8, 0);
  reads_at_once (4, 8, 8, 2);
  advance (500000);
  ck_assert_uint_eq (nsent, 2);
  put (4, LUNFS_OP_WRITE, LUNFS_REQ_FUA, 50, 1);
  turn ();
  is_sent (2, LUNFS_OP_DISCARD, 0, 100, OURS);
  answer (2, -EIO);
  ends (4, -EIO);
  put (4, LUNFS_OP_FLUSH, 0, 0, 0);
  turn ();
  is_sent (3, LUNFS_OP_DISCARD, 0, 100, OURS);
  answer (3, -EIO);
  ends (4, -EIO);
  advance (SECOND_US + 1000);
  is_sent (4, LUNFS_OP_DISCARD, 0, 100, OURS);
  answer_all (0);
  flush_ends (4, 0);
  disk_holds (0, 8, 0);
  disk_holds (8, 8, 2);
  disk_holds (16, 84, 0);
  discarded (5, 0, 8); /* as before */
}
END_TEST

/* The command is refused after all: zeroes are written, and src/lun is asked next time. */
START_TEST (test_refused)
{
  uint64_t max = LUNFS_ZEROES_BYTES / bs;

  prepare_io (0, LUNFS_OP_DISCARD, 0, 0, 1);
  io[0].req.length = (2 * max + 9) * bs;
  submit_io (0);
  ends (0, 0);
  turn ();
  answer (0, -EOPNOTSUPP);
  is_sent (1, LUNFS_OP_WRITE, 0, max, OURS);
  answer (1, 0);
  is_sent (2, LUNFS_OP_WRITE, max, max, OURS);
  if (_i) {
    answer (2, -ECANCELED);
    up ();
    is_sent (3, LUNFS_OP_DISCARD, 0, 2 * max + 9, LUNFS_REQ_RECOVERY);
    answer (3, -EOPNOTSUPP);
    is_sent (4, LUNFS_OP_WRITE, 0, max, LUNFS_REQ_RECOVERY);
  }
  answer_all (0);
  ck_assert_uint_eq (under_way (), 0);
  disk_holds (0, 2 * max + 9, 0);
  put (1, LUNFS_OP_DISCARD, 0, 0, 1);
  ck_assert (!io[1].done);
  answer_all (0);
  flush_ends (2, 0);
}
END_TEST

/* ---- logins ---- */

/* All of it again, in its place among what was done before; then what was written after it. */
START_TEST (test_login)
{
  put (0, LUNFS_OP_DISCARD, LUNFS_REQ_UNMAP, 0, 50);
  answer (0, 0);
  discarded (1, 20, 50);
  written (2, 24, 8);
  turn ();
  is_sent (1, LUNFS_OP_DISCARD, 20, 50, OURS);
  execute (1);
  put (5, LUNFS_OP_DISCARD, LUNFS_REQ_UNMAP, 400, 8); /* younger, and done */
  answer (2, 0);
  answer (1, -ECANCELED);
  is_stalled = true;
  discarded (3, 60, 50);
  is_stalled = false;
  nsent = 0;
  memset (disk, OLD, 1 << 20);
  up ();
  is_sent (0, LUNFS_OP_DISCARD, 0, 50, LUNFS_REQ_RECOVERY | LUNFS_REQ_UNMAP);
  ck_assert_uint_eq (nsent, 1);
  answer (0, 0);
  is_sent (1, LUNFS_OP_DISCARD, 20, 50, LUNFS_REQ_RECOVERY);
  ck_assert_uint_eq (nsent, 2);
  answer (1, 0);
  is_sent (2, LUNFS_OP_DISCARD, 400, 8, LUNFS_REQ_RECOVERY | LUNFS_REQ_UNMAP);
  ck_assert_uint_eq (nsent, 3);
  answer (2, 0);
  is_sent (3, LUNFS_OP_DISCARD, 60, 50, LUNFS_REQ_RECOVERY);
  ck_assert_uint_eq (nsent, 4);
  if (_i) {
    answer (3, -EIO); /* tried again, as everything that was answered */
    answer_all (0);
    advance (2 * SECOND_US);
  }
  answer_all (0);
  ck_assert_uint_eq (recovered, 2);
  disk_holds (0, 24, 0);
  disk_holds (24, 8, 3);
  disk_holds (32, 78, 0);
  nsent = 0;
  up (); /* not stable: once more */
  answer_all (0);
  ck_assert_uint_eq (nsent, 5);
  flush_ends (4, 0);
}
END_TEST

/* The LUN has no volatile cache any more: what is written again is stable, and so is what it was written over. */
START_TEST (test_login_write_through)
{
  put (0, LUNFS_OP_DISCARD, LUNFS_REQ_UNMAP, 0, 50);
  answer (0, 0);
  written (1, 8, 8);
  written (2, 200, 8);
  advance (WRITE_DELAY_US + 1000);
  answer_all (0);
  nsent = 0;
  info.modes.wce = false;
  up ();
  answer (0, 0);
  is_sent (1, LUNFS_OP_WRITE, 8, 8, LUNFS_REQ_RECOVERY);
  answer (1, 0);
  is_sent (2, LUNFS_OP_WRITE, 200, 8, LUNFS_REQ_RECOVERY);
  answer (2, -ECANCELED);
  up ();
  is_sent (3, LUNFS_OP_WRITE, 200, 8, LUNFS_REQ_RECOVERY);
  answer_all (0);
  ck_assert_uint_eq (nsent, 4);
  disk_holds (8, 8, 2);
}
END_TEST

/* What lies in a range that cannot be zeroed again is not written before that, nor is a flush that covers it good. */
START_TEST (test_login_fails)
{
  discarded (0, 0, 50);
  written (1, 8, 8);
  put (2, LUNFS_OP_FLUSH, 0, 0, 0);
  turn ();
  is_sent (0, LUNFS_OP_DISCARD, 0, 50, OURS);
  answer (0, -ECANCELED);
  up ();
  is_sent (1, LUNFS_OP_DISCARD, 0, 50, LUNFS_REQ_RECOVERY);
  answer (1, -EIO);
  ck_assert_uint_eq (recovered, 2);
  ends (2, -EIO);
  ck_assert_uint_eq (nsent, 2);
  reads_at_once (3, 0, 8, 0);
  advance (SECOND_US + 1000);
  is_sent (2, LUNFS_OP_DISCARD, 0, 50, OURS);
  answer_all (0);
  flush_ends (2, 0);
  disk_holds (0, 8, 0);
  disk_holds (8, 8, 2);
}
END_TEST

/* A flush covers a page that was at the target; a range took its place in memory, the target lost the page, and cannot do the
 * range. */
START_TEST (test_commit_fails)
{
  written (0, 0, 8);
  put (1, LUNFS_OP_FLUSH, 0, 0, 0);
  turn ();
  is_sent (0, LUNFS_OP_WRITE, 0, 8, OURS);
  answer (0, 0);
  is_sent (1, LUNFS_OP_FLUSH, 0, 0, 0);
  discarded (2, 0, 8);
  turn ();
  is_sent (2, LUNFS_OP_DISCARD, 0, 8, OURS);
  answer (2, -ECANCELED);
  memset (disk, OLD, 1 << 20);
  up ();
  is_sent (3, LUNFS_OP_DISCARD, 0, 8, LUNFS_REQ_RECOVERY);
  answer (3, _i ? -EIO : 0);
  answer (1, 0); /* the session sends it only now */
  ends (1, _i ? -EIO : 0);
  answer_all (0);
  flush_ends (3, 0);
  disk_holds (0, 8, 0);
}
END_TEST

/* Another initiator has had the LUN to itself: what it may have written there is not zeroed. */
START_TEST (test_disown)
{
  discarded (0, 0, 50);
  if (_i) {
    turn ();
    execute (0);
  }
  lunfs_cache_disown (cache);
  if (_i == 1)
    answer (0, -EINTR);
  else if (_i == 2)
    answer (0, 0); /* it was faster */
  turn ();
  ck_assert_uint_eq (under_way (), 0);
  up ();
  turn ();
  ck_assert_uint_eq (under_way (), 0);
  put (1, LUNFS_OP_READ, 0, 0, 8);
  answer_all (0);
  holds (1, 0, 8, _i ? 0 : OLD);
  flush_ends (2, -EIO);
  flush_ends (2, 0);
}
END_TEST

/* The worker dies; its successor knows of it before it has a session. */
START_TEST (test_inherit)
{
  put (0, LUNFS_OP_DISCARD, 0, 300, 8);
  ends (0, 0);
  turn ();
  answer (0, 0); /* done, and not stable */
  discarded (1, 0, 50);
  written (2, 8, 8);
  if (_i) {
    turn ();
    execute (1); /* and nobody hears of it */
  }
  succeed ();
  memset (disk, OLD, 1 << 20);
  reads_at_once (3, 0, 8, 0);
  reads_at_once (3, 8, 8, 3);
  reads_at_once (3, 16, 34, 0);
  up ();
  is_sent (0, LUNFS_OP_DISCARD, 300, 8, LUNFS_REQ_RECOVERY);
  answer (0, 0);
  is_sent (1, LUNFS_OP_DISCARD, 0, 50, LUNFS_REQ_RECOVERY);
  answer (1, 0);
  is_sent (2, LUNFS_OP_WRITE, 8, 8, LUNFS_REQ_RECOVERY);
  answer_all (0);
  disk_holds (0, 8, 0);
  disk_holds (8, 8, 3);
  disk_holds (16, 34, 0);
  disk_holds (50, 8, OLD);
  disk_holds (300, 8, 0);
}
END_TEST

/* ---- the worker is killed at any instruction of it ---- */

static const struct {
  bool due_before; /* the page was written into a range that was due */
  LunfsOp op;      /* what comes; READ: nothing */
  uint32_t flags;
  bool answered;          /* stepped through is the target's answer */
  bool page_stays, stays; /* the page is there all the time, and so is the range */
} steps[] = {
  { .op = LUNFS_OP_DISCARD },
  { .op = LUNFS_OP_ZERO },
  { .op = LUNFS_OP_DISCARD, .due_before = true, .stays = true },
  { .op = LUNFS_OP_DISCARD, .flags = LUNFS_REQ_UNMAP, .answered = true },
  { .op = LUNFS_OP_READ, .due_before = true, .answered = true, .page_stays = true, .stays = true },
};

static bool
page_is_kept (void)
{
  for (unsigned i = 0; i < CHUNKS * LUNFS_PAGES_PER_CHUNK; i++)
    if (arena->pages[i].kept && arena->pages[i].number == 0 && arena->pages[i].blocks == 0xff)
      return true;
  return false;
}

static bool
range_is_kept (void)
{
  for (unsigned i = 0; i < LUNFS_ARENA_RANGES; i++) {
    const LunfsArenaRange *r = &arena->ranges[i];

    if ((r->kept == LUNFS_RANGE_DUE || r->kept == LUNFS_RANGE_DONE) && r->offset == 0 && r->length == 400 * bs)
      return true;
  }
  return false;
}

/* It has been answered, so what was written is on record, or what has come over it. */
static void
check_moment (void *user)
{
  unsigned n = GPOINTER_TO_UINT (user);
  bool page = page_is_kept (), range = range_is_kept ();

  if ((!page && (!range || steps[n].page_stays)) || (!range && steps[n].stays))
    ck_abort_msg ("nobody would know of it: %d, %d", page, range);
}

static void
child_goes_on (void *user)
{
  unsigned n = GPOINTER_TO_UINT (user);

  if (steps[n].op != LUNFS_OP_READ)
    prepare_io (2, steps[n].op, steps[n].flags, 0, 400);
  if (!steps[n].answered) {
    begin_steps ();
    submit_io (2);
    return;
  }
  if (steps[n].op != LUNFS_OP_READ)
    submit_io (2);
  execute (nsent - 1);
  begin_steps ();
  answer (nsent - 1, 0);
}

START_TEST (test_killed)
{
  bool page_stays = steps[_i].page_stays;

  if (steps[_i].due_before)
    discarded (0, 0, 400);
  written (1, 0, 8);
  if (page_stays) {
    turn ();
  } else if (steps[_i].answered) { /* it is not dirty, or the range would have to wait for it */
    advance (WRITE_DELAY_US + 1000);
    answer (0, 0);
  }
  step_through (child_goes_on, GUINT_TO_POINTER (_i), check_moment, GUINT_TO_POINTER (_i));
  ck_assert_int_eq (page_is_kept (), page_stays);
  ck_assert (range_is_kept ());
  succeed ();
  up ();
  answer_all (0);
  disk_holds (0, 8, page_stays ? 2 : 0);
  disk_holds (8, 392, 0);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("zero");
  TCase *tc = tcase_create ("unknown");

  tcase_add_checked_fixture (tc, start_unknown, teardown);
  tcase_add_loop_test (tc, test_first, 0, 2);
  suite_add_tcase (suite, tc);
  tc = tcase_create ("known");
  tcase_set_timeout (tc, 60);
  tcase_add_checked_fixture (tc, start_known, teardown);
  tcase_add_test (tc, test_no_slot);
  tcase_add_test (tc, test_bound);
  tcase_add_test (tc, test_read);
  tcase_add_test (tc, test_read_before);
  tcase_add_test (tc, test_writes);
  tcase_add_test (tc, test_write_under_way);
  tcase_add_test (tc, test_overlap);
  tcase_add_test (tc, test_flush);
  tcase_add_test (tc, test_commit_covers);
  tcase_add_test (tc, test_flush_dropped);
  tcase_add_test (tc, test_flush_fua);
  tcase_add_loop_test (tc, test_commit_fails, 0, 2);
  tcase_add_test (tc, test_fails);
  tcase_add_test (tc, test_fails_on);
  tcase_add_loop_test (tc, test_refused, 0, 2);
  tcase_add_loop_test (tc, test_login, 0, 2);
  tcase_add_test (tc, test_login_write_through);
  tcase_add_test (tc, test_login_fails);
  tcase_add_loop_test (tc, test_disown, 0, 3);
  tcase_add_loop_test (tc, test_inherit, 0, 2);
  if (can_step ())
    tcase_add_loop_test (tc, test_killed, 0, G_N_ELEMENTS (steps));
  suite_add_tcase (suite, tc);
  tc = tcase_create ("ahead");
  tcase_add_checked_fixture (tc, start_ahead, teardown);
  tcase_add_test (tc, test_read_ahead);
  suite_add_tcase (suite, tc);
  return run_suite (suite);
}
