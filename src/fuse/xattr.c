/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Extended attributes user.lunfs.* of a LUN's file: what the status file says of it, for scripts and programs that have the
 * file and not the mount.  From published facts, so that they answer with the target dead; nothing can be set.
 *
 * Other names are answered ENODATA rather than ENOSYS: after one ENOSYS the kernel would ask for no attribute any more.  What
 * is not a user's is EOPNOTSUPP when it is asked for, too: libvirt would take ENODATA for "could be set", and then fail. */
#include "config.h"

#include "fuse/ops-private.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

#define PREFIX "user.lunfs."

typedef struct {
  LunfsTreeLun known;
  LunfsSessionSnapshot snapshot;
  LunfsGeometry geometry;
  LunfsLunInfo info; /* zeroes if it has not been up */
} Facts;

/* X (name, format, value); a name is left out while its value is "" */
#define ATTRIBUTES(X)                                                                                                  \
  X (target, "%s", f->known.target_name)                                                                               \
  X (lun, "%u", f->known.number)                                                                                       \
  X (host, "%s", f->known.host)                                                                                        \
  X (port, "%u", f->known.port)                                                                                        \
  X (portal, "%s", f->snapshot.portal)                                                                                 \
  X (state, "%s", lunfs_session_state_name (f->snapshot.state))                                                        \
  X (failing, "%d", f->snapshot.failing)                                                                               \
  X (error, "%s", f->snapshot.error)                                                                                   \
  X (identity, "%s", f->info.identity.text)                                                                            \
  X (serial, "%s", f->info.identity.serial)                                                                            \
  X (vendor, "%s", f->info.inquiry.vendor)                                                                             \
  X (product, "%s", f->info.inquiry.product)                                                                           \
  X (revision, "%s", f->info.inquiry.revision)                                                                         \
  X (alua, "%s", f->geometry.size_bytes ? lunfs_alua_name (f->info.alua) : "")                                         \
  X (size, "%" G_GUINT64_FORMAT, f->geometry.size_bytes)                                                               \
  X (block_size, "%u", f->geometry.block_size)                                                                         \
  X (physical_block_size, "%u", f->geometry.physical_block_size)                                                       \
  X (read_only, "%d", f->geometry.read_only)                                                                           \
  X (write_cache, "%d", f->geometry.write_cache)                                                                       \
  X (unmap, "%d", f->geometry.can_unmap)                                                                               \
  X (replacement_timeout, "%d", f->snapshot.timeouts.replacement_timeout)                                              \
  X (dirty_bytes, "%" G_GUINT64_FORMAT, (guint64) LUNFS_VALUE (f->known.stats, dirty_bytes))                           \
  X (unstable_bytes, "%" G_GUINT64_FORMAT, (guint64) LUNFS_VALUE (f->known.stats, unstable_bytes))

typedef char *Render (const Facts *f);

#define RENDER(name, format, value)                                                                                    \
  static char *render_##name (const Facts *f)                                                                          \
  {                                                                                                                    \
    return g_strdup_printf (format, value);                                                                            \
  }
ATTRIBUTES (RENDER)
#undef RENDER

static const struct {
  const char *name;
  Render *render;
} attributes[] = {
#define ROW(name, format, value) { PREFIX #name, render_##name },
  ATTRIBUTES (ROW)
#undef ROW
};

/* False: @ino is no LUN's. */
static bool
learn (fuse_req_t req, fuse_ino_t ino, Facts *f)
{
  if (!lunfs_tree_known (lunfs_ops_of (req)->conf.tree, ino, &f->known))
    return false;
  lunfs_session_snapshot (f->known.session, &f->snapshot);
  lunfs_lun_geometry (f->known.lun, &f->geometry);
  if (!lunfs_lun_info (f->known.lun, &f->info))
    memset (&f->info, 0, sizeof f->info);
  return true;
}

/* @size 0: the caller asks how much there is. */
static void
reply (fuse_req_t req, const char *bytes, size_t len, size_t size)
{
  if (size == 0)
    fuse_reply_xattr (req, len);
  else if (len > size)
    fuse_reply_err (req, ERANGE);
  else
    fuse_reply_buf (req, bytes, len);
}

void
lunfs_op_getxattr (fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
  g_autofree char *value = NULL;
  Facts f;

  if (g_str_has_prefix (name, PREFIX) && learn (req, ino, &f))
    for (unsigned i = 0; i < G_N_ELEMENTS (attributes) && !value; i++)
      if (strcmp (name, attributes[i].name) == 0)
        value = attributes[i].render (&f);
  if (value && *value)
    reply (req, value, strlen (value), size);
  else
    fuse_reply_err (req, g_str_has_prefix (name, "user.") ? ENODATA : EOPNOTSUPP);
}

void
lunfs_op_listxattr (fuse_req_t req, fuse_ino_t ino, size_t size)
{
  g_autoptr (GString) names = g_string_new (NULL);
  Facts f;

  if (learn (req, ino, &f))
    for (unsigned i = 0; i < G_N_ELEMENTS (attributes); i++) {
      g_autofree char *value = attributes[i].render (&f);

      if (*value)
        g_string_append_len (names, attributes[i].name, (gssize) strlen (attributes[i].name) + 1);
    }
  reply (req, names->str, names->len, size);
}

void
lunfs_op_setxattr (fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
  lunfs_op_removexattr (req, ino, name);
}

/* EPERM as for a change of mode; cp -a and rsync -X take EOPNOTSUPP for "this file system has none", and go on. */
void
lunfs_op_removexattr (fuse_req_t req, fuse_ino_t ino, const char *name)
{
  fuse_reply_err (req, g_str_has_prefix (name, PREFIX) ? EPERM : EOPNOTSUPP);
}
