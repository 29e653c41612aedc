/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lunfsctl logout, login, umount: nobody loses what he has written. */
#include "config.h"

#include "ctl/ctl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define LOOK_EVERY_US 20000
#define FLUSH_TIMEOUT_S 30

/* ---- logout, login ---- */

static void
count_logged_in (JsonObject *mount, JsonObject *target, JsonObject *lun, void *n)
{
  *(unsigned *) n += strcmp (lunfs_ctl_text (lun, "state"), "logged out") != 0;
}

/* Wait until each LUN below @path is logged out. */
static bool
wait_logged_out (char *path, gint64 timeout_s, GError **error)
{
  gint64 until_us = g_get_monotonic_time () + timeout_s * G_USEC_PER_SEC;

  for (;;) {
    char *argv[] = { path, NULL };
    unsigned left = 0;
    int status;
    g_autoptr (GPtrArray) mounts = lunfs_ctl_statuses (1, argv, &status, error);

    if (!mounts)
      return false;
    for (unsigned m = 0; m < mounts->len; m++)
      lunfs_ctl_each_lun (mounts->pdata[m], count_logged_in, &left);
    if (left == 0 && status == LUNFS_EXIT_OK)
      return true;
    if (g_get_monotonic_time () > until_us) {
      g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_TIMEOUT, "%s: %u LUNs are not logged out yet", path, left);
      return false;
    }
    g_usleep (LOOK_EVERY_US);
  }
}

int
lunfs_ctl_logout (int argc, char **argv, GError **error)
{
  gboolean force = FALSE;
  gint64 timeout_s = FLUSH_TIMEOUT_S;
  const GOptionEntry entries[] = {
    { "force", 'f', 0, G_OPTION_ARG_NONE, &force, "also if files are open, or cannot be flushed", NULL },
    { "timeout", 't', 0, G_OPTION_ARG_INT64, &timeout_s, "for the flush, and again for the logout [30]", "SECONDS" },
    { 0 }
  };
  g_autoptr (JsonObject) request = lunfs_ctl_request ("logout");
  g_autoptr (GPtrArray) answers = NULL, mounts = NULL;
  g_autofree char *users = NULL, *path = NULL;
  const LunfsControlMount *mount;
  int status = LUNFS_EXIT_OK;

  if (!lunfs_ctl_options (&argc, &argv, entries, 1, "PATH", error) || !lunfs_ctl_check_timeout (timeout_s, 1, error)
      || !(mounts = lunfs_control_find (argv[0], error)))
    return LUNFS_EXIT_USAGE;
  mount = mounts->pdata[0];
  path = *mount->inside ? g_build_filename (mount->mountpoint, mount->inside, NULL) : g_strdup (mount->mountpoint);
  users = force ? NULL : lunfs_ctl_users (path);
  if (users) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_BUSY,
                 "%s is in use by %s: their requests would fail; end them first, or --force", argv[0], users);
    return LUNFS_EXIT_BUSY;
  }
  if (!lunfs_ctl_flush_path (argv[0], timeout_s, force ? NULL : error) && !force)
    return LUNFS_EXIT_UNFLUSHED;
  answers = lunfs_ctl_ask (argc, argv, request, &status, error);
  if (answers && status == LUNFS_EXIT_OK)
    wait_logged_out (argv[0], timeout_s, error);
  return status;
}

int
lunfs_ctl_login (int argc, char **argv, GError **error)
{
  const GOptionEntry entries[] = { { 0 } };
  g_autoptr (JsonObject) request = lunfs_ctl_request ("login");
  g_autoptr (GPtrArray) answers = NULL;
  int status = LUNFS_EXIT_OK;

  if (lunfs_ctl_options (&argc, &argv, entries, 1, "PATH", error))
    answers = lunfs_ctl_ask (argc, argv, request, &status, error);
  return status;
}

/* ---- umount ---- */

/* EBUSY or another errno; 0 = unmounted. */
static int
unmount (const char *mountpoint, GError **error)
{
  const char *argv[] = { "fusermount3", "-u", "--", mountpoint, NULL };
  g_autofree char *said = NULL;
  int status;

  if (umount2 (mountpoint, UMOUNT_NOFOLLOW) == 0)
    return 0;
  if (errno != EPERM) {
    int err = errno;

    if (err != EBUSY)
      g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_MOUNT, "%s: cannot be unmounted: %s", mountpoint, g_strerror (err));
    return err;
  }
  if (!g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, &said, &status, error))
    return ENOENT;
  if (g_spawn_check_wait_status (status, NULL))
    return 0;
  if (strstr (said, "busy"))
    return EBUSY;
  g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_MOUNT, "%s", g_strchomp (said));
  return EIO;
}

typedef struct {
  unsigned nluns;
  GString *lost; /* what nobody can be told of after the unmount */
} Last;

static void
look_at_lun (JsonObject *mount, JsonObject *target, JsonObject *lun, void *user)
{
  JsonObject *counters = lunfs_ctl_object (lun, "counters");
  g_autofree char *path = lunfs_ctl_lun_path (mount, lun);
  Last *last = user;

  last->nluns++;
  if (lunfs_ctl_number (counters, "losses") > lunfs_ctl_number (counters, "losses_told"))
    g_string_append_printf (last->lost,
                            "lunfsctl: %s: data that had been written was lost, and nobody was told by fsync; the log "
                            "says why\n",
                            path);
}

/* A mount whose target has never been reached has nothing to flush. */
static bool
has_luns (char *mountpoint, GString *lost)
{
  char *argv[] = { mountpoint, NULL };
  int status;
  g_autoptr (GPtrArray) mounts = lunfs_ctl_statuses (1, argv, &status, NULL);
  Last last = { .lost = lost };

  for (unsigned i = 0; mounts && i < mounts->len; i++)
    lunfs_ctl_each_lun (mounts->pdata[i], look_at_lun, &last);
  return !mounts || mounts->len == 0 || last.nluns > 0;
}

/* The process flushes once more, logs out and ends. */
static bool
wait_for_end (const LunfsControlMount *mount, gint64 timeout_s, GError **error)
{
  gint64 until_us = g_get_monotonic_time () + timeout_s * G_USEC_PER_SEC;

  while (lunfs_control_has_owner (mount->socket)) {
    if (g_get_monotonic_time () > until_us) {
      g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_TIMEOUT,
                   "%s: unmounted, but its process has not ended yet; the log says what it waits for",
                   mount->mountpoint);
      return false;
    }
    g_usleep (LOOK_EVERY_US);
  }
  return true;
}

int
lunfs_ctl_umount (int argc, char **argv, GError **error)
{
  gint64 timeout_s = FLUSH_TIMEOUT_S;
  const GOptionEntry entries[] = {
    { "timeout", 't', 0, G_OPTION_ARG_INT64, &timeout_s, "for the flush, and again for the end [30]", "SECONDS" }, { 0 }
  };
  g_autoptr (GPtrArray) mounts = NULL;
  g_autofree char *users = NULL;
  g_autoptr (GString) lost = g_string_new (NULL);
  LunfsControlMount *mount;
  int err;

  if (!lunfs_ctl_options (&argc, &argv, entries, 1, "PATH", error) || !lunfs_ctl_check_timeout (timeout_s, 1, error)
      || !(mounts = lunfs_control_find (argv[0], error)))
    return LUNFS_EXIT_USAGE;
  mount = mounts->pdata[0];
  if (*mount->inside) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "%s is in a mount, not its mount point: that is %s", argv[0],
                 mount->mountpoint);
    return LUNFS_EXIT_USAGE;
  }
  if (has_luns (mount->mountpoint, lost) && !lunfs_ctl_flush_path (mount->mountpoint, timeout_s, error)) {
    g_prefix_error (error, "not unmounted (umount or fusermount3 -u do so at once): ");
    return LUNFS_EXIT_UNFLUSHED;
  }
  err = unmount (mount->mountpoint, error);
  if (err == EBUSY) {
    users = lunfs_ctl_users (mount->mountpoint);
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_BUSY, "%s is busy: in use by %s", mount->mountpoint,
                 users ? users : "somebody this user cannot see (fuser -vm, as root, may)");
  }
  if (err == 0) {
    fputs (lost->str, stderr);
    wait_for_end (mount, timeout_s, error);
  }
  return LUNFS_EXIT_OK;
}
