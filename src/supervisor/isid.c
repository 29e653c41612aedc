/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "supervisor/isid.h"

#include "lunfs/log.h"
#include "util/rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static void
add (GChecksum *sum, const char *text)
{
  g_checksum_update (sum, (const guchar *) text, (gssize) strlen (text) + 1);
}

static uint32_t
hash (const LunfsSettings *s)
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree char *machine = NULL;
  guint8 digest[32];
  gsize len = sizeof digest;

  add (sum, s->initiator_name ? s->initiator_name : "");
  add (sum, s->source_text ? s->source_text : "");
  add (sum, s->mountpoint ? s->mountpoint : "");
  add (sum, g_get_host_name ());
  if (g_file_get_contents ("/etc/machine-id", &machine, NULL, NULL))
    add (sum, machine);
  g_checksum_get_digest (sum, digest, &len);
  return (uint32_t) digest[0] << 16 | (uint32_t) digest[1] << 8 | digest[2];
}

static char *
lock_path (uint32_t isid)
{
  g_autofree char *name = g_strdup_printf ("isid-%06x", isid);

  return lunfs_run_path (geteuid (), name);
}

/* Locked, and still the file under that name: its last owner may have removed it meanwhile. */
static bool
is_current (int fd, const char *path)
{
  struct stat ours, there;

  return fstat (fd, &ours) == 0 && stat (path, &there) == 0 && ours.st_ino == there.st_ino
         && ours.st_dev == there.st_dev;
}

int
lunfs_isid_lock (uint32_t isid)
{
  g_autofree char *path = lock_path (isid);
  g_autofree char *dir = g_path_get_dirname (path);
  int fd;

  g_mkdir_with_parents (dir, 0700);
  for (;;) {
    fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || flock (fd, LOCK_EX | LOCK_NB) < 0)
      break;
    if (is_current (fd, path))
      return fd;
    close (fd);
  }
  lunfs_debug (SUPERVISOR, "no lock on %s: %s", path, g_strerror (errno));
  if (fd >= 0)
    close (fd);
  return -1;
}

void
lunfs_isid_release (uint32_t isid, int lock_fd)
{
  g_autofree char *path = lock_path (isid);

  if (lock_fd < 0)
    return;
  unlink (path);
  close (lock_fd);
}

uint32_t
lunfs_isid_choose (const LunfsSettings *settings, int *out_lock_fd)
{
  uint32_t isid = hash (settings);

  *out_lock_fd = lunfs_isid_lock (isid);
  return *out_lock_fd >= 0 ? isid : g_random_int () & 0xffffff;
}
