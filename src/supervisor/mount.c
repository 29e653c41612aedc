/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libfuse does the mounting: it knows mount(2), fusermount3 and /dev/fd/N, and how each has to be undone.  The
 * session it needs for that has no operations and never sees a request. */
#include "config.h"

#include "supervisor/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lunfs/error.h"
#include "lunfs/log.h"
#include "supervisor/mountinfo.h"
#include "supervisor/mount_error.h"
#include "supervisor/unmount.h"

#include "fuse/fuse_api.h"

#define SAID_MAX 2048
#define DEV_FD "/dev/fd/"

struct LunfsMount {
  struct fuse_session *session;
  int fd; /* the session's */
  char *mountpoint;
  char *device; /* of the mount, as in mountinfo; NULL: mounted by another program */
  bool adopted; /* it was there before us */
};

/* ---- what libfuse and its helper print ---- */

typedef struct {
  int saved_fd, memory_fd;
} Capture;

static Capture
capture_start (void)
{
  Capture c = { -1, memfd_create ("lunfs-messages", MFD_CLOEXEC) };

  if (c.memory_fd < 0)
    return c;
  c.saved_fd = fcntl (STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  if (c.saved_fd >= 0)
    dup2 (c.memory_fd, STDERR_FILENO);
  return c;
}

/* Ends the capture; g_free. */
static char *
capture_end (Capture *c)
{
  char *said = g_malloc0 (SAID_MAX + 1);

  if (c->saved_fd >= 0) {
    dup2 (c->saved_fd, STDERR_FILENO);
    close (c->saved_fd);
  }
  if (c->memory_fd >= 0) {
    if (pread (c->memory_fd, said, SAID_MAX, 0) < 0)
      said[0] = '\0';
    close (c->memory_fd);
  }
  return said;
}

/* ---- options ---- */

static void
add (char **text, const char *option)
{
  if (fuse_opt_add_opt_escaped (text, option) < 0)
    g_error ("out of memory");
}

/* auto_unmount keeps a second program watching us; unmounting is what this process is for. */
static bool
is_passed_on (const char *option)
{
  return *option && strcmp (option, "auto_unmount") != 0;
}

char *
lunfs_mount_options_text (const LunfsSettings *settings)
{
  g_autofree char *fsname = g_strconcat ("fsname=", settings->source_text ? settings->source_text : "lunfs", NULL);
  char *text = NULL, *copy;

  add (&text, fsname);
  add (&text, "subtype=lunfs");
  add (&text, "default_permissions");
  if (settings->read_only)
    add (&text, "ro");
  /* To the kernel allow_root is allow_other; the worker's session refuses the others. */
  if (settings->allow_root)
    add (&text, "allow_root");
  else if (settings->allow_other)
    add (&text, "allow_other");
  for (guint i = 0; settings->mount_options && i < settings->mount_options->len; i++)
    if (is_passed_on (settings->mount_options->pdata[i]))
      add (&text, settings->mount_options->pdata[i]);
  copy = g_strdup (text);
  free (text); /* libfuse's malloc */
  return copy;
}

/* ---- mounting ---- */

static bool
is_dev_fd (const char *mountpoint)
{
  return g_str_has_prefix (mountpoint, DEV_FD);
}

static struct fuse_session *
new_session (const LunfsSettings *settings)
{
  static const struct fuse_lowlevel_ops none;
  struct fuse_args args = FUSE_ARGS_INIT (0, NULL);
  g_autofree char *options = lunfs_mount_options_text (settings);
  struct fuse_session *session;

  if (fuse_opt_add_arg (&args, "lunfs") < 0 || fuse_opt_add_arg (&args, "-o") < 0
      || fuse_opt_add_arg (&args, options) < 0)
    g_error ("out of memory");
  session = fuse_session_new (&args, &none, sizeof none, NULL);
  fuse_opt_free_args (&args);
  return session;
}

static LunfsMount *
mount_session (const LunfsSettings *settings, const char *where)
{
  struct fuse_session *session = new_session (settings);
  LunfsMount *mount;

  if (!session)
    return NULL;
  if (fuse_session_mount (session, where) != 0) {
    fuse_session_destroy (session);
    return NULL;
  }
  mount = g_new0 (LunfsMount, 1);
  mount->session = session;
  mount->fd = fuse_session_fd (session);
  return mount;
}

int
lunfs_mount_dev_fd (const char *mountpoint)
{
  guint64 fd;

  if (!is_dev_fd (mountpoint) || !g_ascii_string_to_unsigned (mountpoint + strlen (DEV_FD), 10, 0, G_MAXINT, &fd, NULL))
    return -1;
  return (int) fd;
}

static bool
check_dev_fd (const char *mountpoint, GError **error)
{
  int fd = lunfs_mount_dev_fd (mountpoint);

  if (fd >= 0 && fcntl (fd, F_GETFD) >= 0)
    return true;
  g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_MOUNT,
               "%s: there is no such open descriptor; it must be a mounted /dev/fuse that we inherit", mountpoint);
  return false;
}

static bool
check_point (const LunfsSettings *settings, GError **error)
{
  if (is_dev_fd (settings->mountpoint))
    return check_dev_fd (settings->mountpoint, error);
  return lunfs_mount_check_point (settings, error);
}

LunfsMount *
lunfs_mount_new (const LunfsSettings *settings, GError **error)
{
  LunfsMount *mount;
  g_autofree char *said = NULL;
  Capture capture;

  if (!check_point (settings, error))
    return NULL;
  capture = capture_start ();
  mount = mount_session (settings, settings->mountpoint);
  said = g_strchomp (capture_end (&capture));
  if (!mount) {
    lunfs_mount_explain (settings, said, error);
    return NULL;
  }
  if (*said)
    lunfs_warning ("mount: %s", said);
  fcntl (mount->fd, F_SETFD, FD_CLOEXEC);
  mount->mountpoint = g_strdup (settings->mountpoint);
  if (!is_dev_fd (settings->mountpoint))
    mount->device = lunfs_mountinfo_device (settings->mountpoint);
  return mount;
}

LunfsMount *
lunfs_mount_adopt (const LunfsSettings *settings, int fd, const char *device)
{
  g_autofree char *where = g_strdup_printf (DEV_FD "%d", fd);
  LunfsMount *mount = mount_session (settings, where);

  if (!mount)
    return NULL;
  mount->adopted = true;
  mount->mountpoint = g_strdup (settings->mountpoint);
  mount->device = *device ? g_strdup (device) : NULL;
  return mount;
}

/* Put a broken descriptor in the place of /dev/fuse: libfuse takes that for "unmounted already". */
static void
disconnect (const LunfsMount *mount)
{
  int ends[2];

  if (pipe2 (ends, O_CLOEXEC) < 0)
    return;
  close (ends[0]); /* a pipe nobody reads polls POLLERR */
  dup3 (ends[1], mount->fd, O_CLOEXEC);
  close (ends[1]);
}

void
lunfs_mount_free (LunfsMount *mount)
{
  g_autofree char *there = NULL;

  if (!mount)
    return;
  if (mount->device)
    there = lunfs_mountinfo_device (mount->mountpoint);
  /* The directory was renamed, or another mount stands on ours: libfuse would unmount by path, whatever is there.  And
   * what it has not mounted it does not unmount. */
  if (mount->device && (mount->adopted || g_strcmp0 (there, mount->device) != 0) && lunfs_mount_is_alive (mount)) {
    lunfs_unmount_lazily (mount->fd, mount->device, mount->mountpoint);
    disconnect (mount);
  }
  fuse_session_unmount (mount->session); /* by path, unless it is disconnected: then it only frees */
  g_free (mount->device);
  g_free (mount->mountpoint);
  fuse_session_destroy (mount->session);
  g_free (mount);
}

bool
lunfs_mount_is_ours (const LunfsMount *mount)
{
  return mount->device != NULL;
}

bool
lunfs_mount_try_unmount (const LunfsMount *mount)
{
  return mount->device && lunfs_unmount_unused (mount->fd, mount->device);
}

const char *
lunfs_mount_device (const LunfsMount *mount)
{
  return mount->device;
}

int
lunfs_mount_fd (const LunfsMount *mount)
{
  return mount->fd;
}

bool
lunfs_mount_is_alive (const LunfsMount *mount)
{
  return lunfs_mount_is_alive_fd (mount->fd);
}
