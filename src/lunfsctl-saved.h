/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lunfsctl saved ...: what mounts with state_dir could not flush (supervisor/saved.h), looked at and decided upon. */
#ifndef LUNFSCTL_SAVED_H
#define LUNFSCTL_SAVED_H

#include <glib.h>

/* Arguments behind "saved"; the exit status. */
int lunfsctl_saved (int argc, char **argv, GError **error);

#endif
