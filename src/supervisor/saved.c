/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "supervisor/saved.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lunfs/error.h"
#include "lunfs/log.h"
#include "lunfs/request.h"
#include "util/filelock.h"

#define MAX_FILES 256

/* ---- what is in it ---- */

static bool
is_open (const LunfsArenaLun *lun)
{
  return __atomic_load_n (&lun->saved, __ATOMIC_ACQUIRE) < LUNFS_SAVED_DONE;
}

/* Must not be written again: another initiator has had the LUN to itself since. */
static bool
is_disowned (const LunfsArena *a, unsigned lun, uint64_t seq)
{
  return lun < LUNFS_ARENA_LUNS && a->luns[lun].disowned_seq >= seq && a->luns[lun].disowned_seq;
}

static uint64_t
npages (const LunfsArena *a)
{
  return (uint64_t) a->header->nchunks * LUNFS_PAGES_PER_CHUNK;
}

static bool
page_waits (const LunfsArena *a, uint64_t i)
{
  const LunfsArenaPage *p = &a->pages[i];

  return p->kept && !is_disowned (a, p->lun, p->seq);
}

static bool
range_waits (const LunfsArena *a, unsigned i)
{
  const LunfsArenaRange *r = &a->ranges[i];

  return (r->kept == LUNFS_RANGE_DONE || r->kept == LUNFS_RANGE_DUE) && !is_disowned (a, r->lun, r->seq);
}

uint64_t
lunfs_saved_bytes (const LunfsArena *a, unsigned lun, unsigned *out_nranges)
{
  uint64_t bytes = 0;
  unsigned nranges = 0;

  if (is_open (&a->luns[lun])) {
    for (uint64_t i = 0; i < npages (a); i++)
      if (page_waits (a, i) && a->pages[i].lun == lun)
        bytes += MIN ((uint64_t) __builtin_popcount (a->pages[i].blocks) * a->luns[lun].block_size, LUNFS_PAGE_BYTES);
    for (unsigned i = 0; i < LUNFS_ARENA_RANGES; i++)
      nranges += range_waits (a, i) && a->ranges[i].lun == lun;
  }
  if (out_nranges)
    *out_nranges = nranges;
  return bytes;
}

/* Also where a record is of no LUN: it is damaged, and somebody should know. */
bool
lunfs_saved_any (const LunfsArena *a)
{
  for (uint64_t i = 0; i < npages (a); i++)
    if (page_waits (a, i) && (a->pages[i].lun >= LUNFS_ARENA_LUNS || is_open (&a->luns[a->pages[i].lun])))
      return true;
  for (unsigned i = 0; i < LUNFS_ARENA_RANGES; i++)
    if (range_waits (a, i) && (a->ranges[i].lun >= LUNFS_ARENA_LUNS || is_open (&a->luns[a->ranges[i].lun])))
      return true;
  return false;
}

char *
lunfs_boot_id (void)
{
  char *text = NULL;

  if (!g_file_get_contents ("/proc/sys/kernel/random/boot_id", &text, NULL, NULL))
    return g_strdup ("");
  return g_strchomp (text);
}

bool
lunfs_saved_is_whole (const LunfsArena *a)
{
  g_autofree char *boot = lunfs_boot_id ();

  return a->header->sealed || (*boot && strcmp (boot, a->header->boot_id) == 0);
}

/* ---- marks ---- */

static void
sync_lun (LunfsArena *a, unsigned lun)
{
  uintptr_t page = (uintptr_t) sysconf (_SC_PAGESIZE), from = (uintptr_t) &a->luns[lun] & ~(page - 1);

  if (msync ((void *) from, (uintptr_t) (&a->luns[lun] + 1) - from, MS_SYNC) < 0)
    lunfs_warning ("saved data: its state cannot be written to disk: %s", g_strerror (errno));
}

bool
lunfs_saved_mark (LunfsArena *a, unsigned lun, unsigned from, LunfsSavedState to, const char *why)
{
  LunfsArenaLun *record = &a->luns[lun];
  uint32_t now = __atomic_load_n (&record->saved, __ATOMIC_ACQUIRE);

  if (!(from & 1u << now))
    return false;
  g_strlcpy (record->saved_why, why ? why : "", sizeof record->saved_why);
  if (!__atomic_compare_exchange_n (&record->saved, &now, (uint32_t) to, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
    return false;
  sync_lun (a, lun);
  return true;
}

void
lunfs_saved_begin (LunfsArena *a, unsigned lun)
{
  if (a->luns[lun].saved_begun)
    return;
  a->luns[lun].saved_begun = 1;
  sync_lun (a, lun);
}

/* ---- what is to be written ---- */

static int
by_seq (gconstpointer x, gconstpointer y, gpointer arena)
{
  const LunfsArenaRange *ranges = ((const LunfsArena *) arena)->ranges;
  uint64_t a = ranges[*(const uint32_t *) x].seq, b = ranges[*(const uint32_t *) y].seq;

  return a < b ? -1 : a > b;
}

static int
by_number (gconstpointer x, gconstpointer y, gpointer arena)
{
  const LunfsArenaPage *pages = ((const LunfsArena *) arena)->pages;
  const LunfsArenaPage *a = &pages[*(const uint32_t *) x], *b = &pages[*(const uint32_t *) y];

  if (a->number != b->number)
    return a->number < b->number ? -1 : 1;
  return a->seq > b->seq ? -1 : a->seq < b->seq;
}

static bool
range_is_sound (const LunfsArenaRange *r, uint64_t size, uint32_t block_size)
{
  return (r->op == LUNFS_OP_DISCARD || r->op == LUNFS_OP_ZERO) && (r->flags & ~(uint32_t) LUNFS_REQ_UNMAP) == 0
         && r->length > 0 && r->offset <= size && r->length <= size - r->offset && r->offset % block_size == 0
         && r->length % block_size == 0;
}

static bool
page_is_sound (const LunfsArenaPage *p, uint64_t size, uint32_t block_size)
{
  uint64_t start = p->number * LUNFS_PAGE_BYTES, last;

  if (p->blocks == 0 || p->number > size / LUNFS_PAGE_BYTES)
    return false;
  last = start + (32 - (uint64_t) __builtin_clz (p->blocks)) * block_size;
  return last <= size && last <= start + LUNFS_PAGE_BYTES;
}

bool
lunfs_saved_collect (const LunfsArena *a, unsigned lun, GArray **out_ranges, GArray **out_pages)
{
  const LunfsArenaLun *record = &a->luns[lun];
  uint64_t size = record->nblocks * record->block_size;
  g_autoptr (GArray) ranges = g_array_new (FALSE, FALSE, sizeof (uint32_t));
  g_autoptr (GArray) pages = g_array_new (FALSE, FALSE, sizeof (uint32_t));
  guint n = 0;

  if (!record->used || !record->proven || record->block_size > LUNFS_PAGE_BYTES)
    return false;
  for (uint32_t i = 0; i < LUNFS_ARENA_RANGES; i++) {
    if (!range_waits (a, i) || a->ranges[i].lun != lun)
      continue;
    if (!range_is_sound (&a->ranges[i], size, record->block_size))
      return false;
    g_array_append_val (ranges, i);
  }
  for (uint32_t i = 0; i < npages (a); i++) {
    if (!page_waits (a, i) || a->pages[i].lun != lun)
      continue;
    if (!page_is_sound (&a->pages[i], size, record->block_size))
      return false;
    g_array_append_val (pages, i);
  }
  g_array_sort_with_data (ranges, by_seq, (gpointer) a);
  g_array_sort_with_data (pages, by_number, (gpointer) a);
  for (guint i = 0; i < pages->len; i++) { /* of two of a page the newer has all that the other has */
    uint32_t at = g_array_index (pages, uint32_t, i);

    if (n == 0 || a->pages[g_array_index (pages, uint32_t, n - 1)].number != a->pages[at].number)
      g_array_index (pages, uint32_t, n++) = at;
  }
  g_array_set_size (pages, n);
  *out_ranges = g_steal_pointer (&ranges);
  *out_pages = g_steal_pointer (&pages);
  return true;
}

/* ---- files ---- */

static char *
strip (const char *file)
{
  return g_strndup (file, strlen (file) - strlen (LUNFS_SAVED_SUFFIX));
}
G_STATIC_ASSERT (sizeof LUNFS_SAVED_SUFFIX == sizeof LUNFS_ARENA_SUFFIX);

char *
lunfs_saved_set_aside (const char *path, GError **error)
{
  g_autofree char *dir = g_path_get_dirname (path);
  g_autofree char *file = g_path_get_basename (path);
  g_autofree char *stem = strip (file);

  for (unsigned n = 1; n <= MAX_FILES; n++) {
    g_autofree char *name = g_strdup_printf ("%s-%u", stem, n);
    g_autofree char *to = g_strdup_printf ("%s/%s" LUNFS_SAVED_SUFFIX, dir, name);

    if (renameat2 (AT_FDCWD, path, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
      return g_steal_pointer (&name);
    if (errno == EEXIST)
      continue;
    if (errno != EINVAL)
      break;
    /* No such flag on this file system: only the holder of the lock makes such names. */
    if (access (to, F_OK) < 0 && rename (path, to) == 0)
      return g_steal_pointer (&name);
  }
  g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_FAILED, "%s cannot be renamed to %s-N" LUNFS_SAVED_SUFFIX ": %s", path,
               stem, g_strerror (errno));
  return NULL;
}

static LunfsSaved *
open_file (const char *dir, const char *file, bool take, bool *out_alive, GError **error)
{
  g_autoptr (LunfsSaved) saved = g_new0 (LunfsSaved, 1);
  bool locked;
  int fd;

  g_mutex_init (&saved->lock);
  saved->dir = g_strdup (dir);
  saved->name = strip (file);
  saved->path = g_build_filename (dir, file, NULL);
  fd = open (saved->path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    g_set_error (error, LUNFS_ERROR, (int) lunfs_exit_of_path (errno), "%s: %s", saved->path, g_strerror (errno));
    return NULL;
  }
  locked = take && lunfs_file_lock (fd);
  if (!locked && g_str_has_suffix (file, LUNFS_ARENA_SUFFIX) && lunfs_file_is_locked (fd)) {
    *out_alive = true;
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_EXISTS, "%s: in use by a mount", saved->path);
    close (fd);
    return NULL;
  }
  saved->arena = locked ? lunfs_arena_attach (fd, error) : lunfs_arena_look (fd, error);
  if (!saved->arena) {
    g_prefix_error (error, "%s: ", saved->path);
    return NULL;
  }
  saved->users = locked;
  return g_steal_pointer (&saved);
}

/* From a dead mount's file to a saved one: its name is free for a new mount. */
static bool
adopt (LunfsSaved *saved, GError **error)
{
  char *name;

  if (!g_str_has_suffix (saved->path, LUNFS_ARENA_SUFFIX))
    return true;
  name = lunfs_saved_set_aside (saved->path, error);
  if (!name)
    return false;
  g_free (saved->name);
  g_free (saved->path);
  saved->name = name;
  saved->path = g_strdup_printf ("%s/%s" LUNFS_SAVED_SUFFIX, saved->dir, name);
  return true;
}

LunfsSaved *
lunfs_saved_open (const char *dir, const char *name, GError **error)
{
  g_autofree char *file = g_strconcat (name, LUNFS_SAVED_SUFFIX, NULL);
  g_autofree char *path = g_build_filename (dir, file, NULL);
  bool alive = false;

  if (access (path, F_OK) < 0) {
    g_free (file);
    file = g_strconcat (name, LUNFS_ARENA_SUFFIX, NULL);
  }
  return open_file (dir, file, false, &alive, error);
}

static void
add_file (GPtrArray *all, const char *dir, const char *file, bool take,
          void (*unusable) (void *user, const char *name, const char *why), void *user)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (LunfsSaved) saved = NULL;
  bool alive = false;

  saved = open_file (dir, file, take, &alive, &error);
  if (saved && !lunfs_saved_any (saved->arena)) {
    if (saved->users && g_str_has_suffix (file, LUNFS_SAVED_SUFFIX)) /* its worker died before it could remove it */
      unlink (saved->path);
    return;
  }
  if (saved && (!take || adopt (saved, &error))) {
    g_ptr_array_add (all, g_steal_pointer (&saved));
  } else if (!alive && unusable) {
    g_autofree char *name = strip (file);

    unusable (user, name, error->message);
  }
}

static bool
is_in (const LunfsArena *arena, const char *dir, const char *file)
{
  g_autofree char *path = g_build_filename (dir, file, NULL);

  return lunfs_saved_is_at (arena, path);
}

GPtrArray *
lunfs_saved_open_all (const char *dir, bool take, const LunfsArena *own,
                      void (*unusable) (void *user, const char *name, const char *why), void *user)
{
  GPtrArray *all = g_ptr_array_new_with_free_func ((GDestroyNotify) lunfs_saved_free);
  g_autoptr (GPtrArray) files = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GDir) entries = g_dir_open (dir, 0, NULL);
  const char *file;

  /* Names first: what is renamed would be met twice. */
  while (entries && files->len < MAX_FILES && (file = g_dir_read_name (entries)))
    if (*file != '.' && (g_str_has_suffix (file, LUNFS_SAVED_SUFFIX) || g_str_has_suffix (file, LUNFS_ARENA_SUFFIX)))
      g_ptr_array_add (files, g_strdup (file));
  for (guint i = 0; i < files->len; i++)
    if (!own || !is_in (own, dir, files->pdata[i]))
      add_file (all, dir, files->pdata[i], take, unusable, user);
  return all;
}

bool
lunfs_saved_take (LunfsSaved *saved)
{
  bool ok;

  g_mutex_lock (&saved->lock);
  ok = saved->users > 0 || lunfs_file_lock (saved->arena->fd);
  saved->users += ok;
  g_mutex_unlock (&saved->lock);
  return ok;
}

void
lunfs_saved_release (LunfsSaved *saved)
{
  g_mutex_lock (&saved->lock);
  if (saved->users > 0 && --saved->users == 0)
    lunfs_file_unlock (saved->arena->fd);
  g_mutex_unlock (&saved->lock);
}

bool
lunfs_saved_is_at (const LunfsArena *arena, const char *path)
{
  struct stat ours, there;

  return fstat (arena->fd, &ours) == 0 && lstat (path, &there) == 0 && ours.st_ino == there.st_ino
         && ours.st_dev == there.st_dev;
}

void
lunfs_saved_drop_empty (LunfsSaved *saved)
{
  LunfsArena *a = saved->arena;

  if (lunfs_saved_any (a) || !lunfs_saved_is_at (a, saved->path)) /* another one may have the name by now */
    return;
  if (unlink (saved->path) < 0)
    lunfs_warning ("%s: cannot be removed: %s", saved->path, g_strerror (errno));
  /* Who has it open keeps it so until he ends: not its memory, too. */
  if (fallocate (a->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, a->chunks - (uint8_t *) a->header,
                 (off_t) a->header->nchunks * LUNFS_CHUNK_BYTES)
      < 0)
    lunfs_debug (SUPERVISOR, "%s: %s", saved->path, g_strerror (errno));
}

void
lunfs_saved_free (LunfsSaved *saved)
{
  if (!saved)
    return;
  lunfs_arena_free (saved->arena);
  g_mutex_clear (&saved->lock);
  g_free (saved->dir);
  g_free (saved->name);
  g_free (saved->path);
  g_free (saved);
}
