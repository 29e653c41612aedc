/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lunfsctl check: tries what a mount would do, step by step, and says how far it gets.  Never writes to a LUN. */
#ifndef LUNFS_WORKER_CHECK_H
#define LUNFS_WORKER_CHECK_H

#include <glib.h>

/* [NAME | URL] [--json] [options of lunfs]; without either each name of the key file.  Prints one line a step; the exit status
 * is that of the first step that failed. */
int lunfs_check_run (int argc, char **argv, GError **error);

#endif
