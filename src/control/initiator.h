/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The initiator name: given, or the host's (/etc/iscsi/initiatorname.iscsi), or one made once per user. */
#ifndef LUNFS_INITIATOR_H
#define LUNFS_INITIATOR_H

#include <glib.h>

/* @option: the user's choice or NULL.  Order: @option, InitiatorName= in @host_file (skipped if unreadable), the file
 * lunfs/initiatorname in $XDG_CONFIG_HOME (root: /var/lib/lunfs), made there on first use with a random part.
 * @return a new string, or NULL with @error (bad name, nowhere to store). */
char *lunfs_initiator_name (const char *option, const char *host_file, GError **error);

#endif
