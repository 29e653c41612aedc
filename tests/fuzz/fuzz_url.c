/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A SOURCE text, and the same bytes as an iSCSI name. */
#include "config.h"

#include "fuzz.h"

#include "control/url.h"
#include "lunfs/error.h"

#include <string.h>

/* It becomes the name of a directory and a member of status.json. */
static void
name (const char *text)
{
  if (!lunfs_iscsi_name_valid (text))
    return;
  must (strlen (text) <= 223 && !strpbrk (text, "/ \t\n") && g_utf8_validate (text, -1, NULL));
  must (!g_str_equal (text, ".") && !g_str_equal (text, ".."));
}

static void
same (const LunfsSource *a, const LunfsSource *b)
{
  must (g_str_equal (a->host, b->host) && a->port == b->port && a->lun == b->lun);
  must (g_strcmp0 (a->target_name, b->target_name) == 0);
}

/* The canonical text means the same, and holds no password. */
static void
again (const LunfsSource *source, const char *user)
{
  g_autofree char *text = lunfs_source_text (source, user);
  g_autofree char *user2 = NULL, *password2 = NULL;
  g_autoptr (GError) error = NULL;
  LunfsSource source2 = { 0 };

  must (lunfs_url_parse (text, &source2, &user2, &password2, &error));
  must (!password2 && g_strcmp0 (user, user2) == 0);
  same (source, &source2);
  lunfs_source_clear (&source2);
}

/* With its password hidden, and perhaps a part of the user's name, nothing is left of what stood before the last '@'. */
static void
hidden (const char *text)
{
  const char *login = text + strlen ("iscsi://");
  const char *at = memrchr (login, '@', strcspn (login, "/"));
  const char *separator = at ? memchr (login, ':', (size_t) (at - login)) : NULL;
  g_autofree char *shown = g_strdup (text);

  if (at && !separator)
    separator = memchr (login, '%', (size_t) (at - login));
  if (!separator || separator + 1 == at)
    return;
  lunfs_url_hide_password (shown);
  must (g_str_has_suffix (shown, at));
  must (strlen (shown) - strlen (at) <= (size_t) (separator - text) + 2);
  must (shown[strlen (shown) - strlen (at) - 1] == '*');
}

static void
hide (const char *text)
{
  g_autofree char *shown = g_strdup (text), *twice = NULL;

  lunfs_url_hide_password (shown);
  must (strlen (shown) <= strlen (text));
  twice = g_strdup (shown);
  lunfs_url_hide_password (twice);
  must (g_str_equal (shown, twice));
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  FuzzBytes in = { data, size };
  g_autofree char *text = fuzz_string (&in), *user = NULL, *password = NULL;
  g_autoptr (GError) error = NULL;
  LunfsSource source = { .host = (char *) "untouched" };

  fuzz_quiet ();
  name (text);
  hide (text);
  if (!lunfs_url_parse (text, &source, &user, &password, &error)) {
    must (error && error->domain == LUNFS_ERROR && error->code == LUNFS_EXIT_USAGE && error->message[0]);
    must (g_str_equal (source.host, "untouched") && !user && !password);
    return 0;
  }
  must (!error && source.host[0] && source.port > 0);
  must (!user || user[0]);
  must (!password || (user && password[0]));
  must (source.lun == LUNFS_LUN_ALL || (source.target_name && source.lun >= 0 && source.lun < 16384));
  must (!source.target_name || lunfs_iscsi_name_valid (source.target_name));
  again (&source, user);
  if (password)
    hidden (text);
  lunfs_source_clear (&source);
  return 0;
}
