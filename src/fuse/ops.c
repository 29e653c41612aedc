/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of operations, libfuse's session, and what is answered at once: names, attributes, refusals. */
#include "config.h"

#include "fuse/ops-private.h"

#include "lunfs/arena.h"

#include <gio/gio.h>

#include <errno.h>
#include <linux/fuse.h>
#include <sys/statvfs.h>
#include <sys/uio.h>

#define DAY 86400.0
#define XFS_IOC_DIOINFO 0x800c581eu /* qemu asks for the direct I/O alignment by it */

/* ---- names and attributes ---- */

/* A LUN's attributes change only through us: the kernel keeps them until told.  Directories fill by themselves. */
static double
keep_seconds (fuse_req_t req, fuse_ino_t ino)
{
  LunfsLun *lun = lunfs_ops_lun (req, ino);
  LunfsGeometry g;

  if (!lun)
    return 0;
  lunfs_lun_geometry (lun, &g);
  return g.size_bytes ? DAY : 0;
}

/* The name of a LUN that the target may remove is asked for again soon, rather than that the kernel be told: that would
 * wait for whoever holds the directory, and whoever waits there cannot be killed. */
static double
name_seconds (fuse_req_t req, fuse_ino_t ino)
{
  LunfsTreeLun known;

  if (lunfs_tree_known (lunfs_ops_of (req)->conf.tree, ino, &known) && known.found)
    return MIN (keep_seconds (req, ino), 1.0);
  return keep_seconds (req, ino);
}

static void
op_lookup (fuse_req_t req, fuse_ino_t parent, const char *name)
{
  struct fuse_entry_param e = { .generation = 1 };

  e.ino = lunfs_tree_lookup (lunfs_ops_of (req)->conf.tree, parent, name);
  if (!e.ino || !lunfs_tree_stat (lunfs_ops_of (req)->conf.tree, e.ino, &e.attr)) {
    fuse_reply_err (req, ENOENT);
    return;
  }
  e.attr_timeout = keep_seconds (req, e.ino);
  e.entry_timeout = name_seconds (req, e.ino);
  fuse_reply_entry (req, &e);
}

static void
op_getattr (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  struct stat st;

  if (lunfs_tree_stat (lunfs_ops_of (req)->conf.tree, ino, &st))
    fuse_reply_attr (req, &st, keep_seconds (req, ino));
  else
    fuse_reply_err (req, ENOENT);
}

/* The kernel takes the times of this answer for what it knew all along: with AUTO_INVAL_DATA no reader after it would drop what
 * is cached since before a login.  So the file's time changes once more, and is asked for again. */
static void
reply_set (fuse_req_t req, fuse_ino_t ino, const struct stat *st)
{
  const LunfsOps *ops = lunfs_ops_of (req);

  if (ops->conf.page_cache)
    lunfs_tree_touch (ops->conf.tree, ino);
  fuse_reply_attr (req, st, ops->conf.page_cache ? 0 : keep_seconds (req, ino));
}

/* The size is the LUN's; owner and mode are the mount's.  Times are accepted and forgotten: cp -p and msync set them. */
static void
op_setattr (fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
  struct stat st;

  if (!lunfs_tree_stat (lunfs_ops_of (req)->conf.tree, ino, &st))
    fuse_reply_err (req, ENOENT);
  else if (to_set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID))
    fuse_reply_err (req, EPERM);
  else if ((to_set & FUSE_SET_ATTR_SIZE) && attr->st_size != st.st_size)
    fuse_reply_err (req, EPERM);
  else
    reply_set (req, ino, &st);
}

static void
op_readlink (fuse_req_t req, fuse_ino_t ino)
{
  g_autofree char *to = lunfs_tree_readlink (lunfs_ops_of (req)->conf.tree, ino);

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
  uint64_t place = (uint64_t) off;
  size_t at = 0;

  while (lunfs_tree_entry (lunfs_ops_of (req)->conf.tree, ino, &place, name, sizeof name, &st)) {
    size_t need = fuse_add_direntry (req, buf + at, size - at, name, &st, (off_t) place);

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
  LunfsLun *lun = lunfs_ops_lun (req, ino);
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

/* ---- open, close ---- */

static void
op_open (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  LunfsOps *ops = lunfs_ops_of (req);
  LunfsLun *lun = lunfs_ops_lun (req, ino);

  if (lunfs_is_status_file (ino))
    lunfs_status_file_open (ops->status_file, req, ino, fi->flags);
  else if (lun)
    lunfs_opens_open (ops->opens, req, lun, fi->flags);
  else
    fuse_reply_err (req, ENOENT);
}

static void
op_release (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  LunfsOps *ops = lunfs_ops_of (req);

  if (lunfs_is_status_file (ino)) {
    lunfs_status_file_close (ops->status_file, req, fi->fh);
    return;
  }
  lunfs_opens_close (ops->opens, fi->fh);
  fuse_reply_err (req, 0);
}

static void
op_read (fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
  if (lunfs_is_status_file (ino))
    lunfs_status_file_read (lunfs_ops_of (req)->status_file, req, ino, fi->fh, size, off);
  else
    fuse_reply_err (req, EIO); /* LUNs: data.c */
}

static void
op_ioctl (fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg, struct fuse_file_info *fi, unsigned flags,
          const void *in_buf, size_t in_size, size_t out_size)
{
  LunfsLun *lun = lunfs_ops_lun (req, ino);
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
  .fsync = lunfs_op_fsync,
  .fallocate = lunfs_op_fallocate,
  .lseek = lunfs_op_lseek,
  .ioctl = op_ioctl,
  .create = op_create,
  .mknod = op_mknod,
  .mkdir = op_mkdir,
  .unlink = op_unlink,
  .rmdir = op_unlink,
  .symlink = op_symlink,
  .rename = op_rename,
  .link = op_link,
  .getxattr = lunfs_op_getxattr,
  .listxattr = lunfs_op_listxattr,
  .setxattr = lunfs_op_setxattr,
  .removexattr = lunfs_op_removexattr,
};

/* ---- life ---- */

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
  const struct fuse_out_header *out = iov[0].iov_base;
  uint64_t unique = out->unique; /* 0: a notification */
  ssize_t n;
  int err;

  if (G_UNLIKELY (ops->replaying))
    return iov_bytes (iov, count);
  n = writev (fd, iov, count);
  err = errno;
  if (unique && ops->answered)
    ops->answered (ops->answered_user, unique);
  errno = err;
  return n;
}

void
lunfs_ops_set_answered (LunfsOps *ops, LunfsOpsAnswered *answered, void *user)
{
  ops->answered = answered;
  ops->answered_user = user;
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
  lunfs_opens_free (ops->opens);
  lunfs_lane_calls_free (ops->lane_calls);
  lunfs_status_file_free (ops->status_file);
  g_free (ops);
}

unsigned
lunfs_ops_under_way (LunfsOps *ops)
{
  return lunfs_lane_calls_count (ops->lane_calls);
}

unsigned
lunfs_ops_open_files (LunfsOps *ops, const LunfsLun *lun)
{
  return lunfs_opens_count (ops->opens, lun);
}

unsigned
lunfs_ops_waiting_opens (LunfsOps *ops)
{
  return lunfs_opens_waiting (ops->opens);
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
  ops->opens = lunfs_opens_new (conf->request_limit_s);
  ops->lane_calls = lunfs_lane_calls_new ();
  ops->status_file = lunfs_status_file_new (conf);
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
