/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lunfs.conf: [defaults] and one group for each named target.  Reads it, checks it, and puts what it says into the settings
 * through the same option table as the command line; keys of its own are portal, target, lun, startup and mountpoint.
 *
 * Secrets never stand in it: credentials= names their file.  Before any thread. */
#ifndef LUNFS_KEYFILE_H
#define LUNFS_KEYFILE_H

#include "control/option_table.h"

typedef struct LunfsKeyfile LunfsKeyfile;

/* What a group says besides the settings. */
typedef struct {
  bool automatic;   /* startup=automatic */
  char *mountpoint; /* NULL: it names none */
} LunfsKeyTarget;
void lunfs_key_target_clear (LunfsKeyTarget *target);

/* True: a name of a target; false: it looks like a URL. */
bool lunfs_keyfile_is_name (const char *source);

/* /etc/lunfs/lunfs.conf for root, else $XDG_CONFIG_HOME/lunfs/lunfs.conf; free with g_free. */
char *lunfs_keyfile_default_path (void);
/* @path NULL: that one.  Only the lines are checked yet. */
LunfsKeyfile *lunfs_keyfile_load (const char *path, GError **error);
void lunfs_keyfile_free (LunfsKeyfile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LunfsKeyfile, lunfs_keyfile_free)

const char *lunfs_keyfile_path (const LunfsKeyfile *file);
/* The named targets in the file's order; owned by the file. */
char **lunfs_keyfile_names (const LunfsKeyfile *file);
/* [defaults], then [@name], with source, source_text (the name) and other_portals.  Errors say FILE:LINE. */
bool lunfs_keyfile_apply (const LunfsKeyfile *file, const char *name, LunfsOptionState *state, LunfsKeyTarget *out,
                          GError **error);

#endif
