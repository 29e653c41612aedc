/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What becomes of a request that was read, or found in its slot: READ and WRITE of LUNs go to data.c, all else to libfuse,
 * those that workers crash over (poison.h) have to wait or are refused.  Its slot and its chunks are its own until the kernel
 * has the answer; then, in this order, the slot is cleared, the chunks and the call are given back. */
#include "config.h"

#include "fuse/channel-private.h"

#include "lunfs/log.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define LINEAR_BYTES 139264u /* largest request but WRITE: SETXATTR with a 64 KiB value, names, headers */
#define SUSPECT_AGAIN_US 50000
#define SUSPECT_HOLD_US INT64_C (10000000) /* a worker that crashes in its logins does not live that long */

/* ---- the end of a request ---- */

/* Any lane: it is answered.  Nobody has anything of its slot or its chunks any more. */
static void
let_go (LunfsCall *call)
{
  LunfsChannel *ch = call->channel;

  if (call->accused)
    lunfs_poison_forget (ch->poison, call->accused);
  call->accused = 0;
  if (atomic_load (&ch->trying) == call) {
    atomic_store (&ch->trying, NULL);
    if (!atomic_exchange (&ch->next_suspect_posted, true))
      lunfs_lane_post (ch->lane, &ch->next_suspect);
  }
  lunfs_channel_give_call (call);
  lunfs_channel_wake (ch);
}

static void
release (LunfsCall *call)
{
  atomic_store (&call->unique, 0);
  atomic_fetch_sub (&call->channel->in_flight, 1);
  let_go (call);
}

/* The slot is free before its chunks are: a successor must not find them with two owners. */
static void
end_other (LunfsCall *call)
{
  lunfs_slot_clear (call->slot);
  lunfs_pool_give (call->channel->conf.pool, call->chunk, call->nchunks);
  call->nchunks = 0;
  let_go (call);
}

/* Any thread: libfuse has written its answer to @unique, and the kernel has it.  (LunfsOpsAnswered) */
static void
answered (void *user, uint64_t unique)
{
  LunfsChannel *ch = user;
  LunfsCall *call;

  g_mutex_lock (&ch->lock);
  call = g_hash_table_lookup (ch->others, &unique);
  if (call)
    g_hash_table_remove (ch->others, &unique);
  g_mutex_unlock (&ch->lock);
  if (call)
    end_other (call);
}

/* ---- its begin ---- */

static void
answer_error (LunfsChannel *ch, LunfsCall *call, int error)
{
  struct fuse_out_header out = { .len = sizeof out, .error = error, .unique = lunfs_slot_header (call->slot)->unique };

  if (write (ch->conf.fuse_fd, &out, sizeof out) < 0)
    lunfs_debug (FUSE, "refusing a request: %s", g_strerror (errno));
  end_other (call);
}

static void
serve_data (LunfsChannel *ch, LunfsCall *call, bool is_write)
{
  atomic_fetch_add (&ch->in_flight, 1);
  atomic_store (&call->unique, lunfs_slot_unique (call->slot));
  call->req.chunks = NULL;
  if (is_write)
    lunfs_data_write (&ch->env, call);
  else
    lunfs_data_read (&ch->env, call);
}

static void
to_libfuse (LunfsChannel *ch, const LunfsArenaSlot *slot, const uint32_t *chunk, size_t len)
{
  struct fuse_buf buf = { .mem = ch->linear, .size = len };
  size_t at = MIN (len, LUNFS_SLOT_HEADER_BYTES);

  memcpy (ch->linear, slot->header, at);
  for (unsigned i = 0; at < len; i++) {
    size_t n = MIN (len - at, LUNFS_CHUNK_BYTES);

    memcpy (ch->linear + at, lunfs_pool_chunk (ch->conf.pool, chunk[i]), n);
    at += n;
  }
  fuse_session_process_buf (ch->conf.se, &buf);
}

/* Everything else goes to libfuse, in one piece.  The slot is kept until it is answered. */
static void
serve_other (LunfsChannel *ch, LunfsCall *call)
{
  size_t len = lunfs_slot_bytes (call->slot);

  if (len > LINEAR_BYTES) {
    answer_error (ch, call, -E2BIG);
    return;
  }
  call->key = lunfs_slot_header (call->slot)->unique;
  g_mutex_lock (&ch->lock);
  g_hash_table_insert (ch->others, &call->key, call);
  g_mutex_unlock (&ch->lock);
  to_libfuse (ch, call->slot, call->chunk, len); /* it may be answered, and the call another's, before this returns */
}

/* From here on it is being served: if the worker crashes, perhaps because of it. */
static void
serve_call (LunfsChannel *ch, LunfsCall *call)
{
  const struct fuse_in_header *in = lunfs_slot_header (call->slot);
  bool is_data = (in->opcode == FUSE_READ || in->opcode == FUSE_WRITE) && call->lun;

  __atomic_store_n (&call->slot->len, lunfs_slot_bytes (call->slot), __ATOMIC_RELEASE);
  if (G_UNLIKELY (ch->crash_offset != UINT64_MAX) && is_data)
    lunfs_data_crash (call, ch->crash_offset);
  if (is_data)
    serve_data (ch, call, in->opcode == FUSE_WRITE);
  else
    serve_other (ch, call);
}

/* ---- suspects: poison.h ---- */

/* One whose LUN does not serve only waits: if the worker crashes now, it is not for that.  After a while it is the session
 * that says how long it may wait. */
static bool
is_time_for (LunfsChannel *ch, const LunfsCall *call)
{
  return !call->lun || lunfs_lun_serving (call->lun) || lunfs_lane_now_us (ch->lane) - call->held_us >= SUSPECT_HOLD_US;
}

static void
try_next_suspect (LunfsChannel *ch)
{
  LunfsCall **at = &ch->held, *call;

  if (!ch->held || atomic_load (&ch->trying))
    return;
  while (*at && !is_time_for (ch, *at))
    at = &(*at)->next_free;
  call = *at;
  if (!call) {
    lunfs_lane_arm (ch->lane, &ch->look_again, SUSPECT_AGAIN_US);
    return;
  }
  *at = call->next_free;
  atomic_store (&ch->trying, call);
  serve_call (ch, call);
  atomic_fetch_sub (&ch->waiting, 1);
}

static void
next_suspect_deliver (LunfsMail *mail)
{
  LunfsChannel *ch = (LunfsChannel *) ((char *) mail - offsetof (LunfsChannel, next_suspect));

  atomic_store (&ch->next_suspect_posted, false);
  try_next_suspect (ch);
}

static void
look_again_fired (LunfsTimer *timer)
{
  try_next_suspect ((LunfsChannel *) ((char *) timer - offsetof (LunfsChannel, look_again)));
}

static void
hold (LunfsChannel *ch, LunfsCall *call)
{
  LunfsCall **end = &ch->held;

  while (*end)
    end = &(*end)->next_free;
  call->held_us = lunfs_lane_now_us (ch->lane);
  call->next_free = NULL;
  *end = call;
  atomic_fetch_add (&ch->waiting, 1);
  try_next_suspect (ch);
}

static void
refuse (LunfsChannel *ch, LunfsCall *call)
{
  g_autofree char *name = lunfs_tree_lun_name (ch->conf.tree, lunfs_slot_header (call->slot)->nodeid);
  g_autofree char *what = lunfs_data_describe (call);

  lunfs_error ("%s: %s: the worker crashed %d times while it served that: its user gets EIO", name ? name : "mount",
               what, LUNFS_POISON_CRASHES);
  __atomic_store_n (&ch->conf.arena->header->poisoned, ch->conf.arena->header->poisoned + 1, __ATOMIC_RELAXED);
  answer_error (ch, call, -EIO);
}

void
lunfs_serve (LunfsChannel *ch, LunfsCall *call)
{
  const struct fuse_in_header *in = lunfs_slot_header (call->slot);
  uint64_t unique = lunfs_slot_unique (call->slot);
  LunfsPoisonVerdict verdict = lunfs_poison_judge (ch->poison, unique);

  call->lun = lunfs_tree_lun (ch->conf.tree, in->nodeid);
  call->accused = verdict == LUNFS_POISON_NONE ? 0 : unique;
  if (verdict == LUNFS_POISON_GUILTY)
    refuse (ch, call);
  else if (verdict == LUNFS_POISON_SUSPECT)
    hold (ch, call);
  else
    serve_call (ch, call);
}

/* ---- signals ---- */

/* The LUN's lane is the one that ends it: what is under way stays so.  (LunfsInterruptFind) */
static LunfsRequest *
find_request (void *user, uint64_t unique, LunfsLun **lun)
{
  LunfsCall *call = user;

  if (atomic_load (&call->unique) != unique)
    return NULL;
  *lun = call->lun;
  return &call->req;
}

/* Returns false if it is not a READ or WRITE: then libfuse may know it.  Only this lane takes slots into use: one that
 * ends meanwhile keeps its header and its LUN. */
static bool
interrupt (LunfsChannel *ch, const struct fuse_interrupt_in *in)
{
  uint64_t unique = in->unique & ~LUNFS_UNIQUE_RESEND;

  for (unsigned n = 0; n < LUNFS_ARENA_SLOTS; n++) {
    LunfsCall *call = &ch->calls[n];

    if (atomic_load (&call->unique) != unique)
      continue;
    lunfs_interrupts_add (ch->interrupts, lunfs_lun_lane (call->lun), lunfs_slot_header (call->slot)->pid, call,
                          unique);
    return true;
  }
  return false;
}

void
lunfs_serve_interrupt (LunfsChannel *ch, size_t len)
{
  LunfsArenaSlot *slot = ch->current->slot;

  if (!interrupt (ch, (const void *) (lunfs_slot_header (slot) + 1)))
    to_libfuse (ch, slot, ch->offered, len);
}

/* ---- life ---- */

/* tests/README */
static uint64_t
test_crash_offset (void)
{
  const char *text = g_getenv ("LUNFS_TEST_CRASH_OFFSET");

  return text ? g_ascii_strtoull (text, NULL, 10) : UINT64_MAX;
}

void
lunfs_serve_init (LunfsChannel *ch)
{
  ch->env = (LunfsDataEnv){ ch->conf.fuse_fd, ch->conf.pool, release, ch->conf.inbox };
  ch->next_suspect.deliver = next_suspect_deliver;
  ch->look_again.fire = look_again_fired;
  ch->crash_offset = test_crash_offset ();
  ch->interrupts = lunfs_interrupts_new (find_request);
  ch->poison = lunfs_poison_new (ch->conf.arena->header);
  ch->others = g_hash_table_new (g_int64_hash, g_int64_equal);
  ch->linear = g_malloc (LINEAR_BYTES);
  lunfs_ops_set_answered (ch->conf.ops, answered, ch);
}

void
lunfs_serve_clear (LunfsChannel *ch)
{
  lunfs_ops_set_answered (ch->conf.ops, NULL, NULL);
  lunfs_interrupts_free (ch->interrupts);
  lunfs_poison_free (ch->poison);
  g_hash_table_unref (ch->others);
  g_free (ch->linear);
}
