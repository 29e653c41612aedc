/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "fuse/channel.h"

#include "fuse/data.h"
#include "fuse/interrupt.h"
#include "lunfs/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

/* Newer than Debian 12's linux/fuse.h (7.38): Linux 6.9. */
#define NOTIFY_RESEND 7
#define UNIQUE_RESEND (UINT64_C (1) << 63)

#define BATCH                                                                                                          \
  16 /* requests read before they are sent on: half of what fio keeps in flight pipelines best (tests/bench/README) */
#define RESERVE_CHUNKS 64    /* below that many free ones nothing more is read */
#define LINEAR_BYTES 139264u /* largest request but WRITE: SETXATTR with a 64 KiB value, names, headers */

struct LunfsChannel {
  LunfsLane *lane;
  LunfsChannelConf conf;
  LunfsDataEnv env;
  LunfsWatch watch;
  LunfsMail resume;
  atomic_bool resume_posted;
  bool reading, started, gone;
  uint32_t offered[LUNFS_CHUNKS_PER_REQUEST]; /* chunks the next request's payload lands in */
  bool have_offered;
  struct iovec iov[1 + LUNFS_CHUNKS_PER_REQUEST]; /* a slot's header, the offered chunks */
  unsigned nmapped;                               /* how many chunks of iov are right */
  LunfsCall *current;                             /* its slot takes the next request */
  uint8_t *linear;                                /* non-data requests in one piece, for libfuse */

  GMutex lock; /* Protects free, to which calls come back from every lane. */
  LunfsCall *free;
  LunfsCall *calls;
  LunfsInterrupts *interrupts;
  atomic_uint in_flight;
  atomic_bool starved;
};

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

static void
give_call (LunfsCall *call)
{
  LunfsChannel *ch = call->channel;

  call->slot->len = 0;
  g_mutex_lock (&ch->lock);
  call->next_free = ch->free;
  ch->free = call;
  g_mutex_unlock (&ch->lock);
}

/* Any lane: something was given back that reading waits for. */
static void
wake_reader (void *user)
{
  LunfsChannel *ch = user;

  if (atomic_load (&ch->starved) && !atomic_exchange (&ch->resume_posted, true))
    lunfs_lane_post (ch->lane, &ch->resume);
}

static void
release (LunfsCall *call)
{
  LunfsChannel *ch = call->channel;

  atomic_store (&call->unique, 0);
  give_call (call);
  atomic_fetch_sub (&ch->in_flight, 1);
  wake_reader (ch);
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
  if (!ch->have_offered)
    ch->have_offered = lunfs_pool_take (ch->conf.pool, ch->offered, LUNFS_CHUNKS_PER_REQUEST);
  if (!ch->current)
    ch->current = take_call (ch);
  return ch->have_offered && ch->current && !lunfs_pool_short (ch->conf.pool, RESERVE_CHUNKS);
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

static void
resume_deliver (LunfsMail *mail)
{
  LunfsChannel *ch = (LunfsChannel *) ((char *) mail - offsetof (LunfsChannel, resume));

  atomic_store (&ch->resume_posted, false);
  atomic_store (&ch->starved, false);
  update_watch (ch); /* prepare looks again */
}

/* The payload stays where it is: its chunks leave the offer, fresh ones take their place. */
static void
adopt_payload (LunfsChannel *ch, LunfsCall *call, size_t bytes)
{
  unsigned n = (unsigned) ((bytes + LUNFS_CHUNK_BYTES - 1) / LUNFS_CHUNK_BYTES);

  ch->nmapped = 0;
  memcpy (call->chunk, ch->offered, n * sizeof *call->chunk);
  memcpy (call->slot->chunk, ch->offered, n * sizeof *call->chunk);
  call->slot->nchunks = call->nchunks = n;
  if (!lunfs_pool_take (ch->conf.pool, ch->offered, n)) {
    lunfs_pool_give (ch->conf.pool, ch->offered + n, LUNFS_CHUNKS_PER_REQUEST - n);
    ch->have_offered = false;
  }
}

static void
serve_data (LunfsChannel *ch, LunfsCall *call, bool is_write, size_t len)
{
  const struct fuse_in_header *in = (const struct fuse_in_header *) call->slot->header;

  ch->current = NULL;
  atomic_fetch_add (&ch->in_flight, 1);
  atomic_store (&call->unique, in->unique & ~UNIQUE_RESEND);
  call->lun = lunfs_tree_lun (ch->conf.tree, in->nodeid);
  call->nchunks = call->slot->nchunks = 0;
  call->req.chunks = NULL;
  if (is_write) {
    adopt_payload (ch, call, len - LUNFS_SLOT_HEADER_BYTES);
    lunfs_data_write (&ch->env, call);
  } else {
    lunfs_data_read (&ch->env, call);
  }
}

/* Everything else goes to libfuse, in one piece. */
static void
serve_other (LunfsChannel *ch, LunfsCall *call, size_t len)
{
  struct fuse_buf buf = { .mem = ch->linear, .size = len };
  size_t head = MIN (len, LUNFS_SLOT_HEADER_BYTES), at = head;

  if (len > LINEAR_BYTES) {
    const struct fuse_in_header *in = (const struct fuse_in_header *) call->slot->header;
    struct fuse_out_header out = { .len = sizeof out, .error = -E2BIG, .unique = in->unique };

    if (write (ch->conf.fuse_fd, &out, sizeof out) < 0)
      lunfs_debug (FUSE, "refusing a request of %zu bytes: %s", len, g_strerror (errno));
    return;
  }
  memcpy (ch->linear, call->slot->header, head);
  for (unsigned i = 0; at < len; i++) {
    size_t n = MIN (len - at, LUNFS_CHUNK_BYTES);

    memcpy (ch->linear + at, lunfs_pool_chunk (ch->conf.pool, ch->offered[i]), n);
    at += n;
  }
  call->slot->len = 0;
  fuse_session_process_buf (ch->conf.se, &buf);
}

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
  uint64_t unique = in->unique & ~UNIQUE_RESEND;

  for (unsigned n = 0; n < LUNFS_ARENA_SLOTS; n++) {
    LunfsCall *call = &ch->calls[n];
    const struct fuse_in_header *header = (const struct fuse_in_header *) call->slot->header;

    if (atomic_load (&call->unique) != unique)
      continue;
    lunfs_interrupts_add (ch->interrupts, lunfs_lun_lane (call->lun), header->pid, call, unique);
    return true;
  }
  return false;
}

static void
serve (LunfsChannel *ch, size_t len)
{
  LunfsCall *call = ch->current;
  const struct fuse_in_header *in = (const struct fuse_in_header *) call->slot->header;

  call->slot->len = (uint32_t) len;
  if (in->unique & UNIQUE_RESEND)
    ch->conf.arena->header->resent++;
  switch (in->opcode) {
  case FUSE_READ:
  case FUSE_WRITE:
    if (lunfs_tree_lun (ch->conf.tree, in->nodeid))
      serve_data (ch, call, in->opcode == FUSE_WRITE, len);
    else
      serve_other (ch, call, len);
    break;
  case FUSE_FORGET: /* node ids are fixed: nothing is counted */
  case FUSE_BATCH_FORGET:
    call->slot->len = 0;
    break;
  case FUSE_INTERRUPT:
    if (interrupt (ch, (const void *) (call->slot->header + sizeof *in)))
      call->slot->len = 0;
    else
      serve_other (ch, call, len);
    break;
  default:
    serve_other (ch, call, len);
    break;
  }
}

static ssize_t
read_request (LunfsChannel *ch)
{
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

  for (unsigned i = 0; i < BATCH && ch->reading && prepare (ch); i++) {
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
      return;
    }
  }
}

/* ---- life ---- */

LunfsChannel *
lunfs_channel_new (LunfsLane *lane, const LunfsChannelConf *conf)
{
  LunfsChannel *ch = g_new0 (LunfsChannel, 1);

  ch->lane = lane;
  ch->conf = *conf;
  ch->env = (LunfsDataEnv){ conf->fuse_fd, conf->pool, release };
  ch->watch.ready = ready;
  ch->resume.deliver = resume_deliver;
  g_mutex_init (&ch->lock);
  ch->interrupts = lunfs_interrupts_new (find_request);
  ch->linear = g_malloc (LINEAR_BYTES);
  ch->calls = g_new0 (LunfsCall, LUNFS_ARENA_SLOTS);
  for (unsigned i = LUNFS_ARENA_SLOTS; i-- > 0;) {
    ch->calls[i].channel = ch;
    ch->calls[i].slot = &conf->arena->slots[i];
    give_call (&ch->calls[i]);
  }
  lunfs_pool_set_hook (conf->pool, wake_reader, ch);
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
  lunfs_interrupts_free (ch->interrupts);
  g_mutex_clear (&ch->lock);
  g_free (ch->linear);
  g_free (ch->calls);
  g_free (ch);
}

static void
start_on_lane (void *user)
{
  LunfsChannel *ch = user;

  ch->reading = ch->started = true;
  update_watch (ch);
}

void
lunfs_channel_start (LunfsChannel *ch, bool resend)
{
  struct fuse_out_header notify = { .len = sizeof notify, .error = NOTIFY_RESEND };

  if (resend && write (ch->conf.fuse_fd, &notify, sizeof notify) < 0)
    lunfs_error ("the kernel cannot send again what the last worker had read (%s): those requests hang until the file "
                 "system is unmounted; Linux 6.9 or later is needed",
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
