/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lunfs --all: a process of its own for each target of the key file with startup=automatic. */
#ifndef LUNFS_ALL_H
#define LUNFS_ALL_H

#include <glib.h>
#include <stdbool.h>

/* Start this program again with the arguments of @argv, where NAME takes the place of --all, for each that is not mounted by
 * lunfs yet; wait for all.  Failures do not stop the others.  @return false: @error sums up, with the status of the first. */
bool lunfs_mount_all (const char *config_path, int argc, char **argv, GError **error);

#endif
