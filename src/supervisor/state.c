/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "supervisor/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lunfs/error.h"
#include "lunfs/log.h"
#include "supervisor/saved.h"
#include "util/filelock.h"

#define FUSE_MAGIC 0x65735546
#define TMPFS_MAGIC_NUMBER 0x01021994
#define RAMFS_MAGIC_NUMBER 0x858458f6
#define LOCK_WAIT_MS 3000 /* for processes that were killed just now */
#define LOCK_EVERY_MS 20
#define TEMPORARY ".lunfs-"

/* ---- the directory ---- */

static bool
refuse (const char *dir, const char *why, LunfsExit status, GError **error)
{
  g_set_error (error, LUNFS_ERROR, (int) status, "state_dir %s: %s", dir, why);
  return false;
}

/* What is written to it must not wait for us. */
static bool
is_behind_us (const char *dir, const char *mountpoint)
{
  g_autofree char *real = realpath (dir, NULL);
  size_t len = strlen (mountpoint);

  return real && strncmp (real, mountpoint, len) == 0 && (real[len] == '/' || real[len] == '\0');
}

static bool
check_dir (const LunfsSettings *s, GError **error)
{
  const char *dir = s->state_dir;
  struct stat st;
  struct statfs fs;

  g_mkdir_with_parents (dir, 0700);
  if (stat (dir, &st) < 0 || statfs (dir, &fs) < 0)
    return refuse (dir, g_strerror (errno), lunfs_exit_of_path (errno), error);
  if (!S_ISDIR (st.st_mode))
    return refuse (dir, "it is no directory", LUNFS_EXIT_USAGE, error);
  if (st.st_uid != geteuid ())
    return refuse (dir, "it belongs to another user; give a directory of your own", LUNFS_EXIT_ACCESS, error);
  if (st.st_mode & 022)
    return refuse (dir, "others may write to it; take that away with chmod go-w", LUNFS_EXIT_ACCESS, error);
  if (fs.f_type == FUSE_MAGIC || is_behind_us (dir, s->mountpoint))
    return refuse (dir, "it is on a FUSE file system, or in the mount itself; give a directory on a local disk",
                   LUNFS_EXIT_USAGE, error);
  if (fs.f_type == TMPFS_MAGIC_NUMBER || (unsigned long) fs.f_type == RAMFS_MAGIC_NUMBER)
    lunfs_notice ("state_dir %s is in memory: what is kept there does not survive a restart of the host", dir);
  return true;
}

/* Of the source and where it is mounted: the same mount finds it again. */
static char *
file_path (const LunfsSettings *s)
{
  g_autofree char *key = g_strconcat (s->source_text, "\n", s->mountpoint, NULL);
  g_autofree char *sum = g_compute_checksum_for_string (G_CHECKSUM_SHA256, key, -1);

  return g_strdup_printf ("%s/%.16s" LUNFS_ARENA_SUFFIX, s->state_dir, sum);
}

/* ---- what is there already ---- */

static bool
lock_soon (int fd)
{
  for (int ms = 0; ms < LOCK_WAIT_MS; ms += LOCK_EVERY_MS) {
    if (lunfs_file_lock (fd))
      return true;
    g_usleep (LOCK_EVERY_MS * 1000);
  }
  return false;
}

static bool
in_use (const char *path, GError **error)
{
  g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_EXISTS,
               "%s: in use: this source is mounted here already, or its last mount still flushes", path);
  return false;
}

static bool
unusable (const char *path, const GError *why, GError **error)
{
  g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_FAILED,
               "%s: %s; data of an earlier mount may be in it: mount once with the version that made it, or give it up "
               "with lunfsctl saved discard --yes %.*s",
               path, why->message, (int) (strlen (path) - strlen (LUNFS_ARENA_SUFFIX)), path);
  return false;
}

/* A dead mount's: set aside or removed. */
static bool
clear_way (const char *path, GError **error)
{
  g_autoptr (GError) why = NULL;
  g_autoptr (LunfsArena) arena = NULL;
  g_autofree char *name = NULL;
  int fd = open (path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

  if (fd < 0 && errno == ENOENT)
    return true;
  if (fd < 0) {
    g_set_error (error, LUNFS_ERROR, (int) lunfs_exit_of_path (errno), "%s: %s", path, g_strerror (errno));
    return false;
  }
  if (!lock_soon (fd)) {
    close (fd);
    return in_use (path, error);
  }
  arena = lunfs_arena_attach (fd, &why);
  if (!arena)
    return unusable (path, why, error);
  if (!lunfs_saved_any (arena))
    return unlink (path) == 0 || errno == ENOENT || refuse (path, g_strerror (errno), LUNFS_EXIT_ACCESS, error);
  name = lunfs_saved_set_aside (path, error);
  if (name)
    lunfs_notice ("%s: the last mount ended without having flushed everything: kept as %s", path, name);
  return name != NULL;
}

/* What nobody can read may be what this mount is about. */
static bool
check_saved (const char *path, GError **error)
{
  g_autofree char *dir = g_path_get_dirname (path);
  g_autofree char *base = g_path_get_basename (path);
  g_autofree char *prefix = g_strdup_printf ("%.*s-", (int) (strlen (base) - strlen (LUNFS_ARENA_SUFFIX)), base);
  g_autoptr (GDir) entries = g_dir_open (dir, 0, NULL);
  const char *file;

  while (entries && (file = g_dir_read_name (entries))) {
    g_autofree char *saved = g_build_filename (dir, file, NULL);
    g_autoptr (GError) why = NULL;
    g_autoptr (LunfsArena) arena = NULL;
    int fd;

    if (!g_str_has_prefix (file, prefix) || !g_str_has_suffix (file, LUNFS_SAVED_SUFFIX))
      continue;
    fd = open (saved, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    arena = fd < 0 ? NULL : lunfs_arena_look (fd, &why);
    if (fd < 0)
      g_set_error_literal (&why, LUNFS_ERROR, LUNFS_EXIT_ACCESS, g_strerror (errno));
    if (!arena)
      return unusable (saved, why, error);
  }
  return true;
}

/* Of mounts that died while they made one. */
static void
remove_temporary (const char *dir)
{
  g_autoptr (GDir) entries = g_dir_open (dir, 0, NULL);
  const char *file;

  while (entries && (file = g_dir_read_name (entries))) {
    g_autofree char *path = g_build_filename (dir, file, NULL);
    int fd;

    if (!g_str_has_prefix (file, TEMPORARY))
      continue;
    fd = open (path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0 && lunfs_file_lock (fd))
      unlink (path);
    if (fd >= 0)
      close (fd);
  }
}

/* ---- a new one ---- */

static LunfsArena *
make (const LunfsSettings *s, const char *temporary, uint64_t buffer_bytes, GError **error)
{
  g_autofree char *boot = lunfs_boot_id ();
  LunfsArena *arena;
  int fd = open (temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

  if (fd < 0 || !lunfs_file_lock (fd)) {
    refuse (s->state_dir, g_strerror (errno), LUNFS_EXIT_ACCESS, error);
    if (fd >= 0)
      close (fd);
    return NULL;
  }
  arena = lunfs_arena_create_in (fd, buffer_bytes, error);
  if (!arena) {
    g_prefix_error (error, "state_dir %s: ", s->state_dir);
    return NULL;
  }
  g_strlcpy (arena->header->source, s->source_text, sizeof arena->header->source);
  g_strlcpy (arena->header->mountpoint, s->mountpoint, sizeof arena->header->mountpoint);
  g_strlcpy (arena->header->boot_id, boot, sizeof arena->header->boot_id);
  return arena;
}

LunfsArena *
lunfs_state_create (const LunfsSettings *s, uint64_t buffer_bytes, GError **error)
{
  g_autofree char *path = file_path (s);
  g_autofree char *temporary = g_strdup_printf ("%s/" TEMPORARY "%ld", s->state_dir, (long) getpid ());
  g_autoptr (LunfsArena) arena = NULL;
  int linked;

  if (!check_dir (s, error))
    return NULL;
  remove_temporary (s->state_dir);
  if (!clear_way (path, error) || !check_saved (path, error))
    return NULL;
  arena = make (s, temporary, buffer_bytes, error);
  /* It gets its name whole and locked: whoever finds it unlocked knows that its mount is dead. */
  linked = arena ? link (temporary, path) : -1;
  if (arena && linked < 0 && errno == EEXIST)
    in_use (path, error);
  else if (arena && linked < 0)
    refuse (s->state_dir, g_strerror (errno), LUNFS_EXIT_FAILED, error);
  unlink (temporary);
  if (linked < 0)
    return NULL;
  lunfs_info ("%s: %" G_GUINT64_FORMAT " MiB", path, (uint64_t) arena->mapped_bytes >> 20);
  return g_steal_pointer (&arena);
}

/* ---- the end ---- */

static bool
sync_all (LunfsArena *arena)
{
  return msync (arena->header, arena->mapped_bytes, MS_SYNC) == 0 && fdatasync (arena->fd) == 0;
}

/* The mark last: a file that has it has all the rest. */
static void
seal (LunfsArena *arena, const char *path)
{
  bool ok = sync_all (arena);

  if (ok) {
    arena->header->sealed_us = g_get_real_time ();
    arena->header->sealed = 1;
    ok = sync_all (arena);
  }
  if (!ok)
    lunfs_error ("%s: cannot be written to disk: %s; it does not survive a restart of the host", path,
                 g_strerror (errno));
}

/* What has been waiting for a LUN all the while is to survive the restart that may follow, too. */
static void
seal_waiting (const char *dir, const LunfsArena *own)
{
  g_autoptr (GPtrArray) all = lunfs_saved_open_all (dir, true, own, NULL, NULL);

  for (guint i = 0; i < all->len; i++) {
    LunfsSaved *saved = all->pdata[i];

    if (saved->users && !saved->arena->header->sealed && lunfs_saved_is_whole (saved->arena))
      seal (saved->arena, saved->path);
  }
}

static void
sync_dir (const char *dir)
{
  int fd = open (dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  if (fd < 0)
    return;
  if (fsync (fd) < 0)
    lunfs_warning ("%s: %s", dir, g_strerror (errno));
  close (fd);
}

char *
lunfs_state_end (LunfsArena *arena, const LunfsSettings *s)
{
  g_autofree char *path = file_path (s);
  g_autofree char *name = NULL;
  g_autoptr (GError) error = NULL;

  if (!lunfs_saved_is_at (arena, path))
    return NULL;
  seal_waiting (s->state_dir, arena);
  if (!lunfs_saved_any (arena)) {
    unlink (path);
    return NULL;
  }
  seal (arena, path);
  name = lunfs_saved_set_aside (path, &error);
  sync_dir (s->state_dir);
  if (name)
    return g_strdup_printf ("%s/%s", s->state_dir, name);
  lunfs_warning ("%s", error->message);
  return g_steal_pointer (&path);
}
