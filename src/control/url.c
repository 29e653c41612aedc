/* SPDX-License-Identifier: GPL-2.0-or-later */
/* iscsi:// texts, cut from the outside in: authority and path at the first '/', login and portal at the last '@'
 * of the authority.  So a target name may hold '@', and a password may too.
 *
 * Login: "user:password" is RFC 3986's form, both parts percent-decoded.  Without ':' the first '%' separates, as
 * in libiscsi: "user%password".  What follows a separator is percent-decoded in both forms.
 *
 * Messages of the parts quote nothing: in a malformed text any part may be a piece of a password.  The whole is
 * quoted once, by lunfs_url_parse, with the password hidden. */
#include "config.h"

#include "control/url.h"

#include "control/secret.h"
#include "lunfs/error.h"

#include <arpa/inet.h>
#include <string.h>

#define SCHEME "iscsi://"
#define SHAPE LUNFS_URL_SHAPE
#define PORT_DEFAULT 3260
#define NAME_MAX_BYTES 223 /* RFC 7143 4.2.7.1 */
#define HOST_MAX_BYTES 253

static bool G_GNUC_PRINTF (2, 3) bad (GError **error, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *why = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error_literal (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, why);
  return false;
}

/* ---- names ---- */

static bool
all_hex (const char *s)
{
  for (; *s; s++)
    if (!g_ascii_isxdigit (*s))
      return false;
  return true;
}

/* RFC 3722 forbids most punctuation, yet targets in use have '_' or '@' in their names.  Refused is what could
 * not stand as one file name and one word. */
static bool
printable_word (const char *s)
{
  for (const unsigned char *p = (const unsigned char *) s; *p; p++)
    if (*p <= 0x20 || *p == 0x7f || *p == '/')
      return false;
  return g_utf8_validate (s, -1, NULL);
}

bool
lunfs_iscsi_name_valid (const char *name)
{
  size_t len = strlen (name);
  if (len < 5 || len > NAME_MAX_BYTES || !printable_word (name))
    return false;
  if (g_ascii_strncasecmp (name, "iqn.", 4) == 0)
    return true;
  if (g_ascii_strncasecmp (name, "eui.", 4) == 0)
    return len == 4 + 16 && all_hex (name + 4);
  if (g_ascii_strncasecmp (name, "naa.", 4) == 0)
    return (len == 4 + 16 || len == 4 + 32) && all_hex (name + 4);
  return false;
}

/* ---- passwords in texts ---- */

/* Where a target name begins, as well as can be told in a text that may be malformed; else its end. */
static char *
target_start (char *s)
{
  for (; *s; s++)
    if (*s == '/'
        && (!g_ascii_strncasecmp (s + 1, "iqn.", 4) || !g_ascii_strncasecmp (s + 1, "eui.", 4)
            || !g_ascii_strncasecmp (s + 1, "naa.", 4)))
      return s;
  return s;
}

void
lunfs_url_hide_password (char *text)
{
  char *scheme = strstr (text, "://");
  char *start = scheme ? scheme + 3 : text;
  char *limit = target_start (start);
  char *end = memrchr (start, '@', (size_t) (limit - start));
  /* No '@': perhaps forgotten, so a '%' counts, unless it is the scope of an IPv6 address. */
  const char *separators = end ? "%:" : (*start == '[' ? "" : "%");
  if (!end)
    end = limit;
  char *secret = start + strcspn (start, separators);
  if (secret + 1 >= end)
    return;
  secret++;
  size_t tail = strlen (end), gone = (size_t) (end - secret) - 1;
  *secret = '*';
  memmove (secret + 1, end, tail);
  explicit_bzero (secret + 1 + tail, gone);
}

/* ---- parts of the authority ---- */

static char *
decode (const char *text, GError **error)
{
  char *plain = g_uri_unescape_string (text, NULL);
  if (!plain)
    bad (error, "a %% in the user name or password must be followed by two hexadecimal digits (%% itself is %%25)");
  return plain;
}

static bool
parse_login (const char *text, char **out_user, char **out_password, GError **error)
{
  const char *sep = strchr (text, ':');
  bool decode_user = sep != NULL;
  if (!sep)
    sep = strchr (text, '%');
  g_autofree char *raw_user = sep ? g_strndup (text, (gsize) (sep - text)) : g_strdup (text);
  g_autofree char *user = decode_user ? decode (raw_user, error) : g_strdup (raw_user);
  if (!user)
    return false;
  if (!*user)
    return bad (error, "the user name before '@' is empty");
  if (sep && sep[1]) {
    char *password = decode (sep + 1, error);
    if (!password)
      return false;
    *out_password = password;
  }
  *out_user = g_steal_pointer (&user);
  return true;
}

static bool
parse_number (const char *text, unsigned max, unsigned *out)
{
  guint64 n;
  if (!g_ascii_string_to_unsigned (text, 10, 0, max, &n, NULL))
    return false;
  *out = (unsigned) n;
  return true;
}

static bool
parse_port (const char *text, uint16_t *out, GError **error)
{
  unsigned port;
  if (!parse_number (text, 65535, &port) || port == 0)
    return bad (error, "the port is not a number from 1 to 65535");
  *out = (uint16_t) port;
  return true;
}

/* "fe80::1%eth0", also with the '%' written as %25 (RFC 6874). */
static char *
parse_ipv6 (const char *text, GError **error)
{
  struct in6_addr addr;
  const char *scope = strchr (text, '%');
  g_autofree char *address = scope ? g_strndup (text, (gsize) (scope - text)) : g_strdup (text);
  if (inet_pton (AF_INET6, address, &addr) != 1 || (scope && !scope[1])) {
    bad (error, "what stands in brackets is not an IPv6 address");
    return NULL;
  }
  if (!scope)
    return g_steal_pointer (&address);
  if (g_str_has_prefix (scope, "%25") && scope[3])
    scope += 2;
  return g_strconcat (address, "%", scope + 1, NULL);
}

static bool
host_valid (const char *host)
{
  size_t len = strlen (host);
  return len > 0 && len <= HOST_MAX_BYTES
         && strspn (host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == len;
}

static bool
parse_bracketed (const char *text, LunfsSource *s, GError **error)
{
  const char *end = strchr (text, ']');
  if (!end)
    return bad (error, "the ']' of the IPv6 address is missing");
  if (end[1] && end[1] != ':')
    return bad (error, "only a port may follow the ']' of the IPv6 address");
  g_autofree char *inner = g_strndup (text + 1, (gsize) (end - text - 1));
  s->host = parse_ipv6 (inner, error);
  return s->host && (!end[1] || parse_port (end + 2, &s->port, error));
}

static bool
parse_portal (const char *text, LunfsSource *s, GError **error)
{
  if (*text == '[')
    return parse_bracketed (text, s, error);
  const char *colon = strchr (text, ':');
  if (colon && strchr (colon + 1, ':'))
    return bad (error, "an IPv6 address stands in brackets: [2001:db8::1]");
  g_autofree char *host = colon ? g_strndup (text, (gsize) (colon - text)) : g_strdup (text);
  if (!*host)
    return bad (error, "the host is missing; " SHAPE);
  if (!host_valid (host))
    return bad (error, "the host is not a name or an address");
  s->host = g_steal_pointer (&host);
  return !colon || parse_port (colon + 1, &s->port, error);
}

/* ---- the path: "", "/", "/target", "/target/lun", with or without a '/' at the end ---- */

static bool
parse_lun (const char *text, int *out, GError **error)
{
  unsigned lun;
  if (!parse_number (text, LUNFS_LUN_MAX, &lun))
    return bad (error, "the LUN is not a number from 0 to %d", LUNFS_LUN_MAX);
  *out = (int) lun;
  return true;
}

static bool
parse_path (const char *path, LunfsSource *s, GError **error)
{
  if (strpbrk (path, "?#"))
    return bad (error, "'?' and '#' have no meaning in a source; options are given with -o");
  g_auto (GStrv) part = g_strsplit (*path == '/' ? path + 1 : path, "/", -1);
  guint n = g_strv_length (part);
  if (n > 0 && !*part[n - 1])
    n--;
  if (n == 0)
    return true;
  if (n > 2)
    return bad (error, "too many '/'; " SHAPE);
  if (!lunfs_iscsi_name_valid (part[0]))
    return bad (error,
                "what follows the host is not an iSCSI target name (iqn.…, eui.… with 16 or naa.… with 16 or 32 "
                "hexadecimal digits, at most %d bytes)",
                NAME_MAX_BYTES);
  s->target_name = g_strdup (part[0]);
  return n < 2 || parse_lun (part[1], &s->lun, error);
}

/* ---- the whole ---- */

static bool
parse (const char *text, LunfsSource *s, char **user, char **password, GError **error)
{
  if (g_ascii_strncasecmp (text, SCHEME, strlen (SCHEME)) != 0)
    return bad (error, SHAPE);
  for (const unsigned char *p = (const unsigned char *) text; *p; p++)
    if (*p <= 0x20 || *p == 0x7f)
      return bad (error, "blanks and control characters must be written as %%20 and the like");

  const char *authority = text + strlen (SCHEME);
  size_t len = strcspn (authority, "/");
  const char *at = memrchr (authority, '@', len);
  const char *portal_start = at ? at + 1 : authority;
  g_autofree char *portal = g_strndup (portal_start, len - (gsize) (portal_start - authority));
  if (at) {
    char *login = g_strndup (authority, (gsize) (at - authority));
    bool ok = parse_login (login, user, password, error);
    lunfs_secret_free (login);
    if (!ok)
      return false;
  }
  return parse_portal (portal, s, error) && parse_path (authority + len, s, error);
}

bool
lunfs_url_parse (const char *text, LunfsSource *out, char **out_user, char **out_password, GError **error)
{
  LunfsSource source = { .port = PORT_DEFAULT, .lun = LUNFS_LUN_ALL };
  char *user = NULL, *password = NULL;
  g_autoptr (GError) why = NULL;
  if (!parse (text, &source, &user, &password, &why)) {
    g_autofree char *shown = g_strdup (text);
    lunfs_url_hide_password (shown);
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "source '%s': %s", shown, why->message);
    lunfs_source_clear (&source);
    g_free (user);
    lunfs_secret_free (password);
    return false;
  }
  *out = source;
  *out_user = user;
  *out_password = password;
  return true;
}

bool
lunfs_url_parse_portal (const char *text, LunfsSource *out)
{
  g_autofree char *url = g_strconcat ("iscsi://", text, NULL), *user = NULL, *password = NULL;

  return !strpbrk (text, "/@ ,;\t") && lunfs_url_parse (url, out, &user, &password, NULL);
}

void
lunfs_source_clear (LunfsSource *source)
{
  g_clear_pointer (&source->host, g_free);
  g_clear_pointer (&source->target_name, g_free);
}

char *
lunfs_source_text (const LunfsSource *source, const char *user)
{
  GString *s = g_string_new (SCHEME);
  if (user) {
    g_autofree char *escaped = g_uri_escape_string (user, NULL, false);
    /* A lone '%' would begin a password, so an escaped user name is followed by an empty one. */
    g_string_append_printf (s, "%s%s@", escaped, strchr (escaped, '%') ? ":" : "");
  }
  size_t plain = strcspn (source->host, "%");
  /* A scope that begins with "25" would be taken for an escaped one. */
  const char *escape = g_str_has_prefix (source->host + plain, "%25") ? "%25" : "";
  const char *rest = source->host + plain + (*escape ? 1 : 0);
  g_string_append_printf (s, strchr (source->host, ':') ? "[%.*s%s%s]" : "%.*s%s%s", (int) plain, source->host, escape,
                          rest);
  if (source->port != PORT_DEFAULT)
    g_string_append_printf (s, ":%u", source->port);
  if (source->target_name)
    g_string_append_printf (s, "/%s", source->target_name);
  if (source->target_name && source->lun != LUNFS_LUN_ALL)
    g_string_append_printf (s, "/%d", source->lun);
  return g_string_free (s, false);
}
