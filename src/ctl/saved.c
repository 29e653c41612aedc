/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "ctl/ctl.h"

#include "control/status.h"
#include "lunfs/error.h"
#include "supervisor/saved.h"

#include <errno.h>
#include <json-glib/json-glib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const state_words[] = { "waits", "refused", "approved", "written",
                                           "discarded" }; /* LunfsSavedState */

typedef struct {
  char *dir, *name; /* name NULL: none given */
  int lun;          /* index in the file; -1 = all */
  bool usual_dir;   /* none given */
  gboolean json, yes;
} Asked;

static bool
usage (GError **error, const char *what)
{
  g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE,
               "%s; usage: lunfsctl saved list|inspect|replay|discard [--state-dir DIR] [--json] [--yes] [NAME [LUN]]",
               what);
  return false;
}

/* Where systemd's StateDirectory=lunfs is. */
static char *
default_dir (void)
{
  const char *given = g_getenv ("STATE_DIRECTORY");

  if (given && *given)
    return g_strdup (given);
  return geteuid () == 0 ? g_strdup ("/var/lib/lunfs") : g_build_filename (g_get_user_data_dir (), "lunfs", NULL);
}

/* NAME may be a path, with or without a suffix: as messages print it, or a shell completes it. */
static void
take_name (Asked *asked, const char *given)
{
  if (strchr (given, '/')) {
    g_free (asked->dir);
    asked->dir = g_path_get_dirname (given);
  }
  asked->name = g_path_get_basename (given);
  if (g_str_has_suffix (asked->name, LUNFS_SAVED_SUFFIX) || g_str_has_suffix (asked->name, LUNFS_ARENA_SUFFIX))
    *strrchr (asked->name, '.') = '\0';
}

/* What follows the verb. */
static bool
parse (int argc, char **argv, Asked *asked, GError **error)
{
  guint64 lun;

  asked->lun = -1;
  asked->usual_dir = !asked->dir;
  if (asked->usual_dir)
    asked->dir = default_dir ();
  if (argc > 0)
    take_name (asked, argv[0]);
  if (argc > 1 && !g_ascii_string_to_unsigned (argv[1], 10, 0, LUNFS_ARENA_LUNS - 1, &lun, NULL))
    return usage (error, "LUN is a number that inspect prints");
  if (argc > 1)
    asked->lun = (int) lun;
  return true;
}

/* ---- describe ---- */

static void
add_string (JsonBuilder *b, const char *name, const char *value)
{
  g_autofree char *valid = lunfs_json_make_valid (value);

  json_builder_set_member_name (b, name);
  json_builder_add_string_value (b, valid);
}

static void
add_int (JsonBuilder *b, const char *name, gint64 value)
{
  json_builder_set_member_name (b, name);
  json_builder_add_int_value (b, value);
}

static void
add_bool (JsonBuilder *b, const char *name, bool value)
{
  json_builder_set_member_name (b, name);
  json_builder_add_boolean_value (b, value);
}

/* A mount's worker holds it, and looks at what is decided here within seconds. */
static gint64
age_s (const LunfsSaved *saved)
{
  struct stat st;

  if (saved->arena->header->sealed_us)
    return (g_get_real_time () - saved->arena->header->sealed_us) / G_USEC_PER_SEC;
  return fstat (saved->arena->fd, &st) == 0 ? g_get_real_time () / G_USEC_PER_SEC - st.st_mtime : 0;
}

static void
describe_ranges (JsonBuilder *b, const LunfsArena *arena, unsigned lun)
{
  g_autoptr (GArray) ranges = NULL;
  g_autoptr (GArray) pages = NULL;
  uint64_t start = 0, end = 0;

  json_builder_set_member_name (b, "ranges");
  json_builder_begin_array (b);
  if (lunfs_saved_collect (arena, lun, &ranges, &pages))
    for (guint i = 0; i <= pages->len; i++) {
      const LunfsArenaPage *p = i < pages->len ? &arena->pages[g_array_index (pages, uint32_t, i)] : NULL;

      if (p && end && p->number * LUNFS_PAGE_BYTES == end) {
        end += LUNFS_PAGE_BYTES;
        continue;
      }
      if (end) {
        json_builder_begin_object (b);
        add_int (b, "offset", (gint64) start);
        add_int (b, "length", (gint64) (end - start));
        json_builder_end_object (b);
      }
      if (p) {
        start = p->number * LUNFS_PAGE_BYTES;
        end = start + LUNFS_PAGE_BYTES;
      }
    }
  json_builder_end_array (b);
}

static void
describe_lun (JsonBuilder *b, const LunfsArena *arena, unsigned lun, bool in_full)
{
  const LunfsArenaLun *l = &arena->luns[lun];
  unsigned nranges, nwitnesses = 0;
  uint64_t bytes = lunfs_saved_bytes (arena, lun, &nranges);

  for (unsigned i = 0; i < LUNFS_ARENA_WITNESSES; i++)
    nwitnesses += arena->witnesses[lun * LUNFS_ARENA_WITNESSES + i].where != 0;
  json_builder_begin_object (b);
  add_int (b, "index", lun);
  add_string (b, "target", l->target_name);
  add_string (b, "host", l->host);
  add_int (b, "port", l->port);
  add_int (b, "lun", l->lun);
  add_string (b, "identity", l->identity);
  add_int (b, "size", (gint64) (l->nblocks * l->block_size));
  add_string (b, "state", state_words[l->saved]);
  add_string (b, "why", l->saved_why);
  add_bool (b, "begun", l->saved_begun);
  add_int (b, "bytes", (gint64) bytes);
  add_int (b, "discards", nranges);
  add_int (b, "witnesses", nwitnesses);
  if (in_full)
    describe_ranges (b, arena, lun);
  json_builder_end_object (b);
}

static void
describe (JsonBuilder *b, const LunfsSaved *saved, bool in_full)
{
  const LunfsArenaHeader *h = saved->arena->header;

  json_builder_begin_object (b);
  add_string (b, "name", saved->name);
  add_string (b, "path", saved->path);
  add_string (b, "source", h->source);
  add_string (b, "mountpoint", h->mountpoint);
  add_string (b, "boot_id", h->boot_id);
  add_bool (b, "sealed", h->sealed);
  add_bool (b, "whole", lunfs_saved_is_whole (saved->arena));
  add_int (b, "age_s", age_s (saved));
  json_builder_set_member_name (b, "luns");
  json_builder_begin_array (b);
  for (unsigned i = 0; i < LUNFS_ARENA_LUNS && saved->arena->luns[i].used; i++) {
    unsigned nranges;

    if (lunfs_saved_bytes (saved->arena, i, &nranges) > 0 || nranges > 0 || (in_full && saved->arena->luns[i].proven))
      describe_lun (b, saved->arena, i, in_full);
  }
  json_builder_end_array (b);
  json_builder_end_object (b);
}

static void
print_json (JsonBuilder *b)
{
  g_autoptr (JsonNode) root = json_builder_get_root (b);
  g_autofree char *text = json_to_string (root, TRUE);

  puts (text);
}

/* ---- print ---- */

static void
print_lun (const LunfsArena *arena, unsigned lun)
{
  const LunfsArenaLun *l = &arena->luns[lun];
  unsigned nranges;
  uint64_t bytes = lunfs_saved_bytes (arena, lun, &nranges);

  if (bytes == 0 && nranges == 0)
    return;
  printf ("  %u: %s lun %u at %s:%u (%s): %" G_GUINT64_FORMAT " KiB, %u discards: %s%s%s\n", lun, l->target_name,
          l->lun, l->host, l->port, *l->identity ? l->identity : "no identity", (bytes + 1023) / 1024, nranges,
          state_words[l->saved], *l->saved_why ? ": " : "", l->saved_why);
}

static void
print_saved (const LunfsSaved *saved)
{
  const LunfsArenaHeader *h = saved->arena->header;

  printf ("%s: %s on %s, %" G_GINT64_FORMAT " s old, %s\n", saved->name, h->source, h->mountpoint, age_s (saved),
          h->sealed                             ? "sealed"
          : lunfs_saved_is_whole (saved->arena) ? "not sealed, this boot"
                                                : "not sealed, an earlier boot: perhaps old and new mixed");
  for (unsigned i = 0; i < LUNFS_ARENA_LUNS && saved->arena->luns[i].used; i++)
    print_lun (saved->arena, i);
}

/* ---- verbs ---- */

static LunfsSaved *
open_one (const Asked *asked, GError **error)
{
  if (asked->name)
    return lunfs_saved_open (asked->dir, asked->name, error);
  usage (error, "which?  See lunfsctl saved list");
  return NULL;
}

static void
say_unusable (void *user, const char *name, const char *why)
{
  *(int *) user = LUNFS_EXIT_FAILED;
  fprintf (stderr, "lunfsctl: %s\n", why);
}

static int
list (const Asked *asked, GError **error)
{
  int status = LUNFS_EXIT_OK;
  g_autoptr (GPtrArray) all = NULL;
  g_autoptr (JsonBuilder) b = json_builder_new ();

  if (access (asked->dir, R_OK | X_OK) < 0 && !(asked->usual_dir && errno == ENOENT)) {
    g_set_error (error, LUNFS_ERROR, lunfs_exit_of_path (errno), "%s: %s", asked->dir, g_strerror (errno));
    return LUNFS_EXIT_FAILED;
  }
  all = lunfs_saved_open_all (asked->dir, false, NULL, say_unusable, &status);
  json_builder_begin_array (b);
  for (guint i = 0; i < all->len; i++) {
    if (asked->json)
      describe (b, all->pdata[i], false);
    else
      print_saved (all->pdata[i]);
  }
  json_builder_end_array (b);
  if (asked->json)
    print_json (b);
  return status;
}

static int
inspect (const Asked *asked, GError **error)
{
  g_autoptr (LunfsSaved) saved = open_one (asked, error);
  g_autoptr (JsonBuilder) b = json_builder_new ();

  if (!saved)
    return LUNFS_EXIT_FAILED;
  if (!asked->json) {
    print_saved (saved);
    return LUNFS_EXIT_OK;
  }
  describe (b, saved, true);
  print_json (b);
  return LUNFS_EXIT_OK;
}

static int
decide (const Asked *asked, LunfsSavedState to, GError **error)
{
  g_autoptr (LunfsSaved) saved = open_one (asked, error);
  unsigned n = 0;

  if (!saved)
    return LUNFS_EXIT_FAILED;
  for (unsigned i = 0; i < LUNFS_ARENA_LUNS && saved->arena->luns[i].used; i++)
    if (asked->lun < 0 || asked->lun == (int) i)
      n += lunfs_saved_mark (saved->arena, i, LUNFS_SAVED_OPEN, to, NULL);
  if (n == 0) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_NO_OBJECTS, "%s: nothing waits there for such a LUN", saved->path);
    return LUNFS_EXIT_NO_OBJECTS;
  }
  if (lunfs_saved_take (saved)) /* else its mount removes it */
    lunfs_saved_drop_empty (saved);
  return LUNFS_EXIT_OK;
}

/* Nobody can say what is in it. */
static int
discard_unusable (const Asked *asked, GError **error)
{
  static const char *const suffixes[] = { LUNFS_SAVED_SUFFIX, LUNFS_ARENA_SUFFIX };

  for (unsigned i = 0; i < G_N_ELEMENTS (suffixes); i++) {
    g_autofree char *path = g_strconcat (asked->dir, "/", asked->name, suffixes[i], NULL);

    if (unlink (path) == 0) {
      g_clear_error (error);
      return LUNFS_EXIT_OK;
    }
  }
  return LUNFS_EXIT_FAILED;
}

static int
discard (const Asked *asked, GError **error)
{
  int status;

  if (!asked->yes) {
    usage (error, "discard gives written data up for ever: say --yes");
    return LUNFS_EXIT_USAGE;
  }
  status = decide (asked, LUNFS_SAVED_DISCARDED, error);
  if (status == LUNFS_EXIT_FAILED && g_error_matches (*error, LUNFS_ERROR, LUNFS_EXIT_FAILED))
    return discard_unusable (asked, error);
  return status;
}

static int
run (const char *verb, const Asked *asked, GError **error)
{
  if (strcmp (verb, "list") == 0)
    return list (asked, error);
  if (strcmp (verb, "inspect") == 0)
    return inspect (asked, error);
  if (strcmp (verb, "replay") == 0)
    return decide (asked, LUNFS_SAVED_APPROVED, error);
  if (strcmp (verb, "discard") == 0)
    return discard (asked, error);
  usage (error, "what is to be done?");
  return LUNFS_EXIT_USAGE;
}

int
lunfs_ctl_saved (int argc, char **argv, GError **error)
{
  Asked asked = { 0 };
  const GOptionEntry entries[] = { { "state-dir", 0, 0, G_OPTION_ARG_FILENAME, &asked.dir,
                                     "where to look [/var/lib/lunfs; ~/.local/share/lunfs]", "DIR" },
                                   { "json", 0, 0, G_OPTION_ARG_NONE, &asked.json,
                                     "of list and inspect: an array of objects, an object", NULL },
                                   { "yes", 0, 0, G_OPTION_ARG_NONE, &asked.yes, "of discard: for ever", NULL },
                                   { 0 } };
  int status = LUNFS_EXIT_USAGE;

  if (lunfs_ctl_options (&argc, &argv, entries, 3, "list|inspect|replay|discard [NAME [LUN]]", error)
      && parse (argc - 1, argv + 1, &asked, error))
    status = run (argc > 0 ? argv[0] : "", &asked, error);
  g_free (asked.dir);
  g_free (asked.name);
  return status;
}
