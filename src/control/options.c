/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Three steps: walk argv (options may stand anywhere, "--" ends them), then make the source, the login and the mount
 * point out of what was said, then fill in what depends on several options.
 *
 * Who wins: of an option given twice the last.  User names: option, SOURCE, credentials.  Passwords: credentials
 * (file, descriptor or standard input: one of them), SOURCE; the environment only if none of these has one. */
#include "config.h"

#include "control/options.h"

#include "control/all.h"
#include "control/initiator.h"
#include "control/keyfile.h"
#include "control/mountpoint.h"
#include "control/option_table.h"
#include "control/secret.h"
#include "control/url.h"
#include "lunfs/error.h"
#include "lunfs/log.h"

#include <string.h>
#include <unistd.h>

#define INITIATOR_FILE "/etc/iscsi/initiatorname.iscsi"
#define SECRET_MIN_BYTES 12 /* RFC 7143 9.2.1: at least 96 bits */
#define SECRET_MAX_BYTES 255

static bool G_GNUC_PRINTF (2, 3) usage (GError **error, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *why = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error_literal (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, why);
  return false;
}

/* ---- one option ---- */

/* The value is not repeated: it may be a secret under a misspelt name. */
static bool
unknown (const char *name, GError **error)
{
  const char *near = lunfs_option_suggest (name);
  if (near)
    return usage (error, "unknown option '%s'; did you mean '%s'?", name, near);
  return usage (error, "unknown option '%s'; lunfs --help lists them", name);
}

/* A word of mount(8) in -o.  @return false with @error unset: it is not one. */
static bool
take_mount_word (LunfsSettings *s, const char *item, const char *name, const char *value, GError **error)
{
  const char *why = NULL;
  switch (lunfs_mount_word (name, value != NULL, &why)) {
  case LUNFS_WORD_KERNEL:
    g_ptr_array_add (s->mount_options, g_strdup (item));
    return true;
  case LUNFS_WORD_IGNORE:
    return true;
  case LUNFS_WORD_REFUSE:
    return usage (error, "option %s: %s", name, why);
  case LUNFS_WORD_UNKNOWN:
    break;
  }
  return false;
}

/* "name" or "name=value" of -o. */
static bool
take_item (LunfsOptionState *st, const char *item, GError **error)
{
  const char *equals = strchr (item, '=');
  const char *value = equals ? equals + 1 : NULL;
  g_autofree char *name = equals ? g_strndup (item, (gsize) (equals - item)) : g_strdup (item);
  g_autoptr (GError) why = NULL;
  if (st->keep_read_only && g_str_equal (item, "rw"))
    return true;
  if (take_mount_word (st->settings, item, name, value, &why))
    return true;
  if (why) {
    g_propagate_error (error, g_steal_pointer (&why));
    return false;
  }
  const LunfsOption *o = lunfs_option_find (name);
  return o ? lunfs_option_apply (st, o, value, error) : unknown (name, error);
}

/* -o a,b=c: a ',' in a value is written "\,", a backslash "\\", or the value stands in double quotes (context=). */
static bool
take_list (LunfsOptionState *st, const char *list, GError **error)
{
  g_autoptr (GString) item = g_string_new (NULL);
  bool quoted = false;
  for (const char *p = list;; p++) {
    if (*p == '\\' && p[1]) {
      g_string_append_c (item, *++p);
      continue;
    }
    if (*p && (*p != ',' || quoted)) {
      quoted ^= *p == '"';
      g_string_append_c (item, *p);
      continue;
    }
    if (item->len && !take_item (st, item->str, error))
      return false;
    g_string_truncate (item, 0);
    if (!*p)
      return true;
  }
}

/* ---- argv ---- */

typedef struct {
  int argc, next; /* next: index of the first argument not yet used */
  char **argv;
  GPtrArray *positional; /* char*, borrowed from argv */
} Args;

/* "--name", "--name=value", "--name value" */
static bool
take_long (LunfsOptionState *st, Args *a, const char *text, GError **error)
{
  const char *equals = strchr (text, '=');
  const char *value = equals ? equals + 1 : NULL;
  g_autofree char *name = equals ? g_strndup (text, (gsize) (equals - text)) : g_strdup (text);
  const LunfsOption *o = lunfs_option_find (name);
  const char *why = NULL;
  if (!o && lunfs_mount_word (name, true, &why) == LUNFS_WORD_REFUSE)
    return usage (error, "option %s: %s", name, why);
  if (!o)
    return unknown (name, error);
  if (!value && o->value_name && !o->value_optional && a->next < a->argc)
    value = a->argv[a->next++];
  return lunfs_option_apply (st, o, value, error);
}

/* "-fd", "-o list", "-olist" */
static bool
take_letters (LunfsOptionState *st, Args *a, const char *letters, GError **error)
{
  for (const char *p = letters; *p; p++) {
    if (*p == 'o') {
      const char *list = p[1] ? p + 1 : a->next < a->argc ? a->argv[a->next++] : NULL;
      return list ? take_list (st, list, error) : usage (error, "option -o needs a list of options");
    }
    const LunfsOption *o = lunfs_option_find_letter (*p);
    if (!o)
      return usage (error, "unknown option '-%c'; lunfs --help lists them", *p);
    if (!lunfs_option_apply (st, o, NULL, error))
      return false;
  }
  return true;
}

static bool
take_args (LunfsOptionState *st, Args *a, GError **error)
{
  bool options = true;
  while (a->next < a->argc) {
    char *arg = a->argv[a->next++];
    bool ok = true;
    if (!options || *arg != '-' || !arg[1])
      g_ptr_array_add (a->positional, arg);
    else if (g_str_equal (arg, "--"))
      options = false;
    else if (arg[1] == '-')
      ok = take_long (st, a, arg + 2, error);
    else
      ok = take_letters (st, a, arg + 1, error);
    if (!ok)
      return false;
  }
  return true;
}

/* ---- login ---- */

static bool
read_credentials (const LunfsOptionState *st, LunfsCredentials *out, GError **error)
{
  if ((st->credentials_path != NULL) + (st->credentials_fd >= 0) + st->password_stdin > 1)
    return usage (error, "give only one of credentials, credentials_fd and password_stdin");
  if (st->credentials_path)
    return lunfs_credentials_read_file (st->credentials_path, out, error);
  if (st->password_stdin)
    return lunfs_credentials_read_fd (STDIN_FILENO, out, error);
  if (st->credentials_fd < 0)
    return true;
  bool ok = lunfs_credentials_read_fd (st->credentials_fd, out, error);
  if (st->credentials_fd > STDERR_FILENO)
    close (st->credentials_fd); /* read to its end; the worker must not inherit it */
  return ok;
}

static bool
check_secret (const char *secret, const char *what, GError **error)
{
  size_t len = secret ? strlen (secret) : 0;
  if (len > SECRET_MAX_BYTES)
    return usage (error, "the %s is longer than %d bytes", what, SECRET_MAX_BYTES);
  if (secret && len < SECRET_MIN_BYTES)
    lunfs_warning ("the %s has only %zu bytes; iSCSI asks for %d at least, and some targets refuse less", what, len,
                   SECRET_MIN_BYTES);
  return true;
}

static bool
check_login (const LunfsSettings *s, GError **error)
{
  if (s->password && !s->user)
    return usage (error, "there is a password but no user name; give user=NAME or write it into the credentials");
  if (s->user && !s->password)
    return usage (error,
                  "there is a user name but no password; give credentials=FILE (mode 0600) with a line password=…");
  if ((s->target_user || s->target_password) && !s->password)
    return usage (error, "mutual CHAP (target_user, target_password) needs user and password too");
  if (s->target_password && !s->target_user)
    return usage (error, "there is a target_password but no target_user");
  if (s->target_user && !s->target_password)
    return usage (error, "there is a target_user but no target_password; write it into the credentials");
  if (s->target_password && g_str_equal (s->password, s->target_password))
    return usage (error, "password and target_password are the same; RFC 7143 (9.2.1) forbids it because anyone could "
                         "answer with our own response");
  return check_secret (s->password, "password", error) && check_secret (s->target_password, "target_password", error);
}

static void
settings_take (LunfsSettings *s, LunfsCredentials *c)
{
  LunfsCredentials mine = { s->user, s->password, s->target_user, s->target_password };
  lunfs_credentials_merge (&mine, c);
  s->user = mine.user;
  s->password = mine.password;
  s->target_user = mine.target_user;
  s->target_password = mine.target_password;
  lunfs_credentials_clear (c);
}

/* @from_source: what SOURCE holds; cleared.  The user name there wins over the file's, its password does not. */
static bool
make_login (LunfsOptionState *st, LunfsCredentials *from_source, GError **error)
{
  LunfsSettings *s = st->settings;
  LunfsCredentials name = { .user = g_steal_pointer (&from_source->user) };
  settings_take (s, &name);
  LunfsCredentials read = { 0 };
  if (!read_credentials (st, &read, error)) {
    lunfs_credentials_clear (from_source);
    return false;
  }
  settings_take (s, &read);
  settings_take (s, from_source);
  if (!s->password) {
    LunfsCredentials env;
    lunfs_credentials_from_env (&env);
    settings_take (s, &env);
  }
  return check_login (s, error);
}

/* ---- source and the rest ---- */

static bool
make_source (LunfsOptionState *st, char *text, LunfsCredentials *out_login, GError **error)
{
  LunfsSettings *s = st->settings;
  LunfsCredentials login = { 0 };
  bool ok = lunfs_url_parse (text, &s->source, &login.user, &login.password, error);
  if (!ok || login.password)
    lunfs_url_hide_password (text); /* in argv */
  if (!ok)
    return false;
  if (login.password)
    lunfs_warning ("a password in the source can be seen by every user (ps, shell history); use credentials=FILE");
  s->source_text = login.password ? lunfs_source_text (&s->source, login.user) : g_strdup (text);
  *out_login = login;
  return true;
}

/* A default gives way to a small cache; what was asked for does not, silently. */
static bool
check_cache (LunfsOptionState *st, GError **error)
{
  LunfsSettings *s = st->settings;
  uint64_t most_dirty = s->cache_size / 4 * 3, most_ahead = s->cache_size / 2;
  g_autofree char *dirty_text = g_format_size_full (most_dirty, G_FORMAT_SIZE_IEC_UNITS);
  g_autofree char *ahead_text = g_format_size_full (most_ahead, G_FORMAT_SIZE_IEC_UNITS);
  if (s->cache_max_dirty > most_dirty)
    return usage (error, "option cache_max_dirty: at most 3/4 of cache_size, here %s; or give a larger cache_size",
                  dirty_text);
  if (st->read_ahead_given && s->read_ahead > most_ahead)
    return usage (error, "option read_ahead: at most half of cache_size, here %s; or give a larger cache_size",
                  ahead_text);
  s->read_ahead = MIN (s->read_ahead, most_ahead);
  return true;
}

static bool
check_combinations (LunfsOptionState *st, GError **error)
{
  LunfsSettings *s = st->settings;
  if (s->allow_other && s->allow_root)
    return usage (error, "give only one of allow_other and allow_root");
  if (!check_cache (st, error))
    return false;
  if (s->single_thread)
    s->lanes = 1;
  if (s->log_level == LUNFS_LOG_DEBUG && !s->debug_mask)
    s->debug_mask = LUNFS_DBG_ALL;
  return true;
}

static bool
check_count (const LunfsOptionState *st, const GPtrArray *positional, bool named, GError **error)
{
  bool url = positional->len > 0 && !named;
  if (positional->len > 2)
    return usage (error, "more than two arguments; lunfs --help says more");
  if (st->all && positional->len > 0)
    return usage (error, "option all: mounts every name with startup=automatic; give it alone, or leave it out");
  if (st->all)
    return true;
  if (positional->len == 0)
    return usage (error, "SOURCE and MOUNTPOINT are missing; lunfs --help says more");
  if (url && st->config_path)
    return usage (error, "option config: the source is a URL, which needs no such file; give a name from it instead");
  return true;
}

/* The command line once more, on top of what the file says. */
static bool
take_named (LunfsOptionState *st, Args *a, LunfsKeyTarget *target, GError **error)
{
  const char *name = g_ptr_array_index (a->positional, 0);
  g_autofree char *path = st->config_path ? g_strdup (st->config_path) : lunfs_keyfile_default_path ();
  g_autoptr (LunfsKeyfile) file = NULL;

  if (!st->config_path && access (path, F_OK) < 0)
    return usage (error, "source '%s': " LUNFS_URL_SHAPE ", or a name from %s, which is not there", name, path);
  file = lunfs_keyfile_load (path, error);
  if (!file)
    return false;
  lunfs_settings_free (st->settings);
  st->settings = lunfs_settings_new ();
  st->read_ahead_given = false;
  g_clear_pointer (&st->credentials_path, g_free);
  if (!lunfs_keyfile_apply (file, name, st, target, error))
    return false;
  st->keep_read_only = st->settings->read_only;
  char *from_file = st->credentials_path;
  a->next = 1;
  g_ptr_array_set_size (a->positional, 0);
  if (!take_args (st, a, error))
    return false;
  if (st->credentials_path == from_file && (st->credentials_fd >= 0 || st->password_stdin))
    g_clear_pointer (&st->credentials_path, g_free);
  return true;
}

/* What the arguments say of where to mount, and where from. */
static bool
take_source (LunfsOptionState *st, Args *a, bool mounts, LunfsCredentials *out_login, GError **error)
{
  LunfsKeyTarget target = { 0 };
  bool named = a->positional->len > 0 && lunfs_keyfile_is_name (g_ptr_array_index (a->positional, 0));
  bool ok = check_count (st, a->positional, named, error);
  if (ok && named)
    ok = take_named (st, a, &target, error);
  else
    ok = ok && make_source (st, g_ptr_array_index (a->positional, 0), out_login, error);
  const char *mountpoint = a->positional->len > 1 ? g_ptr_array_index (a->positional, 1) : target.mountpoint;
  if (ok && mounts && !mountpoint)
    ok = usage (error, named ? "MOUNTPOINT is missing: give it, or write mountpoint= into the key file"
                             : "MOUNTPOINT is missing; lunfs --help says more");
  if (ok && mounts)
    ok = lunfs_mountpoint_check (st->settings, mountpoint, error);
  lunfs_key_target_clear (&target);
  return ok;
}

static bool
finish (LunfsOptionState *st, Args *a, bool mounts, GError **error)
{
  LunfsCredentials login = { 0 };
  bool ok = take_source (st, a, mounts, &login, error) && check_combinations (st, error);
  if (!ok)
    lunfs_credentials_clear (&login);
  if (!ok || !make_login (st, &login, error))
    return false;
  LunfsSettings *s = st->settings;
  char *name = lunfs_initiator_name (s->initiator_name, INITIATOR_FILE, error);
  if (!name)
    return false;
  g_free (s->initiator_name);
  s->initiator_name = name;
  return true;
}

static LunfsRun
parse (int argc, char **argv, bool mounts, LunfsSettings **out, GError **error)
{
  g_autoptr (GPtrArray) positional = g_ptr_array_new ();
  LunfsOptionState st = { .settings = lunfs_settings_new (), .credentials_fd = -1 };
  Args args = { .argc = argc, .next = 1, .argv = argv, .positional = positional };

  bool ok = take_args (&st, &args, error), done = st.help || st.version;
  if (ok && st.help)
    lunfs_print_help ();
  else if (ok && st.version)
    lunfs_print_version ();
  else if (ok && st.all && st.settings->foreground)
    ok = usage (error, "option all: starts several, which cannot all stay in the foreground; leave -f out");
  else if (ok && st.all && positional->len == 0) {
    ok = lunfs_mount_all (st.config_path, argc, argv, error);
    done = true;
  } else if (ok)
    ok = finish (&st, &args, mounts, error);
  g_free (st.credentials_path);
  g_free (st.config_path);
  if (!ok || done) {
    lunfs_settings_free (st.settings);
    return LUNFS_RUN_EXIT;
  }
  *out = st.settings;
  return LUNFS_RUN_MOUNT;
}

LunfsRun
lunfs_options_parse (int argc, char **argv, LunfsSettings **out, GError **error)
{
  return parse (argc, argv, true, out, error);
}

LunfsSettings *
lunfs_options_parse_source (int argc, char **argv, GError **error)
{
  LunfsSettings *settings = NULL;
  parse (argc, argv, false, &settings, error);
  return settings;
}
