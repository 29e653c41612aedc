/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line: argv -> LunfsSettings, complete and checked, or a message with its exit status.
 *
 * One table (option_table.c) holds every option; --name, -o name=value and --help are made from it.
 * SOURCE may be a name from lunfs.conf (keyfile.h); then that file's values come first, and the command line on top of them.
 * --all starts this program again for each name there, and ends (all.h).
 * Runs before any thread; may read files, standard input and inherited descriptors (credentials).
 * Overwrites a password in argv, so that it does not stay in ps. */
#ifndef LUNFS_OPTIONS_H
#define LUNFS_OPTIONS_H

#include "lunfs/settings.h"

typedef enum { LUNFS_RUN_MOUNT, LUNFS_RUN_EXIT } LunfsRun;

/* Parse.  MOUNT: *out is owned by the caller.  EXIT: nothing more to do (--help, --version were printed).
 * On error returns LUNFS_RUN_EXIT with @error set; its code is the exit status (LunfsExit). */
LunfsRun lunfs_options_parse (int argc, char **argv, LunfsSettings **out, GError **error);
/* The same without MOUNTPOINT, which is not looked at if given; NULL also after --help and --version, without an error. */
LunfsSettings *lunfs_options_parse_source (int argc, char **argv, GError **error);

#endif
