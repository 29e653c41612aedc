/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libfuse and fusermount3 say that something failed; these functions look around for the cause. */
#include "config.h"

#include "supervisor/mount_error.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lunfs/error.h"

#define DEVICE "/dev/fuse"
#define FUSE_CONF "/etc/fuse.conf"

/* The file system type mounted last at @path, or NULL; g_free.  Reads the table only: a stat of a mount point
 * whose server hangs would hang too. */
static char *
mounted_type (const char *path)
{
  struct mntent entry;
  char *type = NULL;
  char line[8192];
  FILE *table = setmntent ("/proc/self/mounts", "re");

  if (!table)
    return NULL;
  while (getmntent_r (table, &entry, line, sizeof line)) {
    if (strcmp (entry.mnt_dir, path) != 0)
      continue;
    g_free (type);
    type = g_strdup (entry.mnt_type);
  }
  endmntent (table);
  return type;
}

bool
lunfs_mount_check_point (const LunfsSettings *settings, GError **error)
{
  const char *path = settings->mountpoint;
  g_autofree char *type = mounted_type (path);
  struct stat st;

  if (g_strcmp0 (type, "fuse.lunfs") == 0) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_EXISTS,
                 "%s is already mounted by lunfs; unmount it first (umount or fusermount3 -u), or if its lunfs is "
                 "gone: fusermount3 -u -z",
                 path);
    return false;
  }
  if (stat (path, &st) == 0)
    return true;
  if (errno == ENOTCONN)
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_EXISTS,
                 "mount point %s: a dead FUSE mount is still there; remove it with fusermount3 -u -z %s", path, path);
  else if (errno == ENOENT)
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_MOUNT,
                 "mount point %s does not exist; make a directory (mkdir), or an empty file to mount one LUN on it",
                 path);
  else
    g_set_error (error, LUNFS_ERROR, errno == EACCES ? LUNFS_EXIT_ACCESS : LUNFS_EXIT_MOUNT, "mount point %s: %s", path,
                 g_strerror (errno));
  return false;
}

/* NULL: the device can be opened. */
static char *
device_trouble (void)
{
  struct stat st;
  int fd = open (DEVICE, O_RDWR | O_CLOEXEC);
  int why = errno;

  if (fd >= 0) {
    close (fd);
    return NULL;
  }
  if (why == ENOENT || why == ENODEV || why == ENXIO)
    return g_strdup (DEVICE " is missing: load the kernel module (modprobe fuse); in a container give it the "
                            "device (--device " DEVICE ")");
  if (why == EPERM)
    return g_strdup (DEVICE " is refused by the container's device rules: start it with --device " DEVICE);
  if (why == EACCES && stat (DEVICE, &st) == 0 && (st.st_mode & 0060) == 0060 && st.st_gid != 0) {
    const struct group *group = getgrgid (st.st_gid); /* before any thread */

    return g_strdup_printf (
        "no permission for %s: it is for group %s, which we are not in; as root: usermod -aG %s USER, "
        "then log in anew; or mount as root",
        DEVICE, group ? group->gr_name : "?", group ? group->gr_name : "GROUP");
  }
  if (why == EACCES && stat (DEVICE, &st) == 0)
    return g_strdup_printf ("no permission for %s: its mode is %04o, owner %u:%u, and we are user %u; ordinary users "
                            "need mode 0666 (chmod 0666 %s as root), or mount as root",
                            DEVICE, (unsigned) st.st_mode & 07777, st.st_uid, st.st_gid, geteuid (), DEVICE);
  return g_strdup_printf ("cannot open %s: %s", DEVICE, g_strerror (why));
}

static bool
says (const char *said, const char *word)
{
  return strstr (said, word) != NULL;
}

/* mount(2) was not allowed, or not even tried: libfuse went to fusermount3. */
static bool
fusermount_missing (const char *said)
{
  g_autofree char *found = g_find_program_in_path ("fusermount3");

  return !found && says (said, "fusermount3");
}

/* A copy of the program, a package without its rights, a file system without setuid programs. */
static bool
fusermount_powerless (void)
{
  g_autofree char *found = g_find_program_in_path ("fusermount3");
  struct stat st;

  return geteuid () != 0 && found && stat (found, &st) == 0 && (!(st.st_mode & S_ISUID) || st.st_uid != 0);
}

static char *
cause (const LunfsSettings *settings, const char *said, int *out_code)
{
  char *device = device_trouble ();

  *out_code = LUNFS_EXIT_ACCESS;
  if (device)
    return device;
  if ((settings->allow_other || settings->allow_root) && says (said, "user_allow_other"))
    return g_strdup_printf ("allow_%s needs the line user_allow_other in " FUSE_CONF ", set by root",
                            settings->allow_root ? "root" : "other");
  if (fusermount_missing (said))
    return g_strdup ("fusermount3 is not installed (package fuse3); without it only root can mount");
  if (fusermount_powerless () && says (said, "not permitted"))
    return g_strdup ("fusermount3 may not mount: it is not setuid root (as root: chown root, chmod u+s)");
  if (says (said, "mount_max"))
    return g_strdup ("this user has as many FUSE mounts as mount_max in " FUSE_CONF " allows");
  if (says (said, "Permission denied") || says (said, "Operation not permitted") || says (said, "no write access")
      || says (said, "not owned"))
    return g_strdup ("no permission to mount there; an ordinary user must own the mount point and be able to write "
                     "to it, a container needs CAP_SYS_ADMIN (--cap-add SYS_ADMIN)");
  *out_code = LUNFS_EXIT_MOUNT;
  return g_strdup ("mounting failed");
}

/* One line, without the "fuse: " that says nothing here. */
static char *
one_line (const char *said)
{
  g_auto (GStrv) lines = g_strsplit (said, "\n", -1);
  GString *text = g_string_new (NULL);

  for (char **l = lines; *l; l++) {
    const char *line = g_str_has_prefix (*l, "fuse: ") ? *l + strlen ("fuse: ") : *l;

    if (*g_strstrip (*l) == '\0')
      continue;
    g_string_append_printf (text, "%s%s", text->len ? "; " : "", line);
  }
  return g_string_free (text, FALSE);
}

void
lunfs_mount_explain (const LunfsSettings *settings, const char *said, GError **error)
{
  g_autofree char *words = one_line (said);
  g_autofree char *why = NULL;
  int code;

  if (says (said, "unknown option") || says (said, "invalid parameter")) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "mount option refused: %s", words);
    return;
  }
  why = cause (settings, said, &code);
  g_set_error (error, LUNFS_ERROR, code, "cannot mount %s: %s%s%s%s", settings->mountpoint, why, *words ? " (" : "",
               words, *words ? ")" : "");
}
