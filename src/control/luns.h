/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A list of LUNs as a user writes it: "1", "0,2-5"; ':' or blanks may stand for ',', which would end the option in -o.  Pure. */
#ifndef LUNFS_LUNS_H
#define LUNFS_LUNS_H

#include <glib.h>
#include <stdbool.h>

bool lunfs_luns_check (const char *list, GError **error);
/* @list NULL: all of them. */
bool lunfs_luns_include (const char *list, unsigned lun);

#endif
