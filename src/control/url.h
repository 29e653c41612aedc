/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SOURCE text -> LunfsSource.  Own parser: libiscsi's crashes on some inputs and mistakes '@' in names. Pure. */
#ifndef LUNFS_URL_H
#define LUNFS_URL_H

#include "lunfs/settings.h"

#define LUNFS_LUN_MAX 16383
#define LUNFS_PORTALS_MAX 8 /* of one target or discovery, by lunfs.conf */
#define LUNFS_URL_SHAPE "expected iscsi://[user@]host[:port][/target[/lun]]"

/* Parse iscsi://[user[%password|:password]@]host[:port][/target[/lun]][/].  @out is filled on success (caller frees with
 * lunfs_source_clear); *out_user, *out_password are NULL if absent, else owned by the caller.
 * @return false with a LUNFS_ERROR / LUNFS_EXIT_USAGE error that quotes the source without its password. */
bool lunfs_url_parse (const char *text, LunfsSource *out, char **out_user, char **out_password, GError **error);
/* HOST[:PORT] alone, as it stands in a list of them.  False: it is none. */
bool lunfs_url_parse_portal (const char *text, LunfsSource *out);
void lunfs_source_clear (LunfsSource *source);
/* The canonical text, never with a password; free with g_free. */
char *lunfs_source_text (const LunfsSource *source, const char *user);
/* Replace the password in @text by one '*', in place: for messages and for argv.  @text need not be well formed. */
void lunfs_url_hide_password (char *text);
/* iqn., eui. or naa. name of at most 223 bytes by RFC 7143 4.2.7; false otherwise. */
bool lunfs_iscsi_name_valid (const char *name);

#endif
