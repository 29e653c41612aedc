/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files that a user writes: credentials (first byte even), an initiator name (odd). */
#include "config.h"

#include "fuzz.h"

#include "control/initiator.c" /* read_name() */
#include "control/secret.h"

static void
good_value (const char *value)
{
  must (!value || (*value && strlen (value) <= 255 && !strchr (value, '\n')));
}

/* Written as a file and read again it is the same; blanks around a value are no part of it there. */
static void
again (const LunfsCredentials *c)
{
  const char *values[] = { c->user, c->password, c->target_user, c->target_password };
  static const char *const names[] = { "user", "password", "target_user", "target_password" };
  g_autoptr (GString) text = g_string_new ("# a comment\n\nnode.startup = manual\n");
  LunfsCredentials other;

  for (size_t i = 0; i < G_N_ELEMENTS (names); i++) {
    if (values[i] && (g_ascii_isspace (values[i][0]) || g_ascii_isspace (values[i][strlen (values[i]) - 1])))
      return;
    if (values[i])
      g_string_append_printf (text, " %s =\t%s\n", names[i], values[i]);
  }
  must (lunfs_credentials_parse (text->str, "again", &other, NULL));
  must (g_strcmp0 (c->user, other.user) == 0 && g_strcmp0 (c->password, other.password) == 0);
  must (g_strcmp0 (c->target_user, other.target_user) == 0);
  must (g_strcmp0 (c->target_password, other.target_password) == 0);
  lunfs_credentials_clear (&other);
}

static void
credentials (FuzzBytes *in)
{
  LunfsCredentials c = { .user = (char *) "untouched" };
  g_autoptr (GError) error = NULL;
  int fd = fuzz_memfd (in);

  must (lseek (fd, 0, SEEK_SET) == 0);
  if (!lunfs_credentials_read_fd (fd, &c, &error)) {
    must (error && error->domain == LUNFS_ERROR && g_str_has_prefix (error->message, "credentials on descriptor "));
    must (g_str_equal (c.user, "untouched"));
  } else {
    must (!error && (c.user || c.password || c.target_user || c.target_password));
    good_value (c.user);
    good_value (c.password);
    good_value (c.target_user);
    good_value (c.target_password);
    again (&c);
    lunfs_credentials_clear (&c);
  }
  close (fd);
}

static void
initiator (FuzzBytes *in)
{
  int fd = fuzz_memfd (in);
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", fd);
  g_autoptr (GError) error = NULL;
  char *name = read_name (path);

  if (name) {
    name = checked (name, path, &error);
    must (name ? lunfs_iscsi_name_valid (name) : error && error->code == LUNFS_EXIT_USAGE);
  }
  g_free (name);
  close (fd);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  FuzzBytes in = { data, size };

  fuzz_quiet ();
  if (fuzz_u8 (&in) & 1)
    initiator (&in);
  else
    credentials (&in);
  return 0;
}
