/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "control/option_table.h"

#include "control/luns.h"
#include "control/option_value.h"
#include "lunfs/error.h"
#include "lunfs/log.h"

#include <string.h>

#define SECONDS_MAX 3600
#define YEAR_SECONDS 31536000
#define MIB (INT64_C (1) << 20)
#define GIB (INT64_C (1) << 30)

static const char *const digest_words[] = { "none", "crc32c", NULL };                            /* LunfsDigest */
static const char *const guard_words[] = { "auto", "on", "off", NULL };                         /* LunfsGuardMode */
static const char *const recovery_words[] = { "auto", "resend", "inbox", NULL };               /* LunfsRecovery */
static const char *const level_words[] = { "error", "warning", "notice", "info", "debug", NULL }; /* LunfsLogLevel */

/* ---- rows that need more than their kind ---- */

static bool
parse_help (LunfsOptionState *st, const LunfsOption *o, const char *value, GError **error)
{
  st->help = true;
  return true;
}

static bool
parse_version (LunfsOptionState *st, const LunfsOption *o, const char *value, GError **error)
{
  st->version = true;
  return true;
}

static bool
parse_single (LunfsOptionState *st, const LunfsOption *o, const char *value, GError **error)
{
  st->settings->single_thread = true;
  return true;
}

static bool
parse_debug (LunfsOptionState *st, const LunfsOption *o, const char *value, GError **error)
{
  if (!value) {
    st->settings->debug_mask = LUNFS_DBG_ALL;
    st->settings->foreground = true;
    return true;
  }
  g_autofree char *list = g_strdelimit (g_strdup (value), ":+", ','); /* a ',' would end the option in -o */
  if (lunfs_log_parse_domains (list, &st->settings->debug_mask))
    return true;
  g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE,
               "option debug: '%s' is not a list of fuse, lun, cache, session, iscsi, lane, control, supervisor, all",
               value);
  return false;
}

static bool
parse_level (LunfsOptionState *st, const LunfsOption *o, const char *value, GError **error)
{
  return lunfs_value_word (o->name, value, level_words, &st->settings->log_level, error);
}

static bool
parse_digest (LunfsOptionState *st, const LunfsOption *o, const char *value, GError **error)
{
  int digest;
  if (!lunfs_value_word (o->name, value, digest_words, &digest, error))
    return false;
  st->settings->header_digest = (LunfsDigest) digest;
  return true;
}

static bool
parse_guard (LunfsOptionState *st, const LunfsOption *o, const char *value, GError **error)
{
  int mode;
  if (!lunfs_value_word (o->name, value, guard_words, &mode, error))
    return false;
  st->settings->stale_write_guard = (LunfsGuardMode) mode;
  return true;
}

static bool
parse_recovery (LunfsOptionState *st, const LunfsOption *o, const char *value, GError **error)
{
  int how;
  if (!lunfs_value_word (o->name, value, recovery_words, &how, error))
    return false;
  st->settings->crash_recovery = (LunfsRecovery) how;
  return true;
}

static bool
parse_cache (LunfsOptionState *st, const LunfsOption *o, const char *value, GError **error)
{
  int mode;
  if (!lunfs_value_word (o->name, value, lunfs_cache_words, &mode, error))
    return false;
  st->settings->cache = (LunfsCacheMode) mode;
  return true;
}

static bool
parse_read_ahead (LunfsOptionState *st, const LunfsOption *o, const char *value, GError **error)
{
  st->read_ahead_given = true;
  return lunfs_value_size (o->name, value, (uint64_t) o->min, (uint64_t) o->max, &st->settings->read_ahead, error);
}

static bool
parse_credentials (LunfsOptionState *st, const LunfsOption *o, const char *value, GError **error)
{
  g_free (st->credentials_path);
  st->credentials_path = g_strdup (value);
  return true;
}

static bool
parse_credentials_fd (LunfsOptionState *st, const LunfsOption *o, const char *value, GError **error)
{
  return lunfs_value_int (o->name, value, o->min, o->max, &st->credentials_fd, error);
}

static bool
parse_password_stdin (LunfsOptionState *st, const LunfsOption *o, const char *value, GError **error)
{
  st->password_stdin = true;
  return true;
}

static bool
parse_config (LunfsOptionState *st, const LunfsOption *o, const char *value, GError **error)
{
  g_free (st->config_path);
  st->config_path = g_strdup (value);
  return true;
}

static bool
parse_all (LunfsOptionState *st, const LunfsOption *o, const char *value, GError **error)
{
  st->all = true;
  return true;
}

static bool
parse_luns (LunfsOptionState *st, const LunfsOption *o, const char *value, GError **error)
{
  if (!lunfs_luns_check (value, error))
    return false;
  g_free (st->settings->luns);
  st->settings->luns = g_strdup (value);
  return true;
}

static bool
parse_uid (LunfsOptionState *st, const LunfsOption *o, const char *value, GError **error)
{
  return lunfs_value_uid (o->name, value, &st->settings->uid, error);
}

static bool
parse_gid (LunfsOptionState *st, const LunfsOption *o, const char *value, GError **error)
{
  return lunfs_value_gid (o->name, value, &st->settings->gid, error);
}

static bool
parse_umask (LunfsOptionState *st, const LunfsOption *o, const char *value, GError **error)
{
  return lunfs_value_umask (o->name, value, &st->settings->umask, error);
}

static bool
parse_log (LunfsOptionState *st, const LunfsOption *o, const char *value, GError **error)
{
  bool word = g_str_equal (value, "stderr") || g_str_equal (value, "syslog");
  if (!word && !strchr (value, '/')) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE,
                 "option log: '%s' is not stderr, syslog or a path (a path holds a '/')", value);
    return false;
  }
  g_free (st->settings->log_target);
  st->settings->log_target = word ? g_strdup (value) : g_canonicalize_filename (value, NULL);
  return true;
}

/* ---- the table ---- */

#define AT(field) .offset = offsetof (LunfsSettings, field)
#define SECTION(title) { .kind = LUNFS_OPT_SECTION, .help = title }
#define SECONDS(option, low, high, text) \
  { .name = #option, .kind = LUNFS_OPT_INT, .value_name = "SECONDS", .help = text, AT (option), .min = low, .max = high }
#define COUNT(option, low, high, text) \
  { .name = #option, .kind = LUNFS_OPT_INT, .value_name = "N", .help = text, AT (option), .min = low, .max = high }
#define SIZE(option, low, high, text) \
  { .name = #option, .kind = LUNFS_OPT_SIZE, .value_name = "SIZE", .help = text, AT (option), .min = low, .max = high }
#define STRING(option, field, value, text) \
  { .name = #option, .kind = LUNFS_OPT_STRING, .value_name = value, .help = text, AT (field) }
#define CALL(option, value, function, text) \
  { .name = #option, .kind = LUNFS_OPT_CALL, .value_name = value, .help = text, .parse = function }
#define FLAG(option, ch, what, field, text) \
  { .name = #option, .letter = ch, .kind = LUNFS_OPT_##what, .help = text, AT (field) }

const LunfsOption lunfs_options[] = {
  SECTION ("General"),
  { .name = "help", .letter = 'h', .kind = LUNFS_OPT_CALL, .help = "print this and exit", .parse = parse_help },
  { .name = "version", .letter = 'V', .kind = LUNFS_OPT_CALL, .help = "print versions and exit", .parse = parse_version },
  FLAG (foreground, 'f', SET, foreground, "stay in the foreground"),
  { .name = "debug", .letter = 'd', .value_optional = true, .kind = LUNFS_OPT_CALL, .value_name = "DOMAINS",
    .help = "debug messages: all (and -f), or of fuse:lun:cache:session:iscsi:lane:control:supervisor",
    .parse = parse_debug },
  CALL (config, "FILE", parse_config, "names targets [/etc/lunfs/lunfs.conf; of a user ~/.config/lunfs/lunfs.conf]"),
  CALL (all, NULL, parse_all, "mount all targets there with startup=automatic that are not mounted yet"),
  { .name = "single_thread", .letter = 's', .kind = LUNFS_OPT_CALL, .help = "one lane only", .parse = parse_single },

  SECTION ("Login"),
  STRING (initiator_name, initiator_name, "NAME", "our iSCSI name; else the host's, else one made once and kept"),
  STRING (user, user, "NAME", "CHAP user name (in fstab: chap_user)"),
  STRING (chap_user, user, "NAME", "the same; mount(8) takes user= for itself"),
  STRING (target_user, target_user, "NAME", "user name the target must answer with (mutual CHAP)"),
  CALL (credentials, "FILE", parse_credentials, "user names and passwords; a file of mode 0600"),
  { .name = "credentials_fd", .kind = LUNFS_OPT_CALL, .value_name = "N", .help = "the same from an inherited descriptor",
    .min = 0, .max = 1048576, .parse = parse_credentials_fd },
  CALL (password_stdin, NULL, parse_password_stdin, "the same, or the password alone, from standard input"),
  SECONDS (rescan_interval, 0, 86400, "ask this often for new and removed targets and LUNs; 0 = only when told"),
  CALL (header_digest, "none|crc32c", parse_digest, "checksum of iSCSI headers [none]"),

  SECTION ("Outages (names and meanings of iscsid.conf)"),
  SECONDS (replacement_timeout, -1, YEAR_SECONDS, "queue this long without a session, then EIO; 0 at once, -1 never"),
  SECONDS (login_timeout, 1, SECONDS_MAX, "limit of one login"),
  SECONDS (logout_timeout, 1, SECONDS_MAX, "limit of one logout"),
  SECONDS (noop_out_interval, 0, SECONDS_MAX, "ask a silent target for life this often; 0 = never"),
  SECONDS (noop_out_timeout, 1, SECONDS_MAX, "and take the session for dead without an answer"),
  SECONDS (cmd_timeout, 1, SECONDS_MAX, "limit of one SCSI command, then a new session"),
  CALL (stale_write_guard, "auto|on|off", parse_guard, "let no write of a lost session come late [auto: for tgtd]"),
  SECONDS (login_wait, 0, SECONDS_MAX, "wait for the first login before the command returns"),
  SECONDS (stop_timeout, 1, 86400, "flush, log out and unmount within this when told to stop"),

  SECTION ("Data path"),
  COUNT (queue_depth, 1, 128, "commands in flight per LUN"),
  COUNT (max_background, 1, 65535, "requests the kernel keeps in flight"),
  COUNT (lanes, 1, 64, "threads of the data path"),
  FLAG (ro, 'r', SET, read_only, "read only"),
  FLAG (read_only, 0, SET, read_only, "the same"),
  FLAG (rw, 0, CLEAR, read_only, "read and write (the default)"),
  SIZE (buffer_size, 8 * MIB, 64 * GIB, "bound of the request buffers [as much as max_background needs]"),
  CALL (cache, "writeback|writethrough|none|page", parse_cache, "what is kept in memory [writeback]"),
  SIZE (cache_size, 8 * MIB, 64 * GIB, "bound of the cache, of all LUNs together"),
  SIZE (cache_max_dirty, 1 * MIB, 48 * GIB, "bound of written data in it that is not yet on stable storage [half of cache_size]"),
  { .name = "cache_write_delay", .kind = LUNFS_OPT_INT, .value_name = "MILLISECONDS",
    .help = "written data waits this long for more to go with it", AT (cache_write_delay_ms), .min = 0, .max = 60000 },
  { .name = "read_ahead", .kind = LUNFS_OPT_CALL, .value_name = "SIZE", .parse = parse_read_ahead,
    .help = "most that is fetched ahead of one reader; 0 = off [8M]", .min = 0, .max = 256 * MIB },

  SECTION ("Files"),
  CALL (luns, "LIST", parse_luns, "only these LUNs, as in 1:3-5 [all]"),
  CALL (uid, "USER", parse_uid, "owner of the files [yours]"),
  CALL (gid, "GROUP", parse_gid, "group of the files [yours]"),
  CALL (umask, "OCTAL", parse_umask, "permissions that are taken away [0177]"),
  FLAG (allow_other, 0, SET, allow_other, "others may use the mount (user_allow_other in /etc/fuse.conf)"),
  FLAG (allow_root, 0, SET, allow_root, "root may use the mount (the same)"),

  SECTION ("Process"),
  CALL (log, "stderr|syslog|PATH", parse_log, "where messages go [stderr with -f, else syslog]"),
  CALL (log_level, "LEVEL", parse_level, "error, warning, notice, info or debug [notice]"),
  { .name = "pidfile", .kind = LUNFS_OPT_PATH, .value_name = "PATH", .help = "written when the mount serves",
    AT (pidfile) },
  FLAG (no_mlock, 0, CLEAR, mlock, "do not lock buffers in memory"),
  CALL (crash_recovery, "auto|resend|inbox", parse_recovery,
        "who has what a dead worker was serving: the kernel (resend, Linux 6.9) or we [auto]"),
  { .name = "state_dir", .kind = LUNFS_OPT_PATH, .value_name = "DIR",
    .help = "keep what is not flushed there, for the next mount [in memory only]", AT (state_dir) },
  { 0 },
};

/* '-' and '_' are alike; any other difference counts. */
static bool
same_name (const char *a, const char *b)
{
  for (; *a && *b; a++, b++)
    if (*a != *b && !(strchr ("-_", *a) && strchr ("-_", *b)))
      return false;
  return *a == *b;
}

const LunfsOption *
lunfs_option_find (const char *name)
{
  for (const LunfsOption *o = lunfs_options; o->help; o++)
    if (o->name && same_name (o->name, name))
      return o;
  return NULL;
}

const LunfsOption *
lunfs_option_find_letter (char letter)
{
  for (const LunfsOption *o = lunfs_options; o->help; o++)
    if (letter && o->letter == letter)
      return o;
  return NULL;
}

const char *
lunfs_option_suggest (const char *name)
{
  g_autofree char *wanted = g_strdelimit (g_ascii_strdown (name, -1), "-", '_');
  unsigned best = (unsigned) strlen (wanted) / 3 + 1; /* a short word has few letters to be wrong */
  const char *found = NULL;
  for (const LunfsOption *o = lunfs_options; o->help; o++) {
    unsigned distance = o->name ? lunfs_edit_distance (wanted, o->name) : G_MAXUINT;
    if (distance < MIN (best, 4)) {
      best = distance;
      found = o->name;
    }
  }
  return found;
}

static void
set_string (char **field, char *value)
{
  g_free (*field);
  *field = value;
}

static bool
check_presence (const LunfsOption *o, const char *value, GError **error)
{
  if (!o->value_name && value) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "option %s takes no value", o->name);
    return false;
  }
  if (o->value_name && !o->value_optional && (!value || !*value)) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "option %s needs a value: %s=%s", o->name, o->name,
                 o->value_name);
    return false;
  }
  return true;
}

bool
lunfs_option_apply (LunfsOptionState *state, const LunfsOption *o, const char *value, GError **error)
{
  void *at = (char *) state->settings + o->offset;
  if (!check_presence (o, value, error))
    return false;
  switch (o->kind) {
  case LUNFS_OPT_SECTION:
    return true;
  case LUNFS_OPT_SET:
    *(bool *) at = true;
    return true;
  case LUNFS_OPT_CLEAR:
    *(bool *) at = false;
    return true;
  case LUNFS_OPT_INT:
    return lunfs_value_int (o->name, value, o->min, o->max, at, error);
  case LUNFS_OPT_SIZE:
    return lunfs_value_size (o->name, value, (uint64_t) o->min, (uint64_t) o->max, at, error);
  case LUNFS_OPT_STRING:
    set_string (at, g_strdup (value));
    return true;
  case LUNFS_OPT_PATH:
    set_string (at, g_canonicalize_filename (value, NULL));
    return true;
  case LUNFS_OPT_CALL:
    return o->parse (state, o, value, error);
  }
  return false;
}

/* ---- words of mount(8) ---- */

#define SECRET_WHY \
  "a password among the options could be read by every user (ps, /proc/mounts, fstab); put it into a file of mode " \
  "0600 and give credentials=FILE, or use password_stdin or credentials_fd"

static const struct {
  const char *name;
  LunfsWordKind kind;
  bool has_value;
  const char *why;
} words[] = {
  { "nosuid", LUNFS_WORD_KERNEL, false, NULL },
  { "suid", LUNFS_WORD_KERNEL, false, NULL },
  { "nodev", LUNFS_WORD_KERNEL, false, NULL },
  { "dev", LUNFS_WORD_KERNEL, false, NULL },
  { "noexec", LUNFS_WORD_KERNEL, false, NULL },
  { "exec", LUNFS_WORD_KERNEL, false, NULL },
  { "noatime", LUNFS_WORD_KERNEL, false, NULL },
  { "atime", LUNFS_WORD_KERNEL, false, NULL },
  { "sync", LUNFS_WORD_KERNEL, false, NULL }, /* the kernel then marks every write O_DSYNC */
  { "async", LUNFS_WORD_KERNEL, false, NULL },
  { "dirsync", LUNFS_WORD_KERNEL, false, NULL },
  { "context", LUNFS_WORD_KERNEL, true, NULL },
  { "fscontext", LUNFS_WORD_KERNEL, true, NULL },
  { "defcontext", LUNFS_WORD_KERNEL, true, NULL },
  { "rootcontext", LUNFS_WORD_KERNEL, true, NULL },

  { "auto", LUNFS_WORD_IGNORE, false, NULL },
  { "noauto", LUNFS_WORD_IGNORE, false, NULL },
  { "user", LUNFS_WORD_IGNORE, false, NULL }, /* with a value it is ours: the CHAP user */
  { "nouser", LUNFS_WORD_IGNORE, false, NULL },
  { "users", LUNFS_WORD_IGNORE, false, NULL },
  { "nousers", LUNFS_WORD_IGNORE, false, NULL },
  { "owner", LUNFS_WORD_IGNORE, false, NULL },
  { "noowner", LUNFS_WORD_IGNORE, false, NULL },
  { "group", LUNFS_WORD_IGNORE, false, NULL },
  { "nogroup", LUNFS_WORD_IGNORE, false, NULL },
  { "_netdev", LUNFS_WORD_IGNORE, false, NULL },
  { "nofail", LUNFS_WORD_IGNORE, false, NULL },
  { "fail", LUNFS_WORD_IGNORE, false, NULL },
  { "defaults", LUNFS_WORD_IGNORE, false, NULL },
  { "comment", LUNFS_WORD_IGNORE, true, NULL },
  /* Times of our files are ours, whatever the kernel would do about them. */
  { "relatime", LUNFS_WORD_IGNORE, false, NULL },
  { "norelatime", LUNFS_WORD_IGNORE, false, NULL },
  { "strictatime", LUNFS_WORD_IGNORE, false, NULL },
  { "nostrictatime", LUNFS_WORD_IGNORE, false, NULL },
  { "diratime", LUNFS_WORD_IGNORE, false, NULL },
  { "nodiratime", LUNFS_WORD_IGNORE, false, NULL },
  { "lazytime", LUNFS_WORD_IGNORE, false, NULL },
  { "nolazytime", LUNFS_WORD_IGNORE, false, NULL },
  /* lunfs sets these itself. */
  { "default_permissions", LUNFS_WORD_IGNORE, false, NULL },
  { "fsname", LUNFS_WORD_IGNORE, true, NULL },
  { "subtype", LUNFS_WORD_IGNORE, true, NULL },

  { "remount", LUNFS_WORD_REFUSE, false, "a mounted lunfs cannot be remounted; unmount it and mount it again" },
  { "auto_unmount", LUNFS_WORD_REFUSE, false, "not needed: the supervisor unmounts when lunfs ends" },
  { "password", LUNFS_WORD_REFUSE, true, SECRET_WHY },
  { "target_password", LUNFS_WORD_REFUSE, true, SECRET_WHY },
  { "passwd", LUNFS_WORD_REFUSE, true, SECRET_WHY },
  { "pass", LUNFS_WORD_REFUSE, true, SECRET_WHY },
  { "secret", LUNFS_WORD_REFUSE, true, SECRET_WHY },
  { "chap_password", LUNFS_WORD_REFUSE, true, SECRET_WHY },
};

LunfsWordKind
lunfs_mount_word (const char *name, bool has_value, const char **out_why)
{
  if (g_str_has_prefix (name, "x-") || g_str_has_prefix (name, "X-"))
    return LUNFS_WORD_IGNORE;
  for (size_t i = 0; i < G_N_ELEMENTS (words); i++)
    if (same_name (words[i].name, name) && (words[i].kind == LUNFS_WORD_REFUSE || words[i].has_value == has_value)) {
      *out_why = words[i].why;
      return words[i].kind;
    }
  return LUNFS_WORD_UNKNOWN;
}
