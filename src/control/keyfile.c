/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "control/keyfile.h"

#include "control/keylines.h"
#include "control/option_value.h"
#include "control/url.h"
#include "lunfs/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULTS "defaults"
#define SYSTEM_FILE "/etc/lunfs/lunfs.conf"
#define FILE_MAX_BYTES (1 << 20)

struct LunfsKeyfile {
  char *path;
  GKeyFile *keys;
  GPtrArray *lines; /* LunfsKeyLine */
  char **names;
};

/* One key while it is applied. */
typedef struct {
  const LunfsKeyfile *file;
  const char *group, *key;
  LunfsOptionState *state;
  LunfsKeyTarget *target;
  char **portals; /* of the group, or else of [defaults] */
} Entry;

/* ---- errors ---- */

static bool G_GNUC_PRINTF (3, 4) bad (const Entry *e, GError **error, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *why = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "%s:%u: %s", e->file->path,
               lunfs_keylines_find (e->file->lines, e->group, e->key), why);
  return false;
}

/* @why is freed. */
static bool
bad_value (const Entry *e, GError *why, GError **error)
{
  const char *text = why->message;
  bool named;

  if (g_str_has_prefix (text, "option "))
    text += strlen ("option ");
  named = g_str_has_prefix (text, e->key);
  bad (e, error, "%s%s%s", named ? "" : e->key, named ? "" : ": ", text);
  g_error_free (why);
  return false;
}

/* ---- values ---- */

static char *
get_string (const Entry *e, GError **error)
{
  g_autoptr (GError) why = NULL;
  g_autofree char *value = g_key_file_get_string (e->file->keys, e->group, e->key, &why);

  if (why || !value) {
    bad (e, error, "%s: the value cannot be read: a backslash is written \\\\", e->key);
    return NULL;
  }
  return g_strdup (g_strchomp (value));
}

static bool
get_bool (const Entry *e, const char *value, bool *out, GError **error)
{
  static const char *const words[] = { "false", "true", "no", "yes", "off", "on", "0", "1", NULL };
  int word;

  if (!lunfs_value_word (e->key, value, words, &word, NULL))
    return bad (e, error, "%s: '%s' is neither true nor false", e->key, value);
  *out = word & 1;
  return true;
}

/* The process that reads it runs anywhere. */
static char *
get_path (const Entry *e, const char *value, GError **error)
{
  if (g_str_has_prefix (value, "~/"))
    return g_build_filename (g_get_home_dir (), value + 2, NULL);
  if (g_path_is_absolute (value))
    return g_strdup (value);
  bad (e, error, "%s: '%s' is not an absolute path; let it begin with / or ~/", e->key, value);
  return NULL;
}

/* ---- keys of our own ---- */

static bool
take_portal (Entry *e, const char *value, GError **error)
{
  g_auto (GStrv) items = g_strsplit_set (value, " ,;\t", -1);
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  unsigned n = 0;

  for (char **item = items; *item; item++) {
    if (!**item)
      continue;
    if (n++ == LUNFS_PORTALS_MAX)
      return bad (e, error, "%s: more than %d portals; leave some out", e->key, LUNFS_PORTALS_MAX);
    g_strv_builder_add (builder, *item);
  }
  if (n == 0)
    return bad (e, error, "%s: no portal is named; write HOST or HOST:PORT", e->key);
  g_strfreev (e->portals);
  e->portals = g_strv_builder_end (builder);
  for (char **portal = e->portals; *portal; portal++) {
    LunfsSource source = { 0 };

    if (!lunfs_url_parse_portal (*portal, &source))
      return bad (e, error, "%s: '%s' is not HOST or HOST:PORT (an IPv6 address stands in brackets)", e->key, *portal);
    lunfs_source_clear (&source);
  }
  return true;
}

static bool
take_target (Entry *e, const char *value, GError **error)
{
  if (!lunfs_iscsi_name_valid (value))
    return bad (e, error, "target: '%s' is not an iSCSI name such as iqn.2026-01.org.example:t1", value);
  e->state->settings->source.target_name = g_strdup (value);
  return true;
}

static bool
take_lun (Entry *e, const char *value, GError **error)
{
  GError *why = NULL;

  return lunfs_value_int (e->key, value, 0, LUNFS_LUN_MAX, &e->state->settings->source.lun, &why)
         || bad_value (e, why, error);
}

static bool
take_startup (Entry *e, const char *value, GError **error)
{
  static const char *const words[] = { "manual", "automatic", NULL };
  GError *why = NULL;
  int word;

  if (!lunfs_value_word (e->key, value, words, &word, &why))
    return bad_value (e, why, error);
  e->target->automatic = word == 1;
  return true;
}

static bool
take_mountpoint (Entry *e, const char *value, GError **error)
{
  e->target->mountpoint = get_path (e, value, error);
  return e->target->mountpoint != NULL;
}

static const struct {
  const char *name;
  bool in_defaults;
  bool (*take) (Entry *e, const char *value, GError **error);
} own_keys[] = {
  { "portal", true, take_portal },   { "target", false, take_target },         { "lun", false, take_lun },
  { "startup", true, take_startup }, { "mountpoint", false, take_mountpoint },
};

/* ---- options ---- */

static bool
take_path_option (Entry *e, const LunfsOption *o, const char *value, GError **error)
{
  g_autofree char *path = get_path (e, value, error);
  GError *why = NULL;

  return path && (lunfs_option_apply (e->state, o, path, &why) || bad_value (e, why, error));
}

static bool
take_flag (Entry *e, const LunfsOption *o, const char *value, GError **error)
{
  LunfsOption row = *o;
  bool on = true;

  if (!get_bool (e, value, &on, error))
    return false;
  if (!on && o->kind == LUNFS_OPT_CALL) /* single_thread: off is how it is */
    return true;
  if (!on)
    row.kind = o->kind == LUNFS_OPT_SET ? LUNFS_OPT_CLEAR : LUNFS_OPT_SET;
  return lunfs_option_apply (e->state, &row, NULL, error);
}

static bool
take_option (Entry *e, const LunfsOption *o, const char *value, GError **error)
{
  static const char *const only_argv[] = {
    "help", "version", "config", "all", "credentials_fd", "password_stdin", NULL
  };
  GError *why = NULL;

  if (g_strv_contains (only_argv, o->name))
    return bad (e, error, "%s can only be given on the command line", e->key);
  if (!o->value_name)
    return take_flag (e, o, value, error);
  if (g_str_equal (o->name, "credentials") || o->kind == LUNFS_OPT_PATH
      || (g_str_equal (o->name, "log") && strpbrk (value, "/~")))
    return take_path_option (e, o, value, error);
  return lunfs_option_apply (e->state, o, value, &why) || bad_value (e, why, error);
}

/* nosuid=true, context=...: for the kernel. */
static bool
take_mount_word (Entry *e, const char *value, GError **error)
{
  const char *why = NULL;
  bool on = true;

  if (lunfs_mount_word (e->key, true, &why) == LUNFS_WORD_KERNEL) {
    g_ptr_array_add (e->state->settings->mount_options, g_strdup_printf ("%s=%s", e->key, value));
    return true;
  }
  if (!get_bool (e, value, &on, error))
    return false;
  if (on)
    g_ptr_array_add (e->state->settings->mount_options, g_strdup (e->key));
  return true;
}

static bool
unknown (const Entry *e, GError **error)
{
  const char *near = lunfs_option_suggest (e->key);
  const char *why = NULL;

  for (size_t i = 0; i < G_N_ELEMENTS (own_keys); i++)
    if (lunfs_edit_distance (e->key, own_keys[i].name) <= 2)
      near = own_keys[i].name;
  if (lunfs_mount_word (e->key, true, &why) == LUNFS_WORD_REFUSE && strstr (why, "password"))
    return bad (e, error,
                "%s: no password stands in this file; put it into a file of mode 0600 and write credentials=FILE",
                e->key);
  if (lunfs_mount_word (e->key, true, &why) != LUNFS_WORD_UNKNOWN
      || lunfs_mount_word (e->key, false, &why) != LUNFS_WORD_UNKNOWN)
    return bad (e, error, "%s is for fstab and mount(8) only; take it out", e->key);
  if (near)
    return bad (e, error, "unknown key '%s'; did you mean '%s'?", e->key, near);
  return bad (e, error, "unknown key '%s'; lunfs.conf(5) and lunfs --help list them", e->key);
}

static bool
take_key (Entry *e, GError **error)
{
  const LunfsOption *o = lunfs_option_find (e->key);
  g_autofree char *value = get_string (e, error);
  const char *why = NULL;

  if (!value)
    return false;
  for (size_t i = 0; i < G_N_ELEMENTS (own_keys); i++) {
    if (!g_str_equal (own_keys[i].name, e->key))
      continue;
    if (!own_keys[i].in_defaults && g_str_equal (e->group, DEFAULTS))
      return bad (e, error, "%s belongs to one target; put it under that target's [NAME]", e->key);
    if (!*value)
      return bad (e, error, "%s needs a value", e->key);
    return own_keys[i].take (e, value, error);
  }
  if (o)
    return take_option (e, o, value, error);
  if (lunfs_mount_word (e->key, true, &why) == LUNFS_WORD_KERNEL
      || lunfs_mount_word (e->key, false, &why) == LUNFS_WORD_KERNEL)
    return take_mount_word (e, value, error);
  return unknown (e, error);
}

static bool
take_group (Entry *e, const char *group, GError **error)
{
  e->group = group;
  for (unsigned i = 0; i < e->file->lines->len; i++) {
    const LunfsKeyLine *line = e->file->lines->pdata[i];

    e->key = line->key;
    if (line->key && g_str_equal (line->group, group) && !take_key (e, error))
      return false;
  }
  e->key = NULL;
  return true;
}

/* ---- the source ---- */

static void
take_portals (LunfsSettings *s, char **portals)
{
  LunfsSource first = { 0 };

  if (!lunfs_url_parse_portal (portals[0], &first))
    g_return_if_reached (); /* take_portal has seen it */
  s->source.host = first.host;
  s->source.port = first.port;
  s->other_portals = portals[1] ? g_strjoinv (" ", portals + 1) : NULL;
}

static bool
make_source (Entry *e, const char *name, GError **error)
{
  LunfsSettings *s = e->state->settings;

  if (!e->portals)
    return bad (e, error, "[%s] needs portal=HOST[:PORT], here or under [" DEFAULTS "]", name);
  if (s->source.lun != LUNFS_LUN_ALL && (!s->source.target_name || s->luns))
    return bad (e, error, s->luns ? "[%s]: give only one of lun and luns" : "[%s]: lun needs target=IQN", name);
  take_portals (s, e->portals);
  s->source_text = g_strdup (name);
  return true;
}

bool
lunfs_keyfile_apply (const LunfsKeyfile *file, const char *name, LunfsOptionState *state, LunfsKeyTarget *out,
                     GError **error)
{
  LunfsKeyTarget target = { 0 };
  Entry e = { .file = file, .state = state, .target = &target };
  bool ok = g_strv_contains ((const char *const *) file->names, name);

  if (!ok) {
    g_autofree char *names = g_strjoinv (", ", file->names);
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "%s has no [%s]; %s%s", file->path, name,
                 *names ? "it names " : "it names no target", names);
  }
  ok = ok && take_group (&e, DEFAULTS, error) && take_group (&e, name, error) && make_source (&e, name, error);
  g_strfreev (e.portals);
  if (ok)
    *out = target;
  else
    lunfs_key_target_clear (&target);
  return ok;
}

void
lunfs_key_target_clear (LunfsKeyTarget *target)
{
  g_clear_pointer (&target->mountpoint, g_free);
}

/* ---- the file ---- */

bool
lunfs_keyfile_is_name (const char *source)
{
  return !strpbrk (source, ":/@");
}

char *
lunfs_keyfile_default_path (void)
{
  const char *config = g_getenv ("XDG_CONFIG_HOME");

  if (geteuid () == 0)
    return g_strdup (SYSTEM_FILE);
  if (config && *config)
    return g_build_filename (config, "lunfs", "lunfs.conf", NULL);
  return g_build_filename (g_get_home_dir (), ".config", "lunfs", "lunfs.conf", NULL);
}

/* Who can write it decides what root mounts, and with which credentials. */
static bool
check_file (int fd, const char *path, GError **error)
{
  struct stat st;

  if (fstat (fd, &st) < 0 || !S_ISREG (st.st_mode) || st.st_size > FILE_MAX_BYTES) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE,
                 "%s is not a regular file of at most 1 MiB; name another by --config", path);
    return false;
  }
  if (geteuid () == 0 && (st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)))) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_ACCESS,
                 "%s can be written by others than root (owner %u, mode %04o); do: chown root %s; chmod go-w %s", path,
                 (unsigned) st.st_uid, (unsigned) (st.st_mode & 07777), path, path);
    return false;
  }
  return true;
}

static bool
parse (LunfsKeyfile *file, const char *text, gsize len, GError **error)
{
  g_autoptr (GStrvBuilder) names = g_strv_builder_new ();
  g_autoptr (GError) why = NULL;

  file->lines = lunfs_keylines_scan (text, len, file->path, error);
  if (!file->lines)
    return false;
  if (!g_key_file_load_from_data (file->keys, text, len, G_KEY_FILE_NONE, &why)) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "%s: %s", file->path, why->message);
    return false;
  }
  for (unsigned i = 0; i < file->lines->len; i++) {
    const LunfsKeyLine *line = file->lines->pdata[i];

    if (!line->key && !g_str_equal (line->group, DEFAULTS))
      g_strv_builder_add (names, line->group);
  }
  file->names = g_strv_builder_end (names);
  return true;
}

LunfsKeyfile *
lunfs_keyfile_load (const char *path, GError **error)
{
  g_autoptr (LunfsKeyfile) file = g_new0 (LunfsKeyfile, 1);
  g_autoptr (GMappedFile) map = NULL;
  int fd;

  file->path = path ? g_strdup (path) : lunfs_keyfile_default_path ();
  file->keys = g_key_file_new ();
  fd = open (file->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) {
    g_set_error (error, LUNFS_ERROR, lunfs_exit_of_path (errno),
                 "%s, which names targets: %s; see lunfs.conf(5), or name another by --config", file->path,
                 g_strerror (errno));
    return NULL;
  }
  if (check_file (fd, file->path, error))
    map = g_mapped_file_new_from_fd (fd, FALSE, error);
  close (fd);
  if (!map
      || !parse (file, g_mapped_file_get_contents (map) ? g_mapped_file_get_contents (map) : "",
                 g_mapped_file_get_length (map), error))
    return NULL;
  return g_steal_pointer (&file);
}

void
lunfs_keyfile_free (LunfsKeyfile *file)
{
  if (!file)
    return;
  g_free (file->path);
  g_key_file_unref (file->keys);
  g_clear_pointer (&file->lines, g_ptr_array_unref);
  g_strfreev (file->names);
  g_free (file);
}

const char *
lunfs_keyfile_path (const LunfsKeyfile *file)
{
  return file->path;
}

char **
lunfs_keyfile_names (const LunfsKeyfile *file)
{
  return file->names;
}
