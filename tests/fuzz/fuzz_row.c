/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The data path of a LUN (lun, cache, session) with users and a target that do what the input says.
 *
 * The input is eaten from both ends, so that a change at one end leaves the other's meaning as it was: from the front the
 * LUN and the settings (choose()), then what users and the surroundings do (do_something()); from the back what becomes of
 * each answer of the target (lie()).  The target is src/iscsi/ram.c behind a transport that may replace status, sense, data
 * and residuals, or answer late or never, or end the connection.
 * When all is eaten the target is honest.  Users may lose patience, too.
 *
 * Whatever it says: each request is answered once, in its time, with an errno that users may see; nothing touches its
 * memory afterwards; no medium command before the LUN is proven, none outside of what the LUN said it is, no two writes to
 * the same blocks at once; no chunk is lost; and in the end the session is up, unless another LUN seems to answer. */
#include "config.h"

#include "fuzz_row.h"

#include "util/bytes.h"

#include <stdlib.h>

#define DEPTH 20
#define MAX_OPS 400
#define MAX_BYTES 140000u
#define BLOCKS 160
#define SECOND ((int64_t) G_USEC_PER_SEC)
/* No request may take longer, as long as replacement_timeout has an end: a few times the 120 s that a FLUSH may take. */
#define AGE_LIMIT_US (1200 * SECOND)
/* With request_limit: what looks for such requests does so every half second. */
#define REQUEST_LIMIT_S 20
#define REQUEST_LIMIT_US ((REQUEST_LIMIT_S + 2) * SECOND)
/* With an honest target: the longest pause and the longest command. */
#define PEACE_LIMIT_US (400 * SECOND)

typedef struct {
  LunfsRequest req;
  bool busy;
  int64_t begin_us;
  struct iovec iov[3];
  uint32_t chunk[3];
  unsigned nchunks, steps;
} Op;

static struct {
  Row row;
  const uint8_t *front, *back;
  Op ops[DEPTH];
  unsigned busy, issued, answered;
  bool draining, drained, stopping;
  int64_t step_us;
} z;

static uint8_t
front_u8 (void)
{
  return z.front < z.back ? *z.front++ : 0;
}

static uint8_t
back_u8 (void)
{
  return z.front < z.back ? *--z.back : 0;
}

static uint32_t
back_u32 (void)
{
  uint32_t n = 0;

  for (int i = 0; i < 4; i++)
    n = n << 8 | back_u8 ();
  return n;
}

/* ---- the target's side: what ram.c answers, and what becomes of it ---- */

typedef struct {
  LunfsTransport base;
  LunfsTransport *inner;
  const LunfsTransportEvents *events; /* the session's */
  void *user;
  GQueue commands;
  bool dead, closing;
} Liar;

typedef struct {
  GList link; /* in Liar.commands */
  Liar *liar;
  LunfsCommand *cmd;
  void (*done) (LunfsCommand *cmd);
  void *owner;
  LunfsTimer timer;
  uint64_t first, end; /* blocks it writes */
} Underway;

static const struct {
  uint16_t status;
  uint8_t key, asc, ascq;
} answers[] = {
  { 0x08, 0, 0, 0 },       { 0x28, 0, 0, 0 },       { 0x18, 0, 0, 0 },       { 0x40, 0, 0, 0 },
  { 0x30, 0, 0, 0 },       { 0x02, 6, 0x29, 0 },    { 0x02, 6, 0x2a, 0x01 }, { 0x02, 6, 0x2a, 0x09 },
  { 0x02, 6, 0x3f, 0x03 }, { 0x02, 6, 0x3f, 0x0e }, { 0x02, 6, 0x2f, 0 },    { 0x02, 2, 0x04, 0x01 },
  { 0x02, 2, 0x04, 0x02 }, { 0x02, 2, 0x04, 0x0b }, { 0x02, 2, 0x3a, 0 },    { 0x02, 2, 0x08, 0 },
  { 0x02, 3, 0x11, 0 },    { 0x02, 3, 0x0c, 0x02 }, { 0x02, 4, 0x44, 0 },    { 0x02, 4, 0x03, 0 },
  { 0x02, 5, 0x20, 0 },    { 0x02, 5, 0x21, 0 },    { 0x02, 5, 0x24, 0 },    { 0x02, 5, 0x25, 0 },
  { 0x02, 5, 0x26, 0 },    { 0x02, 7, 0x27, 0 },    { 0x02, 7, 0x27, 0x07 }, { 0x02, 0xb, 0x47, 0 },
  { 0x02, 0xb, 0x10, 1 },  { 0x02, 0xd, 0, 0 },     { 0x02, 0, 0, 0 },       { 0x02, 1, 0x17, 1 },
  { 0x02, 6, 0x2a, 0x03 }, { 0x02, 6, 0x2a, 0x06 }, { 0x02, 2, 0x04, 0x0c }, { 0x02, 2, 0x04, 0x0a },
};

static void
give_answer (Underway *u)
{
  LunfsCommand *cmd = u->cmd;

  lunfs_lane_cancel (z.row.lane, &u->timer);
  g_queue_unlink (&u->liar->commands, &u->link);
  cmd->done = u->done;
  cmd->owner = u->owner;
  g_free (u);
  cmd->done (cmd);
}

static void
late (LunfsTimer *timer)
{
  Underway *u = (Underway *) ((char *) timer - offsetof (Underway, timer));

  if (!u->liar->dead)
    give_answer (u);
}

static void
die (Liar *liar)
{
  char why[24];

  for (size_t i = 0; i < sizeof why; i++)
    why[i] = (char) back_u8 ();
  why[sizeof why - 1] = '\0';
  liar->dead = true;
  liar->events->dead (liar->user, why);
}

static void
set_sense (LunfsCommand *cmd, unsigned n, bool deferred)
{
  cmd->status = answers[n].status;
  cmd->sense_len = answers[n].status == 0x02 ? 18 : 0;
  memset (cmd->sense, 0, sizeof cmd->sense);
  cmd->sense[0] = deferred ? 0x71 : 0x70;
  cmd->sense[2] = answers[n].key;
  cmd->sense[7] = 10;
  cmd->sense[12] = answers[n].asc;
  cmd->sense[13] = answers[n].ascq;
}

/* Other bytes than the target's; never more than there is room for, which the transport sees to. */
static void
set_data (LunfsCommand *cmd, uint32_t at, unsigned n)
{
  uint8_t *data = cmd->niov ? cmd->iov[0].iov_base : NULL;

  for (unsigned i = 0; i < n && cmd->xfer == LUNFS_XFER_IN && at + i < cmd->iov[0].iov_len; i++)
    data[at + i] = back_u8 ();
}

/* Returns false if the answer does not come now. */
static bool
lie (Underway *u)
{
  LunfsCommand *cmd = u->cmd;
  unsigned n, what = back_u8 ();

  switch (what >> 3) {
  case 0x14: /* data of its own, and no more than that */
    n = back_u8 ();
    set_data (cmd, 0, n);
    cmd->status = LUNFS_STATUS_GOOD;
    cmd->underflow_bytes = cmd->xfer_bytes - MIN (n, cmd->xfer_bytes);
    return true;
  case 0x15: /* a few other bytes */
  case 0x16:
    set_data (cmd, back_u8 (), 1 + (what & 3));
    return true;
  case 0x17:
  case 0x18:
    set_sense (cmd, back_u8 () % G_N_ELEMENTS (answers), what & 1);
    return true;
  case 0x19: /* any status, any sense */
    cmd->status = back_u8 ();
    cmd->sense_len = back_u8 () % (LUNFS_SENSE_MAX + 1);
    for (unsigned i = 0; i < cmd->sense_len; i++)
      cmd->sense[i] = back_u8 ();
    return true;
  case 0x1a: /* yes, whatever it was */
    cmd->status = LUNFS_STATUS_GOOD;
    cmd->underflow_bytes = 0;
    return true;
  case 0x1b:
    cmd->underflow_bytes = what & 1 ? back_u32 () : back_u8 ();
    cmd->overflow = what & 2;
    return true;
  case 0x1c: /* later, or after cmd_timeout */
    n = back_u8 ();
    lunfs_lane_arm (z.row.lane, &u->timer, (int64_t) n * n * 100);
    return false;
  case 0x1d: /* never */
    return false;
  case 0x1e:
    if (what & 1)
      die (u->liar);
    else
      lunfs_ram_power_loss (z.row.ram, what & 2 ? 50 : 0);
    return !(what & 1);
  case 0x1f:
    n = back_u8 () % G_N_ELEMENTS (answers);
    lunfs_ram_unit_attention (z.row.ram, answers[n].asc, answers[n].ascq);
    return true;
  default:
    return true;
  }
}

static void
inner_done (LunfsCommand *cmd)
{
  Underway *u = cmd->owner;

  if (cmd->status == LUNFS_STATUS_NONE || u->liar->closing)
    give_answer (u);
  else if (!u->liar->dead && lie (u)) /* dead: it is given back by close() */
    give_answer (u);
}

static void
inner_login (void *user, LunfsLoginOutcome outcome, const char *text)
{
  static const LunfsLoginOutcome outcomes[] = { LUNFS_LOGIN_TRANSPORT, LUNFS_LOGIN_BUSY,    LUNFS_LOGIN_AUTH,
                                                LUNFS_LOGIN_NOT_FOUND, LUNFS_LOGIN_REFUSED, LUNFS_LOGIN_MOVED };
  Liar *liar = user;
  unsigned what = back_u8 ();
  char words[16];

  if (what >= 0xe0) {
    outcome = outcomes[what % G_N_ELEMENTS (outcomes)];
    for (size_t i = 0; i < sizeof words; i++)
      words[i] = (char) back_u8 ();
    words[sizeof words - 1] = '\0';
    text = what & 0x10 ? words : outcome == LUNFS_LOGIN_MOVED ? "[2001:db8::7]:3261,1" : NULL;
  }
  liar->dead = outcome != LUNFS_LOGIN_OK;
  liar->events->login (liar->user, outcome, text);
}

static void
inner_dead (void *user, const char *why)
{
  Liar *liar = user;

  if (liar->dead)
    return;
  liar->dead = true;
  liar->events->dead (liar->user, why);
}

static void
inner_pong (void *user)
{
  Liar *liar = user;

  if (!liar->dead && back_u8 () < 0xc0)
    liar->events->pong (liar->user);
}

static void
inner_logged_out (void *user)
{
  Liar *liar = user;

  if (liar->dead || back_u8 () >= 0xc0)
    return;
  liar->dead = true;
  liar->events->logged_out (liar->user);
}

static void
inner_reset (void *user, unsigned response)
{
  Liar *liar = user;
  unsigned what = back_u8 ();

  if (!liar->dead && what < 0xe0)
    liar->events->lun_was_reset (liar->user, what < 0xc0 ? response : what & 7);
}

static const LunfsTransportEvents inner_events = {
  .login = inner_login,
  .dead = inner_dead,
  .pong = inner_pong,
  .logged_out = inner_logged_out,
  .lun_was_reset = inner_reset,
};

/* Within what the LUN said it is, or was before it shrank. */
static void
check_range (const LunfsCommand *cmd, uint64_t lba, uint32_t nblocks, uint32_t bytes_per_block)
{
  uint64_t size = MAX (z.row.info.capacity.nblocks, z.row.info.shrunk_from_nblocks);

  must (nblocks > 0 && lba < size && nblocks <= size - lba);
  must (bytes_per_block == 0 || (uint64_t) nblocks * bytes_per_block == cmd->xfer_bytes);
}

static void
check_command (const LunfsCommand *cmd, Underway *u)
{
  uint32_t bs = z.row.info.capacity.block_size, nblocks = 0, data_bytes = 0;
  const uint8_t *cdb = cmd->cdb, *param;
  uint64_t lba = 0;
  bool writes = true;

  for (unsigned i = 0; i < cmd->niov; i++)
    data_bytes += (uint32_t) cmd->iov[i].iov_len;
  must (data_bytes == cmd->xfer_bytes && (cmd->xfer == LUNFS_XFER_NONE) == (data_bytes == 0));
  must (data_bytes <= LUNFS_MAX_WRITE && cmd->cdb_len >= 6 && cmd->cdb_len <= LUNFS_CDB_MAX);
  switch (cdb[0]) {
  case 0x28:
  case 0x2a:
    lba = lunfs_get_be32 (cdb + 2);
    nblocks = lunfs_get_be16 (cdb + 7);
    check_range (cmd, lba, nblocks, bs);
    writes = cdb[0] == 0x2a;
    break;
  case 0x88:
  case 0x8a:
    lba = lunfs_get_be64 (cdb + 2);
    nblocks = lunfs_get_be32 (cdb + 10);
    check_range (cmd, lba, nblocks, bs);
    writes = cdb[0] == 0x8a;
    break;
  case 0x93:
    must (cmd->xfer_bytes == bs);
    lba = lunfs_get_be64 (cdb + 2);
    nblocks = lunfs_get_be32 (cdb + 10);
    check_range (cmd, lba, nblocks, 0);
    break;
  case 0x42:
    must (cmd->niov == 1 && cmd->xfer_bytes == 24 && lunfs_get_be16 (cdb + 7) == 24);
    param = cmd->iov[0].iov_base;
    must (lunfs_get_be16 (param) == 22 && lunfs_get_be16 (param + 2) == 16);
    lba = lunfs_get_be64 (param + 8);
    nblocks = lunfs_get_be32 (param + 16);
    check_range (cmd, lba, nblocks, 0);
    break;
  default:
    writes = false;
    break;
  }
  if (writes) {
    must (z.row.info.shrunk_from_nblocks == 0);
    u->first = lba;
    u->end = lba + nblocks;
  }
  if (lunfs_ram_is_medium (cdb)) {
    must (z.row.ups > 0);
    must (row_state (&z.row) == LUNFS_SESSION_UP || (row_state (&z.row) == LUNFS_SESSION_RECOVER && writes));
  }
}

static void
submit (LunfsTransport *base, LunfsCommand *cmd)
{
  Liar *liar = (Liar *) base;
  Underway *u = g_new0 (Underway, 1);

  must (cmd->done != inner_done && !liar->closing);
  u->liar = liar;
  u->cmd = cmd;
  u->done = cmd->done;
  u->owner = cmd->owner;
  u->link.data = u;
  u->timer.fire = late;
  check_command (cmd, u);
  for (GList *l = liar->commands.head; l; l = l->next) {
    const Underway *other = l->data;

    must (other->end <= u->first || u->end <= other->first);
  }
  z.step_us = MIN (z.step_us, 500);
  g_queue_push_tail_link (&liar->commands, &u->link);
  cmd->done = inner_done;
  cmd->owner = u;
  liar->inner->ops->submit (liar->inner, cmd);
}

static void
ping (LunfsTransport *base)
{
  Liar *liar = (Liar *) base;

  if (!liar->dead)
    liar->inner->ops->ping (liar->inner);
}

static void
logout (LunfsTransport *base)
{
  Liar *liar = (Liar *) base;

  if (!liar->dead)
    liar->inner->ops->logout (liar->inner);
}

static void
lun_reset (LunfsTransport *base)
{
  Liar *liar = (Liar *) base;

  must (row_state (&z.row) == LUNFS_SESSION_PROBE);
  if (!liar->dead)
    liar->inner->ops->lun_reset (liar->inner);
}

static int64_t
idle_us (LunfsTransport *base)
{
  Liar *liar = (Liar *) base;

  return liar->inner->ops->idle_us (liar->inner);
}

static void
close_liar (LunfsTransport *base)
{
  Liar *liar = (Liar *) base;

  liar->closing = true;
  liar->inner->ops->close (liar->inner);
  while (liar->commands.length) {
    Underway *u = liar->commands.head->data;

    u->cmd->status = LUNFS_STATUS_NONE;
    u->cmd->sense_len = 0;
    give_answer (u);
  }
  g_free (liar);
}

static const LunfsTransportOps ops = {
  .submit = submit,
  .ping = ping,
  .logout = logout,
  .lun_reset = lun_reset,
  .idle_us = idle_us,
  .close = close_liar,
};

static LunfsTransport *
open_liar (LunfsLane *lane, const LunfsConnConf *conf, const LunfsTransportEvents *events, void *user, GError **error)
{
  Liar *liar = g_new0 (Liar, 1);

  liar->base.ops = &ops;
  liar->events = events;
  liar->user = user;
  liar->inner = lunfs_ram_open (lane, conf, &inner_events, liar, error);
  if (!liar->inner)
    g_clear_pointer (&liar, g_free);
  return liar ? &liar->base : NULL;
}

/* ---- the users' side ---- */

static void
give_memory (Op *op)
{
  if (op->nchunks == 0) {
    for (unsigned i = 0; i < op->req.niov; i++)
      g_free (op->iov[i].iov_base);
    return;
  }
  must (op->req.nchunks == 0 || op->req.nchunks == op->nchunks); /* taken over: all of them */
  if (op->req.nchunks)
    lunfs_pool_give (z.row.pool, op->chunk, op->nchunks);
}

static void
answered (LunfsRequest *req)
{
  Op *op = req->owner;

  must (op->busy);
  must (req->result <= 0 && req->result > -160 && req->result != -ECANCELED);
  op->busy = false;
  z.busy--;
  z.answered++;
  z.step_us = 25;
  if (req->op == LUNFS_OP_EXTENT && req->result == 0) {
    LunfsGeometry g;

    must (req->extent_length > 0 && req->offset + req->extent_length > req->offset);
    lunfs_lun_geometry (z.row.lun, &g);
    if (op->steps-- > 0 && req->offset + req->extent_length < g.size_bytes) { /* as LSEEK: on from inside the answer */
      req->offset += req->extent_length;
      op->begin_us = z.row.now_us;
      op->busy = true;
      z.busy++;
      lunfs_lun_submit (z.row.lun, req);
      return;
    }
  }
  if (req->op == LUNFS_OP_READ || req->op == LUNFS_OP_WRITE)
    give_memory (op);
}

static void
take_memory (Op *op, unsigned how)
{
  uint64_t left = op->req.length;
  unsigned n = (unsigned) (left + LUNFS_CHUNK_BYTES - 1) / LUNFS_CHUNK_BYTES;

  op->nchunks = 0;
  op->req.niov = 0;
  op->req.chunks = op->chunk;
  op->req.nchunks = 0;
  op->req.iov = op->iov;
  if (left == 0)
    return;
  if (op->req.op == LUNFS_OP_WRITE && (how & 1) && lunfs_pool_take (z.row.pool, op->chunk, n)) {
    op->req.nchunks = op->nchunks = n;
    for (unsigned i = 0; i < n; i++, left -= MIN (left, LUNFS_CHUNK_BYTES))
      op->iov[op->req.niov++] =
          (struct iovec){ lunfs_pool_chunk (z.row.pool, op->chunk[i]), MIN (left, LUNFS_CHUNK_BYTES) };
    return;
  }
  for (; left > 0; how >>= 1) { /* up to three pieces, each of just its size */
    uint64_t len = op->req.niov == 2 || (how & 2) ? left : (left + 2) / 3;

    op->iov[op->req.niov++] = (struct iovec){ g_malloc0 (len), len };
    left -= len;
  }
}

static void
choose_range (Op *op)
{
  unsigned where = front_u8 (), how = front_u8 ();
  uint64_t fine = front_u8 () * (where & 4 ? 512u : 61u), length;
  LunfsGeometry g;

  lunfs_lun_geometry (z.row.lun, &g);
  length = how < 0x40   ? how * 512u
           : how < 0x80 ? how - 0x3fu
           : how < 0xc0 ? (how - 0x80) * 4096u
                        : (how & 0x3f) * 2221u;
  length = MIN (length, MAX_BYTES);
  op->req.offset = (where & 3) == 0   ? fine
                   : (where & 3) == 1 ? g.size_bytes - MIN (g.size_bytes, fine + length)
                   : (where & 3) == 2 ? g.size_bytes / 2 + fine
                                      : fine * 64;
  if (g.size_bytes > 0) {
    op->req.offset = MIN (op->req.offset, g.size_bytes - 1);
    length = MIN (length, g.size_bytes - op->req.offset);
  }
  op->req.length = length;
}

static void
issue (LunfsOp what)
{
  Op *op = z.ops;

  if (z.busy == DEPTH || z.issued++ == MAX_OPS)
    return;
  while (op->busy)
    op++;
  op->req.op = what;
  op->req.result = -12345;
  op->req.flags = 0;
  op->req.extent_length = 0;
  op->req.losses_seen = lunfs_lun_losses_told (z.row.lun);
  op->req.niov = op->req.nchunks = 0;
  op->steps = 3;
  choose_range (op);
  if (what == LUNFS_OP_READ || what == LUNFS_OP_WRITE) {
    unsigned how = front_u8 ();

    take_memory (op, how);
    if (what == LUNFS_OP_WRITE && (how & 0x30) == 0x30)
      op->req.flags = LUNFS_REQ_FUA;
  } else if (what == LUNFS_OP_FLUSH) {
    op->req.offset = op->req.length = 0;
  }
  op->begin_us = z.row.now_us;
  op->busy = true;
  z.busy++;
  lunfs_lun_submit (z.row.lun, &op->req);
}

static void
check_ages (void)
{
  for (unsigned i = 0; i < DEPTH; i++) {
    int64_t age_us = z.ops[i].busy ? z.row.now_us - z.ops[i].begin_us : 0;

    must (age_us < REQUEST_LIMIT_US || z.row.request_limit_s == 0);
    must (age_us < AGE_LIMIT_US || z.row.settings->replacement_timeout < 0);
  }
}

/* Time runs faster while nothing happens. */
static void
turn (int64_t us)
{
  for (int64_t end = z.row.now_us + us; z.row.now_us < end;) {
    row_step (&z.row, MIN (z.step_us, end - z.row.now_us));
    z.step_us = MIN (z.step_us + z.step_us / 4, 250000);
  }
  check_ages ();
}

static void
drained (void *user, int result)
{
  must (z.draining && !z.drained && result <= 0 && result != -ECANCELED);
  z.drained = true;
  if (!z.stopping)
    lunfs_session_stop (z.row.session, 1000);
  z.stopping = true;
}

static void
drain (void)
{
  if (z.draining || z.stopping)
    return;
  z.draining = true;
  lunfs_lun_drain (z.row.lun, drained, NULL);
}

/* What the LUN says of itself from now on. */
static void
change_lun (void)
{
  LunfsRamConf *c = lunfs_ram_conf (z.row.ram);
  unsigned what = front_u8 ();

  switch (what & 7) {
  case 0:
    c->wce = what & 8;
    break;
  case 1:
    c->write_protected = what & 8;
    break;
  case 2:
    c->naa = what & 8 ? 0 : what & 16 ? 7 : 0x123456789abcdef;
    g_strlcpy (c->serial, what & 32 ? "12" : what & 64 ? "34" : "", sizeof c->serial);
    break;
  case 3:
    c->nblocks = 1 + (what >> 3) * (BLOCKS - 1) / 31;
    break;
  case 4:
    c->no16 = what & 8;
    c->no_sync = what & 16;
    break;
  case 5:
    c->max_transfer_blocks = what >> 3;
    break;
  case 6:
    c->no_write_same = what & 8;
    c->lbpme = what & 16;
    c->dpofua = what & 32;
    break;
  default:
    c->tgtd = what & 8;
    c->reset_response = what & 16 ? 0 : what & 32 ? 5 : LUNFS_RAM_NO_RESPONSE;
    break;
  }
}

/* A user does not want to wait any longer. */
static void
interrupt (unsigned n, bool dying)
{
  Op *op = &z.ops[n % DEPTH];
  bool was = op->busy;
  unsigned before = z.answered;

  if (!was)
    return;
  if (!lunfs_lun_cancel (z.row.lun, &op->req, dying))
    must (op->busy && z.answered == before);
}

static void
change_limits (void)
{
  unsigned what = front_u8 ();
  LunfsSessionSnapshot snapshot;

  lunfs_session_snapshot (z.row.session, &snapshot);
  if (snapshot.timeouts.replacement_timeout >= 0) /* else what is older than any limit may be there */
    snapshot.timeouts.replacement_timeout = (int) (what & 7);
  snapshot.timeouts.cmd_timeout = what & 8 ? 30 : 1;
  snapshot.timeouts.login_timeout = 1 + (what >> 4 & 1);
  snapshot.timeouts.noop_out_interval = what >> 5 & 3;
  lunfs_session_set_timeouts (z.row.session, &snapshot.timeouts);
}

static void
resolve (void)
{
  if (!z.row.hold_resolve)
    return;
  lunfs_session_resolved (z.row.session, z.row.addresses, front_u8 () % 3, "no such host");
}

static void
do_something (void)
{
  static const LunfsLoginOutcome outcomes[] = { LUNFS_LOGIN_TRANSPORT, LUNFS_LOGIN_BUSY,    LUNFS_LOGIN_AUTH,
                                                LUNFS_LOGIN_NOT_FOUND, LUNFS_LOGIN_REFUSED, LUNFS_LOGIN_OK,
                                                LUNFS_LOGIN_MOVED };
  unsigned what = front_u8 (), n;

  switch (what & 15) {
  case 0:
    issue (LUNFS_OP_READ);
    break;
  case 1:
  case 2:
    issue (LUNFS_OP_WRITE);
    break;
  case 3:
    issue (LUNFS_OP_FLUSH);
    break;
  case 4:
    issue (LUNFS_OP_DISCARD);
    break;
  case 5:
    issue (LUNFS_OP_ZERO);
    break;
  case 6:
    issue (LUNFS_OP_EXTENT);
    break;
  case 7:
    n = front_u8 ();
    turn ((int64_t) n * n * 200); /* up to 13 s */
    break;
  case 8:
    change_lun ();
    break;
  case 9:
    lunfs_ram_drop (z.row.ram, "dropped");
    break;
  case 10:
    lunfs_ram_power_loss (z.row.ram, what & 16 ? 30 : 0);
    break;
  case 11:
    lunfs_ram_not_ready (z.row.ram, front_u8 () % 4);
    break;
  case 12:
    lunfs_ram_mute (z.row.ram, what & 16);
    break;
  case 13:
    n = front_u8 ();
    lunfs_ram_refuse (z.row.ram, outcomes[n % G_N_ELEMENTS (outcomes)], n >> 5);
    break;
  case 14:
    if (what & 16)
      resolve ();
    else
      lunfs_ram_fail_open (z.row.ram, front_u8 () % 8);
    break;
  default:
    if (what == 0xff)
      drain ();
    else if (what == 0x1f)
      lunfs_session_look (z.row.session);
    else if (what == 0x2f)
      z.row.reject = front_u8 () & 1;
    else if (what == 0x0f)
      change_limits ();
    else if (what < 0x80)
      interrupt (front_u8 (), what & 0x40);
    else if (what == 0xef && !z.stopping) {
      z.stopping = true;
      lunfs_session_stop (z.row.session, 1000);
    }
    break;
  }
  turn (what >> 5 ? (what >> 5) * 100 : 0);
}

/* ---- beginning and end ---- */

static void
choose (void)
{
  static const uint32_t transfers[] = { 0, 1, 8, 13 };
  static const int delays_ms[] = { 0, 1, 20, 500 };
  unsigned a = front_u8 (), b = front_u8 (), c = front_u8 (), d = front_u8 (), e = front_u8 (), f = front_u8 ();
  uint32_t bs = b & 16 ? 4096 : 512;
  LunfsRamConf *conf;

  row_init (&z.row, BLOCKS, bs, f);
  z.row.open = open_liar;
  z.row.may_refuse = true;
  conf = lunfs_ram_conf (z.row.ram);
  conf->wce = !(a & 1);
  conf->dpofua = a & 2;
  conf->no16 = a & 4;
  conf->no_write_same = a & 8;
  conf->lbpme = a & 16;
  conf->lbprz = a & 32;
  conf->lbpu = a & 64;
  conf->lbpws = a & 128;
  conf->ua_on_login = b & 1;
  conf->no_sync = b & 2;
  conf->no_modes = b & 4;
  conf->max_unmap_blocks = conf->lbpu ? 40 : 0;
  conf->unmap_granularity_blocks = b & 32 ? 8 : 0;
  conf->unmap_alignment_blocks = b & 64 ? 3 : 0;
  conf->max_transfer_blocks = transfers[c & 3];
  conf->max_write_same_blocks = c & 4 ? 17 : 0;
  conf->latency_us = (c >> 3 & 3) * 70;
  conf->jitter_us = (c >> 5 & 3) * 100;
  z.row.settings->replacement_timeout = (int) (d & 7) - 1;
  z.row.settings->cmd_timeout = d & 8 ? 30 : 1;
  z.row.settings->login_timeout = 1 + (d >> 4 & 1);
  z.row.settings->noop_out_interval = d >> 5 & 3;
  z.row.settings->noop_out_timeout = 1;
  z.row.settings->queue_depth = 1 + (e & 15);
  z.row.kept_limit_bytes = e & 16 ? LUNFS_CHUNK_BYTES : 1 << 20;
  z.row.cache_limit_bytes = 2 * z.row.kept_limit_bytes;
  z.row.naddresses = e & 32 ? 2 : 1;
  z.row.hold_resolve = e & 64;
  conf->tgtd = e & 128;
  z.row.settings->cache = (LunfsCacheMode) (f & 3); /* page is none, in here */
  z.row.settings->read_ahead = f & 4 ? 1 << 20 : 0;
  z.row.settings->cache_write_delay_ms = delays_ms[f >> 3 & 3];
  z.row.settings->stale_write_guard = f & 128 ? LUNFS_GUARD_ON : f & 64 ? LUNFS_GUARD_OFF : LUNFS_GUARD_AUTO;
}

/* Memory is short. */
static void
shrink_pool (unsigned nchunks)
{
  lunfs_pool_free (z.row.pool);
  z.row.arena->header->nchunks = nchunks;
  z.row.pool = lunfs_pool_new (z.row.arena, false);
}

/* An earlier worker knew the LUN. */
static void
preset (const LunfsLunInfo *known)
{
  lunfs_lun_preset (z.row.lun, known->capacity.nblocks, known->capacity.block_size);
  lunfs_cache_inherit (z.row.cache, known->capacity.nblocks, known->capacity.block_size);
}

static void
make_peace (void)
{
  z.front = z.back; /* no more lies either */
  z.row.reject = false;
  lunfs_ram_not_ready (z.row.ram, 0);
  lunfs_ram_refuse (z.row.ram, LUNFS_LOGIN_OK, 0);
  lunfs_ram_fail_open (z.row.ram, 0);
  lunfs_ram_conf (z.row.ram)->reset_response = 0;
  lunfs_ram_mute (z.row.ram, false);
  if (z.row.hold_resolve) {
    z.row.hold_resolve = false;
    lunfs_session_resolved (z.row.session, z.row.addresses, 1, NULL);
  }
}

/* Up; or it takes the LUN for another one, or for one that it cannot use. */
static bool
settled (void)
{
  LunfsSessionState state = row_state (&z.row);

  return state == LUNFS_SESSION_UP || state == LUNFS_SESSION_FENCED || state == LUNFS_SESSION_STOPPED
         || (state == LUNFS_SESSION_RECOVER && z.row.refused);
}

static void
finish (void)
{
  int64_t begin_us = z.row.now_us;

  make_peace ();
  while (z.busy || !settled () || (z.draining && !z.drained) || (z.stopping && z.row.stops == 0)) {
    must (z.row.now_us - begin_us < PEACE_LIMIT_US);
    turn (z.step_us);
  }
  drain ();
  for (begin_us = z.row.now_us; z.row.stops == 0 || (z.draining && !z.drained);) {
    must (z.row.now_us - begin_us < PEACE_LIMIT_US);
    turn (z.step_us);
  }
  must (z.row.stops == 1 && z.busy == 0 && row_state (&z.row) == LUNFS_SESSION_STOPPED);
  turn (100);
  must (lunfs_ram_stats (z.row.ram)->in_flight == 0 && LUNFS_VALUE (&z.row.stats, in_flight) == 0);
  must (z.answered >= MIN (z.issued, 1));
  lunfs_lun_free (g_steal_pointer (&z.row.lun));
  lunfs_session_free (g_steal_pointer (&z.row.session));
  lunfs_cache_free (g_steal_pointer (&z.row.cache));
  must (!lunfs_pool_short (z.row.pool, z.row.arena->header->nchunks));
  z.row.stops = 0; /* there is no session any more */
  row_free (&z.row);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  LunfsLunInfo known = { .identity = { .text = "naa.5123456789abcdef" }, .capacity.nblocks = BLOCKS };
  unsigned first;

  fuzz_quiet ();
  memset (&z, 0, sizeof z);
  z.front = data;
  z.back = data + size;
  z.step_us = 25;
  first = front_u8 ();
  choose ();
  if (first & 32)
    strcpy (lunfs_ram_conf (z.row.ram)->serial, "12");
  if (first & 64)
    lunfs_ram_conf (z.row.ram)->naa = 0;
  if (first & 128)
    z.row.request_limit_s = REQUEST_LIMIT_S;
  if (first & 2)
    shrink_pool (first >> 2 & 7);
  for (unsigned i = 0; i < DEPTH; i++) {
    lunfs_request_init (&z.ops[i].req);
    z.ops[i].req.owner = &z.ops[i];
    z.ops[i].req.done = answered;
  }
  known.capacity.block_size = lunfs_ram_conf (z.row.ram)->block_size;
  row_build (&z.row, true, first & 1 ? &known : NULL);
  if (first & 1)
    preset (&known);
  turn (2000);
  while (z.front < z.back)
    do_something ();
  finish ();
  return 0;
}
