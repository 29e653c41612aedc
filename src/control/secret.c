/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Credentials.  No message here holds a part of the text that was read, which may be a password, but for a name that
 * resembles a known one. */
#include "config.h"

#include "control/secret.h"

#include "control/option_value.h"
#include "lunfs/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX_BYTES 65536
#define BYTE_ORDER_MARK "\xef\xbb\xbf" /* some editors begin a UTF-8 text with it */
#define NAME_MAX_BYTES 40
#define VALUE_MAX_BYTES 255 /* RFC 7143 6.1: a text value without agreement on more */

static const struct {
  const char *name;
  size_t offset;
} names[] = {
  { "user", offsetof (LunfsCredentials, user) },
  { "password", offsetof (LunfsCredentials, password) },
  { "target_user", offsetof (LunfsCredentials, target_user) },
  { "target_password", offsetof (LunfsCredentials, target_password) },
  { "node.session.auth.username", offsetof (LunfsCredentials, user) },
  { "node.session.auth.password", offsetof (LunfsCredentials, password) },
  { "node.session.auth.username_in", offsetof (LunfsCredentials, target_user) },
  { "node.session.auth.password_in", offsetof (LunfsCredentials, target_password) },
};

/* What is often written for them, to suggest the right name. */
static const char *const alike[][2] = {
  { "username", "user" },
  { "login", "user" },
  { "chap_user", "user" },
  { "passwd", "password" },
  { "pass", "password" },
  { "secret", "password" },
  { "chap_password", "password" },
  { "mutual_user", "target_user" },
  { "user_in", "target_user" },
  { "target_secret", "target_password" },
  { "mutual_password", "target_password" },
  { "password_in", "target_password" },
};

/* What else stands in an iscsid.conf. */
static const char *const foreign[] = { "node.session.auth.authmethod", "node.session.auth.chap_algs" };
static const char *const foreign_prefix[] = { "node.", "discovery.", "iscsid.", "isns." };

void
lunfs_secret_free (char *secret)
{
  if (!secret)
    return;
  explicit_bzero (secret, strlen (secret));
  g_free (secret);
}

void
lunfs_credentials_clear (LunfsCredentials *c)
{
  g_clear_pointer (&c->user, lunfs_secret_free);
  g_clear_pointer (&c->password, lunfs_secret_free);
  g_clear_pointer (&c->target_user, lunfs_secret_free);
  g_clear_pointer (&c->target_password, lunfs_secret_free);
}

static void
move (char **into, char **from)
{
  if (!*into)
    *into = g_steal_pointer (from);
}

void
lunfs_credentials_merge (LunfsCredentials *into, LunfsCredentials *from)
{
  move (&into->user, &from->user);
  move (&into->password, &from->password);
  move (&into->target_user, &from->target_user);
  move (&into->target_password, &from->target_password);
}

static char **
slot (LunfsCredentials *c, const char *name)
{
  for (size_t i = 0; i < G_N_ELEMENTS (names); i++)
    if (g_str_equal (name, names[i].name))
      return (char **) ((char *) c + names[i].offset);
  return NULL;
}

/* Other settings of an iscsid.conf are not ours; misspelt ones of node.session.auth must not pass, though. */
static bool
is_foreign (const char *name)
{
  for (size_t i = 0; i < G_N_ELEMENTS (foreign); i++)
    if (g_str_equal (name, foreign[i]))
      return true;
  if (g_str_has_prefix (name, "node.session.auth."))
    return false;
  for (size_t i = 0; i < G_N_ELEMENTS (foreign_prefix); i++)
    if (g_str_has_prefix (name, foreign_prefix[i]))
      return true;
  return false;
}

static bool
bad_line (GError **error, const char *what, unsigned line, const char *why)
{
  g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "%s, line %u: %s", what, line, why);
  return false;
}

static bool
check_value (const char *value, const char *what, unsigned line, GError **error)
{
  if (!*value)
    return bad_line (error, what, line, "the value is empty");
  if (strlen (value) > VALUE_MAX_BYTES)
    return bad_line (error, what, line, "the value is longer than 255 bytes");
  return true;
}

static const char *
nearer (const char *name, const char *known, const char *means, unsigned *best, const char *found)
{
  unsigned distance = lunfs_edit_distance (name, known);

  if (distance >= *best)
    return found;
  *best = distance;
  return means;
}

/* The name that must have been meant, or NULL: then it may well be a piece of a password. */
static const char *
suggest (const char *name)
{
  static const char letters[] = G_CSET_a_2_z "_.-";
  g_autofree char *wanted = g_ascii_strdown (name, -1);
  unsigned best = MIN ((unsigned) strlen (name) / 3 + 1, 4);
  const char *found = NULL;

  if (strlen (name) > NAME_MAX_BYTES || strspn (wanted, letters) != strlen (wanted))
    return NULL;
  for (size_t i = 0; i < G_N_ELEMENTS (names); i++)
    found = nearer (wanted, names[i].name, names[i].name, &best, found);
  for (size_t i = 0; i < G_N_ELEMENTS (alike); i++)
    found = nearer (wanted, alike[i][0], alike[i][1], &best, found);
  return found;
}

static bool
unknown_name (const char *name, const char *what, unsigned line, GError **error)
{
  const char *meant = suggest (name);
  g_autofree char *why = NULL;

  if (!meant)
    return bad_line (error, what, line,
                     "unknown name before '='; known are user, password, target_user, target_password "
                     "(a password that holds '=' is written as password=…)");
  why = g_strdup_printf ("unknown name '%s'; did you mean '%s'?", name, meant);
  return bad_line (error, what, line, why);
}

/* @text is one trimmed line "name = value"; cut in place. */
static bool
parse_pair (char *text, const char *what, unsigned line, LunfsCredentials *c, GError **error)
{
  char *equals = strchr (text, '=');
  if (!equals)
    return bad_line (error, what, line, "expected name=value");
  *equals = '\0';
  char *name = g_strchomp (text), *value = g_strchug (equals + 1);
  char **where = slot (c, name);
  if (!where && is_foreign (name))
    return true;
  if (!where)
    return unknown_name (name, what, line, error);
  if (*where)
    return bad_line (error, what, line, "given twice");
  if (!check_value (value, what, line, error))
    return false;
  *where = g_strdup (value);
  return true;
}

static bool
parse_lines (char *text, const char *what, LunfsCredentials *c, GError **error)
{
  unsigned number = 0;
  for (char *line = text, *next; line; line = next) {
    char *end = strchr (line, '\n');
    next = end ? end + 1 : NULL;
    if (end)
      *end = '\0';
    number++;
    char *trimmed = g_strstrip (line);
    if (*trimmed && *trimmed != '#' && !parse_pair (trimmed, what, number, c, error))
      return false;
  }
  return true;
}

/* The password alone: one line, blanks included, without '='. */
static bool
is_lone_password (const char *text)
{
  size_t len = strcspn (text, "\r\n");
  return len > 0 && *text != '#' && !memchr (text, '=', len) && strspn (text + len, "\r\n") == strlen (text + len);
}

bool
lunfs_credentials_parse (const char *text, const char *what, LunfsCredentials *out, GError **error)
{
  LunfsCredentials c = { 0 };
  bool ok;
  if (g_str_has_prefix (text, BYTE_ORDER_MARK))
    text += strlen (BYTE_ORDER_MARK);
  if (is_lone_password (text)) {
    c.password = g_strndup (text, strcspn (text, "\r\n"));
    ok = check_value (c.password, what, 1, error);
  } else {
    char *copy = g_strdup (text);
    size_t len = strlen (copy);
    ok = parse_lines (copy, what, &c, error);
    explicit_bzero (copy, len); /* cut into pieces: lunfs_secret_free would stop at the first */
    g_free (copy);
  }
  if (ok && !c.user && !c.password && !c.target_user && !c.target_password) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "%s: holds no user name and no password", what);
    ok = false;
  }
  if (!ok) {
    lunfs_credentials_clear (&c);
    return false;
  }
  *out = c;
  return true;
}

/* Read to the end, at most @size - 1 bytes; -1 with errno. */
static ssize_t
read_all (int fd, char *buf, size_t size)
{
  size_t used = 0;
  for (;;) {
    ssize_t n = read (fd, buf + used, size - used);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return -1;
    if (n == 0)
      break;
    used += (size_t) n;
    if (used == size) {
      errno = EFBIG;
      return -1;
    }
  }
  buf[used] = '\0';
  return (ssize_t) used;
}

static bool
read_credentials (int fd, const char *what, LunfsCredentials *out, GError **error)
{
  char *text = g_malloc (TEXT_MAX_BYTES);
  ssize_t len = read_all (fd, text, TEXT_MAX_BYTES);
  bool ok = false;
  if (len < 0)
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_ACCESS, "%s: %s", what, g_strerror (errno));
  else if (strlen (text) != (size_t) len)
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "%s: not a text (it holds a NUL byte)", what);
  else
    ok = lunfs_credentials_parse (text, what, out, error);
  explicit_bzero (text, TEXT_MAX_BYTES);
  g_free (text);
  return ok;
}

/* As Kubernetes mounts secrets: root has let a group read it that we are in. */
static bool
is_granted_by_root (const struct stat *st)
{
  return geteuid () != 0 && st->st_uid == 0 && !(st->st_mode & (S_IRWXO | S_IWGRP | S_IXGRP));
}

static bool
check_file (int fd, const char *path, GError **error)
{
  struct stat st;
  if (fstat (fd, &st) < 0) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_ACCESS, "credentials file '%s': %s", path, g_strerror (errno));
    return false;
  }
  if (!S_ISREG (st.st_mode)) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "credentials file '%s' is not a regular file", path);
    return false;
  }
  if ((st.st_mode & (S_IRWXG | S_IRWXO)) && !is_granted_by_root (&st)) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_ACCESS,
                 "credentials file '%s' is open to others than its owner (mode %04o); do: chmod 600 %s", path,
                 (unsigned) (st.st_mode & 07777), path);
    return false;
  }
  return true;
}

bool
lunfs_credentials_read_file (const char *path, LunfsCredentials *out, GError **error)
{
  /* O_NONBLOCK: a FIFO must not hold us up. */
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) {
    g_set_error (error, LUNFS_ERROR, lunfs_exit_of_path (errno), "credentials file '%s': %s", path, g_strerror (errno));
    return false;
  }
  g_autofree char *what = g_strdup_printf ("credentials file '%s'", path);
  bool ok = check_file (fd, path, error) && read_credentials (fd, what, out, error);
  close (fd);
  return ok;
}

bool
lunfs_credentials_read_fd (int fd, LunfsCredentials *out, GError **error)
{
  g_autofree char *what =
      fd == 0 ? g_strdup ("credentials on standard input") : g_strdup_printf ("credentials on descriptor %d", fd);
  return read_credentials (fd, what, out, error);
}

/* Taken out of the environment too, where /proc/PID/environ and every child would show it. */
static char *
from_env (const char *name)
{
  char *value = (char *) g_getenv (name);
  char *copy = value && *value ? g_strdup (value) : NULL;

  if (value)
    explicit_bzero (value, strlen (value));
  g_unsetenv (name);
  return copy;
}

void
lunfs_credentials_from_env (LunfsCredentials *out)
{
  *out = (LunfsCredentials){
    .user = from_env ("LIBISCSI_CHAP_USERNAME"),
    .password = from_env ("LIBISCSI_CHAP_PASSWORD"),
    .target_user = from_env ("LIBISCSI_CHAP_TARGET_USERNAME"),
    .target_password = from_env ("LIBISCSI_CHAP_TARGET_PASSWORD"),
  };
}
