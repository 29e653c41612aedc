/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lunfsctl keys, reserve, release, preempt: persistent reservations.  A job is begun at each LUN and looked at until it has
 * ended; the first failure is the exit status. */
#include "config.h"

#include "ctl/ctl.h"

#include <stdio.h>
#include <string.h>

#define LOOK_EVERY_US 20000
#define FLUSH_TIMEOUT_S 30
#define LIMIT_S 60 /* longer than one command may take by default */

/* ---- asking ---- */

typedef struct {
  GPtrArray *asked;   /* answers to "reserve" */
  const char *state;  /* the command that tells how far they are */
  JsonArray *results; /* LUNs of its answers, with their "path" */
  int status;
} Jobs;

static void
failed (Jobs *j, const char *path, int status, const char *why)
{
  fprintf (stderr, "lunfsctl: %s: %s\n", path, why);
  j->status = j->status ? j->status : status;
}

/* True: it has ended, one way or the other. */
static bool
look_at (Jobs *j, JsonObject *now, JsonObject *mount, JsonObject *asked, bool last)
{
  g_autofree char *path = lunfs_ctl_lun_path (mount, asked);
  JsonObject *lun = lunfs_ctl_find_lun (now, lunfs_ctl_text (asked, "file"));
  bool same = lun && lunfs_ctl_number (lun, "asked") == lunfs_ctl_number (asked, "asked");

  if (!same && json_object_has_member (now, "luns")) {
    failed (
        j, path, LUNFS_EXIT_TRANSPORT,
        "the process that serves it was replaced meanwhile, or somebody else has asked; lunfsctl keys tells how far "
        "it came");
  } else if (same && json_object_get_boolean_member_with_default (lun, "done", FALSE)) {
    if (lunfs_ctl_number (lun, "status")) {
      failed (j, path, (int) lunfs_ctl_number (lun, "status"), lunfs_ctl_text (lun, "error"));
    } else {
      json_object_set_string_member (lun, "path", path);
      json_array_add_object_element (j->results, json_object_ref (lun));
    }
  } else if (last) {
    failed (j, path, LUNFS_EXIT_TIMEOUT, "no answer in time; it may still be carried out: lunfsctl keys tells");
  } else {
    return false;
  }
  return true;
}

/* Which have not ended; those that have are in the results.  False with @error: nobody can be asked. */
static bool
look (Jobs *j, bool last, unsigned *out_left, GError **error)
{
  *out_left = 0;
  for (unsigned m = 0; m < j->asked->len; m++) {
    JsonArray *luns = lunfs_ctl_array (j->asked->pdata[m], "luns");
    g_autoptr (JsonObject) now = lunfs_ctl_ask_again (j->asked->pdata[m], j->state, error);

    if (!now)
      return false;
    for (unsigned i = 0; i < json_array_get_length (luns);) {
      if (look_at (j, now, j->asked->pdata[m], json_array_get_object_element (luns, i), last))
        json_array_remove_element (luns, i);
      else
        i++;
    }
    *out_left += json_array_get_length (luns);
  }
  return true;
}

/* What could not even be begun. */
static void
drop_refused (Jobs *j)
{
  for (unsigned m = 0; m < j->asked->len; m++) {
    JsonArray *luns = lunfs_ctl_array (j->asked->pdata[m], "luns");

    for (unsigned i = 0; i < json_array_get_length (luns);) {
      JsonObject *lun = json_array_get_object_element (luns, i);
      g_autofree char *path = lunfs_ctl_lun_path (j->asked->pdata[m], lun);

      if (!lunfs_ctl_number (lun, "status")) {
        i++;
        continue;
      }
      failed (j, path, (int) lunfs_ctl_number (lun, "status"), lunfs_ctl_text (lun, "error"));
      json_array_remove_element (luns, i);
    }
  }
}

/* False with @error: nobody could be asked. */
static bool
run (Jobs *j, int argc, char **argv, JsonObject *request, GError **error)
{
  gint64 until_us = g_get_monotonic_time () + LIMIT_S * G_USEC_PER_SEC;
  unsigned left;

  j->state = strcmp (lunfs_ctl_text (request, "what"), "keys") == 0 ? "keys-state" : "reserve-state";
  j->results = json_array_new ();
  j->asked = lunfs_ctl_ask (argc, argv, request, &j->status, error);
  if (!j->asked)
    return false;
  drop_refused (j);
  do {
    if (!look (j, g_get_monotonic_time () > until_us, &left, error))
      return false;
    if (left)
      g_usleep (LOOK_EVERY_US);
  } while (left);
  return true;
}

static void
jobs_clear (Jobs *j)
{
  g_clear_pointer (&j->asked, g_ptr_array_unref);
  g_clear_pointer (&j->results, json_array_unref);
}

static JsonObject *
job (const char *what)
{
  JsonObject *request = lunfs_ctl_request ("reserve");

  json_object_set_string_member (request, "what", what);
  return request;
}

/* ---- keys ---- */

static void
print_keys (JsonObject *lun)
{
  JsonObject *ours = lunfs_ctl_object (lun, "ours");
  JsonArray *keys = lunfs_ctl_array (lun, "keys");
  const char *type = lunfs_ctl_text (lun, "type"), *holder = lunfs_ctl_text (lun, "holder");
  const char *key = lunfs_ctl_text (ours, "key"), *state = lunfs_ctl_text (ours, "state");

  printf ("%s: generation %d, ", lunfs_ctl_text (lun, "path"), (int) lunfs_ctl_number (lun, "generation"));
  if (*type)
    printf ("reserved as %s by %s%s\n", type, *holder ? "key " : "all registered", holder);
  else
    printf ("not reserved\n");
  if (*key && (strcmp (state, "preempted") == 0 || strcmp (state, "lost") == 0))
    printf ("  %s  ours, %s: writes fail until lunfsctl reserve or release\n", key, state);
  for (unsigned i = 0; i < json_array_get_length (keys); i++) {
    const char *one = json_array_get_string_element (keys, i);

    printf ("  %s%s%s\n", one, *key && strcmp (one, key) == 0 ? "  ours" : "",
            *holder && strcmp (one, holder) == 0 ? "  holder" : "");
  }
  if (lunfs_ctl_number (lun, "registrations") > json_array_get_length (keys))
    printf ("  ... of %d registrations\n", (int) lunfs_ctl_number (lun, "registrations"));
}

int
lunfs_ctl_keys (int argc, char **argv, GError **error)
{
  gboolean json = FALSE;
  const GOptionEntry entries[] = { { "json", 0, 0, G_OPTION_ARG_NONE, &json, "an array of objects", NULL }, { 0 } };
  static const char *const private[] = { "asked", "done", "status", "error", "file" };
  g_autoptr (JsonObject) request = job ("keys");
  Jobs j = { 0 };

  if (!lunfs_ctl_options (&argc, &argv, entries, 1, "[PATH]", error))
    return LUNFS_EXIT_USAGE;
  if (run (&j, argc, argv, request, error)) {
    for (unsigned i = 0; i < json_array_get_length (j.results); i++) {
      JsonObject *lun = json_array_get_object_element (j.results, i);

      for (unsigned k = 0; k < G_N_ELEMENTS (private); k++)
        json_object_remove_member (lun, private[k]);
      if (!json)
        print_keys (lun);
    }
    if (json) {
      JsonNode *node = json_node_new (JSON_NODE_ARRAY);

      json_node_set_array (node, j.results);
      lunfs_ctl_print_json (node);
    }
  }
  jobs_clear (&j);
  return j.status;
}

/* ---- reserve, release, preempt ---- */

static void
print_ours (JsonObject *lun)
{
  JsonObject *ours = lunfs_ctl_object (lun, "ours");
  const char *key = lunfs_ctl_text (ours, "key"), *type = lunfs_ctl_text (ours, "type");

  if (!*key)
    printf ("%s: no longer registered\n", lunfs_ctl_text (lun, "path"));
  else
    printf ("%s: registered with key %s, %s%s\n", lunfs_ctl_text (lun, "path"), key, *type ? type : "no reservation",
            json_object_get_boolean_member_with_default (ours, "persists", FALSE)
                ? ""
                : "; the target forgets it when it loses power");
}

static int
change (int argc, char **argv, JsonObject *request, GError **error)
{
  Jobs j = { 0 };

  if (run (&j, argc, argv, request, error))
    for (unsigned i = 0; i < json_array_get_length (j.results); i++)
      print_ours (json_array_get_object_element (j.results, i));
  jobs_clear (&j);
  return j.status;
}

int
lunfs_ctl_reserve (int argc, char **argv, GError **error)
{
  g_autofree char *type = NULL;
  gboolean only = FALSE;
  const GOptionEntry entries[] = {
    { "type", 't', 0, G_OPTION_ARG_STRING, &type,
      "write-exclusive [the default] or exclusive-access, or these with -registrants-only or -all-registrants behind",
      "TYPE" },
    { "register-only", 0, 0, G_OPTION_ARG_NONE, &only, "do not reserve", NULL },
    { 0 }
  };
  g_autoptr (JsonObject) request = job ("take");

  if (!lunfs_ctl_options (&argc, &argv, entries, 2, "PATH KEY", error))
    return LUNFS_EXIT_USAGE;
  if (argc < 2 || (type && only)) {
    g_set_error_literal (error, LUNFS_ERROR, LUNFS_EXIT_USAGE,
                         argc < 2 ? "PATH and KEY are needed; lunfsctl reserve --help says more"
                                  : "--type and --register-only exclude each other");
    return LUNFS_EXIT_USAGE;
  }
  json_object_set_string_member (request, "key", argv[1]);
  json_object_set_string_member (request, "type", only ? "" : type ? type : "write-exclusive");
  return change (1, argv, request, error);
}

static void
count_lost (JsonObject *mount, JsonObject *target, JsonObject *lun, void *n)
{
  *(unsigned *) n += strcmp (lunfs_ctl_lun_state (lun), "preempted") == 0;
}

typedef struct {
  bool ok;
  GError **error;
} FlushEach;

static void
flush_unless_lost (JsonObject *mount, JsonObject *target, JsonObject *lun, void *user)
{
  FlushEach *each = user;
  g_autofree char *path = lunfs_ctl_lun_path (mount, lun);

  if (each->ok && strcmp (lunfs_ctl_lun_state (lun), "preempted") != 0)
    each->ok = lunfs_ctl_flush_path (path, FLUSH_TIMEOUT_S, each->error);
}

/* What is written back once others may write would overwrite theirs.  Of a LUN that was preempted nothing is left to write. */
static bool
flush (char **argv, GError **error)
{
  int status;
  unsigned nlost = 0;
  FlushEach each = { true, error };
  g_autoptr (GPtrArray) mounts = lunfs_ctl_statuses (1, argv, &status, error);

  for (unsigned i = 0; mounts && i < mounts->len; i++)
    lunfs_ctl_each_lun (mounts->pdata[i], count_lost, &nlost);
  if (!mounts)
    return false;
  if (nlost == 0)
    each.ok = lunfs_ctl_flush_path (argv[0], FLUSH_TIMEOUT_S, error);
  for (unsigned i = 0; nlost > 0 && i < mounts->len; i++)
    lunfs_ctl_each_lun (mounts->pdata[i], flush_unless_lost, &each);
  if (each.ok)
    return true;
  g_prefix_error (error, "not released (--force does so all the same): ");
  return false;
}

int
lunfs_ctl_release (int argc, char **argv, GError **error)
{
  gboolean keep = FALSE, force = FALSE;
  const GOptionEntry entries[] = { { "keep-registered", 0, 0, G_OPTION_ARG_NONE, &keep,
                                     "give the reservation up, not the registration", NULL },
                                   { "force", 'f', 0, G_OPTION_ARG_NONE, &force, "without a flush before", NULL },
                                   { 0 } };
  g_autoptr (JsonObject) request = job ("release");

  if (!lunfs_ctl_options (&argc, &argv, entries, 1, "PATH", error))
    return LUNFS_EXIT_USAGE;
  if (argc < 1) {
    g_set_error_literal (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "PATH is needed; lunfsctl release --help says more");
    return LUNFS_EXIT_USAGE;
  }
  if (!force && !flush (argv, error))
    return LUNFS_EXIT_UNFLUSHED;
  json_object_set_boolean_member (request, "keep", keep);
  return change (argc, argv, request, error);
}

int
lunfs_ctl_preempt (int argc, char **argv, GError **error)
{
  gboolean abort_too = FALSE;
  const GOptionEntry entries[] = { { "abort", 0, 0, G_OPTION_ARG_NONE, &abort_too,
                                     "also end the commands it has under way at the target", NULL },
                                   { 0 } };
  g_autoptr (JsonObject) request = job ("preempt");

  if (!lunfs_ctl_options (&argc, &argv, entries, 2, "PATH KEY", error))
    return LUNFS_EXIT_USAGE;
  if (argc < 2) {
    g_set_error_literal (error, LUNFS_ERROR, LUNFS_EXIT_USAGE,
                         "PATH and KEY are needed; lunfsctl preempt --help says more");
    return LUNFS_EXIT_USAGE;
  }
  json_object_set_string_member (request, "key", argv[1]);
  json_object_set_boolean_member (request, "abort", abort_too);
  return change (1, argv, request, error);
}
