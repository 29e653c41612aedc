/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Credentials: read, checked, wiped.  Never printed. */
#ifndef LUNFS_SECRET_H
#define LUNFS_SECRET_H

#include <glib.h>
#include <stdbool.h>

typedef struct {
  char *user, *password, *target_user, *target_password;
} LunfsCredentials;

/* Lines "name=value" with names user, password, target_user, target_password (also iscsid.conf's
 * node.session.auth.username, .password, .username_in, .password_in); # starts a comment line.
 * A text of one line without '=' is the password alone. */
bool lunfs_credentials_parse (const char *text, const char *what, LunfsCredentials *out, GError **error);
/* @path must be a regular file that group and others cannot read. */
bool lunfs_credentials_read_file (const char *path, LunfsCredentials *out, GError **error);
/* An inherited descriptor (0 = standard input), read to its end. */
bool lunfs_credentials_read_fd (int fd, LunfsCredentials *out, GError **error);
/* LIBISCSI_CHAP_USERNAME, _PASSWORD, _TARGET_USERNAME, _TARGET_PASSWORD. */
void lunfs_credentials_from_env (LunfsCredentials *out);
/* Take over what is still NULL in @into from @from. */
void lunfs_credentials_merge (LunfsCredentials *into, LunfsCredentials *from);
void lunfs_credentials_clear (LunfsCredentials *c); /* wipes */
void lunfs_secret_free (char *secret);              /* wipes; NULL is fine */

#endif
