/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cache room over a layer that keeps what it is given until the test answers: then it does it, to a disk in memory.
 * What must hold in every test is checked here: each request is answered once, no two writes to the same blocks are at the
 * target at once, the page table is sound after each pass. */
#ifndef LUNFS_TEST_CACHE_HARNESS_H
#define LUNFS_TEST_CACHE_HARNESS_H

#include "cache/cache.h"
#include "lunfs/log.h"
#include "util/iov.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NIO 128
#define IO_BYTES (1u << 20)
#define DISK_BYTES (UINT64_C (64) << 20)
#define CHUNKS 256u
#define SECOND_US 1000000
#define WRITE_DELAY_US 20000
#define OURS LUNFS_REQ_RETURN /* flags of what the cache writes back */

typedef struct {
  LunfsRequest req;
  struct iovec iov[4];
  uint8_t *data; /* WRITE: bytes of value n + 1 */
  uint32_t chunk[LUNFS_CHUNKS_PER_REQUEST];
  unsigned nchunks;
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
static uint32_t bs;
static Io io[NIO];
static LunfsRequest *sent[4096]; /* at the lower layer; NULL = answered */
static bool executed[4096];
static unsigned nsent, recovered, cancels;
static bool is_stalled, is_refusing;
static uint64_t cache_limit_bytes, kept_limit_bytes; /* may be changed before start () */
static uint8_t *disk;
static GPtrArray *dead; /* of succeed (): not lost, for who looks for leaks */

/* ---- the layer below ---- */

static inline bool
changes_data (const LunfsRequest *req)
{
  return req->op == LUNFS_OP_WRITE || req->op == LUNFS_OP_DISCARD || req->op == LUNFS_OP_ZERO;
}

static inline void
lower_submit (LunfsLayer *layer, LunfsRequest *req)
{
  uint64_t length = 0;

  ck_assert_uint_lt (nsent, G_N_ELEMENTS (sent));
  /* Before it serves others, the session has what is written again done. */
  for (unsigned i = 0; changes_data (req) && !(req->flags & LUNFS_REQ_RECOVERY) && i < nsent; i++)
    if (sent[i] && changes_data (sent[i]))
      ck_assert (sent[i]->offset + sent[i]->length <= req->offset || req->offset + req->length <= sent[i]->offset);
  for (unsigned i = 0; i < req->niov; i++)
    length += req->iov[i].iov_len;
  if (req->op == LUNFS_OP_READ || req->op == LUNFS_OP_WRITE) {
    ck_assert_uint_eq (length, req->length);
    ck_assert_uint_le (req->niov, LUNFS_REQUEST_IOV);
    ck_assert (req->length > 0 && req->offset % bs == 0 && req->length % bs == 0);
    ck_assert_uint_le (req->offset + req->length, info.capacity.nblocks * bs);
  }
  executed[nsent] = false;
  sent[nsent++] = req;
}

static inline bool
lower_cancel (LunfsLayer *layer, LunfsRequest *req, bool dying)
{
  cancels++;
  return is_stalled;
}

static inline bool
lower_stalled (const LunfsLayer *layer)
{
  return is_stalled;
}

static inline bool
lower_refuses (const LunfsLayer *layer)
{
  return is_refusing;
}

static const LunfsLayerOps lower_ops = {
  .submit = lower_submit, .cancel = lower_cancel, .stalled = lower_stalled, .refuses = lower_refuses
};
static LunfsLayer lower = { &lower_ops };

/* The target does it; the answer may come later. */
static inline void
execute (unsigned n)
{
  LunfsRequest *req = sent[n];

  executed[n] = true;
  if (req->op == LUNFS_OP_READ)
    lunfs_iov_put (req->iov, req->niov, 0, disk + req->offset, req->length);
  else if (req->op == LUNFS_OP_WRITE)
    lunfs_iov_get (req->iov, req->niov, 0, disk + req->offset, req->length);
  else if (changes_data (req))
    memset (disk + req->offset, 0, req->length);
}

static inline void
answer (unsigned n, int result)
{
  LunfsRequest *req = sent[n];

  ck_assert_uint_lt (n, nsent);
  ck_assert_ptr_nonnull (req);
  if (result == 0 && !executed[n])
    execute (n);
  sent[n] = NULL;
  req->result = result;
  req->done (req);
}

/* ---- life ---- */

static inline int64_t
fake_clock (void *user)
{
  return now_us;
}

static inline void
on_recovered (void *user)
{
  recovered++;
}

static inline void
io_done (LunfsRequest *req)
{
  Io *i = req->owner;

  ck_assert (!i->done);
  i->done = true;
  if (i->nchunks && req->nchunks) /* not taken over */
    lunfs_pool_give (pool, i->chunk, i->nchunks);
  i->nchunks = 0;
}

static inline void
up (void)
{
  lunfs_cache_up (cache, &info);
}

static inline void
start (LunfsCacheMode mode, uint32_t block_size)
{
  bs = block_size;
  lane = lunfs_lane_new (0, fake_clock, NULL);
  arena = lunfs_arena_create (CHUNKS * LUNFS_CHUNK_BYTES, NULL);
  pool = lunfs_pool_new (arena, false);
  frames = lunfs_frames_new (arena, pool, cache_limit_bytes, kept_limit_bytes);
  conf = (LunfsCacheConf){ .lane = lane,
                           .label = "LUN",
                           .lower = &lower,
                           .frames = frames,
                           .mode = mode,
                           .write_delay_us = WRITE_DELAY_US,
                           .read_ahead_bytes = conf.read_ahead_bytes,
                           .request_limit_s = conf.request_limit_s,
                           .stats = &stats,
                           .recovered = on_recovered };
  cache = lunfs_cache_new (&conf);
  info = (LunfsLunInfo){ .capacity = { .nblocks = DISK_BYTES / bs, .block_size = bs }, .modes = { .wce = true } };
  up ();
  ck_assert_uint_eq (recovered, 1); /* at once: nothing to write again */
}

/* The worker dies, and nobody frees what was its; another one takes over. */
static inline void
succeed (void)
{
  if (!dead)
    dead = g_ptr_array_new ();
  for (void **l = (void *[]){ cache, frames, pool, lane, NULL }; *l; l++)
    g_ptr_array_add (dead, *l);
  lane = lunfs_lane_new (0, fake_clock, NULL);
  pool = lunfs_pool_new (arena, false);
  frames = lunfs_frames_new (arena, pool, cache_limit_bytes, kept_limit_bytes);
  conf.frames = frames;
  conf.lane = lane;
  cache = lunfs_cache_new (&conf);
  lunfs_cache_inherit (cache, info.capacity.nblocks, bs);
  nsent = 0;
}

static inline void
setup (void)
{
  now_us = 1; /* all is set again: under valgrind the tests share one process */
  nsent = recovered = cancels = 0;
  is_stalled = is_refusing = false;
  memset (sent, 0, sizeof sent);
  memset (io, 0, sizeof io);
  memset (&stats, 0, sizeof stats);
  memset (&conf, 0, sizeof conf);
  cache_limit_bytes = kept_limit_bytes = 160 * LUNFS_CHUNK_BYTES;
  disk = g_malloc0 (DISK_BYTES);
}

static inline void
pass (void)
{
  const char *wrong;

  lunfs_lane_run_once (lane, 0);
  wrong = lunfs_cache_check (cache);
  ck_assert_msg (!wrong, "%s", wrong);
}

static inline void
turn (void)
{
  for (unsigned i = 0; i < 3; i++)
    pass ();
}

static inline void
advance (int64_t us)
{
  for (int64_t end = now_us + us; now_us < end;) {
    now_us += MIN (1000, end - now_us);
    pass ();
  }
}

/* Answer with @result what is at the target, and what follows, until nothing does. */
static inline void
answer_all (int result)
{
  bool any;

  turn ();
  do {
    any = false;
    for (unsigned i = 0; i < nsent; i++)
      if (sent[i]) {
        answer (i, result);
        any = true;
      }
    turn ();
  } while (any && result == 0);
}

static inline unsigned
under_way (void)
{
  unsigned n = 0;

  for (unsigned i = 0; i < nsent; i++)
    n += sent[i] != NULL;
  return n;
}

static inline void
teardown (void)
{
  is_stalled = is_refusing = false;
  for (unsigned i = 0; i < 4; i++) { /* what fails forever fails here no more */
    answer_all (0);
    now_us += SECOND_US;
  }
  ck_assert_uint_eq (under_way (), 0);
  for (unsigned i = 0; i < NIO; i++)
    ck_assert (!io[i].data || io[i].done);
  lunfs_cache_free (cache);
  lunfs_frames_free (frames);
  lunfs_pool_free (pool);
  lunfs_arena_free (arena);
  lunfs_lane_free (lane);
  for (unsigned i = 0; i < NIO; i++)
    g_free (io[i].data);
  g_free (disk);
}

/* With "writeback".  A block is a page. */
static inline void
start_pages (void)
{
  setup ();
  start (LUNFS_CACHE_WRITEBACK, 4096);
}

/* Eight are. */
static inline void
start_blocks (void)
{
  setup ();
  start (LUNFS_CACHE_WRITEBACK, 512);
}

static inline void
start_small (void)
{
  setup ();
  kept_limit_bytes = 2 << 20; /* of which one LUN alone may keep half */
  start (LUNFS_CACHE_WRITEBACK, 4096);
}

/* Takes all of the pool; what to give back. */
static inline unsigned
take_all (uint32_t *chunk)
{
  unsigned n = 0;

  while (lunfs_pool_take (pool, &chunk[n], 1))
    n++;
  return n;
}

/* ---- users ---- */

static inline void
prepare_io (unsigned n, LunfsOp op, uint32_t flags, uint64_t lba, uint64_t nblocks)
{
  Io *i = &io[n];

  ck_assert_uint_lt (n, NIO);
  ck_assert (!i->data || i->done);
  ck_assert_uint_le (nblocks * bs, IO_BYTES);
  if (!i->data)
    i->data = g_malloc (IO_BYTES);
  lunfs_request_init (&i->req);
  i->req.op = op;
  i->req.flags = flags;
  i->req.offset = lba * bs;
  i->req.length = nblocks * bs;
  i->iov[0] = (struct iovec){ i->data, nblocks * bs };
  i->req.iov = i->iov;
  i->req.niov = op == LUNFS_OP_WRITE || op == LUNFS_OP_READ;
  i->req.chunks = NULL;
  i->req.nchunks = 0;
  i->req.result = 12345;
  i->req.done = io_done;
  i->req.owner = i;
  i->req.submit_us = now_us;
  i->done = false;
  if (op == LUNFS_OP_WRITE)
    memset (i->data, (int) n + 1, nblocks * bs);
  else if (op == LUNFS_OP_READ)
    memset (i->data, 0xee, nblocks * bs);
}

static inline void
submit_io (unsigned n)
{
  lunfs_cache_layer (cache)->ops->submit (lunfs_cache_layer (cache), &io[n].req);
}

static inline void
put (unsigned n, LunfsOp op, uint32_t flags, uint64_t lba, uint64_t nblocks)
{
  prepare_io (n, op, flags, lba, nblocks);
  submit_io (n);
}

/* The data stands in chunks of the pool, as that of a large WRITE from the kernel does. */
static inline void
put_chunks (unsigned n, uint32_t flags, uint64_t lba, uint64_t nblocks)
{
  Io *i = &io[n];
  unsigned nchunks = (unsigned) ((nblocks * bs + LUNFS_CHUNK_BYTES - 1) / LUNFS_CHUNK_BYTES);
  uint64_t left = nblocks * bs;

  ck_assert_uint_le (nchunks, G_N_ELEMENTS (i->iov));
  prepare_io (n, LUNFS_OP_WRITE, flags, lba, nblocks);
  ck_assert (lunfs_pool_take (pool, i->chunk, nchunks));
  for (unsigned k = 0; k < nchunks; k++, left -= MIN (left, LUNFS_CHUNK_BYTES)) {
    i->iov[k] = (struct iovec){ lunfs_pool_chunk (pool, i->chunk[k]), MIN (left, LUNFS_CHUNK_BYTES) };
    memset (i->iov[k].iov_base, (int) n + 1, i->iov[k].iov_len);
  }
  i->req.niov = i->nchunks = i->req.nchunks = nchunks;
  i->req.chunks = i->chunk;
  submit_io (n);
}

static inline bool
cancel_io (unsigned n, bool dying)
{
  return lunfs_cache_layer (cache)->ops->cancel (lunfs_cache_layer (cache), &io[n].req, dying);
}

static inline void
ends (unsigned n, int result)
{
  ck_assert_msg (io[n].done, "request %u is not answered", n);
  ck_assert_int_eq (io[n].req.result, result);
}

/* Write and have it acknowledged, by memory or by the target. */
static inline void
written (unsigned n, uint64_t lba, uint64_t nblocks)
{
  put (n, LUNFS_OP_WRITE, 0, lba, nblocks);
  if (conf.mode != LUNFS_CACHE_WRITEBACK)
    answer (nsent - 1, 0);
  ends (n, 0);
}

static inline void
flush_ends (unsigned n, int result)
{
  put (n, LUNFS_OP_FLUSH, 0, 0, 0);
  answer_all (0);
  ends (n, result);
}

/* @nblocks of the request's data, from its block @from on, have the value @value. */
static inline void
holds (unsigned n, uint64_t from, uint64_t nblocks, unsigned value)
{
  uint8_t byte;

  for (uint64_t at = from * bs; at < (from + nblocks) * bs; at++) {
    lunfs_iov_get (io[n].req.iov, io[n].req.niov, at, &byte, 1);
    if (byte != value) /* libcheck's assertions write to a pipe: too slow for every byte */
      ck_abort_msg ("request %u, byte %u: %u, not %u", n, (unsigned) at, byte, value);
  }
}

static inline void
disk_holds (uint64_t lba, uint64_t nblocks, unsigned value)
{
  for (uint64_t at = lba * bs; at < (lba + nblocks) * bs; at++)
    if (disk[at] != value)
      ck_abort_msg ("disk, byte %u: %u, not %u", (unsigned) at, disk[at], value);
}

/* ---- what was sent ---- */

static inline void
is_sent (unsigned n, LunfsOp op, uint64_t lba, uint64_t nblocks, uint32_t flags)
{
  ck_assert_msg (n < nsent, "only %u were sent", nsent);
  ck_assert_ptr_nonnull (sent[n]);
  ck_assert_int_eq (sent[n]->op, op);
  ck_assert_uint_eq (sent[n]->flags, flags);
  if (op == LUNFS_OP_FLUSH)
    return;
  ck_assert_uint_eq (sent[n]->offset / bs, lba);
  ck_assert_uint_eq (sent[n]->length / bs, nblocks);
}

static inline uint8_t
first_byte (unsigned n)
{
  return *(uint8_t *) sent[n]->iov[0].iov_base;
}

static inline int
run_suite (Suite *suite)
{
  SRunner *runner;
  int failed;

  lunfs_log_open ("/dev/null", LUNFS_LOG_INFO, 0, NULL);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
