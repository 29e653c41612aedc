/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a worker and a supervisor of two versions must agree on to work together: the layout of the arena, the words between
 * them, the text of the settings.  "lunfs --worker-interface" prints it in one line:
 *
 *   lunfs-worker-interface version=0.1.0 protocol=2 settings=1 arena=3 layout=2f1c09ab
 *
 * All numbers have to be equal: there is no translation, so nothing is ever guessed.  Raise LUNFS_PROTOCOL when
 * LunfsMessage, LunfsWorkerFds or what a message means changes, LUNFS_SETTINGS_FORMAT when a key of the settings gets
 * another meaning (a new key with a default does not count).  Pure. */
#ifndef LUNFS_SUPERVISOR_INTERFACE_H
#define LUNFS_SUPERVISOR_INTERFACE_H

#include "lunfs/arena.h"

#define LUNFS_PROTOCOL 2
#define LUNFS_SETTINGS_FORMAT 1

typedef struct {
  char version[LUNFS_VERSION_BYTES]; /* for people */
  uint32_t protocol, settings, arena, layout;
} LunfsInterface;

/* This program's. */
LunfsInterface lunfs_interface_own (void);
char *lunfs_interface_to_text (const LunfsInterface *interface); /* ends with a newline */
/* False, with *out untouched: @text is not such a line. */
bool lunfs_interface_parse (const char *text, LunfsInterface *out);
/* False with @error (LUNFS_EXIT_MISFIT): a worker with @theirs cannot work for a supervisor with @ours. */
bool lunfs_interface_fits (const LunfsInterface *ours, const LunfsInterface *theirs, GError **error);

#endif
