/* SPDX-License-Identifier: GPL-2.0-or-later */
/* .lunfs/status.json and .lunfs/metrics: each open file has the text of the moment when it was opened.  The control thread
 * makes the texts, keeps them and answers; the lane only passes the requests on. */
#include "config.h"

#include "fuse/ops-private.h"

#include <gio/gio.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>

struct LunfsStatusFile {
  LunfsOpsConf conf;     /* its texts */
  GHashTable *snapshots; /* file handle -> GString */
  uint64_t next_fh;
};

typedef struct {
  LunfsStatusFile *file;
  fuse_req_t req;
  uint64_t ino;
  uint64_t fh; /* READ, RELEASE */
  size_t size;
  off_t off;
} Call;

bool
lunfs_is_status_file (uint64_t ino)
{
  return ino == LUNFS_INO_STATUS || ino == LUNFS_INO_METRICS;
}

static GString *
make_snapshot (LunfsStatusFile *file, uint64_t ino, uint64_t fh)
{
  const LunfsOpsConf *conf = &file->conf;
  g_autofree char *text = (ino == LUNFS_INO_METRICS ? conf->metrics_text : conf->status_text) (conf->user);
  GString *snapshot = g_string_new (text);

  g_hash_table_insert (file->snapshots, g_memdup2 (&fh, sizeof fh), snapshot);
  return snapshot;
}

static gboolean
open_cb (gpointer data)
{
  struct fuse_open_out out = { .open_flags = FOPEN_DIRECT_IO }; /* its size is not known before */
  Call *call = data;
  LunfsStatusFile *file = call->file;

  out.fh = ++file->next_fh;
  make_snapshot (file, call->ino, out.fh);
  if (fuse_reply_buf (call->req, (const char *) &out, sizeof out) == -ENOENT)
    g_hash_table_remove (file->snapshots, &out.fh);
  return G_SOURCE_REMOVE;
}

static gboolean
read_cb (gpointer data)
{
  Call *call = data;
  GString *text = g_hash_table_lookup (call->file->snapshots, &call->fh);

  if (!text) /* opened through an earlier worker */
    text = make_snapshot (call->file, call->ino, call->fh);
  if ((size_t) call->off >= text->len)
    fuse_reply_buf (call->req, NULL, 0);
  else
    fuse_reply_buf (call->req, text->str + call->off, MIN (call->size, text->len - (size_t) call->off));
  return G_SOURCE_REMOVE;
}

static gboolean
close_cb (gpointer data)
{
  Call *call = data;

  g_hash_table_remove (call->file->snapshots, &call->fh);
  fuse_reply_err (call->req, 0);
  return G_SOURCE_REMOVE;
}

static void
ask_control (GSourceFunc what, Call call)
{
  g_main_context_invoke_full (NULL, G_PRIORITY_HIGH, what, g_memdup2 (&call, sizeof call), g_free);
}

void
lunfs_status_file_open (LunfsStatusFile *file, fuse_req_t req, uint64_t ino, int flags)
{
  if ((flags & O_ACCMODE) == O_RDONLY)
    ask_control (open_cb, (Call){ .file = file, .req = req, .ino = ino });
  else
    fuse_reply_err (req, EACCES);
}

void
lunfs_status_file_read (LunfsStatusFile *file, fuse_req_t req, uint64_t ino, uint64_t fh, size_t size, off_t off)
{
  ask_control (read_cb, (Call){ file, req, ino, fh, size, off });
}

void
lunfs_status_file_close (LunfsStatusFile *file, fuse_req_t req, uint64_t fh)
{
  ask_control (close_cb, (Call){ .file = file, .req = req, .fh = fh });
}

static void
free_snapshot (gpointer text)
{
  g_string_free (text, TRUE);
}

LunfsStatusFile *
lunfs_status_file_new (const LunfsOpsConf *conf)
{
  LunfsStatusFile *file = g_new0 (LunfsStatusFile, 1);

  file->conf = *conf;
  file->next_fh = (uint64_t) g_get_real_time (); /* no number of an earlier worker's, whose files may be open */
  file->snapshots = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, free_snapshot);
  return file;
}

void
lunfs_status_file_free (LunfsStatusFile *file)
{
  g_hash_table_unref (file->snapshots);
  g_free (file);
}
