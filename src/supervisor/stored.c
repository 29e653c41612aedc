/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "supervisor/stored.h"

#include "lunfs/log.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define FIRST_LISTEN_FD 3 /* sd_listen_fds(3) */
#define LISTEN_FDS_MAX 1024

const char *const lunfs_stored_names[] = { LUNFS_STORED_FUSE, LUNFS_STORED_ARENA, LUNFS_STORED_SETTINGS, NULL };

/* ---- descriptors ---- */

/* How many came for this process; 0 = none. */
static int
count_fds (void)
{
  guint64 pid, n;

  if (!g_ascii_string_to_unsigned (g_getenv ("LISTEN_PID") ? g_getenv ("LISTEN_PID") : "", 10, 1, G_MAXINT, &pid, NULL)
      || (pid_t) pid != getpid () || !g_getenv ("LISTEN_FDS")
      || !g_ascii_string_to_unsigned (g_getenv ("LISTEN_FDS"), 10, 0, LISTEN_FDS_MAX, &n, NULL))
    return 0;
  return (int) n;
}

static int *
place_of (LunfsStored *s, const char *name)
{
  if (g_strcmp0 (name, LUNFS_STORED_FUSE) == 0)
    return &s->fuse_fd;
  if (g_strcmp0 (name, LUNFS_STORED_ARENA) == 0)
    return &s->arena_fd;
  return g_strcmp0 (name, LUNFS_STORED_SETTINGS) == 0 ? &s->settings_fd : NULL;
}

void
lunfs_stored_take (LunfsStored *out)
{
  const char *text = g_getenv ("LISTEN_FDNAMES");
  g_auto (GStrv) names = g_strsplit (text ? text : "", ":", -1);
  int n = count_fds (), nnames = (int) g_strv_length (names);

  *out = (LunfsStored){ -1, -1, -1 };
  for (int i = 0; i < n; i++) {
    int fd = FIRST_LISTEN_FD + i, *place = place_of (out, i < nnames ? names[i] : NULL);

    if (fcntl (fd, F_SETFD, FD_CLOEXEC) < 0)
      continue;
    if (place && *place < 0)
      *place = fd;
    else
      close (fd);
  }
  g_unsetenv ("LISTEN_PID");
  g_unsetenv ("LISTEN_FDS");
  g_unsetenv ("LISTEN_FDNAMES");
}

void
lunfs_stored_close (LunfsStored *s)
{
  int *fds[] = { &s->fuse_fd, &s->arena_fd, &s->settings_fd };

  for (unsigned i = 0; i < G_N_ELEMENTS (fds); i++) {
    if (*fds[i] >= 0)
      close (*fds[i]);
    *fds[i] = -1;
  }
}

bool
lunfs_stored_has_dirty (const LunfsArena *arena)
{
  uint64_t npages = (uint64_t) arena->header->nchunks * LUNFS_PAGES_PER_CHUNK;

  for (uint64_t i = 0; i < npages; i++)
    if (__atomic_load_n (&arena->pages[i].kept, __ATOMIC_ACQUIRE))
      return true;
  for (unsigned i = 0; i < LUNFS_ARENA_RANGES; i++)
    if (__atomic_load_n (&arena->ranges[i].kept, __ATOMIC_ACQUIRE))
      return true;
  return false;
}

/* ---- settings ---- */

static void
note (GString *kept, const char *name)
{
  g_string_append_printf (kept, "%s%s", kept->len ? ", " : "", name);
}

static void
keep_string (char **now, const char *then, const char *name, GString *kept)
{
  if (g_strcmp0 (*now, then) == 0)
    return;
  note (kept, name);
  g_free (*now);
  *now = g_strdup (then);
}

static void
keep_bool (bool *now, bool then, const char *name, GString *kept)
{
  if (*now != then)
    note (kept, name);
  *now = then;
}

static void
keep_u64 (uint64_t *now, uint64_t then, const char *name, GString *kept)
{
  if (*now != then)
    note (kept, name);
  *now = then;
}

static bool
is_same_source (const LunfsSource *a, const LunfsSource *b)
{
  return g_strcmp0 (a->host, b->host) == 0 && a->port == b->port && g_strcmp0 (a->target_name, b->target_name) == 0
         && a->lun == b->lun;
}

static void
keep_source (LunfsSettings *now, const LunfsSettings *then, GString *kept)
{
  if (!is_same_source (&now->source, &then->source)) {
    note (kept, "source");
    g_free (now->source.host);
    g_free (now->source.target_name);
    now->source = then->source;
    now->source.host = g_strdup (then->source.host);
    now->source.target_name = g_strdup (then->source.target_name);
  }
  g_free (now->source_text); /* part of the ISID */
  now->source_text = g_strdup (then->source_text);
}

static bool
is_same_list (const GPtrArray *a, const GPtrArray *b)
{
  bool same = a->len == b->len;

  for (guint i = 0; same && i < a->len; i++)
    same = g_strcmp0 (a->pdata[i], b->pdata[i]) == 0;
  return same;
}

static void
keep_mount (LunfsSettings *now, const LunfsSettings *then, GString *kept)
{
  keep_string (&now->mountpoint, then->mountpoint, "mount point", kept);
  now->mount_is_file = then->mount_is_file;
  keep_bool (&now->read_only, then->read_only, "ro", kept);
  keep_bool (&now->allow_other, then->allow_other, "allow_other", kept);
  keep_bool (&now->allow_root, then->allow_root, "allow_root", kept);
  if (is_same_list (now->mount_options, then->mount_options))
    return;
  note (kept, "options of the mount");
  g_ptr_array_set_size (now->mount_options, 0);
  for (guint i = 0; i < then->mount_options->len; i++)
    g_ptr_array_add (now->mount_options, g_strdup (then->mount_options->pdata[i]));
}

/* The kernel has been told at each open whether it may cache. */
static void
keep_cache (LunfsSettings *now, const LunfsSettings *then, GString *kept)
{
  keep_u64 (&now->cache_size, then->cache_size, "cache_size", kept);
  keep_u64 (&now->buffer_size, then->buffer_size, "buffer_size", kept);
  if (now->max_background != then->max_background)
    note (kept, "max_background");
  now->max_background = then->max_background;
  if ((now->cache == LUNFS_CACHE_PAGE) != (then->cache == LUNFS_CACHE_PAGE)) {
    note (kept, "cache");
    now->cache = then->cache;
  }
  now->cache_max_dirty = MIN (now->cache_max_dirty, now->cache_size / 4 * 3);
  now->read_ahead = MIN (now->read_ahead, now->cache_size / 2);
}

char *
lunfs_stored_keep_settings (LunfsSettings *now, const LunfsSettings *then)
{
  GString *kept = g_string_new (NULL);

  keep_source (now, then, kept);
  keep_string (&now->initiator_name, then->initiator_name, "initiator_name", kept);
  keep_string (&now->state_dir, then->state_dir, "state_dir", kept);
  keep_mount (now, then, kept);
  keep_cache (now, then, kept);
  return g_string_free (kept, kept->len == 0);
}
