/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The whole data path of a LUN against a model of what a disk owes its users: random requests, random faults.
 *
 * Checked for every request: it is answered once; a read holds, byte by byte, the newest acknowledged write or one that
 * was under way while it was; after a flush and after a FUA write the same is true of what the target would still have
 * after a loss of power.  At the end the target loses power once more, and all must be there.
 *
 * LUNFS_MODEL_SEED=N [1] and LUNFS_MODEL_SEEDS=M [40]: seeds N to N+M-1 (a failed test's last number is its seed - N).
 * LUNFS_MODEL_OPS=per seed [4000].  LUNFS_MODEL_LOG=stderr: with all that lunfs says. */
#include "config.h"

#include "row.h"

#include <stdio.h>

#define SEEDS 40
#define OPS 4000
#define DEPTH 24
#define MAX_BYTES 100000u
#define MAX_CHUNKS 2
#define HISTORY 512
#define NEVER UINT64_MAX

typedef struct {
  uint64_t offset, length;
  uint64_t begin, end; /* events; end NEVER = under way */
  uint32_t pattern;    /* 0: zeroes */
} Write;

typedef struct Model Model;
typedef struct {
  LunfsRequest req;
  Model *model;
  struct iovec iov[4];
  uint8_t *buffer;
  uint8_t *base, *unknown; /* of the disk when it was submitted */
  uint64_t begin;
  Write *write;
  uint32_t chunk[MAX_CHUNKS]; /* as the fuse room has them: the data of a WRITE, to be kept by whoever likes */
  unsigned nchunks;
  bool busy;
} Op;

struct Model {
  Row row;
  GRand *rand;
  unsigned seed;
  bool errors_allowed;
  uint64_t size;
  uint32_t bs;
  uint8_t *disk;    /* newest acknowledged */
  uint8_t *unknown; /* a write failed here: old or new */
  uint64_t event;
  Write history[HISTORY];
  unsigned nwrites;
  Op ops[DEPTH];
  unsigned busy, answered, failed, powerlosses, faults;
  int64_t calm_us; /* when a lasting fault is put right */
  bool no_write_same;
};

static unsigned
pick (Model *m, unsigned n)
{
  return (unsigned) g_rand_int_range (m->rand, 0, (gint32) n);
}

static uint8_t
value (uint32_t pattern, uint64_t at)
{
  return pattern ? (uint8_t) ((pattern * 0x9e3779b1u >> 11) + at * 37 + (at >> 9) * 11) : 0;
}

/* libcheck's own assertion writes to a pipe each time: too slow for every byte. */
#define must(expression, ...) \
  do { \
    if (!(expression)) \
      ck_abort_msg (__VA_ARGS__); \
  } while (0)

/* ---- what may be seen ---- */

typedef struct {
  const Write *write[HISTORY];
  unsigned n;
} Candidates;

/* The writes to [from, end) that were under way at some time after the event @since. */
static void
find_candidates (const Model *m, uint64_t since, uint64_t from, uint64_t end, Candidates *out)
{
  out->n = 0;
  for (unsigned i = 0; i < MIN (m->nwrites, HISTORY); i++) {
    const Write *w = &m->history[i];

    if (w->end > since && w->offset < end && from < w->offset + w->length)
      out->write[out->n++] = w;
  }
}

static bool
may_be (const Candidates *c, uint64_t at, uint8_t got)
{
  for (unsigned i = 0; i < c->n; i++)
    if (at - c->write[i]->offset < c->write[i]->length && value (c->write[i]->pattern, at) == got)
      return true;
  return false;
}

/* @got is what was seen of [from, from + length) at some time after the event @since; @base, @unknown as it was then. */
static void
compare (const Model *m, const char *what, const uint8_t *got, const uint8_t *base, const uint8_t *unknown,
         uint64_t since, uint64_t from, uint64_t length)
{
  static Candidates all, near;

  find_candidates (m, since, from, from + length, &all);
  for (uint64_t at = 0; at < length; at += m->bs) {
    uint64_t n = MIN (m->bs, length - at);

    if (memcmp (got + at, base + at, n) == 0)
      continue;
    near.n = 0;
    for (unsigned i = 0; i < all.n; i++)
      if (all.write[i]->offset < from + at + n && from + at < all.write[i]->offset + all.write[i]->length)
        near.write[near.n++] = all.write[i];
    for (uint64_t i = at; i < at + n; i++)
      must (got[i] == base[i] || unknown[i] || m->unknown[from + i] || may_be (&near, from + i, got[i]),
            "seed %u, event %u: %s: byte %u (block %u) is %02x, not %02x", m->seed, (unsigned) m->event, what,
            (unsigned) (from + i), (unsigned) ((from + i) / m->bs), got[i], base[i]);
  }
}

/* A FUA write has been answered, at the event w->end: itself or something younger stands on stable storage. */
static void
compare_stable (const Model *m, const Write *w)
{
  static Candidates younger;
  const uint8_t *stable = lunfs_ram_stable (m->row.ram);

  find_candidates (m, w->end - 1, w->offset, w->offset + w->length, &younger);
  for (uint64_t at = w->offset; at < w->offset + w->length; at++)
    must (may_be (&younger, at, stable[at]),
                   "seed %u, event %u: FUA write: byte %u is not stable", m->seed, (unsigned) m->event, (unsigned) at);
}

/* ---- answers ---- */

static void
wrote (Model *m, Op *op)
{
  Write *w = op->write;

  w->end = m->event;
  if (op->req.result < 0) {
    memset (m->unknown + w->offset, 1, w->length);
    return;
  }
  for (uint64_t at = w->offset; at < w->offset + w->length; at++)
    m->disk[at] = value (w->pattern, at);
  memset (m->unknown + w->offset, 0, w->length);
  if (op->req.op == LUNFS_OP_WRITE && (op->req.flags & LUNFS_REQ_FUA))
    compare_stable (m, w);
}

static void give_chunks (Model *m, Op *op);

static void
op_done (LunfsRequest *req)
{
  Op *op = req->owner;
  Model *m = op->model;

  must (op->busy, "seed %u: answered twice", m->seed);
  must (req->result == 0 || (m->errors_allowed && req->result < 0), "seed %u, event %u: op %d: error %d",
                 m->seed, (unsigned) m->event, (int) req->op, req->result);
  op->busy = false;
  m->busy--;
  m->answered++;
  m->event++;
  m->failed += req->result < 0;
  give_chunks (m, op);
  switch (req->op) {
  case LUNFS_OP_READ:
    if (req->result == 0)
      compare (m, "read", op->buffer, op->base + req->offset, op->unknown + req->offset, op->begin, req->offset,
               req->length);
    break;
  case LUNFS_OP_FLUSH:
    if (req->result == 0)
      compare (m, "flush", lunfs_ram_stable (m->row.ram), op->base, op->unknown, op->begin, 0, m->size);
    break;
  case LUNFS_OP_EXTENT:
    if (req->result == 0 && !req->extent_mapped) {
      uint8_t *zeroes = g_malloc0 (m->size);

      compare (m, "extent", zeroes, op->base + req->offset, op->unknown + req->offset, op->begin, req->offset,
               MIN (req->extent_length, m->size - req->offset));
      g_free (zeroes);
    }
    break;
  default:
    wrote (m, op);
    break;
  }
}

/* ---- requests ---- */

static void
make_iov (Model *m, Op *op)
{
  uint64_t left = op->req.length, at = 0;

  op->req.niov = 0;
  while (left > 0) {
    uint64_t n = op->req.niov == 3 || pick (m, 2) ? left : 1 + pick (m, (unsigned) left);

    op->iov[op->req.niov++] = (struct iovec){ op->buffer + at, n };
    at += n;
    left -= n;
  }
  op->req.iov = op->iov;
}

static void
choose_range (Model *m, Op *op)
{
  uint64_t length = pick (m, 8) ? 1 + pick (m, 3 * m->bs) : 1 + pick (m, MAX_BYTES);
  uint64_t offset = pick (m, 3) ? pick (m, (unsigned) m->size) : pick (m, 8 * m->bs);

  if (pick (m, 2)) {
    offset -= offset % m->bs;
    length = (length + m->bs - 1) / m->bs * m->bs;
  }
  length = MIN (length, MAX_BYTES);
  op->req.offset = MIN (offset, m->size - 1);
  op->req.length = MIN (length, m->size - op->req.offset);
}

static bool
note_write (Model *m, Op *op, uint32_t pattern)
{
  Write *w = &m->history[m->nwrites % HISTORY];

  if (m->nwrites >= HISTORY)
    for (unsigned i = 0; i < DEPTH; i++) /* still needed to judge an old request? */
      if (m->ops[i].busy && m->ops[i].begin < w->end)
        return false;
  m->nwrites++;
  *w = (Write){ op->req.offset, op->req.length, m->event, NEVER, pattern };
  op->write = w;
  return true;
}

/* Move the data of a WRITE into chunks of the pool. */
static void
use_chunks (Model *m, Op *op)
{
  uint64_t n = (op->req.length + LUNFS_CHUNK_BYTES - 1) / LUNFS_CHUNK_BYTES;

  if (!lunfs_pool_take (m->row.pool, op->chunk, (unsigned) n))
    return;
  op->nchunks = op->req.nchunks = op->req.niov = (unsigned) n;
  op->req.chunks = op->chunk;
  op->req.iov = op->iov;
  for (uint64_t i = 0, at = 0; i < n; i++, at += LUNFS_CHUNK_BYTES) {
    uint8_t *chunk = lunfs_pool_chunk (m->row.pool, op->chunk[i]);

    op->iov[i] = (struct iovec){ chunk, MIN (LUNFS_CHUNK_BYTES, op->req.length - at) };
    memcpy (chunk, op->buffer + at, op->iov[i].iov_len);
  }
}

static void
give_chunks (Model *m, Op *op)
{
  if (op->nchunks && op->req.nchunks) { /* not taken over */
    must (op->req.nchunks == op->nchunks, "seed %u: half of the chunks are gone", m->seed);
    for (unsigned i = 0; i < op->nchunks; i++)
      memset (lunfs_pool_chunk (m->row.pool, op->chunk[i]), 0xcc, LUNFS_CHUNK_BYTES);
    lunfs_pool_give (m->row.pool, op->chunk, op->nchunks);
  }
  op->nchunks = op->req.nchunks = 0;
  op->req.chunks = NULL;
}

static LunfsOp
choose_op (Model *m)
{
  unsigned n = pick (m, 100);

  return n < 40   ? LUNFS_OP_READ
         : n < 76 ? LUNFS_OP_WRITE
         : n < 81 ? LUNFS_OP_FLUSH
         : n < 89 ? LUNFS_OP_DISCARD
         : n < 96 ? LUNFS_OP_ZERO
                  : LUNFS_OP_EXTENT;
}

static void
remember (Model *m, Op *op, uint64_t offset, uint64_t length)
{
  memcpy (op->base + offset, m->disk + offset, length);
  memcpy (op->unknown + offset, m->unknown + offset, length);
}

static void
issue (Model *m)
{
  Op *op = m->ops;
  uint32_t pattern = 0;

  while (op->busy)
    op++;
  op->req.op = choose_op (m);
  op->req.flags = 0;
  op->req.result = -12345;
  op->req.niov = 0;
  choose_range (m, op);
  if (op->req.op == LUNFS_OP_READ || op->req.op == LUNFS_OP_WRITE)
    make_iov (m, op);
  if (op->req.op == LUNFS_OP_WRITE) {
    pattern = m->nwrites + 1;
    for (uint64_t i = 0; i < op->req.length; i++)
      op->buffer[i] = value (pattern, op->req.offset + i);
    if (pick (m, 8) == 0)
      op->req.flags = LUNFS_REQ_FUA;
  } else if (op->req.op == LUNFS_OP_READ) {
    memset (op->buffer, 0xee, op->req.length);
  }
  if ((op->req.op == LUNFS_OP_WRITE || op->req.op == LUNFS_OP_DISCARD || op->req.op == LUNFS_OP_ZERO)
      && !note_write (m, op, pattern))
    return;
  if (op->req.op == LUNFS_OP_WRITE && pick (m, 2))
    use_chunks (m, op);
  op->begin = m->event++;
  if (op->req.op == LUNFS_OP_READ)
    remember (m, op, op->req.offset, op->req.length);
  else if (op->req.op == LUNFS_OP_FLUSH || op->req.op == LUNFS_OP_EXTENT)
    remember (m, op, 0, m->size);
  op->busy = true;
  m->busy++;
  lunfs_lun_submit (m->row.lun, &op->req);
}

/* ---- faults ---- */

static void
bad_answer (Model *m)
{
  static const struct {
    uint16_t status;
    uint8_t key, asc, ascq;
  } answers[] = {
    { LUNFS_STATUS_BUSY, 0, 0, 0 },
    { LUNFS_STATUS_TASK_SET_FULL, 0, 0, 0 },
    { LUNFS_STATUS_CHECK_CONDITION, LUNFS_KEY_ABORTED_COMMAND, 0x47, 0 },
    { LUNFS_STATUS_CHECK_CONDITION, LUNFS_KEY_UNIT_ATTENTION, 0x29, 0x02 },
    { LUNFS_STATUS_CHECK_CONDITION, LUNFS_KEY_NOT_READY, 0x04, 0x01 },
    { LUNFS_STATUS_CHECK_CONDITION, LUNFS_KEY_RECOVERED, 0x17, 0x01 }, /* not executed: only where errors are */
    { LUNFS_STATUS_CHECK_CONDITION, LUNFS_KEY_MEDIUM_ERROR, 0x0c, 0x02 },
    { LUNFS_STATUS_CHECK_CONDITION, LUNFS_KEY_HARDWARE_ERROR, 0x44, 0x01 },
  };
  unsigned n = pick (m, m->errors_allowed ? G_N_ELEMENTS (answers) : 5);
  LunfsRamFault fault = {
    .match = lunfs_ram_is_medium,
    .skip = pick (m, 8),
    .times = 1 + pick (m, n < 2 ? 4 : 1),
    .status = answers[n].status,
    .key = answers[n].key,
    .asc = answers[n].asc,
    .ascq = answers[n].ascq,
  };

  if (answers[n].key == LUNFS_KEY_RECOVERED) {
    fault.key = LUNFS_KEY_HARDWARE_ERROR;
    fault.deferred = true;
  }
  lunfs_ram_fault (m->row.ram, &fault);
}

static void
bad_connection (Model *m)
{
  static const LunfsRamFaultKind kinds[]
    = { LUNFS_RAM_DROP_BEFORE, LUNFS_RAM_DROP_AFTER, LUNFS_RAM_NO_ANSWER, LUNFS_RAM_LOST_ANSWER };
  LunfsRamFault fault = { .match = lunfs_ram_is_medium, .skip = pick (m, 8), .kind = kinds[pick (m, 4)] };

  if (pick (m, 4) == 0)
    fault.match = NULL;
  lunfs_ram_fault (m->row.ram, &fault);
}

static void
misbehave (Model *m)
{
  static const uint16_t attentions[] = { 0x2900, 0x2a01, 0x2a09, 0x3f03, 0x3f0e, 0x2f00, 0x3f01, 0x2a06 };
  LunfsRam *ram = m->row.ram;
  uint16_t code;

  m->faults++;
  switch (pick (m, 13)) {
  case 0:
  case 1:
    lunfs_ram_drop (ram, "dropped by the test");
    break;
  case 2:
  case 3:
    m->powerlosses++;
    lunfs_ram_power_loss (ram, pick (m, 2) ? 0 : pick (m, 100));
    break;
  case 4:
  case 5:
    code = attentions[pick (m, G_N_ELEMENTS (attentions))];
    lunfs_ram_unit_attention (ram, (uint8_t) (code >> 8), (uint8_t) code);
    break;
  case 6:
    bad_connection (m);
    break;
  case 7:
    lunfs_ram_refuse (ram, pick (m, 3) ? LUNFS_LOGIN_TRANSPORT : LUNFS_LOGIN_OK, 1);
    break;
  case 8:
    lunfs_ram_not_ready (ram, pick (m, 2) ? 0x01 : 0x02);
    m->calm_us = m->row.now_us + pick (m, 3000000);
    break;
  case 9:
    lunfs_ram_mute (ram, true);
    m->calm_us = m->row.now_us + (pick (m, 4) ? pick (m, 100000) : pick (m, 90000000));
    break;
  case 10: /* from one command to the next: also those that were answered before */
    lunfs_ram_conf (ram)->no_write_same = true;
    m->calm_us = m->row.now_us + pick (m, 100000);
    break;
  default:
    bad_answer (m);
    break;
  }
}

static void
make_peace (Model *m)
{
  lunfs_ram_not_ready (m->row.ram, 0);
  lunfs_ram_mute (m->row.ram, false);
  lunfs_ram_conf (m->row.ram)->no_write_same = m->no_write_same;
  m->calm_us = 0;
}

/* ---- a run ---- */

static void
choose_lun (Model *m)
{
  LunfsRamConf *c = lunfs_ram_conf (m->row.ram);
  static const uint32_t transfers[] = { 0, 8, 13, 64 };

  c->wce = pick (m, 4) != 0;
  c->dpofua = pick (m, 2);
  c->no16 = pick (m, 6) == 0;
  c->no_write_same = m->no_write_same = pick (m, 4) == 0;
  c->refusal_asc = pick (m, 2) ? 0x20 : 0x24;
  c->lbpme = pick (m, 3) != 0;
  c->lbprz = pick (m, 4) != 0;
  c->lbpu = c->lbpme && pick (m, 2);
  c->lbpws = c->lbpme && pick (m, 4);
  c->max_transfer_blocks = transfers[pick (m, 4)];
  c->max_unmap_blocks = c->lbpu ? 1 + pick (m, 40) : 0;
  if (c->lbpme && pick (m, 2)) {
    c->unmap_granularity_blocks = 1u << pick (m, 5);
    c->unmap_alignment_blocks = pick (m, 2) ? pick (m, c->unmap_granularity_blocks) : 0;
  }
  c->max_write_same_blocks = pick (m, 2) ? 1 + pick (m, 50) : 0;
  c->ua_on_login = pick (m, 2);
  c->latency_us = pick (m, 200);
  c->jitter_us = pick (m, 2) ? pick (m, 400) : 0;
  c->tgtd = pick (m, 2);
  c->reset_response = 0;
}

static void
begin (Model *m, unsigned seed)
{
  memset (m, 0, sizeof *m);
  m->seed = seed;
  m->rand = g_rand_new_with_seed (seed);
  m->bs = pick (m, 3) ? 512 : 4096;
  m->size = (uint64_t) m->bs * (m->bs == 512 ? 160 : 48);
  row_init (&m->row, m->size / m->bs, m->bs, seed);
  choose_lun (m);
  m->errors_allowed = seed % 4 == 0;
  m->row.settings->replacement_timeout = m->errors_allowed ? (int) pick (m, 10) : -1;
  m->row.settings->queue_depth = pick (m, 4) ? 1 + (int) pick (m, 32) : 2;
  m->row.settings->cmd_timeout = 5;
  m->row.naddresses = 1 + pick (m, 2);
  m->row.kept_limit_bytes = pick (m, 2) ? 4 << 20 : (1 + pick (m, 8)) * LUNFS_CHUNK_BYTES;
  m->row.cache_limit_bytes = m->row.kept_limit_bytes * (1 + pick (m, 3));
  m->row.settings->cache = pick (m, 2) ? LUNFS_CACHE_WRITEBACK : (LunfsCacheMode) pick (m, 3); /* page is none, in here */
  m->row.settings->cache_write_delay_ms = pick (m, 2) ? 0 : (int) pick (m, 50);
  m->row.settings->read_ahead = pick (m, 2) ? 1 << 20 : 0;
  m->disk = g_malloc0 (m->size);
  m->unknown = g_malloc0 (m->size);
  for (unsigned i = 0; i < DEPTH; i++) {
    Op *op = &m->ops[i];

    lunfs_request_init (&op->req);
    op->req.done = op_done;
    op->req.owner = op;
    op->model = m;
    op->buffer = g_malloc (MAX_BYTES);
    op->base = g_malloc (m->size);
    op->unknown = g_malloc (m->size);
  }
  if (pick (m, 3) == 0) { /* memory is short */
    uint32_t chunk[64];
    unsigned n = m->row.arena->header->nchunks - pick (m, 6);

    must (n <= G_N_ELEMENTS (chunk) && lunfs_pool_take (m->row.pool, chunk, n), "no chunks");
  }
  row_build (&m->row, true, NULL);
  row_until (&m->row, LUNFS_SESSION_UP, 10000000);
}

/* One pass; time runs faster while nothing happens. */
static void
turn (Model *m, int64_t *step_us)
{
  unsigned before = m->answered;

  if (m->calm_us && m->row.now_us >= m->calm_us)
    make_peace (m);
  row_step (&m->row, *step_us);
  must (!lunfs_cache_check (m->row.cache), "seed %u, event %u: %s", m->seed, (unsigned) m->event,
        lunfs_cache_check (m->row.cache));
  *step_us = m->answered != before ? 25 : MIN (*step_us + *step_us / 4, 200000);
}

static void
settle (Model *m)
{
  int64_t step_us = 25, begin_us = m->row.now_us;

  while (m->busy) {
    turn (m, &step_us);
    must (m->row.now_us - begin_us < G_GINT64_CONSTANT (1000000000), "seed %u: %u requests hang", m->seed,
                   m->busy);
  }
}

static void
ask (Model *m, LunfsOp op, uint64_t offset, uint64_t length)
{
  Op *o = m->ops;

  o->req.op = op;
  o->req.flags = 0;
  o->req.offset = offset;
  o->req.length = length;
  o->req.niov = 1;
  o->req.iov = o->iov;
  o->iov[0] = (struct iovec){ o->buffer, length };
  o->begin = m->event++;
  remember (m, o, 0, m->size);
  o->busy = true;
  m->busy++;
  lunfs_lun_submit (m->row.lun, &o->req);
  settle (m);
}

static void
end (Model *m)
{
  static const LunfsTimeouts patient = { .replacement_timeout = -1, .login_timeout = 15, .noop_out_interval = 5,
                                         .noop_out_timeout = 5, .cmd_timeout = 5 };

  settle (m);
  make_peace (m);
  lunfs_ram_clear_faults (m->row.ram);
  lunfs_ram_refuse (m->row.ram, LUNFS_LOGIN_OK, 0);
  row_until (&m->row, LUNFS_SESSION_UP, 300000000); /* a swallowed answer to WRITE SAME is missed after 120 s */
  ask (m, LUNFS_OP_FLUSH, 0, 0); /* takes with it what was still to be reported */
  m->errors_allowed = false;
  lunfs_session_set_timeouts (m->row.session, &patient);
  lunfs_ram_power_loss (m->row.ram, 0); /* not flushed: the row still has it */
  for (uint64_t at = 0; at < m->size; at += MAX_BYTES)
    ask (m, LUNFS_OP_READ, at, MIN (MAX_BYTES, m->size - at));
  ask (m, LUNFS_OP_FLUSH, 0, 0);
  ck_assert_uint_eq (lunfs_cache_unstable_bytes (m->row.cache), 0);
  ck_assert_uint_eq (lunfs_ram_stats (m->row.ram)->out_of_range, 0);
  row_free (&m->row);
  for (unsigned i = 0; i < DEPTH; i++) {
    g_free (m->ops[i].buffer);
    g_free (m->ops[i].base);
    g_free (m->ops[i].unknown);
  }
  g_free (m->disk);
  g_free (m->unknown);
  g_rand_free (m->rand);
}

static unsigned
number (const char *name, unsigned otherwise)
{
  const char *text = g_getenv (name);

  return text && *text ? (unsigned) g_ascii_strtoull (text, NULL, 10) : otherwise;
}

START_TEST (test_model)
{
  static Model m;
  unsigned nops = number ("LUNFS_MODEL_OPS", OPS);
  int64_t step_us = 25;

  begin (&m, number ("LUNFS_MODEL_SEED", 1) + (unsigned) _i);
  for (unsigned i = 0; i < nops;) {
    for (unsigned n = pick (&m, 4); n > 0 && m.busy < DEPTH && i < nops; n--, i++)
      issue (&m);
    if (pick (&m, 150) == 0)
      misbehave (&m);
    turn (&m, &step_us);
  }
  end (&m);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("model");
  TCase *tc = tcase_create ("model");
  SRunner *runner;
  int failed;

  printf ("LUNFS_MODEL_SEED=%u, %u seeds, %u requests each\n", number ("LUNFS_MODEL_SEED", 1),
          number ("LUNFS_MODEL_SEEDS", SEEDS), number ("LUNFS_MODEL_OPS", OPS));
  lunfs_log_open (g_getenv ("LUNFS_MODEL_LOG") ? g_getenv ("LUNFS_MODEL_LOG") : "/dev/null", LUNFS_LOG_INFO,
                  g_getenv ("LUNFS_MODEL_LOG") ? ~0u : 0, NULL);
  tcase_set_timeout (tc, 60);
  tcase_add_loop_test (tc, test_model, 0, (int) number ("LUNFS_MODEL_SEEDS", SEEDS));
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
