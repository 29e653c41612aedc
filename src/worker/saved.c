/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What earlier mounts have saved (supervisor/saved.h), and which of it is for which LUN. */
#include "config.h"

#include "worker/worker-private.h"

#include "lunfs/log.h"

#include <string.h>
#include <sys/mman.h>

static void
say_unusable (void *user, const char *name, const char *why)
{
  lunfs_warning ("saved data that cannot be used (%s): %s", name, why);
}

void
lunfs_worker_load_saved (LunfsWorker *w)
{
  const char *dir = w->settings->state_dir;

  w->saved = dir ? lunfs_saved_open_all (dir, true, w->arena, say_unusable, NULL)
                 : g_ptr_array_new_with_free_func ((GDestroyNotify) lunfs_saved_free);
  for (guint i = 0; i < w->saved->len; i++) {
    LunfsSaved *saved = w->saved->pdata[i];

    lunfs_saved_release (saved); /* it may be another mount's */
    /* a lane should not have to wait for it */
    madvise (saved->arena->header, saved->arena->mapped_bytes, MADV_WILLNEED);
    lunfs_notice ("%s: data of an earlier mount of %s waits", saved->path, saved->arena->header->source);
  }
}

static bool
waits (const LunfsArena *arena, unsigned lun)
{
  unsigned nranges;

  return lunfs_saved_bytes (arena, lun, &nranges) > 0 || nranges > 0;
}

static bool
is_same_place (const LunfsArenaLun *a, const LunfsArenaLun *b)
{
  return a->lun == b->lun && strcmp (a->target_name, b->target_name) == 0 && a->port == b->port
         && strcmp (a->host, b->host) == 0;
}

/* By another name of its portal it is still the same. */
static bool
is_for (const LunfsArenaLun *saved, const LunfsArenaLun *ours, const char *identity)
{
  if (!__atomic_load_n (&saved->used, __ATOMIC_ACQUIRE) || !saved->proven)
    return false;
  return is_same_place (saved, ours)
         || (identity && *identity && saved->lun == ours->lun && strcmp (saved->target_name, ours->target_name) == 0
             && strcmp (saved->identity, identity) == 0);
}

LunfsSaved *
lunfs_worker_find_saved (LunfsRow *row, const char *identity, unsigned *out_index)
{
  const GPtrArray *all = row->worker->saved;

  for (guint i = 0; i < all->len; i++) {
    LunfsSaved *saved = all->pdata[i];

    for (unsigned lun = 0; lun < LUNFS_ARENA_LUNS && saved->arena->luns[lun].used; lun++)
      if (is_for (&saved->arena->luns[lun], row->record, identity) && waits (saved->arena, lun)) {
        *out_index = lun;
        return saved;
      }
  }
  return NULL;
}

const LunfsArenaLun *
lunfs_worker_saved_lun (LunfsRow *row, const LunfsSaved **out_saved)
{
  unsigned index = 0;
  const LunfsSaved *saved = lunfs_worker_find_saved (row, NULL, &index);

  if (out_saved)
    *out_saved = saved;
  return saved ? &saved->arena->luns[index] : NULL;
}

uint64_t
lunfs_worker_saved_bytes (LunfsRow *row)
{
  unsigned index = 0;
  const LunfsSaved *saved = lunfs_worker_find_saved (row, row->record->identity, &index);

  return saved ? lunfs_saved_bytes (saved->arena, index, NULL) : 0;
}

void
lunfs_worker_add_saved (LunfsWorker *w)
{
  const LunfsSource *source = &w->settings->source;

  for (guint i = 0; i < w->saved->len; i++) {
    const LunfsSaved *saved = w->saved->pdata[i];
    LunfsArenaLun *luns = saved->arena->luns;

    if (strcmp (saved->arena->header->source, w->settings->source_text) != 0)
      continue;
    for (unsigned lun = 0; lun < LUNFS_ARENA_LUNS && luns[lun].used;
         lun++) { /* in their order: they keep their ISIDs */
      lunfs_arena_lun (w->arena, luns[lun].host, luns[lun].port, luns[lun].target_name, luns[lun].lun);
      if (luns[lun].proven && waits (saved->arena, lun))
        lunfs_worker_add_lun (w, luns[lun].host, luns[lun].port, luns[lun].target_name, luns[lun].lun,
                              source->lun == LUNFS_LUN_ALL);
    }
  }
}
