/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lunfsctl import: open-iscsi's database (nodedb.h) as a lunfs.conf.  What cannot be said there stands in it as a comment
 * "# warning: ...".  Secrets are for files of their own, and only if asked for.  The command is ctl/import.c. */
#ifndef LUNFS_IMPORT_H
#define LUNFS_IMPORT_H

#include "control/nodedb.h"

typedef struct {
  const char *credentials_dir; /* NULL: none are written */
  const char *mountpoint_dir;  /* NULL: mountpoint= is a comment */
} LunfsImportConf;

typedef struct {
  char *path, *text; /* a file to write, mode 0600 */
} LunfsImportSecret;

/* The text of lunfs.conf; @secrets gets LunfsImportSecret.  Pure. */
char *lunfs_import_text (const LunfsNodeDb *db, const LunfsImportConf *conf, GPtrArray *secrets);
GPtrArray *lunfs_import_secrets_new (void); /* wipes what it frees */

#endif
