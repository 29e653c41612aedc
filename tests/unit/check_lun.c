/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lun room over a disk in memory that sees only what the cache room would. */
#include "config.h"

#include "lun/lun.h"
#include "lunfs/log.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NBLOCKS 64u
#define MAX_BS 4096u
#define NIO 40

typedef struct {
  LunfsRequest req;
  struct iovec iov[3];
  uint8_t data[NBLOCKS * MAX_BS];
  unsigned done;
} Io;

static LunfsLane *lane;
static LunfsArena *arena;
static LunfsPool *pool;
static LunfsStats stats;
static LunfsLun *lun;
static LunfsLunInfo info;
static uint32_t bs;
static uint8_t disk[NBLOCKS * MAX_BS], model[NBLOCKS * MAX_BS];
static bool deallocated[NBLOCKS];
static Io io[NIO];
static LunfsRequest *pending[256];
static unsigned npending, counts[8], max_pending;
static unsigned refuse; /* bit per kind below: not supported */
static bool lazy_unmap; /* UNMAP does nothing */
static int fail_op = -1, fail_error;
static int drained; /* result of a drain; 1: not yet */
enum { SAME_UNMAP, UNMAP, SAME };

/* What a request does to the disk; its result. */
static int
execute (LunfsRequest *req)
{
  uint64_t at = req->offset;
  int kind = req->op == LUNFS_OP_ZERO ? SAME : req->flags & LUNFS_REQ_UNMAP ? UNMAP : SAME_UNMAP;

  if ((int) req->op == fail_op)
    return fail_error;
  switch (req->op) {
  case LUNFS_OP_READ:
  case LUNFS_OP_WRITE:
    for (unsigned i = 0; i < req->niov; at += req->iov[i++].iov_len)
      if (req->op == LUNFS_OP_READ)
        memcpy (req->iov[i].iov_base, disk + at, req->iov[i].iov_len);
      else
        memcpy (disk + at, req->iov[i].iov_base, req->iov[i].iov_len);
    ck_assert_uint_eq (at, req->offset + req->length);
    if (req->op == LUNFS_OP_WRITE)
      memset (&deallocated[req->offset / bs], 0, req->length / bs);
    return 0;
  case LUNFS_OP_ZERO:
  case LUNFS_OP_DISCARD:
    if (refuse & 1u << kind)
      return -EOPNOTSUPP;
    if (kind == UNMAP && lazy_unmap)
      return 0;
    memset (disk + at, 0, req->length);
    memset (&deallocated[at / bs], kind != SAME, req->length / bs);
    return 0;
  case LUNFS_OP_EXTENT:
    req->extent_mapped = !deallocated[at / bs];
    req->extent_length = 0;
    for (uint64_t i = at / bs; i < NBLOCKS && deallocated[i] == deallocated[at / bs]; i++)
      req->extent_length += bs;
    return 0;
  default:
    return 0;
  }
}

static void
answer (unsigned n)
{
  LunfsRequest *req = pending[n];

  memmove (&pending[n], &pending[n + 1], (--npending - n) * sizeof *pending);
  req->result = execute (req);
  req->done (req);
}

static void
lower_submit (LunfsLayer *layer, LunfsRequest *req)
{
  bool writes = req->op == LUNFS_OP_WRITE || req->op == LUNFS_OP_DISCARD || req->op == LUNFS_OP_ZERO;
  uint64_t bytes = 0;

  for (unsigned i = 0; i < req->niov; i++)
    bytes += req->iov[i].iov_len;
  if (req->op == LUNFS_OP_READ || req->op == LUNFS_OP_WRITE) {
    ck_assert_uint_eq (bytes, req->length);
    ck_assert (!info.limits.max_transfer_blocks || req->length <= info.limits.max_transfer_blocks * bs);
  } else {
    ck_assert_uint_eq (req->niov, 0);
  }
  ck_assert_uint_eq (req->offset % bs, 0);
  ck_assert (req->length % bs == 0 || req->op == LUNFS_OP_EXTENT);
  ck_assert_uint_le (req->offset + req->length, NBLOCKS * bs);
  for (unsigned i = 0; writes && i < npending; i++) /* no two writes that overlap */
    ck_assert (pending[i]->op == LUNFS_OP_READ || pending[i]->op == LUNFS_OP_FLUSH || pending[i]->op == LUNFS_OP_EXTENT
               || pending[i]->offset + pending[i]->length <= req->offset
               || req->offset + req->length <= pending[i]->offset);
  counts[req->op]++;
  ck_assert_uint_lt (npending, G_N_ELEMENTS (pending));
  pending[npending++] = req;
  max_pending = MAX (max_pending, npending);
}

static const LunfsLayerOps lower_ops = { .submit = lower_submit };
static LunfsLayer lower = { &lower_ops };

static void
io_done (LunfsRequest *req)
{
  Io *i = req->owner;

  ck_assert_uint_eq (i->done++, 0);
}

static void
update (void)
{
  const char *why = NULL;

  ck_assert (lunfs_lun_update (lun, &info, &why));
}

static void
setup (void)
{
  bs = 512; /* all is set again: under valgrind the tests share one process */
  npending = max_pending = 0;
  memset (counts, 0, sizeof counts);
  memset (io, 0, sizeof io);
  memset (deallocated, 0, sizeof deallocated);
  refuse = 0;
  lazy_unmap = false;
  fail_op = -1;
  drained = 1;
  lane = lunfs_lane_new (0, NULL, NULL);
  arena = lunfs_arena_create (20 * LUNFS_CHUNK_BYTES, NULL);
  pool = lunfs_pool_new (arena, false);
  memset (&stats, 0, sizeof stats);
  lun = lunfs_lun_new (lane, &lower, pool, &stats, false, false);
  info = (LunfsLunInfo){ .capacity = { .nblocks = NBLOCKS, .block_size = bs, .physical_block_size = bs } };
  update ();
  for (unsigned i = 0; i < sizeof disk; i++)
    disk[i] = model[i] = (uint8_t) (i * 31 + (i >> 9));
}

static void
teardown (void)
{
  uint32_t chunk[20];

  ck_assert_uint_eq (npending, 0);
  lunfs_lun_free (lun);
  ck_assert (lunfs_pool_take (pool, chunk, 20)); /* bounce chunks have come back */
  lunfs_pool_free (pool);
  lunfs_arena_free (arena);
  lunfs_lane_free (lane);
}

static void
use_blocks (uint32_t size)
{
  bs = size;
  info.capacity.block_size = info.capacity.physical_block_size = size;
  update ();
}

static void
put (unsigned n, LunfsOp op, uint64_t offset, uint64_t length)
{
  Io *i = &io[n];

  lunfs_request_init (&i->req);
  i->req.op = op;
  i->req.flags = 0;
  i->req.offset = offset;
  i->req.length = length;
  i->req.chunks = NULL;
  i->req.nchunks = 0;
  i->iov[0] = (struct iovec){ i->data, length / 3 };
  i->iov[1] = (struct iovec){ i->data + length / 3, length - length / 3 };
  i->req.iov = i->iov;
  i->req.niov = op == LUNFS_OP_READ || op == LUNFS_OP_WRITE ? 2 : 0;
  i->req.done = io_done;
  i->req.owner = i;
  i->done = 0;
  if (op == LUNFS_OP_WRITE)
    for (uint64_t k = 0; k < length; k++)
      i->data[k] = (uint8_t) (n * 17 + k * 5 + 3);
  lunfs_lun_submit (lun, &i->req);
}

/* Answer everything there is, in the order that @rand likes. */
static void
finish (GRand *rand)
{
  while (npending)
    answer (rand ? (unsigned) g_rand_int_range (rand, 0, (gint32) npending) : 0);
}

static int
go (unsigned n, LunfsOp op, uint64_t offset, uint64_t length)
{
  put (n, op, offset, length);
  finish (NULL);
  ck_assert_uint_eq (io[n].done, 1);
  return io[n].req.result;
}

static void
same (void)
{
  ck_assert_int_eq (memcmp (disk, model, NBLOCKS * bs), 0);
}

/* ---- edges ---- */

/* Every start and length around two block boundaries, for every operation. */
START_TEST (test_edges)
{
  static const uint32_t sizes[] = { 512, 4096 };
  static const LunfsOp ops[] = { LUNFS_OP_READ, LUNFS_OP_WRITE, LUNFS_OP_DISCARD, LUNFS_OP_ZERO };
  LunfsOp op = ops[_i / 2];
  uint32_t off[] = { 0, 1, 7, 0, 0, 0, 0 }, len[] = { 1, 2, 0, 0, 0, 0, 0, 0, 0, 0 };

  use_blocks (sizes[_i % 2]);
  off[3] = bs / 2, off[4] = bs - 1, off[5] = bs, off[6] = bs + 1;
  len[2] = bs / 2, len[3] = bs - 1, len[4] = bs, len[5] = bs + 1, len[6] = 2 * bs - 1, len[7] = 2 * bs,
  len[8] = 3 * bs + 3, len[9] = 5 * bs;
  for (unsigned o = 0; o < G_N_ELEMENTS (off); o++)
    for (unsigned l = 0; l < G_N_ELEMENTS (len); l++) {
      ck_assert_int_eq (go (0, op, off[o], len[l]), 0);
      if (op == LUNFS_OP_READ)
        ck_assert_int_eq (memcmp (io[0].data, model + off[o], len[l]), 0);
      else if (op == LUNFS_OP_WRITE)
        memcpy (model + off[o], io[0].data, len[l]);
      else
        memset (model + off[o], 0, len[l]);
      same ();
      for (unsigned i = 0; i < 8 * bs; i++)
        disk[i] = model[i] = (uint8_t) (i * 31 + o + l);
    }
}
END_TEST

START_TEST (test_aligned_needs_no_read)
{
  ck_assert_int_eq (go (0, LUNFS_OP_WRITE, 3 * bs, 4 * bs), 0);
  ck_assert_uint_eq (counts[LUNFS_OP_READ], 0);
  ck_assert_uint_eq (counts[LUNFS_OP_WRITE], 1);
  ck_assert_uint_eq (LUNFS_VALUE (&stats, read_modify_writes), 0);
}
END_TEST

/* All memory is in the hands of requests that wait for theirs: it goes on all the same. */
START_TEST (test_no_memory)
{
  uint32_t chunk[20];

  ck_assert (lunfs_pool_take (pool, chunk, 20));
  ck_assert_int_eq (go (0, LUNFS_OP_WRITE, 5, 1000), 0);
  memcpy (model + 5, io[0].data, 1000);
  same ();
  lunfs_pool_give (pool, chunk, 20);
}
END_TEST

/* ---- pieces ---- */

START_TEST (test_max_transfer)
{
  info.limits.max_transfer_blocks = 1 + (uint32_t) _i;
  update ();
  ck_assert_int_eq (go (0, LUNFS_OP_WRITE, 3, 40 * bs), 0);
  memcpy (model + 3, io[0].data, 40 * bs);
  same ();
  ck_assert_uint_eq (counts[LUNFS_OP_WRITE], (41 + (unsigned) _i) / (1 + (unsigned) _i));
  ck_assert_uint_le (max_pending, 4);
  ck_assert_int_eq (go (1, LUNFS_OP_READ, 700, 30 * bs), 0);
  ck_assert_int_eq (memcmp (io[1].data, model + 700, 30 * bs), 0);
}
END_TEST

START_TEST (test_piece_fails)
{
  info.limits.max_transfer_blocks = 2;
  update ();
  fail_op = LUNFS_OP_WRITE;
  fail_error = -EIO;
  ck_assert_int_eq (go (0, LUNFS_OP_WRITE, 0, 20 * bs), -EIO);
  ck_assert_uint_le (counts[LUNFS_OP_WRITE], 4); /* none after the error */
  fail_op = LUNFS_OP_READ;
  ck_assert_int_eq (go (1, LUNFS_OP_WRITE, 5, 20), -EIO); /* its edge cannot be read */
  ck_assert_uint_le (counts[LUNFS_OP_WRITE], 4);
  same ();
}
END_TEST

/* ---- zeroing ---- */

static const struct {
  bool lbpu, lbpws;
  unsigned refuse;
  bool lazy;
  unsigned discards, zeroes; /* commands for one discard of 16 blocks */
} zeroings[] = {
  { false, false, 0, false, 0, 1 },
  { false, false, 1 << SAME, false, 0, 1 },
  { false, true, 0, false, 1, 0 },
  { false, true, 1 << SAME_UNMAP, false, 1, 1 },
  { true, true, 1 << SAME_UNMAP, false, 2, 0 },
  { true, false, 0, false, 1, 0 },
  { true, false, 0, true, 1, 1 }, /* UNMAP is only advice */
  { true, true, 7, false, 2, 1 },
};

START_TEST (test_zeroing)
{
  unsigned before;

  info.capacity.lbpme = true;
  info.limits.lbpu = zeroings[_i].lbpu;
  info.limits.lbpws = zeroings[_i].lbpws;
  info.limits.lbprz = 1;
  info.limits.max_unmap_blocks = 1000;
  update ();
  refuse = zeroings[_i].refuse;
  lazy_unmap = zeroings[_i].lazy;
  ck_assert_int_eq (go (0, LUNFS_OP_DISCARD, 16 * bs, 16 * bs), 0);
  memset (model + 16 * bs, 0, 16 * bs);
  same ();
  ck_assert_uint_eq (counts[LUNFS_OP_DISCARD], zeroings[_i].discards);
  ck_assert_uint_eq (counts[LUNFS_OP_ZERO], zeroings[_i].zeroes);
  before = counts[LUNFS_OP_DISCARD] + counts[LUNFS_OP_ZERO];
  ck_assert_int_eq (go (1, LUNFS_OP_DISCARD, 40 * bs + 1, 4 * bs), 0);
  memset (model + 40 * bs + 1, 0, 4 * bs);
  same ();
  /* What was refused is not tried again. */
  ck_assert_uint_le (counts[LUNFS_OP_DISCARD] + counts[LUNFS_OP_ZERO] - before, 1);
}
END_TEST

/* UNMAP moves whole granules only, wherever they begin and however little one command may cover. */
START_TEST (test_granules)
{
  info.capacity.lbpme = true;
  info.limits.lbpu = true;
  info.limits.lbprz = 1;
  info.limits.unmap_granularity_blocks = 4;
  info.limits.unmap_alignment_blocks = (uint32_t) _i;
  info.limits.max_unmap_blocks = 10;
  update ();
  put (0, LUNFS_OP_DISCARD, (4 + (unsigned) _i) * bs, 24 * bs);
  while (npending) {
    if (pending[0]->op == LUNFS_OP_DISCARD) {
      ck_assert_uint_eq ((pending[0]->offset / bs) % 4, _i);
      ck_assert_uint_eq ((pending[0]->length / bs) % 4, 0);
      ck_assert_uint_le (pending[0]->length, 10 * bs);
    }
    answer (0);
  }
  ck_assert_int_eq (io[0].req.result, 0);
  ck_assert_uint_eq (counts[LUNFS_OP_DISCARD], 3);
  memset (model + (4 + (unsigned) _i) * bs, 0, 24 * bs);
  same ();
}
END_TEST

/* ---- order ---- */

START_TEST (test_order_random)
{
  GRand *rand = g_rand_new_with_seed ((guint32) _i);

  info.limits.max_transfer_blocks = 3;
  update ();
  for (unsigned step = 0; step < 300; step++) {
    unsigned n = 1 + (unsigned) g_rand_int_range (rand, 0, NIO);

    for (unsigned i = 0; i < n; i++) {
      uint64_t offset = (uint64_t) g_rand_int_range (rand, 0, (gint32) (NBLOCKS * bs));
      uint64_t want = (uint64_t) g_rand_int_range (rand, 1, 6000), length = MIN (want, NBLOCKS * bs - offset);
      LunfsOp op = g_rand_int_range (rand, 0, 4) ? LUNFS_OP_WRITE : LUNFS_OP_ZERO;

      put (i, op, offset, length);
      if (op == LUNFS_OP_WRITE) /* in order of arrival */
        memcpy (model + offset, io[i].data, length);
      else
        memset (model + offset, 0, length);
      if (npending && g_rand_int_range (rand, 0, 2))
        answer ((unsigned) g_rand_int_range (rand, 0, (gint32) npending));
    }
    finish (rand);
    for (unsigned i = 0; i < n; i++) {
      ck_assert_uint_eq (io[i].done, 1);
      ck_assert_int_eq (io[i].req.result, 0);
    }
    same ();
  }
  g_rand_free (rand);
}
END_TEST

/* Answered in any order: a read that came after a write has what it wrote, one that came before does not hold it up. */
START_TEST (test_reads_in_order)
{
  lunfs_lun_free (lun);
  lun = lunfs_lun_new (lane, &lower, pool, &stats, false, true);
  update ();
  put (0, LUNFS_OP_READ, 8 * bs, 4 * bs);
  put (1, LUNFS_OP_WRITE, 8 * bs, 4 * bs);
  put (2, LUNFS_OP_READ, 11 * bs, 2 * bs);
  put (3, LUNFS_OP_READ, 12 * bs, bs);
  ck_assert_uint_eq (npending, 3);
  finish (NULL);
  for (unsigned i = 0; i < 4; i++)
    ck_assert_uint_eq (io[i].done, 1);
  ck_assert_mem_eq (io[2].data, io[1].data + 3 * bs, bs);
}
END_TEST

/* ---- limits of the LUN ---- */

START_TEST (test_outside)
{
  ck_assert_int_eq (go (0, LUNFS_OP_WRITE, NBLOCKS * bs - 1, 2), -ENOSPC);
  ck_assert_int_eq (go (0, LUNFS_OP_DISCARD, NBLOCKS * bs, 1), -ENOSPC);
  ck_assert_int_eq (go (0, LUNFS_OP_READ, UINT64_MAX - 5, 3), -EIO);
  ck_assert_int_eq (go (0, LUNFS_OP_WRITE, 5, 0), 0);
  ck_assert_int_eq (go (0, LUNFS_OP_WRITE, NBLOCKS * bs - 1, 1), 0);
  ck_assert_uint_eq (LUNFS_VALUE (&stats, errors), 3);
}
END_TEST

START_TEST (test_read_only)
{
  info.modes.write_protected = true;
  update ();
  ck_assert_int_eq (go (0, LUNFS_OP_WRITE, 0, bs), -EROFS);
  ck_assert_int_eq (go (0, LUNFS_OP_DISCARD, 0, bs), -EROFS);
  ck_assert_int_eq (go (0, LUNFS_OP_READ, 0, bs), 0);
  ck_assert_int_eq (go (0, LUNFS_OP_FLUSH, 0, 0), 0);
  info.modes.write_protected = false;
  update ();
  ck_assert_int_eq (go (0, LUNFS_OP_WRITE, 0, bs), 0);
}
END_TEST

START_TEST (test_geometry)
{
  LunfsGeometry g;
  LunfsLun *fresh = lunfs_lun_new (lane, &lower, pool, &stats, true, false);
  const char *why = NULL;

  lunfs_lun_geometry (fresh, &g);
  ck_assert_uint_eq (g.size_bytes, 0);
  lunfs_lun_preset (fresh, 1000, 4096);
  lunfs_lun_geometry (fresh, &g);
  ck_assert_uint_eq (g.size_bytes, 4096000);
  ck_assert (g.read_only);
  lunfs_lun_free (fresh);
  info.capacity.block_size = 65536;
  ck_assert (!lunfs_lun_update (lun, &info, &why));
  ck_assert_ptr_nonnull (why);
}
END_TEST

START_TEST (test_extent)
{
  ck_assert_int_eq (go (0, LUNFS_OP_EXTENT, 5 * bs + 7, 1), 0); /* fully provisioned: not even asked */
  ck_assert (io[0].req.extent_mapped);
  ck_assert_uint_eq (counts[LUNFS_OP_EXTENT], 0);
  info.capacity.lbpme = true;
  update ();
  memset (&deallocated[4], 1, 6);
  ck_assert_int_eq (go (0, LUNFS_OP_EXTENT, 5 * bs + 7, 1), 0);
  ck_assert (!io[0].req.extent_mapped);
  ck_assert_uint_eq (io[0].req.offset + io[0].req.extent_length, 10 * bs);
  fail_op = LUNFS_OP_EXTENT;
  fail_error = -EOPNOTSUPP;
  ck_assert_int_eq (go (0, LUNFS_OP_EXTENT, 5 * bs, 1), 0); /* all is data, as far as anyone can tell */
  ck_assert (io[0].req.extent_mapped);
}
END_TEST

/* ---- the end ---- */

static void
on_drained (void *user, int result)
{
  ck_assert_int_eq (drained, 1);
  drained = result;
}

START_TEST (test_drain)
{
  put (0, LUNFS_OP_WRITE, 5, 100);
  put (1, LUNFS_OP_WRITE, 50, 100); /* waits for the first */
  lunfs_lun_drain (lun, on_drained, NULL);
  put (2, LUNFS_OP_READ, 0, bs);
  ck_assert (io[2].done && io[2].req.result == -EIO);
  ck_assert_uint_eq (counts[LUNFS_OP_FLUSH], 0);
  if (_i) {
    fail_op = LUNFS_OP_FLUSH;
    fail_error = -EIO;
  }
  finish (NULL);
  ck_assert (io[0].done && io[1].done);
  ck_assert_uint_eq (counts[LUNFS_OP_FLUSH], 1);
  ck_assert_int_eq (drained, _i ? -EIO : 0);
}
END_TEST

START_TEST (test_drain_idle)
{
  lunfs_lun_drain (lun, on_drained, NULL);
  finish (NULL);
  ck_assert_int_eq (drained, 0);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("lun");
  TCase *tc = tcase_create ("lun");
  SRunner *runner;
  int failed;

  lunfs_log_open ("/dev/null", LUNFS_LOG_INFO, 0, NULL);
  tcase_set_timeout (tc, 20);
  tcase_add_checked_fixture (tc, setup, teardown);
  tcase_add_loop_test (tc, test_edges, 0, 8);
  tcase_add_test (tc, test_aligned_needs_no_read);
  tcase_add_test (tc, test_no_memory);
  tcase_add_loop_test (tc, test_max_transfer, 0, 7);
  tcase_add_test (tc, test_piece_fails);
  tcase_add_loop_test (tc, test_zeroing, 0, G_N_ELEMENTS (zeroings));
  tcase_add_loop_test (tc, test_granules, 0, 4);
  tcase_add_loop_test (tc, test_order_random, 0, 3);
  tcase_add_test (tc, test_reads_in_order);
  tcase_add_test (tc, test_outside);
  tcase_add_test (tc, test_read_only);
  tcase_add_test (tc, test_geometry);
  tcase_add_test (tc, test_extent);
  tcase_add_loop_test (tc, test_drain, 0, 2);
  tcase_add_test (tc, test_drain_idle);
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
