/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "fuse/channel-private.h"

#include "fuse/inbox.h"
#include "lunfs/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define NOTIFY_RESEND 7 /* newer than Debian 12's linux/fuse.h: Linux 6.9 */

#define BATCH                                                                                                          \
  16 /* requests read before they are sent on: half of what fio keeps in flight pipelines best (tests/bench/README) */
#define RESERVE_CHUNKS 64 /* below that many free ones nothing more is read */

const LunfsDataEnv *
lunfs_channel_data_env (LunfsChannel *ch)
{
  return &ch->env;
}

unsigned
lunfs_channel_in_flight (LunfsChannel *ch)
{
  return atomic_load (&ch->in_flight);
}

/* In this order: what moves from the one to the other meanwhile is counted. */
unsigned
lunfs_channel_unanswered (LunfsChannel *ch)
{
  unsigned waiting = atomic_load (&ch->waiting);

  return waiting + atomic_load (&ch->in_flight);
}

/* ---- slots ---- */

static LunfsCall *
take_call (LunfsChannel *ch)
{
  LunfsCall *call;

  g_mutex_lock (&ch->lock);
  call = ch->free;
  if (call)
    ch->free = call->next_free;
  g_mutex_unlock (&ch->lock);
  return call;
}

void
lunfs_channel_give_call (LunfsCall *call)
{
  LunfsChannel *ch = call->channel;

  g_mutex_lock (&ch->lock);
  call->next_free = ch->free;
  ch->free = call;
  g_mutex_unlock (&ch->lock);
}

void
lunfs_channel_wake (LunfsChannel *ch)
{
  if (atomic_load (&ch->starved) && !atomic_exchange (&ch->resume_posted, true))
    lunfs_lane_post (ch->lane, &ch->resume);
}

static void
memory_came_back (void *user)
{
  lunfs_channel_wake (user);
}

/* ---- reading ---- */

static void
update_watch (LunfsChannel *ch)
{
  if (ch->reading && !ch->gone && !atomic_load (&ch->starved))
    lunfs_lane_watch (ch->lane, &ch->watch, ch->conf.fuse_fd, EPOLLIN);
  else
    lunfs_lane_unwatch (ch->lane, &ch->watch);
}

static bool
have_room (LunfsChannel *ch)
{
  if (!ch->have_offered || !ch->current)
    ch->recorded = false;
  if (!ch->have_offered)
    ch->have_offered = lunfs_pool_take (ch->conf.pool, ch->offered, LUNFS_CHUNKS_PER_REQUEST);
  if (!ch->current)
    ch->current = take_call (ch);
  /* Nothing new before what an earlier worker had: see comes_before(). */
  return ch->have_offered && ch->current && !lunfs_pool_short (ch->conf.pool, RESERVE_CHUNKS)
         && (ch->collecting || !ch->replays);
}

/* A slot and 1 MiB of chunks for the next request.  False: reading has to wait. */
static bool
prepare (LunfsChannel *ch)
{
  if (have_room (ch))
    return true;
  atomic_store (&ch->starved, true);
  if (have_room (ch)) { /* it came back before the flag could be seen */
    atomic_store (&ch->starved, false);
    return true;
  }
  update_watch (ch);
  return false;
}

/* The payload stays where it is: its chunks leave the offer, fresh ones take their place. */
static void
adopt_payload (LunfsChannel *ch, LunfsCall *call, unsigned n)
{
  ch->nmapped = 0;
  memcpy (call->chunk, ch->offered, n * sizeof *call->chunk);
  call->nchunks = n;
  if (!lunfs_pool_take (ch->conf.pool, ch->offered, n)) {
    lunfs_pool_give (ch->conf.pool, ch->offered + n, LUNFS_CHUNKS_PER_REQUEST - n);
    ch->have_offered = false;
  }
}

/* Of two that were under way when a worker died: which is served first.  WRITEs before READs, which may have come behind them
 * (lunfs_lun_new's reads_in_order); else as the kernel gave them out. */
static bool
comes_before (const LunfsCall *call, const LunfsCall *other)
{
  bool writes = lunfs_slot_header (call->slot)->opcode == FUSE_WRITE;
  bool other_writes = lunfs_slot_header (other->slot)->opcode == FUSE_WRITE;

  return writes != other_writes ? writes : lunfs_slot_unique (call->slot) < lunfs_slot_unique (other->slot);
}

static void
add_replay (LunfsChannel *ch, LunfsCall *call)
{
  LunfsCall **at = &ch->replays;

  while (*at && comes_before (*at, call))
    at = &(*at)->next_free;
  call->next_free = *at;
  *at = call;
  atomic_fetch_add (&ch->waiting, 1);
}

/* Memory is short, and somebody will give some back.  Else what an earlier worker left goes on one by one: copies that were
 * made of it (lunfs_inbox_own) may have taken more than was kept free. */
static bool
must_wait (LunfsChannel *ch)
{
  return lunfs_pool_short (ch->conf.pool, RESERVE_CHUNKS) && atomic_load (&ch->in_flight) > 0;
}

/* What was found in the slots or sent again, as far as there is room for it. */
static void
replay (LunfsChannel *ch)
{
  while (ch->replays) {
    LunfsCall *call = ch->replays;

    if (must_wait (ch)) {
      atomic_store (&ch->starved, true);
      if (must_wait (ch))
        return;
      atomic_store (&ch->starved, false);
    }
    ch->replays = call->next_free;
    ch->conf.arena->header->replayed += ch->conf.inbox;
    lunfs_serve (ch, call);
    atomic_fetch_sub (&ch->waiting, 1);
  }
}

/* The kernel sends again in no order, but before anything new. */
static void
end_collecting (LunfsChannel *ch)
{
  if (!ch->collecting)
    return;
  ch->collecting = false;
  replay (ch);
}

static void
resume_deliver (LunfsMail *mail)
{
  LunfsChannel *ch = (LunfsChannel *) ((char *) mail - offsetof (LunfsChannel, resume));

  atomic_store (&ch->resume_posted, false);
  atomic_store (&ch->starved, false);
  replay (ch);
  update_watch (ch); /* prepare looks again */
}

static void
serve (LunfsChannel *ch, size_t len)
{
  LunfsCall *call = ch->current;
  const struct fuse_in_header *in = lunfs_slot_header (call->slot);

  if (in->unique & LUNFS_UNIQUE_RESEND)
    ch->conf.arena->header->resent++;
  switch (in->opcode) { /* what has no answer leaves the slot to the next one */
  case FUSE_FORGET:     /* node ids are fixed: nothing is counted */
  case FUSE_BATCH_FORGET:
    break;
  case FUSE_INTERRUPT:
    lunfs_serve_interrupt (ch, len);
    break;
  default:
    ch->current = NULL;
    call->nchunks = 0;
    if (len > LUNFS_SLOT_HEADER_BYTES)
      adopt_payload (ch, call, lunfs_slot_chunks ((uint32_t) len));
    if (ch->collecting && (in->unique & LUNFS_UNIQUE_RESEND)) {
      add_replay (ch, call);
      break;
    }
    end_collecting (ch);
    if (ch->replays) /* memory is short */
      add_replay (ch, call);
    else
      lunfs_serve (ch, call);
    break;
  }
}

/* If this worker dies from here on, its successor finds what the kernel has written. */
static void
clean_slot (LunfsChannel *ch)
{
  LunfsArenaSlot *slot = ch->current->slot;

  lunfs_slot_clear (slot);
  if (!ch->recorded)
    memcpy (slot->chunk, ch->offered, sizeof slot->chunk);
  ch->recorded = true;
}

static ssize_t
read_request (LunfsChannel *ch)
{
  clean_slot (ch);
  ch->iov[0] = (struct iovec){ ch->current->slot->header, LUNFS_SLOT_HEADER_BYTES };
  for (; ch->nmapped < LUNFS_CHUNKS_PER_REQUEST; ch->nmapped++)
    ch->iov[1 + ch->nmapped] =
        (struct iovec){ lunfs_pool_chunk (ch->conf.pool, ch->offered[ch->nmapped]), LUNFS_CHUNK_BYTES };
  return readv (ch->conf.fuse_fd, ch->iov, 1 + LUNFS_CHUNKS_PER_REQUEST);
}

static void
mount_gone (LunfsChannel *ch)
{
  ch->gone = true;
  update_watch (ch);
  ch->conf.unmounted (ch->conf.user);
}

static void
ready (LunfsWatch *watch, uint32_t events)
{
  LunfsChannel *ch = (LunfsChannel *) ((char *) watch - offsetof (LunfsChannel, watch));

  for (unsigned i = 0; (i < BATCH || ch->collecting) && ch->reading && prepare (ch); i++) {
    ssize_t n = read_request (ch);

    if (n >= (ssize_t) sizeof (struct fuse_in_header)) {
      serve (ch, (size_t) n);
    } else if (n < 0 && (errno == EINTR || errno == ENOENT)) { /* ENOENT: interrupted before we got it */
      continue;
    } else if (n < 0 && (errno == ENODEV || errno == ECONNABORTED)) {
      mount_gone (ch);
      return;
    } else {
      if (n < 0 && errno != EAGAIN)
        lunfs_warning ("reading /dev/fuse: %s", g_strerror (errno));
      break;
    }
  }
  end_collecting (ch);
}

/* ---- life ---- */

/* An earlier worker's request stays where it is, and so does its payload. */
static bool
take_left (LunfsChannel *ch, LunfsCall *call)
{
  if (!lunfs_inbox_own (ch->conf.arena, ch->conf.pool, call->slot)) {
    lunfs_error ("no memory for a request that the last worker left: its user gets EIO");
    lunfs_inbox_refuse (GINT_TO_POINTER (ch->conf.fuse_fd), lunfs_slot_header (call->slot)->unique);
    lunfs_slot_clear (call->slot);
    return false;
  }
  call->nchunks = lunfs_slot_chunks (lunfs_slot_bytes (call->slot));
  memcpy (call->chunk, call->slot->chunk, sizeof call->chunk);
  return true;
}

static void
make_calls (LunfsChannel *ch)
{
  ch->calls = g_new0 (LunfsCall, LUNFS_ARENA_SLOTS);
  for (unsigned i = LUNFS_ARENA_SLOTS; i-- > 0;) {
    LunfsCall *call = &ch->calls[i];

    call->channel = ch;
    call->slot = &ch->conf.arena->slots[i];
    if (lunfs_slot_bytes (call->slot) == 0 || !take_left (ch, call))
      lunfs_channel_give_call (call);
    else
      add_replay (ch, call);
  }
}

LunfsChannel *
lunfs_channel_new (LunfsLane *lane, const LunfsChannelConf *conf)
{
  LunfsChannel *ch = g_new0 (LunfsChannel, 1);

  ch->lane = lane;
  ch->conf = *conf;
  ch->watch.ready = ready;
  ch->resume.deliver = resume_deliver;
  ch->iov = g_new0 (struct iovec, 1 + LUNFS_CHUNKS_PER_REQUEST);
  g_mutex_init (&ch->lock);
  lunfs_serve_init (ch);
  make_calls (ch);
  lunfs_pool_set_hook (conf->pool, memory_came_back, ch);
  /* Shared with the supervisor, which does not read any more. */
  if (fcntl (conf->fuse_fd, F_SETFL, fcntl (conf->fuse_fd, F_GETFL) | O_NONBLOCK) < 0)
    lunfs_warning ("/dev/fuse: cannot set O_NONBLOCK: %s", g_strerror (errno));
  return ch;
}

void
lunfs_channel_free (LunfsChannel *ch)
{
  if (!ch)
    return;
  lunfs_serve_clear (ch);
  g_mutex_clear (&ch->lock);
  g_free (ch->iov);
  g_free (ch->calls);
  g_free (ch);
}

static void
start_on_lane (void *user)
{
  LunfsChannel *ch = user;

  ch->reading = ch->started = true;
  replay (ch);
  update_watch (ch);
}

void
lunfs_channel_start (LunfsChannel *ch, bool resend)
{
  struct fuse_out_header notify = { .len = sizeof notify, .error = NOTIFY_RESEND };

  ch->collecting = resend && !ch->conf.inbox;
  if (ch->collecting && write (ch->conf.fuse_fd, &notify, sizeof notify) < 0)
    lunfs_error ("the kernel cannot send again what the last worker had read (%s): those requests hang until the file "
                 "system is unmounted; mount with crash_recovery=auto, or use Linux 6.9 or later",
                 g_strerror (errno));
  lunfs_lane_call (ch->lane, start_on_lane, ch);
}

void
lunfs_channel_stop (LunfsChannel *ch)
{
  ch->reading = false;
  update_watch (ch);
}

void
lunfs_channel_inval (LunfsChannel *ch, uint64_t ino)
{
  /* off < 0: attributes only.  ENOENT: the kernel does not have the node. */
  int err = fuse_lowlevel_notify_inval_inode (ch->conf.se, ino, -1, 0);

  if (err && err != -ENOENT)
    lunfs_debug (FUSE, "inval_inode: %s", g_strerror (-err));
}
