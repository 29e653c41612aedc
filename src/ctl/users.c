/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who uses files of a mount: processes that have them open, mapped or as their directory, and loop devices.
 *
 * By the kernel's texts (/proc, /sys), so that nothing waits for a file system, whatever it may be.  A text is believed only
 * if the file behind it is on our mount's device: other mount namespaces have other paths.  Of other users' processes an
 * ordinary user sees nothing. */
#include "config.h"

#include "ctl/ctl.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
  const char *path; /* mount point, directory or LUN's file */
  struct stat st;
  bool is_dir;
  GString *text;
} Users;

/* @link, in /proc, may be it by its text: then its device and number decide. */
static bool
is_ours (const Users *u, const char *link)
{
  g_autofree char *target = g_file_read_link (link, NULL), *name = g_path_get_basename (u->path);
  struct stat st;

  if (!target || !strstr (target, u->is_dir ? "/" : name))
    return false;
  if (u->is_dir && strncmp (target, u->path, strlen (u->path)) != 0) /* only in our own namespace: else it could wait */
    return false;
  return stat (link, &st) == 0 && st.st_dev == u->st.st_dev && (u->is_dir || st.st_ino == u->st.st_ino);
}

static const char *
how_it_uses (const Users *u, const char *proc)
{
  static const char *const links[] = { "cwd", "root", "exe" };
  g_autofree char *fds = g_build_filename (proc, "fd", NULL);
  g_autoptr (GDir) dir = g_dir_open (fds, 0, NULL);
  const char *name;

  for (unsigned i = 0; i < G_N_ELEMENTS (links); i++) {
    g_autofree char *link = g_build_filename (proc, links[i], NULL);

    if (is_ours (u, link))
      return links[i];
  }
  while (dir && (name = g_dir_read_name (dir))) {
    g_autofree char *link = g_build_filename (fds, name, NULL);

    if (is_ours (u, link))
      return "open file";
  }
  return NULL;
}

static void
look_at_processes (Users *u)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc", 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name (dir))) {
    g_autofree char *proc = g_build_filename ("/proc", name, NULL), *comm = NULL, *path = NULL;
    const char *how = g_ascii_isdigit (name[0]) && (pid_t) g_ascii_strtoll (name, NULL, 10) != getpid ()
                          ? how_it_uses (u, proc)
                          : NULL;

    if (!how)
      continue;
    path = g_build_filename (proc, "comm", NULL);
    if (g_file_get_contents (path, &comm, NULL, NULL))
      g_strchomp (comm);
    g_string_append_printf (u->text, "%s%s (process %s, %s)", u->text->len ? ", " : "", comm ? comm : "?", name, how);
  }
}

static void
look_at_loops (Users *u)
{
  g_autoptr (GDir) dir = g_dir_open ("/sys/block", 0, NULL);
  size_t len = strlen (u->path);
  const char *name;

  while (dir && (name = g_dir_read_name (dir))) {
    g_autofree char *path = g_build_filename ("/sys/block", name, "loop", "backing_file", NULL), *file = NULL;

    if (!g_file_get_contents (path, &file, NULL, NULL))
      continue;
    g_strchomp (file);
    if (strncmp (file, u->path, len) == 0 && (file[len] == '\0' || file[len] == '/'))
      g_string_append_printf (u->text, "%s/dev/%s", u->text->len ? ", " : "", name);
  }
}

char *
lunfs_ctl_users (const char *path)
{
  g_autofree char *absolute = g_canonicalize_filename (path, NULL);
  Users u = { .path = absolute, .text = g_string_new (NULL) };

  if (stat (absolute, &u.st) == 0) {
    u.is_dir = S_ISDIR (u.st.st_mode);
    look_at_processes (&u);
    look_at_loops (&u);
  }
  return g_string_free (u.text, u.text->len == 0);
}
