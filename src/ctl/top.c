/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lunfsctl top: a table of what happens, made from two status files and the time between them.
 *
 * On a terminal it is redrawn in place, on the alternate screen, with plain ANSI sequences; q or a signal ends it, and the
 * terminal is as before.  Elsewhere one table per interval is printed. */
#include "config.h"

#include "ctl/ctl.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#define ENTER "\033[?1049h\033[?25l"
#define LEAVE "\033[?25h\033[?1049l"

typedef struct {
  int argc;
  char **argv;
  double interval_s;
  bool json, terminal;
  GPtrArray *before, *now; /* status files */
  gint64 before_us, now_us;
  int signal_fd;
  struct termios termios;
} Top;

/* ---- two status files -> numbers ---- */

typedef struct {
  double read_bytes, write_bytes, reads, writes; /* per second */
  gint64 p50_us, p99_us; /* of reads and writes that ended between the two; 0 = there were none */
} Rates;

static JsonObject *
find_before (const Top *t, const char *mountpoint, const char *target, JsonObject *lun)
{
  for (unsigned m = 0; t->before && m < t->before->len; m++) {
    JsonArray *targets = lunfs_ctl_array (t->before->pdata[m], "targets");

    if (strcmp (lunfs_ctl_text (t->before->pdata[m], "mountpoint"), mountpoint) != 0)
      continue;
    for (unsigned i = 0; i < json_array_get_length (targets); i++) {
      JsonObject *other = json_array_get_object_element (targets, i);
      JsonArray *luns = lunfs_ctl_array (other, "luns");

      for (unsigned k = 0; strcmp (lunfs_ctl_text (other, "name"), target) == 0 && k < json_array_get_length (luns);
           k++)
        if (lunfs_ctl_number (json_array_get_object_element (luns, k), "lun") == lunfs_ctl_number (lun, "lun"))
          return json_array_get_object_element (luns, k);
    }
  }
  return NULL;
}

/* Counters begin anew with each worker and with "stats reset". */
static double
rate (const Top *t, JsonObject *lun, JsonObject *before, const char *name)
{
  gint64 now = lunfs_ctl_number (lunfs_ctl_object (lun, "counters"), name);
  gint64 then = before ? lunfs_ctl_number (lunfs_ctl_object (before, "counters"), name) : now;
  double seconds = (double) MAX (t->now_us - t->before_us, 1) / G_USEC_PER_SEC;

  return (double) (now >= then ? now - then : now) / seconds;
}

static void
add_buckets (JsonObject *lun, const char *kind, gint64 sign, gint64 *buckets, unsigned n)
{
  JsonArray *array = lunfs_ctl_array (lunfs_ctl_object (lunfs_ctl_object (lun, "latency_us"), kind), "buckets");

  for (unsigned i = 0; i < MIN (n, json_array_get_length (array)); i++)
    buckets[i] += sign * json_array_get_int_element (array, i);
}

/* Upper bound of the bucket (i: below 2^i us) that holds it. */
static gint64
percentile (const gint64 *buckets, unsigned n, double percent)
{
  gint64 total = 0, seen = 0;

  for (unsigned i = 0; i < n; i++)
    total += MAX (buckets[i], 0);
  for (unsigned i = 0; i < n && total; i++) {
    seen += MAX (buckets[i], 0);
    if ((double) seen >= (double) total * percent / 100)
      return INT64_C (1) << i;
  }
  return 0;
}

static Rates
rates_of (const Top *t, JsonObject *mount, JsonObject *target, JsonObject *lun)
{
  JsonObject *before = find_before (t, lunfs_ctl_text (mount, "mountpoint"), lunfs_ctl_text (target, "name"), lun);
  gint64 buckets[64] = { 0 };
  Rates r = {
    .read_bytes = rate (t, lun, before, "read_bytes"),
    .write_bytes = rate (t, lun, before, "write_bytes"),
    .reads = rate (t, lun, before, "reads"),
    .writes = rate (t, lun, before, "writes"),
  };

  for (unsigned i = 0; i < 2; i++) {
    add_buckets (lun, i ? "write" : "read", 1, buckets, G_N_ELEMENTS (buckets));
    if (before)
      add_buckets (before, i ? "write" : "read", -1, buckets, G_N_ELEMENTS (buckets));
  }
  r.p50_us = percentile (buckets, G_N_ELEMENTS (buckets), 50);
  r.p99_us = percentile (buckets, G_N_ELEMENTS (buckets), 99);
  return r;
}

/* ---- numbers -> text ---- */

static char *
time_text (gint64 us)
{
  if (us == 0)
    return g_strdup ("-");
  if (us < 1000)
    return g_strdup_printf ("%" G_GINT64_FORMAT "us", us);
  if (us < 1000000)
    return g_strdup_printf (us < 10000 ? "%.1fms" : "%.0fms", (double) us / 1000);
  return g_strdup_printf (us < 10000000 ? "%.1fs" : "%.0fs", (double) us / 1000000);
}

typedef struct {
  const Top *top;
  LunfsCtlTable *table;
  JsonArray *array;
} Rows;

static void
add_object (Rows *rows, const char *path, JsonObject *lun, const Rates *r)
{
  JsonObject *object = json_object_new (), *counters = lunfs_ctl_object (lun, "counters");

  json_object_set_string_member (object, "path", path);
  json_object_set_string_member (object, "state", lunfs_ctl_lun_state (lun));
  json_object_set_double_member (object, "read_bytes_per_s", r->read_bytes);
  json_object_set_double_member (object, "write_bytes_per_s", r->write_bytes);
  json_object_set_double_member (object, "reads_per_s", r->reads);
  json_object_set_double_member (object, "writes_per_s", r->writes);
  json_object_set_int_member (object, "p50_us", r->p50_us);
  json_object_set_int_member (object, "p99_us", r->p99_us);
  json_object_set_int_member (object, "depth", lunfs_ctl_number (counters, "in_flight"));
  json_object_set_int_member (object, "queued", lunfs_ctl_number (counters, "queued"));
  json_object_set_int_member (object, "dirty_bytes", lunfs_ctl_number (counters, "dirty_bytes"));
  json_object_set_int_member (object, "dirty_ms", lunfs_ctl_number (lun, "dirty_ms"));
  json_array_add_object_element (rows->array, object);
}

static void
add_lun (JsonObject *mount, JsonObject *target, JsonObject *lun, void *user)
{
  Rows *rows = user;
  JsonObject *counters = lunfs_ctl_object (lun, "counters");
  Rates r = rates_of (rows->top, mount, target, lun);
  g_autofree char *path = lunfs_ctl_lun_path (mount, lun), *read = lunfs_ctl_size ((gint64) r.read_bytes),
                  *write = lunfs_ctl_size ((gint64) r.write_bytes);
  char **cells = g_new0 (char *, 11);

  add_object (rows, path, lun, &r);
  cells[0] = g_strdup_printf ("%s/s", read);
  cells[1] = g_strdup_printf ("%s/s", write);
  cells[2] = g_strdup_printf ("%.0f", r.reads + r.writes);
  cells[3] = time_text (r.p50_us);
  cells[4] = time_text (r.p99_us);
  cells[5] = g_strdup_printf ("%" G_GINT64_FORMAT, lunfs_ctl_number (counters, "in_flight"));
  cells[6] = g_strdup_printf ("%" G_GINT64_FORMAT, lunfs_ctl_number (counters, "queued"));
  cells[7] = lunfs_ctl_size (lunfs_ctl_number (counters, "dirty_bytes"));
  cells[8] = time_text (lunfs_ctl_number (lun, "dirty_ms") * 1000);
  cells[9] = g_strdup_printf ("%-8s %s", lunfs_ctl_lun_state (lun), path);
  lunfs_ctl_table_add (rows->table, cells);
}

/* Cut to the window: a line that wraps would shift all that follow. */
static void
draw (const Top *t, const char *text)
{
  struct winsize window = { 0 };
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

  if (ioctl (STDOUT_FILENO, TIOCGWINSZ, &window) < 0 || window.ws_row < 2 || window.ws_col == 0)
    window = (struct winsize){ .ws_row = 24, .ws_col = 80 };
  fputs ("\033[H", stdout);
  for (unsigned i = 0; lines[i] && *lines[i] && i + 1 < window.ws_row; i++)
    printf ("%.*s\033[K\n", (int) window.ws_col, lines[i]);
  fputs ("\033[J", stdout);
}

static void
show (const Top *t)
{
  static const char *const titles[] = { ">READ",   ">WRITE", ">IOPS", ">P50",          ">P99", ">DEPTH",
                                        ">QUEUED", ">DIRTY", ">AGE",  "STATE    FILE", NULL };
  g_autoptr (LunfsCtlTable) table = lunfs_ctl_table_new (titles);
  g_autoptr (GString) text = g_string_new (NULL);
  Rows rows = { t, table, json_array_new () };

  for (unsigned i = 0; i < t->now->len; i++)
    lunfs_ctl_each_lun (t->now->pdata[i], add_lun, &rows);
  if (t->json) {
    JsonNode *node = json_node_new (JSON_NODE_ARRAY);

    json_node_take_array (node, json_array_ref (rows.array));
    lunfs_ctl_print_json (node);
  } else {
    lunfs_ctl_table_print (table, "", text);
    if (t->terminal)
      draw (t, text->str);
    else
      puts (text->str);
  }
  json_array_unref (rows.array);
  fflush (stdout);
}

/* ---- the terminal ---- */

static void
begin (Top *t)
{
  sigset_t set;

  sigemptyset (&set);
  sigaddset (&set, SIGINT);
  sigaddset (&set, SIGTERM);
  sigaddset (&set, SIGHUP);
  sigaddset (&set, SIGQUIT);
  sigprocmask (SIG_BLOCK, &set, NULL);
  t->signal_fd = signalfd (-1, &set, SFD_CLOEXEC);
  if (!t->terminal)
    return;
  if (tcgetattr (STDIN_FILENO, &t->termios) == 0) {
    struct termios raw = t->termios;

    raw.c_lflag &= ~(tcflag_t) (ICANON | ECHO);
    tcsetattr (STDIN_FILENO, TCSANOW, &raw);
  }
  fputs (ENTER, stdout);
}

static void
end (Top *t)
{
  if (t->terminal) {
    fputs (LEAVE, stdout);
    fflush (stdout);
    tcsetattr (STDIN_FILENO, TCSANOW, &t->termios);
  }
  close (t->signal_fd);
}

/* False: somebody wants an end. */
static bool
wait_interval (Top *t)
{
  gint64 until_us = g_get_monotonic_time () + (gint64) (t->interval_s * G_USEC_PER_SEC), left_us;

  while ((left_us = until_us - g_get_monotonic_time ()) > 0) {
    struct pollfd fds[] = { { .fd = t->signal_fd, .events = POLLIN },
                            { .fd = t->terminal ? STDIN_FILENO : -1, .events = POLLIN } };
    char key;

    if (poll (fds, 2, (int) (left_us / 1000) + 1) < 0 && errno != EINTR)
      return false;
    if (fds[0].revents)
      return false;
    if (fds[1].revents && (read (STDIN_FILENO, &key, 1) != 1 || key == 'q'))
      return false;
  }
  return true;
}

/* ---- the command ---- */

static bool
look (Top *t, GError **error)
{
  int status;

  g_clear_pointer (&t->before, g_ptr_array_unref);
  t->before = t->now;
  t->before_us = t->now_us;
  t->now = lunfs_ctl_statuses (t->argc, t->argv, &status, error);
  t->now_us = g_get_monotonic_time ();
  return t->now != NULL;
}

int
lunfs_ctl_top (int argc, char **argv, GError **error)
{
  gboolean once = FALSE, json = FALSE;
  double interval_s = 1;
  const GOptionEntry entries[] = { { "interval", 'i', 0, G_OPTION_ARG_DOUBLE, &interval_s, "between two looks [1]",
                                     "SECONDS" },
                                   { "once", '1', 0, G_OPTION_ARG_NONE, &once, "one table, of one interval", NULL },
                                   { "json", 0, 0, G_OPTION_ARG_NONE, &json, "an array of objects per interval", NULL },
                                   { 0 } };
  Top t = { 0 };

  if (!lunfs_ctl_options (&argc, &argv, entries, 1, "[PATH]", error))
    return LUNFS_EXIT_USAGE;
  if (!(interval_s >= 0.1 && interval_s <= 3600)) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "--interval: from 0.1 to 3600 seconds");
    return LUNFS_EXIT_USAGE;
  }
  t = (Top){ .argc = argc, .argv = argv, .interval_s = interval_s, .json = json };
  t.terminal = !once && !json && isatty (STDOUT_FILENO) && isatty (STDIN_FILENO);
  if (!look (&t, error))
    return LUNFS_EXIT_FAILED;
  begin (&t);
  if (t.terminal)
    show (&t);
  while (wait_interval (&t) && look (&t, error)) {
    show (&t);
    if (once)
      break;
  }
  end (&t);
  g_clear_pointer (&t.before, g_ptr_array_unref);
  g_clear_pointer (&t.now, g_ptr_array_unref);
  return LUNFS_EXIT_OK;
}
