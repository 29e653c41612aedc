/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lunfsctl import: open-iscsi's database as a lunfs.conf.  Never overwrites a file. */
#include "config.h"

#include "ctl/ctl.h"

#include "control/import.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool
write_all (int fd, const char *text)
{
  while (*text) {
    ssize_t n = write (fd, text, strlen (text));

    if (n < 0 && errno != EINTR)
      return false;
    text += MAX (n, 0);
  }
  return fsync (fd) == 0;
}

static bool
write_new (const char *path, const char *text, mode_t mode, GError **error)
{
  int fd = open (path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
  bool ok = fd >= 0 && write_all (fd, text);
  int err = errno;

  if (fd >= 0 && close (fd) < 0 && ok) {
    err = errno;
    ok = false;
  }
  if (!ok && fd >= 0) /* else it would be in the way of the next attempt */
    unlink (path);
  if (!ok)
    g_set_error (error, LUNFS_ERROR, err == EEXIST ? LUNFS_EXIT_EXISTS : lunfs_exit_of_path (err), "%s: %s%s", path,
                 g_strerror (err), err == EEXIST ? "; import never overwrites: name another, or remove it" : "");
  return ok;
}

static const char *
usual_dir (void)
{
  return g_file_test ("/var/lib/iscsi/nodes", G_FILE_TEST_IS_DIR)
                 && !g_file_test ("/etc/iscsi/nodes", G_FILE_TEST_IS_DIR)
             ? "/var/lib/iscsi"
             : "/etc/iscsi";
}

static bool
write_secrets (const GPtrArray *secrets, GError **error)
{
  for (unsigned i = 0; i < secrets->len; i++) {
    const LunfsImportSecret *secret = secrets->pdata[i];

    if (!write_new (secret->path, secret->text, 0600, error))
      return false;
  }
  return true;
}

static char *
absolute (const char *path)
{
  return path ? g_canonicalize_filename (path, NULL) : NULL;
}

int
lunfs_ctl_import (int argc, char **argv, GError **error)
{
  g_autofree char *output = NULL, *credentials_dir = NULL, *mountpoint_dir = NULL, *text = NULL;
  const GOptionEntry entries[] = {
    { "output", 0, 0, G_OPTION_ARG_FILENAME, &output, "a new file for it [standard output]", "FILE" },
    { "credentials-dir", 0, 0, G_OPTION_ARG_FILENAME, &credentials_dir, "where CHAP secrets go [nowhere]", "DIR" },
    { "mountpoint-dir", 0, 0, G_OPTION_ARG_FILENAME, &mountpoint_dir, "below which each group is mounted", "DIR" },
    { 0 }
  };
  g_autoptr (GPtrArray) secrets = lunfs_import_secrets_new ();
  g_autoptr (LunfsNodeDb) db = NULL;
  g_autofree char *credentials = NULL, *mountpoints = NULL;
  LunfsImportConf conf = { 0 };

  if (!lunfs_ctl_options (&argc, &argv, entries, 1, "[DIR]", error)
      || !(db = lunfs_nodedb_read (argc > 0 ? argv[0] : usual_dir (), error)))
    return LUNFS_EXIT_USAGE;
  conf.credentials_dir = credentials = absolute (credentials_dir);
  conf.mountpoint_dir = mountpoints = absolute (mountpoint_dir);
  text = lunfs_import_text (db, &conf, secrets);
  if (!write_secrets (secrets, error))
    return LUNFS_EXIT_FAILED;
  if (strstr (text, "# warning: "))
    fputs ("lunfsctl: not all could be imported: see the comments '# warning:'\n", stderr);
  if (output)
    write_new (output, text, 0644, error);
  else
    fputs (text, stdout);
  return LUNFS_EXIT_OK;
}
