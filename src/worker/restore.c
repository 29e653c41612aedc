/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an earlier mount has saved for a LUN (supervisor/saved.h) goes to the target before the LUN is served, from the saved
 * file straight to the session, which is in RECOVER and takes nobody else's requests:
 *
 *   JUDGE -> WITNESSES -> RANGES -> PAGES -> FLUSH -> done: the next file, or lunfs_worker_row_ready
 *
 * JUDGE     is it the LUN; has the administrator decided; is the file whole; has nobody registered for reservations since
 * WITNESSES read what session/witness.h has noted: all is as it was.  At least one must be there: else nothing is shown.
 * RANGES    discards and zeroes, in their order, one at a time;  PAGES  all newer;  FLUSH  so that it is safe to forget them
 *
 * Whatever fails: the session is rejected, so the LUN's file answers EIO, and is looked at again with each login.  A finding
 * against the data stays in the file as REFUSED until the administrator decides.  Lane thread. */
#include "config.h"

#include "worker/restore-private.h"

#include "lunfs/log.h"
#include "session/witness.h"
#include "util/zeroes.h"

#include <errno.h>

/* ---- ends ---- */

static void
free_lists (LunfsRestore *r)
{
  g_clear_pointer (&r->ranges, g_array_unref);
  g_clear_pointer (&r->pages, g_array_unref);
}

void
lunfs_worker_free_restore (LunfsRestore *r)
{
  if (!r)
    return;
  if (r->holds)
    lunfs_saved_release (r->saved);
  free_lists (r);
  g_free (r);
}

/* For now; BUSY: the mount goes on without it. */
static void
reject (LunfsRestore *r, const char *why)
{
  unsigned nranges;
  uint64_t bytes = lunfs_saved_bytes (r->saved->arena, r->index, &nranges);
  g_autofree char *text = g_strdup_printf ("saved data waits (%" G_GUINT64_FORMAT
                                           " KiB, %u discards): %s; lunfsctl saved inspect|replay|discard %s/%s",
                                           (bytes + 1023) / 1024, nranges, why, r->saved->dir, r->saved->name);

  r->row->restore = NULL;
  lunfs_session_reject (r->row->session, LUNFS_LOGIN_BUSY, text);
  lunfs_worker_free_restore (r);
}

/* Until the administrator decides otherwise. */
static void
refuse (LunfsRestore *r, const char *why)
{
  lunfs_saved_mark (r->saved->arena, r->index, 1u << LUNFS_SAVED_WAITS, LUNFS_SAVED_REFUSED, why);
  reject (r, why);
}

static void
succeed (LunfsRestore *r)
{
  LunfsRow *row = r->row;
  LunfsLunInfo info = r->info;

  lunfs_notice ("%s lun %u: %" G_GUINT64_FORMAT " KiB and %u discards of an earlier mount written back from %s",
                row->record->target_name, row->record->lun, (r->bytes + 1023) / 1024, r->ranges->len, r->saved->path);
  lunfs_saved_mark (r->saved->arena, r->index, LUNFS_SAVED_OPEN, LUNFS_SAVED_DONE, NULL);
  lunfs_saved_drop_empty (r->saved);
  row->restore = NULL;
  lunfs_worker_free_restore (r);
  if (lunfs_worker_restore (row, &info))
    lunfs_worker_row_ready (row, &info);
}

static void
fail (LunfsRestore *r)
{
  g_autofree char *why = NULL;

  if (r->row->taken) {
    refuse (r, "another initiator has reserved the LUN");
    return;
  }
  why = g_strdup_printf ("it could not be %s: %s", r->stage == LUNFS_RESTORE_WITNESSES ? "compared" : "written back",
                         g_strerror (-r->error));
  reject (r, why);
}

/* ---- requests ---- */

static void advance (LunfsRestore *r);

static void
op_done (LunfsRequest *req)
{
  LunfsRestoreOp *op = req->owner;
  LunfsRestore *r = op->restore;

  op->busy = false;
  r->busy--;
  if (req->result == -ECANCELED || req->result == -EINTR) {
    r->lost = true;
  } else if (req->result == -EOPNOTSUPP && r->stage == LUNFS_RESTORE_RANGES && req->op != LUNFS_OP_WRITE) {
    r->zero_from = req->offset;
    r->zero_end = req->offset + req->length;
  } else if (req->result < 0 && r->error == 0) {
    r->error = req->result;
  } else if (req->result == 0 && r->stage == LUNFS_RESTORE_WITNESSES) {
    lunfs_restore_compare (r, op);
  }
  advance (r);
}

static void
send (LunfsRestore *r, LunfsRestoreOp *op, LunfsOp what, uint64_t offset, uint64_t length, uint32_t flags)
{
  lunfs_request_init (&op->req);
  op->req.op = what;
  op->req.flags = LUNFS_REQ_RECOVERY | flags;
  op->req.offset = offset;
  op->req.length = length;
  op->req.iov = op->iov;
  op->req.chunks = NULL;
  op->req.nchunks = 0;
  op->req.done = op_done;
  op->req.owner = op;
  op->req.submit_us = lunfs_lane_now_us (r->row->lane);
  op->busy = true;
  r->busy++;
  LunfsLayer *session = lunfs_session_layer (r->row->session);
  session->ops->submit (session, &op->req);
}

static bool
send_witness (LunfsRestore *r, LunfsRestoreOp *op)
{
  uint64_t size = r->info.capacity.nblocks * r->info.capacity.block_size;

  while (r->next < LUNFS_ARENA_WITNESSES) {
    const LunfsArenaWitness *witness = &lunfs_restore_witnesses (r)[r->next++];
    uint64_t offset = lunfs_witness_page (witness) * LUNFS_PAGE_BYTES;
    uint32_t from, to;

    lunfs_witness_bytes (witness, &from, &to);
    if (to == 0 || offset >= size || to > size - offset)
      continue;
    op->witness = witness;
    op->iov[0] = (struct iovec){ op->page, MIN (LUNFS_PAGE_BYTES, size - offset) };
    op->req.niov = 1;
    send (r, op, LUNFS_OP_READ, offset, op->iov[0].iov_len, 0);
    return true;
  }
  return false;
}

/* Of one command; at least a block. */
static uint64_t
max_bytes (const LunfsRestore *r)
{
  uint64_t n = r->info.limits.max_transfer_blocks;

  return n ? n * r->info.capacity.block_size : UINT64_MAX;
}

static bool
send_range (LunfsRestore *r, LunfsRestoreOp *op)
{
  const LunfsArenaRange *range;

  if (r->busy > 0)
    return false;
  if (r->zero_from < r->zero_end) {
    uint64_t from = r->zero_from, max = max_bytes (r);

    r->zero_from += MIN (r->zero_end - from, MIN (LUNFS_ZEROES_BYTES, max));
    op->iov[0] = (struct iovec){ lunfs_zeroes, r->zero_from - from };
    op->req.niov = 1;
    send (r, op, LUNFS_OP_WRITE, from, r->zero_from - from, 0);
    return true;
  }
  if (r->next >= r->ranges->len)
    return false;
  range = &r->saved->arena->ranges[g_array_index (r->ranges, uint32_t, r->next++)];
  op->req.niov = 0;
  send (r, op, (LunfsOp) range->op, range->offset, range->length, range->flags);
  return true;
}

/* Whole pages that follow each other go together, of others one run of blocks at a time. */
static bool
send_pages (LunfsRestore *r, LunfsRestoreOp *op)
{
  uint32_t bs = lunfs_restore_record (r)->block_size, full = (1u << LUNFS_PAGE_BYTES / bs) - 1;
  uint64_t max = max_bytes (r);
  const uint8_t *data;
  const LunfsArenaPage *p;
  unsigned n = 0;
  uint64_t offset;

  if (r->next >= r->pages->len)
    return false;
  p = lunfs_restore_page (r, r->next, &data);
  offset = p->number * LUNFS_PAGE_BYTES;
  if (r->left == 0 && p->blocks == full && max >= LUNFS_PAGE_BYTES) {
    for (; r->next < r->pages->len && n < LUNFS_RESTORE_RUN_PAGES && (n + 1) * (uint64_t) LUNFS_PAGE_BYTES <= max;
         n++, r->next++) {
      p = lunfs_restore_page (r, r->next, &data);
      if (p->blocks != full || p->number * LUNFS_PAGE_BYTES != offset + n * (uint64_t) LUNFS_PAGE_BYTES)
        break;
      op->iov[n] = (struct iovec){ (void *) data, LUNFS_PAGE_BYTES };
    }
    op->req.niov = n;
    r->bytes += n * (uint64_t) LUNFS_PAGE_BYTES;
    send (r, op, LUNFS_OP_WRITE, offset, n * (uint64_t) LUNFS_PAGE_BYTES, 0);
    return true;
  }
  if (r->left == 0)
    r->left = p->blocks;
  uint32_t first = (uint32_t) __builtin_ctz (r->left), count = 0;
  while (r->left & 1u << (first + count) && (count == 0 || (count + 1) * (uint64_t) bs <= max))
    r->left &= (uint8_t) ~(1u << (first + count++));
  if (r->left == 0)
    r->next++;
  op->iov[0] = (struct iovec){ (void *) (data + first * bs), count * bs };
  op->req.niov = 1;
  r->bytes += count * bs;
  send (r, op, LUNFS_OP_WRITE, offset + first * bs, count * bs, 0);
  return true;
}

static bool
send_flush (LunfsRestore *r, LunfsRestoreOp *op)
{
  if (r->next++ > 0)
    return false;
  op->req.niov = 0;
  send (r, op, LUNFS_OP_FLUSH, 0, 0, 0);
  return true;
}

static void
send_some (LunfsRestore *r)
{
  static bool (*const senders[]) (LunfsRestore *, LunfsRestoreOp *) = { [LUNFS_RESTORE_WITNESSES] = send_witness,
                                                                        [LUNFS_RESTORE_RANGES] = send_range,
                                                                        [LUNFS_RESTORE_PAGES] = send_pages,
                                                                        [LUNFS_RESTORE_FLUSH] = send_flush };

  r->sending = true;
  for (unsigned i = 0; i < LUNFS_RESTORE_OPS && !r->lost && r->error == 0; i++)
    if (!r->ops[i].busy && !senders[r->stage](r, &r->ops[i]))
      break;
  r->sending = false;
}

static void
enter (LunfsRestore *r, LunfsRestoreStage stage)
{
  r->stage = stage;
  r->next = 0;
  if (stage == LUNFS_RESTORE_RANGES) /* from here on its own writes are no witnesses against it */
    lunfs_saved_begin (r->saved->arena, r->index);
}

/* True: on with it. */
static bool
proof_holds (LunfsRestore *r)
{
  g_autofree char *why = lunfs_restore_verdict (r);

  if (why)
    refuse (r, why);
  return !why;
}

static bool
is_recovering (const LunfsRestore *r)
{
  LunfsSessionSnapshot snapshot;

  lunfs_session_snapshot (r->row->session, &snapshot);
  return snapshot.state == LUNFS_SESSION_RECOVER;
}

static void
advance (LunfsRestore *r)
{
  if (r->sending)
    return;
  send_some (r);
  while (r->busy == 0) {
    if (r->lost || (r->error && !is_recovering (r))) { /* lunfs_worker_restore comes again with the next login */
      r->row->restore = NULL;
      lunfs_worker_free_restore (r);
      return;
    }
    if (r->error) {
      fail (r);
      return;
    }
    if (r->stage == LUNFS_RESTORE_WITNESSES && !proof_holds (r))
      return;
    if (r->stage == LUNFS_RESTORE_FLUSH) {
      succeed (r);
      return;
    }
    enter (r, r->stage + 1);
    send_some (r);
  }
}

/* ---- begin ---- */

/* By lunfsctl, which cannot remove what somebody has locked. */
static void
drop_discarded (LunfsWorker *w)
{
  for (guint i = 0; i < w->saved->len; i++) {
    LunfsSaved *saved = w->saved->pdata[i];

    if (!lunfs_saved_take (saved))
      continue;
    lunfs_saved_drop_empty (saved);
    lunfs_saved_release (saved);
  }
}

/* Under the lock it is looked at again: another mount may just have written it back. */
static LunfsSaved *
find (LunfsRow *row, const char *identity, unsigned *out_index, bool *out_holds)
{
  for (;;) {
    LunfsSaved *saved = lunfs_worker_find_saved (row, identity, out_index);

    *out_holds = saved && lunfs_saved_take (saved);
    if (!*out_holds || lunfs_worker_find_saved (row, identity, out_index) == saved)
      return saved;
    lunfs_saved_release (saved);
  }
}

/* Our own registration, taken over from the dead mount in this login, is no witness against its data. */
static void
follow_generation (LunfsRestore *r)
{
  LunfsArenaLun *l = lunfs_restore_record (r);

  if (r->holds && l->pr_known && r->info.have_pr && r->info.pr_generation == l->pr_generation)
    l->pr_generation = r->info.pr_generation_now;
}

bool
lunfs_worker_restore (LunfsRow *row, const LunfsLunInfo *info)
{
  unsigned index = 0;
  bool holds;
  LunfsSaved *saved = find (row, info->identity.text, &index, &holds);
  LunfsRestore *r;
  const char *why;
  bool approved = false;

  if (!saved) {
    drop_discarded (row->worker);
    return true;
  }
  r = row->restore = g_new0 (LunfsRestore, 1);
  r->row = row;
  r->saved = saved;
  r->holds = holds;
  r->index = index;
  r->info = *info;
  for (unsigned i = 0; i < LUNFS_RESTORE_OPS; i++)
    r->ops[i].restore = r;
  follow_generation (r);
  why = lunfs_restore_obstacle (r);
  if (why) {
    reject (r, why);
    return false;
  }
  why = lunfs_restore_judge (r, &approved);
  if (!why && !lunfs_saved_collect (saved->arena, index, &r->ranges, &r->pages))
    why = "its records are damaged";
  if (why) {
    refuse (r, why);
    return false;
  }
  enter (r, LUNFS_RESTORE_WITNESSES);
  if (approved)
    enter (r, LUNFS_RESTORE_RANGES);
  advance (r);
  return false;
}
