/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Settings as text and back: one table of all fields.  Strings are escaped (g_strescape) before GKeyFile sees them,
 * because a GKeyFile holds UTF-8 only while paths and secrets may be any bytes.  A string that is NULL is left out. */
#include "config.h"

#include "lunfs/settings.h"

#include "control/secret.h"
#include "control/url.h"
#include "lunfs/error.h"
#include "lunfs/log.h"

#include <string.h>
#include <unistd.h>

#define GROUP "lunfs"
#define MIB (1024u * 1024u)

typedef enum { FIELD_BOOL, FIELD_INT, FIELD_U16, FIELD_U32, FIELD_U64, FIELD_STRING, FIELD_LIST } FieldKind;

typedef struct {
  const char *key;
  FieldKind kind;
  size_t offset;
} Field;

#define FIELD(kind, name)                                                                                              \
  {                                                                                                                    \
#name, FIELD_##kind, offsetof(LunfsSettings, name)                                                                 \
  }

static const Field fields[] = {
  FIELD (STRING, source.host),
  FIELD (U16, source.port),
  FIELD (STRING, source.target_name),
  FIELD (INT, source.lun),
  FIELD (STRING, source_text),
  FIELD (STRING, other_portals),
  FIELD (STRING, luns),
  FIELD (STRING, mountpoint),
  FIELD (BOOL, mount_is_file),
  FIELD (STRING, initiator_name),
  FIELD (STRING, user),
  FIELD (STRING, password),
  FIELD (STRING, target_user),
  FIELD (STRING, target_password),
  FIELD (INT, header_digest),
  FIELD (INT, stale_write_guard),
  FIELD (INT, replacement_timeout),
  FIELD (INT, login_timeout),
  FIELD (INT, logout_timeout),
  FIELD (INT, noop_out_interval),
  FIELD (INT, noop_out_timeout),
  FIELD (INT, cmd_timeout),
  FIELD (INT, rescan_interval),
  FIELD (INT, login_wait),
  FIELD (INT, stop_timeout),
  FIELD (INT, queue_depth),
  FIELD (INT, max_background),
  FIELD (INT, lanes),
  FIELD (BOOL, read_only),
  FIELD (U64, buffer_size),
  FIELD (INT, cache),
  FIELD (U64, cache_size),
  FIELD (U64, cache_max_dirty),
  FIELD (INT, cache_write_delay_ms),
  FIELD (U64, read_ahead),
  FIELD (U32, uid),
  FIELD (U32, gid),
  FIELD (U32, umask),
  FIELD (BOOL, allow_other),
  FIELD (BOOL, allow_root),
  FIELD (LIST, mount_options),
  FIELD (BOOL, foreground),
  FIELD (BOOL, single_thread),
  FIELD (INT, log_level),
  FIELD (U32, debug_mask),
  FIELD (STRING, log_target),
  FIELD (STRING, pidfile),
  FIELD (BOOL, mlock),
  FIELD (INT, crash_recovery),
  FIELD (STRING, state_dir),
};

G_STATIC_ASSERT (sizeof (LunfsDigest) == sizeof (int));
G_STATIC_ASSERT (sizeof (LunfsGuardMode) == sizeof (int));
G_STATIC_ASSERT (sizeof (LunfsCacheMode) == sizeof (int));
G_STATIC_ASSERT (sizeof (LunfsRecovery) == sizeof (int));
G_STATIC_ASSERT (sizeof (unsigned) == sizeof (uint32_t));

const char *const lunfs_cache_words[] = { "writeback", "writethrough", "none", "page", NULL };

LunfsSettings *
lunfs_settings_new (void)
{
  LunfsSettings *s = g_new0 (LunfsSettings, 1);
  s->source.port = 3260;
  s->source.lun = LUNFS_LUN_ALL;
  s->header_digest = LUNFS_DIGEST_NONE;
  s->replacement_timeout = 120;
  s->login_timeout = 15;
  s->logout_timeout = 15;
  s->noop_out_interval = 5;
  s->noop_out_timeout = 5;
  s->cmd_timeout = 30;
  s->rescan_interval = 300;
  s->login_wait = 3;
  s->stop_timeout = 30;
  s->queue_depth = 128;
  s->max_background = 256;
  s->lanes = 1;
  s->cache = LUNFS_CACHE_WRITEBACK;
  s->cache_size = 128 * (uint64_t) MIB;
  s->cache_write_delay_ms = 5;
  s->read_ahead = 8 * (uint64_t) MIB;
  s->uid = getuid ();
  s->gid = getgid ();
  s->umask = 0177;
  s->mount_options = g_ptr_array_new_with_free_func (g_free);
  s->log_level = LUNFS_LOG_NOTICE;
  s->mlock = true;
  return s;
}

void
lunfs_settings_free (LunfsSettings *s)
{
  if (!s)
    return;
  lunfs_source_clear (&s->source);
  g_free (s->source_text);
  g_free (s->other_portals);
  g_free (s->luns);
  g_free (s->mountpoint);
  g_free (s->initiator_name);
  lunfs_secret_free (s->user);
  lunfs_secret_free (s->password);
  lunfs_secret_free (s->target_user);
  lunfs_secret_free (s->target_password);
  g_clear_pointer (&s->mount_options, g_ptr_array_unref);
  g_free (s->log_target);
  g_free (s->pidfile);
  g_free (s->state_dir);
  g_free (s);
}

uint64_t
lunfs_settings_max_dirty (const LunfsSettings *s)
{
  return s->cache_max_dirty ? s->cache_max_dirty : s->cache_size / 2;
}

/* ---- to text ---- */

static void
put_string (GKeyFile *file, const char *key, const char *value)
{
  char *escaped = g_strescape (value, NULL);
  g_key_file_set_string (file, GROUP, key, escaped);
  lunfs_secret_free (escaped);
}

static void
put_list (GKeyFile *file, const char *key, GPtrArray *list)
{
  g_autoptr (GPtrArray) escaped = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 0; i < list->len; i++)
    g_ptr_array_add (escaped, g_strescape (g_ptr_array_index (list, i), NULL));
  g_key_file_set_string_list (file, GROUP, key, (const char *const *) escaped->pdata, escaped->len);
}

static void
put_field (GKeyFile *file, const Field *f, const void *at)
{
  switch (f->kind) {
  case FIELD_BOOL:
    g_key_file_set_boolean (file, GROUP, f->key, *(const bool *) at);
    break;
  case FIELD_INT:
    g_key_file_set_int64 (file, GROUP, f->key, *(const int *) at);
    break;
  case FIELD_U16:
    g_key_file_set_uint64 (file, GROUP, f->key, *(const uint16_t *) at);
    break;
  case FIELD_U32:
    g_key_file_set_uint64 (file, GROUP, f->key, *(const uint32_t *) at);
    break;
  case FIELD_U64:
    g_key_file_set_uint64 (file, GROUP, f->key, *(const uint64_t *) at);
    break;
  case FIELD_STRING:
    if (*(char *const *) at)
      put_string (file, f->key, *(char *const *) at);
    break;
  case FIELD_LIST:
    put_list (file, f->key, *(GPtrArray *const *) at);
    break;
  }
}

char *
lunfs_settings_to_text (const LunfsSettings *s)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();
  for (size_t i = 0; i < G_N_ELEMENTS (fields); i++)
    put_field (file, &fields[i], (const char *) s + fields[i].offset);
  return g_key_file_to_data (file, NULL, NULL);
}

/* ---- from text ---- */

static bool
get_unsigned (GKeyFile *file, const char *key, uint64_t max, uint64_t *out, GError **error)
{
  g_autoptr (GError) why = NULL;
  uint64_t n = g_key_file_get_uint64 (file, GROUP, key, &why);
  if (why || n > max) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_FAILED, "settings: %s: %s", key, why ? why->message : "out of range");
    return false;
  }
  *out = n;
  return true;
}

static bool
get_int (GKeyFile *file, const char *key, int *out, GError **error)
{
  g_autoptr (GError) why = NULL;
  gint64 n = g_key_file_get_int64 (file, GROUP, key, &why);
  if (why || n < G_MININT || n > G_MAXINT) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_FAILED, "settings: %s: %s", key, why ? why->message : "out of range");
    return false;
  }
  *out = (int) n;
  return true;
}

static bool
get_string (GKeyFile *file, const char *key, char **out, GError **error)
{
  g_autoptr (GError) why = NULL; /* may come with a value */
  char *escaped = g_key_file_get_string (file, GROUP, key, &why);
  if (!why)
    *out = g_strcompress (escaped);
  lunfs_secret_free (escaped);
  if (!why)
    return true;
  g_propagate_error (error, g_steal_pointer (&why));
  return false;
}

static bool
get_list (GKeyFile *file, const char *key, GPtrArray *list, GError **error)
{
  g_auto (GStrv) escaped = g_key_file_get_string_list (file, GROUP, key, NULL, error);
  if (!escaped)
    return false;
  for (char **item = escaped; *item; item++)
    g_ptr_array_add (list, g_strcompress (*item));
  return true;
}

static bool
get_bool (GKeyFile *file, const char *key, bool *out, GError **error)
{
  g_autoptr (GError) why = NULL;
  *out = g_key_file_get_boolean (file, GROUP, key, &why);
  if (!why)
    return true;
  g_propagate_error (error, g_steal_pointer (&why));
  return false;
}

static bool
get_field (GKeyFile *file, const Field *f, void *at, GError **error)
{
  uint64_t n = 0;
  switch (f->kind) {
  case FIELD_BOOL:
    return get_bool (file, f->key, at, error);
  case FIELD_INT:
    return get_int (file, f->key, at, error);
  case FIELD_U16:
    if (!get_unsigned (file, f->key, UINT16_MAX, &n, error))
      return false;
    *(uint16_t *) at = (uint16_t) n;
    return true;
  case FIELD_U32:
    if (!get_unsigned (file, f->key, UINT32_MAX, &n, error))
      return false;
    *(uint32_t *) at = (uint32_t) n;
    return true;
  case FIELD_U64:
    return get_unsigned (file, f->key, UINT64_MAX, at, error);
  case FIELD_STRING:
    return get_string (file, f->key, at, error);
  case FIELD_LIST:
    return get_list (file, f->key, *(GPtrArray **) at, error);
  }
  return false;
}

LunfsSettings *
lunfs_settings_from_text (const char *text, gsize len, GError **error)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();
  if (!g_key_file_load_from_data (file, text, len, G_KEY_FILE_NONE, error))
    return NULL;
  g_autoptr (LunfsSettings) s = lunfs_settings_new ();
  for (size_t i = 0; i < G_N_ELEMENTS (fields); i++)
    if (g_key_file_has_key (file, GROUP, fields[i].key, NULL)
        && !get_field (file, &fields[i], (char *) s + fields[i].offset, error))
      return NULL;
  return g_steal_pointer (&s);
}
