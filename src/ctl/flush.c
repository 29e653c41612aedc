/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lunfsctl flush, drain: begin a FLUSH of each LUN, and look until all are done. */
#include "config.h"

#include "ctl/ctl.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOOK_EVERY_US 50000
#define SHOW_EVERY_US 500000 /* of lines; a terminal sees each look */
#define BAR_WIDTH 30

typedef struct {
  GPtrArray *asked, *now; /* JsonObject per mount: the answers to "flush" and "flush-state" */
  gint64 total_bytes, left_bytes;
  unsigned nluns, ndone, ngone;
  bool terminal, show;
  gint64 shown_us;
} Flush;

/* ---- what is left ---- */

static JsonObject *
lun_of (GPtrArray *answers, unsigned mount, unsigned i)
{
  JsonArray *luns = lunfs_ctl_array (answers->pdata[mount], "luns");

  return i < json_array_get_length (luns) ? json_array_get_object_element (luns, i) : NULL;
}

/* The record of the LUN that @asked is of, as it is now; NULL: it is gone, or its worker does not answer just now. */
static JsonObject *
find_now (const Flush *f, unsigned mount, JsonObject *asked)
{
  return lunfs_ctl_find_lun (f->now->pdata[mount], lunfs_ctl_text (asked, "file"));
}

/* Else its worker does not just now. */
static bool
answers (const Flush *f, unsigned mount)
{
  return json_object_has_member (f->now->pdata[mount], "luns");
}

static bool
is_done (JsonObject *asked, JsonObject *now)
{
  return now && lunfs_ctl_number (now, "done") >= lunfs_ctl_number (asked, "asked");
}

/* LUNs that are no more, with nothing of theirs to be written: those that were found to be no disks, too. */
static void
drop_gone (Flush *f, unsigned mount)
{
  JsonArray *luns = lunfs_ctl_array (f->asked->pdata[mount], "luns");

  for (unsigned i = answers (f, mount) ? json_array_get_length (luns) : 0; i-- > 0;) {
    JsonObject *asked = json_array_get_object_element (luns, i);

    if (!find_now (f, mount, asked) && lunfs_ctl_number (asked, "unflushed_bytes") == 0)
      json_array_remove_element (luns, i);
  }
}

static void
count (Flush *f)
{
  JsonObject *asked;

  f->left_bytes = 0;
  f->nluns = f->ndone = f->ngone = 0;
  for (unsigned m = 0; m < f->asked->len; m++) {
    drop_gone (f, m);
    for (unsigned i = 0; (asked = lun_of (f->asked, m, i)); i++) {
      JsonObject *now = find_now (f, m, asked);

      f->nluns++;
      f->ndone += is_done (asked, now);
      f->ngone += !now && answers (f, m);
      /* What was written since it was begun is none of ours. */
      if (!is_done (asked, now))
        f->left_bytes +=
            MIN (lunfs_ctl_number (now ? now : asked, "unflushed_bytes"), lunfs_ctl_number (asked, "unflushed_bytes"));
    }
  }
}

/* ---- progress ---- */

static void
show (Flush *f, bool last)
{
  g_autofree char *left = lunfs_ctl_size (f->left_bytes), *total = lunfs_ctl_size (f->total_bytes);
  double part = f->total_bytes > 0 ? 1 - (double) f->left_bytes / (double) f->total_bytes : 1;
  int done = f->ndone == f->nluns ? BAR_WIDTH : (int) (part * BAR_WIDTH);
  gint64 now_us = g_get_monotonic_time ();
  char bar[BAR_WIDTH + 1];

  if (!f->show || (!f->terminal && !last && now_us - f->shown_us < SHOW_EVERY_US))
    return;
  f->shown_us = now_us;
  if (f->terminal) {
    memset (bar, '.', BAR_WIDTH);
    memset (bar, '#', (size_t) CLAMP (done, 0, BAR_WIDTH));
    bar[BAR_WIDTH] = '\0';
    printf ("\r[%s] %s of %s left, %u of %u LUNs flushed \033[K%s", bar, left, total, f->ndone, f->nluns,
            last ? "\n" : "");
  } else {
    printf ("%s of %s left, %u of %u LUNs flushed\n", left, total, f->ndone, f->nluns);
  }
  fflush (stdout);
}

/* ---- the end ---- */

static JsonNode *
result_json (const Flush *f)
{
  JsonNode *node = json_node_new (JSON_NODE_ARRAY);
  JsonArray *array = json_array_new ();
  JsonObject *asked;

  for (unsigned m = 0; m < f->asked->len; m++)
    for (unsigned i = 0; (asked = lun_of (f->asked, m, i)); i++) {
      JsonObject *now = find_now (f, m, asked), *object = json_object_new ();
      g_autofree char *path = lunfs_ctl_lun_path (f->asked->pdata[m], asked);

      json_object_set_string_member (object, "path", path);
      json_object_set_boolean_member (object, "flushed", is_done (asked, now) && !*lunfs_ctl_text (now, "error"));
      json_object_set_string_member (object, "error", is_done (asked, now) ? lunfs_ctl_text (now, "error") : "");
      json_object_set_string_member (object, "state", now ? lunfs_ctl_text (now, "state") : "");
      json_object_set_int_member (object, "unflushed_bytes", now ? lunfs_ctl_number (now, "unflushed_bytes") : 0);
      json_array_add_object_element (array, object);
    }
  json_node_take_array (node, array);
  return node;
}

/* False with @error: what is not flushed, and why. */
static bool
check (const Flush *f, GError **error)
{
  g_autoptr (GString) text = g_string_new (NULL);
  JsonObject *asked;

  for (unsigned m = 0; m < f->asked->len; m++)
    for (unsigned i = 0; (asked = lun_of (f->asked, m, i)); i++) {
      JsonObject *now = find_now (f, m, asked);
      g_autofree char *path = lunfs_ctl_lun_path (f->asked->pdata[m], asked);
      g_autofree char *left = lunfs_ctl_size (now ? lunfs_ctl_number (now, "unflushed_bytes") : 0);

      if (is_done (asked, now) && !*lunfs_ctl_text (now, "error"))
        continue;
      g_string_append_printf (text, "%s%s: ", text->len ? "; " : "", path);
      if (is_done (asked, now))
        g_string_append_printf (text, "%s (%s left, the LUN is %s)", lunfs_ctl_text (now, "error"), left,
                                lunfs_ctl_text (now, "state"));
      else
        g_string_append_printf (text, "not flushed in time (%s left, the LUN is %s)", left,
                                now              ? lunfs_ctl_text (now, "state")
                                : answers (f, m) ? "gone"
                                                 : "without a worker");
    }
  if (text->len)
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_UNFLUSHED, "%s", text->str);
  return text->len == 0;
}

/* ---- the commands ---- */

/* Workers do not share numbers: the one that has come meanwhile has not been asked. */
static bool
is_another_worker (JsonObject *asked, JsonObject *now)
{
  JsonArray *luns = lunfs_ctl_array (asked, "luns");

  for (unsigned i = 0; i < json_array_get_length (luns); i++) {
    JsonObject *before = json_array_get_object_element (luns, i);
    JsonObject *lun = lunfs_ctl_find_lun (now, lunfs_ctl_text (before, "file"));

    if (lun && lunfs_ctl_number (lun, "done") >> 32 != lunfs_ctl_number (before, "asked") >> 32)
      return true;
  }
  return false;
}

static JsonObject *
ask_anew (Flush *f, unsigned mount, GError **error)
{
  JsonObject *now = lunfs_ctl_ask_again (f->asked->pdata[mount], "flush", error);

  if (now && json_object_has_member (now, "luns")) {
    json_object_unref (f->asked->pdata[mount]);
    f->asked->pdata[mount] = json_object_ref (now);
  }
  return now;
}

static bool
look (Flush *f, GError **error)
{
  g_autoptr (GPtrArray) all = g_ptr_array_new_with_free_func ((GDestroyNotify) json_object_unref);

  for (unsigned m = 0; m < f->asked->len; m++) {
    JsonObject *now = lunfs_ctl_ask_again (f->asked->pdata[m], "flush-state", error);

    if (now && is_another_worker (f->asked->pdata[m], now)) {
      json_object_unref (now);
      now = ask_anew (f, m, error);
    }
    if (!now)
      return false;
    g_ptr_array_add (all, now);
  }
  g_clear_pointer (&f->now, g_ptr_array_unref);
  f->now = g_steal_pointer (&all);
  return true;
}

static bool
flush_all (Flush *f, int argc, char **argv, gint64 timeout_s, GError **error)
{
  g_autoptr (JsonObject) request = lunfs_ctl_request ("flush");
  gint64 until_us = timeout_s > 0 ? g_get_monotonic_time () + timeout_s * G_USEC_PER_SEC : G_MAXINT64;
  int status;

  f->asked = lunfs_ctl_ask (argc, argv, request, &status, error);
  if (f->asked && status) {
    g_set_error (error, LUNFS_ERROR, status, "not all of the mounts could be asked to flush");
    return false;
  }
  if (!f->asked || !look (f, error))
    return false;
  count (f);
  f->total_bytes = f->left_bytes;
  while (f->ndone + f->ngone < f->nluns && g_get_monotonic_time () < until_us) {
    show (f, false);
    g_usleep (LOOK_EVERY_US);
    if (!look (f, error))
      return false;
    count (f);
  }
  show (f, true);
  return true;
}

static void
flush_clear (Flush *f)
{
  g_clear_pointer (&f->asked, g_ptr_array_unref);
  g_clear_pointer (&f->now, g_ptr_array_unref);
}

bool
lunfs_ctl_flush_path (const char *path, gint64 timeout_s, GError **error)
{
  Flush f = { 0 };
  char *argv[] = { (char *) path, NULL };
  bool ok = flush_all (&f, 1, argv, timeout_s, error) && check (&f, error);

  flush_clear (&f);
  return ok;
}

static int
run (int argc, char **argv, bool show_progress, GError **error)
{
  gboolean json = FALSE;
  gint64 timeout_s = 0;
  const GOptionEntry entries[] = {
    { "timeout", 't', 0, G_OPTION_ARG_INT64, &timeout_s, "give up after that, with status 33 [0: never]", "SECONDS" },
    { "json", 0, 0, G_OPTION_ARG_NONE, &json, "what became of each LUN, as an array of objects", NULL },
    { 0 }
  };
  Flush f = { .terminal = isatty (STDOUT_FILENO) };
  bool ok;

  if (!lunfs_ctl_options (&argc, &argv, entries, 1, "[PATH]", error) || !lunfs_ctl_check_timeout (timeout_s, 0, error))
    return LUNFS_EXIT_USAGE;
  f.show = show_progress && !json;
  ok = flush_all (&f, argc, argv, timeout_s, error);
  if (ok && json)
    lunfs_ctl_print_json (result_json (&f));
  if (ok)
    check (&f, error);
  flush_clear (&f);
  return LUNFS_EXIT_OK;
}

int
lunfs_ctl_flush (int argc, char **argv, GError **error)
{
  return run (argc, argv, false, error);
}

int
lunfs_ctl_drain (int argc, char **argv, GError **error)
{
  return run (argc, argv, true, error);
}
