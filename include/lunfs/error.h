/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Errors a user meets: the GError domain whose codes are also the exit statuses of the programs.
 *
 * The numbers are iscsiadm's where the meaning is the same (open-iscsi include/iscsi_err.h), so that scripts
 * and administrators read them as they are used to.  The text always says object, cause and remedy. */
#ifndef LUNFS_ERROR_H
#define LUNFS_ERROR_H

#include <glib.h>

typedef enum {
  LUNFS_EXIT_OK = 0,
  LUNFS_EXIT_FAILED = 1,  /* anything not named below */
  LUNFS_EXIT_SESSION = 2, /* target or LUN not found on the portal (iscsiadm: session not found) */
  LUNFS_EXIT_NOMEM = 3,
  LUNFS_EXIT_TRANSPORT = 4,    /* connection problem */
  LUNFS_EXIT_LOGIN = 5,        /* the target refused the login for another reason than those below */
  LUNFS_EXIT_USAGE = 7,        /* invalid argument or option */
  LUNFS_EXIT_TIMEOUT = 8,      /* connecting or logging in took too long */
  LUNFS_EXIT_ACCESS = 13,      /* no permission (files, /dev/fuse, fusermount3) */
  LUNFS_EXIT_EXISTS = 15,      /* already in use: another lunfs has this nexus, or the mount point is busy */
  LUNFS_EXIT_FATAL_LOGIN = 19, /* login answered with an error that will not go away by itself */
  LUNFS_EXIT_NO_OBJECTS = 21,  /* nothing found: no targets, no LUNs */
  LUNFS_EXIT_AUTH = 24,        /* authentication or authorization failed */
  LUNFS_EXIT_UNSUPPORTED = 27, /* the target lacks what it takes */
  LUNFS_EXIT_BUSY = 28,
  LUNFS_EXIT_UNFLUSHED = 33, /* stopped, but data could not be written to the target in time */
  LUNFS_EXIT_MOUNT = 40,     /* mounting failed */
  LUNFS_EXIT_MISFIT = 41,    /* a new program cannot take over this mount from the old one */
} LunfsExit;

/* GError domain; code is a LunfsExit. */
#define LUNFS_ERROR (lunfs_error_quark ())
GQuark lunfs_error_quark (void);
/* For a file named by the user that cannot be opened: USAGE if there is no such thing, else ACCESS. */
LunfsExit lunfs_exit_of_path (int err);

#endif
