/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "fuse/ops.h"

#include "fuse/interrupt.h"
#include "lunfs/arena.h"
#include "lunfs/log.h"
#include "lunfs/request.h"

#include <gio/gio.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DAY 86400.0
#define XFS_IOC_DIOINFO 0x800c581eu /* qemu asks for the direct I/O alignment by it */
#define MAX_EXTENTS 256             /* LSEEK holds the inode lock: no endless walk */

struct LunfsOps {
  LunfsOpsConf conf;
  bool replaying; /* libfuse's answer to the saved INIT goes nowhere */
  LunfsInterrupts *interrupts;
  GMutex lock;            /* Protects what follows, up to opens_refused. */
  GHashTable *lane_calls; /* serial -> LaneCall under way, which may be interrupted */
  uint64_t next_fh;
  GHashTable *losses_seen; /* file handle -> LunfsRequest.losses_seen of that open file */
  size_t next_serial;
  GQueue waiting_opens;
  bool opens_allowed, opens_refused;
  /* Control thread only: the status texts of open files. */
  GHashTable *snapshots;
  uint64_t next_snapshot;
};

static LunfsOps *
ops_of (fuse_req_t req)
{
  return fuse_req_userdata (req);
}

static LunfsLun *
lun_of (fuse_req_t req, fuse_ino_t ino)
{
  return lunfs_tree_lun (ops_of (req)->conf.tree, ino);
}

/* ---- names and attributes ---- */

/* A LUN's attributes change only through us: the kernel keeps them until told.  Directories fill by themselves. */
static double
keep_seconds (fuse_req_t req, fuse_ino_t ino)
{
  LunfsLun *lun = lun_of (req, ino);
  LunfsGeometry g;

  if (!lun)
    return 0;
  lunfs_lun_geometry (lun, &g);
  return g.size_bytes ? DAY : 0;
}

static void
op_lookup (fuse_req_t req, fuse_ino_t parent, const char *name)
{
  struct fuse_entry_param e = { .generation = 1 };

  e.ino = lunfs_tree_lookup (ops_of (req)->conf.tree, parent, name);
  if (!e.ino || !lunfs_tree_stat (ops_of (req)->conf.tree, e.ino, &e.attr)) {
    fuse_reply_err (req, ENOENT);
    return;
  }
  e.attr_timeout = e.entry_timeout = keep_seconds (req, e.ino);
  fuse_reply_entry (req, &e);
}

static void
op_getattr (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  struct stat st;

  if (lunfs_tree_stat (ops_of (req)->conf.tree, ino, &st))
    fuse_reply_attr (req, &st, keep_seconds (req, ino));
  else
    fuse_reply_err (req, ENOENT);
}

/* The size is the LUN's; owner and mode are the mount's.  Times are accepted and forgotten: cp -p and msync set them. */
static void
op_setattr (fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
  struct stat st;

  if (!lunfs_tree_stat (ops_of (req)->conf.tree, ino, &st))
    fuse_reply_err (req, ENOENT);
  else if (to_set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID))
    fuse_reply_err (req, EPERM);
  else if ((to_set & FUSE_SET_ATTR_SIZE) && attr->st_size != st.st_size)
    fuse_reply_err (req, EPERM);
  else
    fuse_reply_attr (req, &st, keep_seconds (req, ino));
}

static void
op_readlink (fuse_req_t req, fuse_ino_t ino)
{
  g_autofree char *to = lunfs_tree_readlink (ops_of (req)->conf.tree, ino);

  if (to)
    fuse_reply_readlink (req, to);
  else
    fuse_reply_err (req, EINVAL);
}

static void
op_readdir (fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
  g_autofree char *buf = g_malloc (size);
  char name[256];
  struct stat st;
  size_t at = 0;

  for (unsigned n = (unsigned) off; lunfs_tree_entry (ops_of (req)->conf.tree, ino, n, name, sizeof name, &st); n++) {
    size_t need = fuse_add_direntry (req, buf + at, size - at, name, &st, (off_t) n + 1);

    if (need > size - at)
      break;
    at += need;
  }
  fuse_reply_buf (req, buf, at);
}

/* f_bsize becomes a loop device's discard granularity. */
static void
op_statfs (fuse_req_t req, fuse_ino_t ino)
{
  struct statvfs s = { .f_bsize = 4096, .f_frsize = 4096, .f_namemax = 255 };
  LunfsLun *lun = lun_of (req, ino);
  LunfsGeometry g;

  if (lun) {
    lunfs_lun_geometry (lun, &g);
    if (g.granularity_bytes) {
      s.f_bsize = s.f_frsize = g.granularity_bytes;
      s.f_blocks = g.size_bytes / g.granularity_bytes;
    }
  }
  fuse_reply_statfs (req, &s);
}

/* ---- the status file: texts are made and kept by the control thread ---- */

typedef struct {
  fuse_req_t req;
  uint64_t id; /* of the snapshot; 0 = make one */
  size_t size;
  off_t off;
  enum { STATUS_OPEN, STATUS_READ, STATUS_RELEASE } what;
} StatusCall;

static GString *
make_snapshot (LunfsOps *ops, uint64_t id)
{
  g_autofree char *text = ops->conf.status_text (ops->conf.user);
  GString *snapshot = g_string_new (text);
  uint64_t *key = g_new (uint64_t, 1);

  *key = id;
  g_hash_table_insert (ops->snapshots, key, snapshot);
  return snapshot;
}

static void
open_status (LunfsOps *ops, StatusCall *call)
{
  struct fuse_open_out out = { .open_flags = FOPEN_DIRECT_IO }; /* its size is not known before */

  out.fh = ++ops->next_snapshot;
  make_snapshot (ops, out.fh);
  if (fuse_reply_buf (call->req, (const char *) &out, sizeof out) == -ENOENT)
    g_hash_table_remove (ops->snapshots, &out.fh);
}

static gboolean
status_call_cb (gpointer data)
{
  StatusCall *call = data;
  LunfsOps *ops = ops_of (call->req);
  GString *text;

  switch (call->what) {
  case STATUS_OPEN:
    open_status (ops, call);
    break;
  case STATUS_READ:
    text = g_hash_table_lookup (ops->snapshots, &call->id);
    if (!text) /* opened through an earlier worker */
      text = make_snapshot (ops, call->id);
    if ((size_t) call->off >= text->len)
      fuse_reply_buf (call->req, NULL, 0);
    else
      fuse_reply_buf (call->req, text->str + call->off, MIN (call->size, text->len - (size_t) call->off));
    break;
  case STATUS_RELEASE:
    g_hash_table_remove (ops->snapshots, &call->id);
    fuse_reply_err (call->req, 0);
    break;
  }
  g_free (call);
  return G_SOURCE_REMOVE;
}

static void
ask_control (fuse_req_t req, int what, uint64_t id, size_t size, off_t off)
{
  StatusCall *call = g_new0 (StatusCall, 1);

  call->req = req;
  call->what = what;
  call->id = id;
  call->size = size;
  call->off = off;
  g_main_context_invoke_full (NULL, G_PRIORITY_HIGH, status_call_cb, call, NULL);
}

/* ---- what each open file has been told of ---- */

static uint64_t
new_fh (LunfsOps *ops)
{
  uint64_t fh;

  g_mutex_lock (&ops->lock);
  fh = ++ops->next_fh;
  g_mutex_unlock (&ops->lock);
  return fh;
}

static void
remember_losses (LunfsOps *ops, uint64_t fh, uint64_t seen)
{
  uint64_t *key = g_new (uint64_t, 2);

  key[0] = fh;
  key[1] = seen;
  g_mutex_lock (&ops->lock);
  g_hash_table_replace (ops->losses_seen, key, key);
  g_mutex_unlock (&ops->lock);
}

/* 0 of one that was opened through an earlier worker. */
static uint64_t
losses_seen (LunfsOps *ops, uint64_t fh)
{
  const uint64_t *entry;
  uint64_t seen;

  g_mutex_lock (&ops->lock);
  entry = g_hash_table_lookup (ops->losses_seen, &fh);
  seen = entry ? entry[1] : 0;
  g_mutex_unlock (&ops->lock);
  return seen;
}

static void
forget_losses (LunfsOps *ops, uint64_t fh)
{
  g_mutex_lock (&ops->lock);
  g_hash_table_remove (ops->losses_seen, &fh);
  g_mutex_unlock (&ops->lock);
}

/* ---- open, close ---- */

static void
reply_open_lun (fuse_req_t req, fuse_ino_t ino, int flags)
{
  /* Raw: libfuse 3.14.0 has no name for PARALLEL_DIRECT_WRITES.  close() is no barrier: NOFLUSH. */
  struct fuse_open_out out = { .open_flags = FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES | FOPEN_NOFLUSH };
  LunfsOps *ops = ops_of (req);
  LunfsLun *lun = lun_of (req, ino);
  LunfsGeometry g;

  lunfs_lun_geometry (lun, &g);
  if (g.read_only && (flags & O_ACCMODE) != O_RDONLY) {
    fuse_reply_err (req, EROFS);
    return;
  }
  out.fh = new_fh (ops);
  remember_losses (ops, out.fh, lunfs_lun_losses_told (lun));
  if (fuse_reply_buf (req, (const char *) &out, sizeof out) == -ENOENT) /* interrupted: it will not be released */
    forget_losses (ops, out.fh);
}

typedef struct {
  fuse_req_t req;
  fuse_ino_t ino;
  int flags;
  LunfsOps *ops;
  size_t serial;
} WaitingOpen;

/* End the open with @serial, if it still waits, with @err.  Control thread. */
static void
end_waiting_open (LunfsOps *ops, size_t serial, int err)
{
  WaitingOpen *found = NULL;

  g_mutex_lock (&ops->lock);
  for (GList *l = ops->waiting_opens.head; l && !found; l = l->next)
    if (((WaitingOpen *) l->data)->serial == serial)
      found = l->data;
  if (found)
    g_queue_remove (&ops->waiting_opens, found);
  g_mutex_unlock (&ops->lock);
  if (found)
    fuse_reply_err (found->req, err);
  g_free (found);
}

static gboolean
open_interrupted_cb (gpointer data)
{
  WaitingOpen *i = data;

  end_waiting_open (i->ops, i->serial, EINTR);
  g_free (i);
  return G_SOURCE_REMOVE;
}

static gboolean
open_expired_cb (gpointer data)
{
  WaitingOpen *i = data;

  end_waiting_open (i->ops, i->serial, EIO);
  return G_SOURCE_REMOVE;
}

/* libfuse holds a lock of the request: answered by the control thread. */
static void
open_interrupted (fuse_req_t req, void *data)
{
  WaitingOpen *i = g_new0 (WaitingOpen, 1);

  i->ops = ops_of (req);
  i->serial = GPOINTER_TO_SIZE (data);
  g_main_context_invoke (NULL, open_interrupted_cb, i);
}

/* Plain-file mount whose LUN has never been up: its size is not known, so opening it has to wait. */
static void
hold_open (fuse_req_t req, fuse_ino_t ino, int flags)
{
  LunfsOps *ops = ops_of (req);
  WaitingOpen *w;
  bool hold, allowed;

  g_mutex_lock (&ops->lock);
  hold = !ops->opens_allowed && !ops->opens_refused;
  if (hold && !(flags & O_NONBLOCK)) {
    w = g_new (WaitingOpen, 1);
    *w = (WaitingOpen){ req, ino, flags, ops, ++ops->next_serial };
    fuse_req_interrupt_func (req, open_interrupted, GSIZE_TO_POINTER (w->serial)); /* before anybody may answer */
    g_queue_push_tail (&ops->waiting_opens, w);
    if (ops->conf.request_limit_s)
      g_timeout_add_seconds_full (G_PRIORITY_DEFAULT, (guint) ops->conf.request_limit_s, open_expired_cb,
                                  g_memdup2 (w, sizeof *w), g_free);
  }
  allowed = ops->opens_allowed;
  g_mutex_unlock (&ops->lock);
  if (hold && (flags & O_NONBLOCK))
    fuse_reply_err (req, EAGAIN);
  else if (allowed)
    reply_open_lun (req, ino, flags);
  else if (!hold)
    fuse_reply_err (req, EIO);
}

void
lunfs_ops_release_opens (LunfsOps *ops, bool give_up)
{
  GQueue queue;
  WaitingOpen *w;

  g_mutex_lock (&ops->lock);
  ops->opens_allowed = !give_up;
  ops->opens_refused = give_up;
  queue = ops->waiting_opens;
  g_queue_init (&ops->waiting_opens);
  g_mutex_unlock (&ops->lock);
  while ((w = g_queue_pop_head (&queue))) {
    if (give_up)
      fuse_reply_err (w->req, EIO);
    else
      reply_open_lun (w->req, w->ino, w->flags);
    g_free (w);
  }
}

static void
op_open (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  LunfsLun *lun = lun_of (req, ino);
  LunfsGeometry g = { 0 };

  if (ino == LUNFS_INO_STATUS) {
    if ((fi->flags & O_ACCMODE) == O_RDONLY)
      ask_control (req, STATUS_OPEN, 0, 0, 0);
    else
      fuse_reply_err (req, EACCES);
    return;
  }
  if (!lun) {
    fuse_reply_err (req, ENOENT);
    return;
  }
  lunfs_lun_geometry (lun, &g);
  if (g.size_bytes == 0)
    hold_open (req, ino, fi->flags);
  else
    reply_open_lun (req, ino, fi->flags);
}

static void
op_release (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  if (ino == LUNFS_INO_STATUS) {
    ask_control (req, STATUS_RELEASE, fi->fh, 0, 0);
    return;
  }
  forget_losses (ops_of (req), fi->fh);
  fuse_reply_err (req, 0);
}

static void
op_read (fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
  if (ino == LUNFS_INO_STATUS)
    ask_control (req, STATUS_READ, fi->fh, size, off);
  else
    fuse_reply_err (req, EIO); /* LUNs: data.c */
}

/* ---- fsync, fallocate, lseek: to the LUN's lane and back ---- */

typedef struct {
  LunfsMail mail;
  LunfsRequest lreq;
  fuse_req_t req;
  LunfsLun *lun;
  size_t serial;
  uint64_t fh; /* FSYNC */
  int whence;  /* LSEEK */
  unsigned steps;
  uint64_t size_bytes;
} LaneCall;

static void
lane_call_deliver (LunfsMail *mail)
{
  LaneCall *call = (LaneCall *) mail;

  lunfs_lun_submit (call->lun, &call->lreq);
}

/* ---- a signal for one that waits ---- */

/* It ends on the LUN's lane.  (LunfsInterruptFind) */
static LunfsRequest *
find_request (void *user, uint64_t serial, LunfsLun **lun)
{
  LunfsOps *ops = user;
  LaneCall *call;

  g_mutex_lock (&ops->lock);
  call = g_hash_table_lookup (ops->lane_calls, GSIZE_TO_POINTER (serial));
  g_mutex_unlock (&ops->lock);
  if (!call)
    return NULL;
  *lun = call->lun;
  return &call->lreq;
}

/* libfuse holds a lock of the request meanwhile: nothing is answered from in here. */
static void
interrupted (fuse_req_t req, void *serial)
{
  LunfsOps *ops = ops_of (req);
  LunfsLane *lane = NULL;
  LaneCall *call;

  g_mutex_lock (&ops->lock);
  call = g_hash_table_lookup (ops->lane_calls, serial); /* it ends on its lane, but not while we hold the lock */
  if (call)
    lane = lunfs_lun_lane (call->lun);
  g_mutex_unlock (&ops->lock);
  if (lane)
    lunfs_interrupts_add (ops->interrupts, lane, (uint32_t) fuse_req_ctx (req)->pid, ops, GPOINTER_TO_SIZE (serial));
}

/* Every LaneCall ends here, before its answer. */
static void
lane_call_end (LaneCall *call)
{
  LunfsOps *ops = ops_of (call->req);

  g_mutex_lock (&ops->lock);
  g_hash_table_remove (ops->lane_calls, GSIZE_TO_POINTER (call->serial));
  g_mutex_unlock (&ops->lock);
}

static void
simple_done (LunfsRequest *lreq)
{
  LaneCall *call = lreq->owner;

  lane_call_end (call);
  fuse_reply_err (call->req, -lreq->result);
  g_free (call);
}

static void
fsync_done (LunfsRequest *lreq)
{
  LaneCall *call = lreq->owner;

  if (lreq->result < 0 && lreq->result != -EINTR)
    remember_losses (ops_of (call->req), call->fh, lreq->losses_seen);
  simple_done (lreq);
}

static LaneCall *
lane_call_new (fuse_req_t req, LunfsLun *lun, LunfsOp op, uint64_t offset, uint64_t length)
{
  LaneCall *call = g_new0 (LaneCall, 1);

  call->mail.deliver = lane_call_deliver;
  call->req = req;
  call->lun = lun;
  lunfs_request_init (&call->lreq);
  call->lreq.op = op;
  call->lreq.offset = offset;
  call->lreq.length = length;
  call->lreq.done = simple_done;
  call->lreq.owner = call;
  g_mutex_lock (&ops_of (req)->lock);
  call->serial = ++ops_of (req)->next_serial;
  g_hash_table_insert (ops_of (req)->lane_calls, GSIZE_TO_POINTER (call->serial), call);
  g_mutex_unlock (&ops_of (req)->lock);
  fuse_req_interrupt_func (req, interrupted, GSIZE_TO_POINTER (call->serial));
  return call;
}

static void
lane_call_start (LaneCall *call)
{
  LunfsLane *lane = lunfs_lun_lane (call->lun);

  if (lunfs_lane_is_current (lane))
    lunfs_lun_submit (call->lun, &call->lreq);
  else
    lunfs_lane_post (lane, &call->mail);
}

static void
op_fsync (fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
  LunfsLun *lun = lun_of (req, ino);
  LaneCall *call;

  if (!lun) {
    fuse_reply_err (req, 0);
    return;
  }
  call = lane_call_new (req, lun, LUNFS_OP_FLUSH, 0, 0);
  call->fh = fi->fh;
  call->lreq.losses_seen = losses_seen (ops_of (req), fi->fh);
  call->lreq.done = fsync_done;
  lane_call_start (call);
}

static void
op_fallocate (fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length, struct fuse_file_info *fi)
{
  LunfsLun *lun = lun_of (req, ino);
  uint64_t off = (uint64_t) offset, len = (uint64_t) length;
  LunfsGeometry g;
  LunfsOp op;

  if (!lun) {
    fuse_reply_err (req, EOPNOTSUPP);
    return;
  }
  lunfs_lun_geometry (lun, &g);
  if (g.read_only) {
    fuse_reply_err (req, EROFS);
    return;
  }
  switch (mode) {
  case 0:
  case FALLOC_FL_KEEP_SIZE: /* the blocks are the target's: all there is to say is whether they exist */
    fuse_reply_err (req, off + len > g.size_bytes ? ENOSPC : 0);
    return;
  case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
    op = LUNFS_OP_DISCARD;
    break;
  case FALLOC_FL_ZERO_RANGE:
    if (off + len > g.size_bytes) {
      fuse_reply_err (req, ENOSPC);
      return;
    }
    /* fall through */
  case FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE:
    op = LUNFS_OP_ZERO;
    break;
  default:
    fuse_reply_err (req, EOPNOTSUPP);
    return;
  }
  if (off >= g.size_bytes)
    fuse_reply_err (req, 0); /* as on any file: nothing there */
  else
    lane_call_start (lane_call_new (req, lun, op, off, MIN (len, g.size_bytes - off)));
}

/* One run of blocks at a time until the wanted kind is found. */
static void
lseek_done (LunfsRequest *lreq)
{
  LaneCall *call = lreq->owner;
  bool found = lreq->result == 0 && lreq->extent_mapped == (call->whence == SEEK_DATA);
  uint64_t next = lreq->offset + lreq->extent_length;
  uint64_t at = call->lreq.length; /* where the caller asked, or where this run began */

  if (lreq->result >= 0 && !found && call->steps + 1 <= MAX_EXTENTS && next < call->size_bytes) {
    call->steps++;
    call->lreq.offset = call->lreq.length = next;
    lunfs_lun_submit (call->lun, &call->lreq);
    return;
  }
  lane_call_end (call);
  if (lreq->result < 0) {
    fuse_reply_err (call->req, -lreq->result);
  } else if (found || next < call->size_bytes) {
    /* Too long a walk: data is always a right answer to "where is data", the end to "where is a hole". */
    fuse_reply_lseek (call->req, (off_t) (found || call->whence == SEEK_DATA ? at : call->size_bytes));
  } else if (call->whence == SEEK_HOLE) {
    fuse_reply_lseek (call->req, (off_t) call->size_bytes); /* the end of a file is a hole */
  } else {
    fuse_reply_err (call->req, ENXIO);
  }
  g_free (call);
}

static void
op_lseek (fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
  LunfsLun *lun = lun_of (req, ino);
  LunfsGeometry g = { 0 };
  LaneCall *call;

  if (lun)
    lunfs_lun_geometry (lun, &g);
  if (!lun || (whence != SEEK_DATA && whence != SEEK_HOLE)) {
    fuse_reply_err (req, EINVAL);
    return;
  }
  if (off < 0 || (uint64_t) off >= g.size_bytes) {
    fuse_reply_err (req, ENXIO);
    return;
  }
  /* EXTENT has no length: that field remembers the position asked for, which EXTENT rounds down to a block. */
  call = lane_call_new (req, lun, LUNFS_OP_EXTENT, (uint64_t) off, (uint64_t) off);
  call->lreq.done = lseek_done;
  call->whence = whence;
  call->size_bytes = g.size_bytes;
  lane_call_start (call);
}

static void
op_ioctl (fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg, struct fuse_file_info *fi, unsigned flags,
          const void *in_buf, size_t in_size, size_t out_size)
{
  LunfsLun *lun = lun_of (req, ino);
  LunfsGeometry g;

  if (lun && cmd == XFS_IOC_DIOINFO && out_size >= 12) {
    uint32_t info[3]; /* struct dioattr: memory alignment, smallest and largest I/O */

    lunfs_lun_geometry (lun, &g);
    info[0] = info[1] = g.block_size;
    info[2] = LUNFS_MAX_WRITE;
    fuse_reply_ioctl (req, 0, info, sizeof info);
    return;
  }
  fuse_reply_err (req, ENOTTY);
}

/* ---- what a directory of LUNs does not do: refused, without harm ---- */

static void
op_create (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
  fuse_reply_err (req, EPERM);
}

static void
op_mknod (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
  fuse_reply_err (req, EPERM);
}

static void
op_mkdir (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
  fuse_reply_err (req, EPERM);
}

static void
op_unlink (fuse_req_t req, fuse_ino_t parent, const char *name)
{
  fuse_reply_err (req, EPERM);
}

static void
op_symlink (fuse_req_t req, const char *link, fuse_ino_t parent, const char *name)
{
  fuse_reply_err (req, EPERM);
}

static void
op_rename (fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent, const char *newname,
           unsigned int flags)
{
  fuse_reply_err (req, EPERM);
}

static void
op_link (fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
  fuse_reply_err (req, EPERM);
}

static void
op_forget (fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
  fuse_reply_none (req);
}

static const struct fuse_lowlevel_ops fuse_ops = {
  .lookup = op_lookup,
  .forget = op_forget,
  .getattr = op_getattr,
  .setattr = op_setattr,
  .readlink = op_readlink,
  .readdir = op_readdir,
  .statfs = op_statfs,
  .open = op_open,
  .release = op_release,
  .read = op_read,
  .fsync = op_fsync,
  .fallocate = op_fallocate,
  .lseek = op_lseek,
  .ioctl = op_ioctl,
  .create = op_create,
  .mknod = op_mknod,
  .mkdir = op_mkdir,
  .unlink = op_unlink,
  .rmdir = op_unlink,
  .symlink = op_symlink,
  .rename = op_rename,
  .link = op_link,
};

/* ---- life ---- */

static void
free_snapshot (gpointer text)
{
  g_string_free (text, TRUE);
}

/* libfuse's own answer to the replayed INIT: the kernel got the supervisor's long ago. */
static ssize_t
iov_bytes (const struct iovec *iov, int count)
{
  ssize_t len = 0;

  for (int i = 0; i < count; i++)
    len += (ssize_t) iov[i].iov_len;
  return len;
}

static ssize_t
write_reply (int fd, struct iovec *iov, int count, void *user)
{
  LunfsOps *ops = user;

  return G_UNLIKELY (ops->replaying) ? iov_bytes (iov, count) : writev (fd, iov, count);
}

static ssize_t
read_never (int fd, void *buf, size_t len, void *user)
{
  errno = EIO; /* the channel reads */
  return -1;
}

void
lunfs_ops_free (LunfsOps *ops, struct fuse_session *se)
{
  if (se)
    fuse_session_destroy (se);
  if (!ops)
    return;
  g_hash_table_unref (ops->snapshots);
  g_hash_table_unref (ops->lane_calls);
  g_hash_table_unref (ops->losses_seen);
  lunfs_interrupts_free (ops->interrupts);
  g_mutex_clear (&ops->lock);
  g_free (ops);
}

struct fuse_session *
lunfs_ops_session_new (const LunfsOpsConf *conf, int fuse_fd, const void *init_request, size_t init_bytes,
                       bool allow_root, LunfsOps **out_ops, GError **error)
{
  struct fuse_args args = FUSE_ARGS_INIT (0, NULL);
  static const struct fuse_custom_io io = { .writev = write_reply, .read = read_never };
  g_autofree void *init = g_memdup2 (init_request, init_bytes);
  struct fuse_buf buf = { .mem = init, .size = init_bytes };
  LunfsOps *ops = g_new0 (LunfsOps, 1);
  struct fuse_session *se;

  ops->conf = *conf;
  g_mutex_init (&ops->lock);
  g_queue_init (&ops->waiting_opens);
  ops->interrupts = lunfs_interrupts_new (find_request);
  ops->lane_calls = g_hash_table_new (NULL, NULL);
  ops->losses_seen = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  ops->next_snapshot = ops->next_fh =
      (uint64_t) g_get_real_time (); /* no number of an earlier worker's, whose files may be open */
  ops->snapshots = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, free_snapshot);
  fuse_opt_add_arg (&args, "lunfs");
  if (allow_root)
    fuse_opt_add_arg (&args, "-oallow_root");
  se = fuse_session_new (&args, &fuse_ops, sizeof fuse_ops, ops);
  fuse_opt_free_args (&args);
  if (!se || fuse_session_custom_io (se, &io, fuse_fd) != 0) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "libfuse does not take over the mount");
    lunfs_ops_free (ops, se);
    return NULL;
  }
  ops->replaying = true;
  fuse_session_process_buf (se, &buf);
  ops->replaying = false;
  if (fuse_session_exited (se)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "libfuse refuses the kernel's protocol version");
    lunfs_ops_free (ops, se);
    return NULL;
  }
  *out_ops = ops;
  return se;
}
