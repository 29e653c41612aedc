/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cache room over a layer that does nothing but keep what it is given: the test answers. */
#include "config.h"

#include "cache/cache.h"
#include "lunfs/log.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BS 512u
#define NIO 64

typedef struct {
  LunfsRequest req;
  struct iovec iov;
  uint8_t data[8 * BS];
  bool done;
} Io;

static int64_t now_us;
static LunfsLane *lane;
static LunfsArena *arena;
static LunfsPool *pool;
static LunfsFrames *frames;
static LunfsStats stats;
static LunfsCacheConf conf;
static LunfsCache *cache;
static LunfsLunInfo info;
static Io io[NIO];
static LunfsRequest *sent[256]; /* at the lower layer; NULL = answered */
static unsigned nsent, recovered;

static void
lower_submit (LunfsLayer *layer, LunfsRequest *req)
{
  ck_assert_uint_lt (nsent, G_N_ELEMENTS (sent));
  sent[nsent++] = req;
}

static bool
lower_no (const LunfsLayer *layer)
{
  return false;
}

static const LunfsLayerOps lower_ops = { .submit = lower_submit, .stalled = lower_no, .refuses = lower_no };
static LunfsLayer lower = { &lower_ops };

static int64_t
fake_clock (void *user)
{
  return now_us;
}

static void
on_recovered (void *user)
{
  recovered++;
}

static void
io_done (LunfsRequest *req)
{
  Io *i = req->owner;

  ck_assert (!i->done);
  i->done = true;
}

static void
setup (void)
{
  now_us = 1;
  memset (io, 0, sizeof io);
  memset (&stats, 0, sizeof stats);
  nsent = recovered = 0;
  lane = lunfs_lane_new (0, fake_clock, NULL);
  arena = lunfs_arena_create (40 * LUNFS_CHUNK_BYTES, NULL);
  pool = lunfs_pool_new (arena, false);
  frames = lunfs_frames_new (arena, pool, 32 * LUNFS_CHUNK_BYTES, 16 * LUNFS_CHUNK_BYTES);
  conf = (LunfsCacheConf){ .lane = lane, .lower = &lower, .frames = frames, .mode = LUNFS_CACHE_NONE,
                           .stats = &stats, .recovered = on_recovered };
  cache = lunfs_cache_new (&conf);
  info = (LunfsLunInfo){ .capacity = { .nblocks = 1 << 20, .block_size = BS }, .modes = { .wce = true } };
  lunfs_cache_up (cache, &info);
  ck_assert_uint_eq (recovered, 1); /* at once: nothing to write again */
}

static void
teardown (void)
{
  lunfs_cache_free (cache);
  lunfs_frames_free (frames);
  lunfs_pool_free (pool);
  lunfs_arena_free (arena);
  lunfs_lane_free (lane);
}

static void
put (unsigned n, LunfsOp op, uint32_t flags, uint64_t lba, uint64_t nblocks)
{
  Io *i = &io[n];

  lunfs_request_init (&i->req);
  i->req.op = op;
  i->req.flags = flags;
  i->req.offset = lba * BS;
  i->req.length = nblocks * BS;
  i->iov = (struct iovec){ i->data, nblocks * BS };
  i->req.iov = &i->iov;
  i->req.niov = op == LUNFS_OP_WRITE || op == LUNFS_OP_READ;
  i->req.chunks = NULL;
  i->req.nchunks = 0;
  i->req.done = io_done;
  i->req.owner = i;
  i->done = false;
  if (op == LUNFS_OP_WRITE)
    memset (i->data, (int) n + 1, nblocks * BS);
  lunfs_cache_layer (cache)->ops->submit (lunfs_cache_layer (cache), &i->req);
}

static void
answer (unsigned n, int result)
{
  LunfsRequest *req = sent[n];

  ck_assert_uint_lt (n, nsent);
  ck_assert_ptr_nonnull (req);
  sent[n] = NULL;
  req->result = result;
  req->done (req);
}

static void
turn (void)
{
  lunfs_lane_run_once (lane, 0);
}

/* Write and have it acknowledged. */
static void
written (unsigned n, uint64_t lba, uint64_t nblocks)
{
  put (n, LUNFS_OP_WRITE, 0, lba, nblocks);
  answer (nsent - 1, 0);
  ck_assert (io[n].done && io[n].req.result == 0);
}

static void
is_sent (unsigned n, LunfsOp op, uint64_t lba, uint32_t flags)
{
  ck_assert_uint_lt (n, nsent);
  ck_assert_ptr_nonnull (sent[n]);
  ck_assert_int_eq (sent[n]->op, op);
  ck_assert_uint_eq (sent[n]->flags, flags);
  if (op != LUNFS_OP_FLUSH)
    ck_assert_uint_eq (sent[n]->offset, lba * BS);
}

/* ---- flush ---- */

START_TEST (test_nothing_to_flush)
{
  put (0, LUNFS_OP_FLUSH, 0, 0, 0);
  turn ();
  ck_assert (io[0].done && io[0].req.result == 0);
  ck_assert_uint_eq (nsent, 0);
  lunfs_cache_inherit (cache, 1 << 20, BS); /* an earlier worker may have written */
  put (1, LUNFS_OP_FLUSH, 0, 0, 0);
  is_sent (0, LUNFS_OP_FLUSH, 0, 0);
  answer (0, 0);
  ck_assert (io[1].done);
}
END_TEST

START_TEST (test_flush_once)
{
  written (0, 0, 1);
  put (1, LUNFS_OP_FLUSH, 0, 0, 0);
  is_sent (1, LUNFS_OP_FLUSH, 0, 0);
  turn ();
  ck_assert (!io[1].done);
  answer (1, 0);
  ck_assert (io[1].done && io[1].req.result == 0);
  ck_assert_uint_eq (lunfs_cache_unstable_bytes (cache), 0);
  put (2, LUNFS_OP_FLUSH, 0, 0, 0); /* nothing new since */
  turn ();
  ck_assert (io[2].done);
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
  is_sent (3, LUNFS_OP_FLUSH, 0, 0);
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
  ck_assert (io[1].done);
  answer (0, 0);
  put (2, LUNFS_OP_FLUSH, 0, 0, 0);
  is_sent (1, LUNFS_OP_FLUSH, 0, 0);
  answer (1, 0);
}
END_TEST

START_TEST (test_no_write_cache)
{
  info.modes.wce = false;
  lunfs_cache_up (cache, &info);
  written (0, 0, 1);
  put (1, LUNFS_OP_WRITE, LUNFS_REQ_FUA, 1, 1);
  answer (1, 0);
  ck_assert (io[1].done);
  put (2, LUNFS_OP_FLUSH, 0, 0, 0);
  turn ();
  ck_assert (io[2].done);
  ck_assert_uint_eq (nsent, 2);
  ck_assert_uint_eq (lunfs_cache_unstable_bytes (cache), 0);
}
END_TEST

START_TEST (test_commit_by_age)
{
  written (0, 0, 1);
  for (unsigned i = 0; i < 70; i++) {
    now_us += 100000;
    turn ();
  }
  is_sent (1, LUNFS_OP_FLUSH, 0, 0);
  ck_assert_uint_eq (nsent, 2);
  answer (1, 0);
  ck_assert_uint_eq (lunfs_cache_unstable_bytes (cache), 0);
}
END_TEST

/* ---- FUA ---- */

START_TEST (test_fua)
{
  info.modes.dpofua = true;
  lunfs_cache_up (cache, &info);
  put (0, LUNFS_OP_WRITE, LUNFS_REQ_FUA, 0, 1);
  is_sent (0, LUNFS_OP_WRITE, 0, LUNFS_REQ_FUA);
  answer (0, 0);
  ck_assert (io[0].done);
  put (1, LUNFS_OP_FLUSH, 0, 0, 0); /* it was stable */
  turn ();
  ck_assert (io[1].done);
  ck_assert_uint_eq (nsent, 1);
}
END_TEST

START_TEST (test_fua_without_dpofua)
{
  put (0, LUNFS_OP_WRITE, LUNFS_REQ_FUA, 0, 1);
  answer (0, 0);
  ck_assert (!io[0].done);
  is_sent (1, LUNFS_OP_FLUSH, 0, 0);
  answer (1, 0);
  ck_assert (io[0].done && io[0].req.result == 0);
  put (1, LUNFS_OP_WRITE, LUNFS_REQ_FUA, 0, 1);
  answer (2, 0);
  answer (3, -EIO);
  ck_assert (io[1].done && io[1].req.result == -EIO);
}
END_TEST

/* Older data that is written again must not be what stands on the medium in the end. */
START_TEST (test_fua_written_again)
{
  info.modes.dpofua = true;
  lunfs_cache_up (cache, &info);
  written (0, 0, 2);
  put (1, LUNFS_OP_WRITE, LUNFS_REQ_FUA, 1, 1);
  answer (1, 0);
  ck_assert (io[1].done);
  lunfs_cache_up (cache, &info);
  is_sent (2, LUNFS_OP_WRITE, 0, LUNFS_REQ_RECOVERY);
  ck_assert_uint_eq (nsent, 3);
  answer (2, 0);
  is_sent (3, LUNFS_OP_WRITE, 1, LUNFS_REQ_RECOVERY | LUNFS_REQ_FUA);
  answer (3, 0);
}
END_TEST

/* ---- written again ---- */

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
  lunfs_cache_up (cache, &info);
  ck_assert_uint_eq (recovered, 1);
  is_sent (0, LUNFS_OP_WRITE, 0, LUNFS_REQ_RECOVERY);
  ck_assert_uint_eq (nsent, 1); /* the discard overlaps it */
  ck_assert_int_eq (*(uint8_t *) sent[0]->iov[0].iov_base, 1);
  answer (0, 0);
  is_sent (1, LUNFS_OP_DISCARD, 2, LUNFS_REQ_RECOVERY);
  ck_assert_uint_eq (nsent, 2);
  answer (1, 0);
  is_sent (2, LUNFS_OP_WRITE, 5, LUNFS_REQ_RECOVERY);
  is_sent (3, LUNFS_OP_WRITE, 20, LUNFS_REQ_RECOVERY); /* beside it */
  answer (3, 0);
  is_sent (4, LUNFS_OP_ZERO, 20, LUNFS_REQ_RECOVERY);
  is_sent (5, LUNFS_OP_DISCARD, 40, LUNFS_REQ_RECOVERY | LUNFS_REQ_UNMAP);
  answer (2, 0);
  answer (4, 0);
  ck_assert_uint_eq (recovered, 1);
  answer (5, 0);
  ck_assert_uint_eq (recovered, 2);
  ck_assert_uint_eq (LUNFS_VALUE (&stats, rewritten), 6);
  put (6, LUNFS_OP_FLUSH, 0, 0, 0); /* written again is not yet stable */
  is_sent (6, LUNFS_OP_FLUSH, 0, 0);
  answer (6, 0);
  lunfs_cache_up (cache, &info);
  ck_assert_uint_eq (recovered, 3);
  ck_assert_uint_eq (nsent, 7);
}
END_TEST

START_TEST (test_recovery_broken_off)
{
  for (unsigned i = 0; i < 30; i++)
    written (i, i, 1);
  nsent = 0;
  lunfs_cache_up (cache, &info);
  ck_assert_uint_eq (nsent, 16);
  answer (3, 0);
  ck_assert_uint_eq (nsent, 17);
  for (unsigned i = 0; i < 17; i++)
    if (i != 3)
      answer (i, -ECANCELED);
  ck_assert_uint_eq (nsent, 17);
  ck_assert_uint_eq (recovered, 1);
  nsent = 0;
  lunfs_cache_up (cache, &info); /* all of it again, from the first on */
  for (unsigned i = 0; i < 30; i++) {
    is_sent (i, LUNFS_OP_WRITE, i, LUNFS_REQ_RECOVERY);
    ck_assert_int_eq (*(uint8_t *) sent[i]->iov[0].iov_base, (int) i + 1);
    answer (i, 0);
  }
  ck_assert_uint_eq (recovered, 2);
}
END_TEST

START_TEST (test_rewrite_refused)
{
  written (0, 0, 1);
  written (1, 1, 1);
  lunfs_cache_up (cache, &info);
  answer (2, -EIO);
  answer (3, 0);
  ck_assert_uint_eq (recovered, 2);
  put (2, LUNFS_OP_FLUSH, 0, 0, 0);
  answer (4, 0);
  ck_assert (io[2].done && io[2].req.result == -EIO);
  io[3].req.losses_seen = io[2].req.losses_seen; /* the same open file: said once */
  put (3, LUNFS_OP_FLUSH, 0, 0, 0);
  turn ();
  ck_assert (io[3].done && io[3].req.result == 0);
  put (4, LUNFS_OP_FLUSH, 0, 0, 0); /* another one that was open then */
  turn ();
  ck_assert (io[4].done && io[4].req.result == -EIO);
  ck_assert_uint_eq (LUNFS_VALUE (&stats, losses), 1);
  ck_assert_uint_eq (LUNFS_VALUE (&stats, losses_told), 1);
}
END_TEST

START_TEST (test_lost)
{
  written (0, 0, 1);
  lunfs_cache_lost (cache, EIO); /* kept, and written again at the up() that follows */
  lunfs_cache_up (cache, &info);
  answer (1, 0);
  put (1, LUNFS_OP_FLUSH, 0, 0, 0);
  answer (2, 0);
  ck_assert (io[1].done && io[1].req.result == 0);
  lunfs_cache_lost (cache, EIO); /* nothing is kept */
  put (2, LUNFS_OP_FLUSH, 0, 0, 0);
  turn ();
  ck_assert (io[2].done && io[2].req.result == -EIO);
}
END_TEST

/* ---- errors of a commit ---- */

START_TEST (test_commit_fails)
{
  written (0, 0, 1);
  put (1, LUNFS_OP_FLUSH, 0, 0, 0);
  put (2, LUNFS_OP_FLUSH, 0, 0, 0);
  answer (1, -EIO);
  ck_assert (io[1].done && io[1].req.result == -EIO);
  answer (2, -EIO);
  ck_assert (io[2].done && io[2].req.result == -EIO);
  ck_assert_uint_ne (lunfs_cache_unstable_bytes (cache), 0); /* kept */
  put (3, LUNFS_OP_FLUSH, 0, 0, 0);
  answer (3, 0);
  ck_assert (io[3].done && io[3].req.result == 0);
  ck_assert_uint_eq (lunfs_cache_unstable_bytes (cache), 0);
}
END_TEST

START_TEST (test_write_fails)
{
  put (0, LUNFS_OP_WRITE, 0, 0, 1);
  answer (0, -ENOSPC);
  ck_assert (io[0].done && io[0].req.result == -ENOSPC);
  ck_assert_uint_eq (lunfs_cache_unstable_bytes (cache), 0);
  put (1, LUNFS_OP_FLUSH, 0, 0, 0);
  turn ();
  ck_assert (io[1].done);
}
END_TEST

/* ---- memory ---- */

/* No memory to keep it: acknowledged when it is stable, and not lost if the target forgets it before. */
START_TEST (test_unkept)
{
  uint32_t chunk[40];
  unsigned n = 0;

  written (0, 0, 1);
  while (lunfs_pool_take (pool, &chunk[n], 1))
    n++;
  for (unsigned i = 0; i < 15; i++) /* fill the chunk there is */
    written (1, 0, 8);
  put (2, LUNFS_OP_WRITE, 0, 5, 8);
  answer (nsent - 1, 0);
  ck_assert (!io[2].done);
  is_sent (nsent - 1, LUNFS_OP_FLUSH, 0, 0);
  if (_i == 0) {
    answer (nsent - 1, 0);
  } else { /* a login comes between */
    unsigned flush = nsent - 1, again = 0;

    lunfs_cache_up (cache, &info);
    for (unsigned i = flush + 1; i < nsent; i++)
      if (sent[i] && sent[i]->flags & LUNFS_REQ_RECOVERY)
        answer (i, 0);
      else if (sent[i] && sent[i]->op == LUNFS_OP_WRITE)
        again = i;
    ck_assert_uint_ne (again, 0);
    answer (flush, 0);
    ck_assert (!io[2].done); /* that one does not cover it any more */
    answer (again, 0);
    while (!io[2].done)
      answer (nsent - 1, 0);
  }
  ck_assert (io[2].done && io[2].req.result == 0);
  lunfs_pool_give (pool, chunk, n);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("cache");
  TCase *tc = tcase_create ("cache");
  SRunner *runner;
  int failed;

  lunfs_log_open ("/dev/null", LUNFS_LOG_INFO, 0, NULL);
  tcase_add_checked_fixture (tc, setup, teardown);
  tcase_add_test (tc, test_nothing_to_flush);
  tcase_add_test (tc, test_flush_once);
  tcase_add_test (tc, test_group_commit);
  tcase_add_test (tc, test_flush_beside_write);
  tcase_add_test (tc, test_no_write_cache);
  tcase_add_test (tc, test_commit_by_age);
  tcase_add_test (tc, test_fua);
  tcase_add_test (tc, test_fua_without_dpofua);
  tcase_add_test (tc, test_fua_written_again);
  tcase_add_test (tc, test_order);
  tcase_add_test (tc, test_recovery_broken_off);
  tcase_add_test (tc, test_rewrite_refused);
  tcase_add_test (tc, test_lost);
  tcase_add_test (tc, test_commit_fails);
  tcase_add_test (tc, test_write_fails);
  tcase_add_loop_test (tc, test_unkept, 0, 2);
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
