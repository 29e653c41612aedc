/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Open files of LUNs: the opens that wait for a LUN that has never been up (plain-file mount), and what each open file has
 * been told of lost data. */
#include "config.h"

#include "fuse/ops-private.h"

#include <gio/gio.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdatomic.h>

struct LunfsOpens {
  int request_limit_s;
  _Atomic uint64_t next_fh;
  atomic_size_t next_serial;
  GMutex lock;             /* Protects what follows. */
  GHashTable *losses_seen; /* OpenFile, by fh */
  GQueue waiting;          /* Waiting */
  enum { OPENS_WAIT, OPENS_GO_ON, OPENS_FAIL } state;
};

typedef struct {
  uint64_t fh;
  const LunfsLun *lun;
  uint64_t losses_seen; /* LunfsRequest.losses_seen */
} OpenFile;

typedef struct {
  LunfsOpens *opens;
  size_t serial;
  fuse_req_t req;
  LunfsLun *lun;
  int flags;
} Waiting;

/* ---- what each open file has been told of ---- */

void
lunfs_opens_set_losses_seen (LunfsOpens *opens, uint64_t fh, const LunfsLun *lun, uint64_t seen)
{
  OpenFile *file = g_new (OpenFile, 1);

  *file = (OpenFile){ fh, lun, seen };
  g_mutex_lock (&opens->lock);
  g_hash_table_add (opens->losses_seen, file);
  g_mutex_unlock (&opens->lock);
}

uint64_t
lunfs_opens_losses_seen (LunfsOpens *opens, uint64_t fh)
{
  const OpenFile *file;
  uint64_t seen;

  g_mutex_lock (&opens->lock);
  file = g_hash_table_lookup (opens->losses_seen, &fh);
  seen = file ? file->losses_seen : 0;
  g_mutex_unlock (&opens->lock);
  return seen;
}

unsigned
lunfs_opens_count (LunfsOpens *opens, const LunfsLun *lun)
{
  GHashTableIter iter;
  gpointer file;
  unsigned n = 0;

  g_mutex_lock (&opens->lock);
  g_hash_table_iter_init (&iter, opens->losses_seen);
  while (g_hash_table_iter_next (&iter, &file, NULL))
    n += ((const OpenFile *) file)->lun == lun;
  g_mutex_unlock (&opens->lock);
  return n;
}

void
lunfs_opens_close (LunfsOpens *opens, uint64_t fh)
{
  g_mutex_lock (&opens->lock);
  g_hash_table_remove (opens->losses_seen, &fh);
  g_mutex_unlock (&opens->lock);
}

static void
reply_open (LunfsOpens *opens, fuse_req_t req, LunfsLun *lun, int flags)
{
  /* Raw: libfuse 3.14.0 has no name for PARALLEL_DIRECT_WRITES.  close() is no barrier: NOFLUSH. */
  struct fuse_open_out out = { .open_flags = FOPEN_NOFLUSH };
  LunfsGeometry g;

  lunfs_lun_geometry (lun, &g);
  if (g.read_only && (flags & O_ACCMODE) != O_RDONLY) {
    fuse_reply_err (req, EROFS);
    return;
  }
  out.open_flags |=
      lunfs_ops_of (req)->conf.page_cache ? FOPEN_KEEP_CACHE : FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES;
  out.fh = atomic_fetch_add (&opens->next_fh, 1);
  lunfs_opens_set_losses_seen (opens, out.fh, lun, lunfs_lun_losses_told (lun));
  if (fuse_reply_buf (req, (const char *) &out, sizeof out) == -ENOENT) /* interrupted: it will not be released */
    lunfs_opens_close (opens, out.fh);
}

/* ---- opens that wait ---- */

/* End the open with @serial, if it still waits, with @err. */
static void
end_waiting (LunfsOpens *opens, size_t serial, int err)
{
  Waiting *found = NULL;

  g_mutex_lock (&opens->lock);
  for (GList *l = opens->waiting.head; l && !found; l = l->next)
    if (((Waiting *) l->data)->serial == serial)
      found = l->data;
  if (found)
    g_queue_remove (&opens->waiting, found);
  g_mutex_unlock (&opens->lock);
  if (found)
    fuse_reply_err (found->req, err);
  g_free (found);
}

static gboolean
interrupted_cb (gpointer data)
{
  const Waiting *copy = data;

  end_waiting (copy->opens, copy->serial, EINTR);
  return G_SOURCE_REMOVE;
}

static gboolean
expired_cb (gpointer data)
{
  const Waiting *copy = data;

  end_waiting (copy->opens, copy->serial, EIO);
  return G_SOURCE_REMOVE;
}

/* libfuse holds locks meanwhile: answered by the control thread, never from inside. */
static void
interrupted (fuse_req_t req, void *serial)
{
  Waiting *copy = g_new0 (Waiting, 1);

  copy->opens = lunfs_ops_of (req)->opens;
  copy->serial = GPOINTER_TO_SIZE (serial);
  g_idle_add_full (G_PRIORITY_DEFAULT, interrupted_cb, copy, g_free);
}

/* Its size is not known, so opening it has to wait. */
static void
hold (LunfsOpens *opens, fuse_req_t req, LunfsLun *lun, int flags)
{
  Waiting w = { opens, atomic_fetch_add (&opens->next_serial, 1), req, lun, flags };
  int state;

  /* Signals come through this thread: none between the question and the queue, after which anybody may answer. */
  fuse_req_interrupt_func (req, interrupted, GSIZE_TO_POINTER (w.serial));
  if (fuse_req_interrupted (req)) {
    fuse_reply_err (req, EINTR);
    return;
  }
  g_mutex_lock (&opens->lock);
  state = opens->state;
  if (state == OPENS_WAIT && !(flags & O_NONBLOCK))
    g_queue_push_tail (&opens->waiting, g_memdup2 (&w, sizeof w));
  g_mutex_unlock (&opens->lock);
  if (state == OPENS_GO_ON)
    reply_open (opens, req, lun, flags);
  else if (state == OPENS_FAIL)
    fuse_reply_err (req, EIO);
  else if (flags & O_NONBLOCK)
    fuse_reply_err (req, EAGAIN);
  else if (opens->request_limit_s)
    g_timeout_add_seconds_full (G_PRIORITY_DEFAULT, (guint) opens->request_limit_s, expired_cb,
                                g_memdup2 (&w, sizeof w), g_free);
}

unsigned
lunfs_opens_waiting (LunfsOpens *opens)
{
  unsigned n;

  g_mutex_lock (&opens->lock);
  n = opens->waiting.length;
  g_mutex_unlock (&opens->lock);
  return n;
}

void
lunfs_ops_release_opens (LunfsOps *ops, bool give_up)
{
  LunfsOpens *opens = ops->opens;
  GQueue queue;
  Waiting *w;

  g_mutex_lock (&opens->lock);
  opens->state = give_up ? OPENS_FAIL : OPENS_GO_ON;
  queue = opens->waiting;
  g_queue_init (&opens->waiting);
  g_mutex_unlock (&opens->lock);
  while ((w = g_queue_pop_head (&queue))) {
    if (give_up)
      fuse_reply_err (w->req, EIO);
    else
      reply_open (opens, w->req, w->lun, w->flags);
    g_free (w);
  }
}

void
lunfs_opens_open (LunfsOpens *opens, fuse_req_t req, LunfsLun *lun, int flags)
{
  LunfsGeometry g;

  lunfs_lun_geometry (lun, &g);
  if (g.size_bytes == 0)
    hold (opens, req, lun, flags);
  else
    reply_open (opens, req, lun, flags);
}

/* ---- life ---- */

LunfsOpens *
lunfs_opens_new (int request_limit_s)
{
  LunfsOpens *opens = g_new0 (LunfsOpens, 1);

  opens->request_limit_s = request_limit_s;
  atomic_init (&opens->next_fh, 1 + (uint64_t) g_get_real_time ()); /* no number of an earlier worker's */
  atomic_init (&opens->next_serial, 1);
  g_mutex_init (&opens->lock);
  g_queue_init (&opens->waiting);
  opens->losses_seen = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  return opens;
}

void
lunfs_opens_free (LunfsOpens *opens)
{
  g_hash_table_unref (opens->losses_seen);
  g_queue_clear_full (&opens->waiting, g_free);
  g_mutex_clear (&opens->lock);
  g_free (opens);
}
