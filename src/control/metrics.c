/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A family at a time, since its samples must stand together; within it, a sample per LUN or target. */
#include "config.h"

#include "control/metrics.h"

#include <errno.h>
#include <string.h>

/* Buckets of a LunfsLatency that are shown, 2^i microseconds: 32 us to 34 s.  What is quicker counts in the first. */
#define FIRST_BUCKET 5
#define LAST_BUCKET 25

typedef struct {
  const LunfsStatusLun *lun;
  LunfsSessionSnapshot snapshot;
  LunfsGeometry geometry;
  LunfsLunInfo info; /* zeroes if it has not been up */
  char *labels;
} Lun;

typedef struct {
  GString *text;
  Lun *luns;
  unsigned nluns;
} Page;

/* ---- words ---- */

/* Names and what targets say may be any bytes. */
static void
append_label (GString *labels, const char *name, const char *value)
{
  g_autofree char *valid = g_utf8_make_valid (value ? value : "", -1);

  g_string_append_printf (labels, "%s%s=\"", labels->len ? "," : "", name);
  for (const char *c = valid; *c; c++) {
    if (*c == '\n')
      g_string_append (labels, "\\n");
    else if (*c == '"' || *c == '\\')
      g_string_append_printf (labels, "\\%c", *c);
    else /* of the others some readers take more than '\n' for the end of a line */
      g_string_append_c (labels, (guchar) *c < ' ' ? ' ' : *c);
  }
  g_string_append_c (labels, '"');
}

static char *
lun_labels (const LunfsStatusLun *l)
{
  g_autofree char *number = g_strdup_printf ("%u", l->number);
  GString *labels = g_string_new (NULL);

  append_label (labels, "target", l->target_name);
  append_label (labels, "lun", number);
  append_label (labels, "file", l->file);
  return g_string_free (labels, FALSE);
}

/* The unit is what the name ends with, as OpenMetrics wants it. */
static void
family (Page *p, const char *name, const char *type, const char *help)
{
  const char *unit = g_str_has_suffix (name, "_bytes")     ? "bytes"
                     : g_str_has_suffix (name, "_seconds") ? "seconds"
                                                           : NULL;

  g_string_append_printf (p->text, "# TYPE lunfs_%s %s\n", name, type);
  if (unit)
    g_string_append_printf (p->text, "# UNIT lunfs_%s %s\n", name, unit);
  g_string_append_printf (p->text, "# HELP lunfs_%s %s.\n", name, help);
}

static void
sample (Page *p, const char *name, const char *suffix, const char *labels, uint64_t value)
{
  g_string_append_printf (p->text, "lunfs_%s%s", name, suffix);
  if (labels && *labels)
    g_string_append_printf (p->text, "{%s}", labels);
  g_string_append_printf (p->text, " %" G_GUINT64_FORMAT "\n", value);
}

/* Microseconds as seconds, in any locale. */
static const char *
seconds (uint64_t us, char *buf, size_t size)
{
  return g_ascii_formatd (buf, (int) size, "%.17g", (double) us / G_USEC_PER_SEC);
}

/* ---- the mount ---- */

static void
append_mount (Page *p, const LunfsStatus *status)
{
  g_autoptr (GString) labels = g_string_new (NULL);
  char buf[G_ASCII_DTOSTR_BUF_SIZE];
  const struct {
    const char *name, *help;
    uint64_t value;
  } totals[] = {
    { "workers_started", "Worker processes that this mount has had", status->workers_started },
    { "worker_crashes", "Workers that ended by a fault of their own", status->crashes },
    { "upgrades", "Workers replaced by another version", status->upgrades },
    { "requests_resent", "Requests that the kernel sent again after a worker's death", status->resent },
    { "requests_replayed", "Requests of a dead worker that its successor found and served", status->replayed },
    { "requests_poisoned", "Requests given up because workers crashed over them", status->poisoned },
  }, gauges[] = {
    { "cache_size_bytes", "Bound of the cache", status->settings->cache_size },
    { "cache_max_dirty_bytes", "Bound of written data that is not yet on stable storage",
      lunfs_settings_max_dirty (status->settings) },
  };

  append_label (labels, "version", PACKAGE_VERSION);
  family (p, "build", "info", "What serves the mount");
  sample (p, "build", "_info", labels->str, 1);
  family (p, "start_time_seconds", "gauge", "When the mount began, since the epoch");
  g_string_append_printf (p->text, "lunfs_start_time_seconds %s\n",
                          seconds ((uint64_t) status->started_us, buf, sizeof buf));
  for (unsigned i = 0; i < G_N_ELEMENTS (totals); i++) {
    family (p, totals[i].name, "counter", totals[i].help);
    sample (p, totals[i].name, "_total", NULL, totals[i].value);
  }
  for (unsigned i = 0; i < G_N_ELEMENTS (gauges); i++) {
    family (p, gauges[i].name, "gauge", gauges[i].help);
    sample (p, gauges[i].name, "", NULL, gauges[i].value);
  }
}

/* ---- targets ---- */

static void
append_target (Page *p, const char *name, const char *host, uint16_t port, bool up)
{
  g_autoptr (GString) labels = g_string_new (NULL);
  g_autofree char *port_text = g_strdup_printf ("%u", port);

  append_label (labels, "target", name);
  append_label (labels, "host", host);
  append_label (labels, "port", port_text);
  sample (p, "target_up", "", labels->str, up);
}

/* As in the status file, a target is up when one of its LUNs is. */
static void
append_targets (Page *p, const LunfsStatus *status)
{
  family (p, "target_up", "gauge", "Whether a session with the target serves; 0 or 1");
  for (unsigned i = 0, end; i < p->nluns; i = end) {
    const LunfsStatusLun *l = p->luns[i].lun;
    bool up = false;

    end = lunfs_status_target_end (status, i);
    for (unsigned j = i; j < end; j++)
      up |= p->luns[j].snapshot.state == LUNFS_SESSION_UP;
    append_target (p, l->target_name, l->host, l->port, up);
  }
  for (unsigned i = 0; i < status->ntargets; i++)
    append_target (p, status->targets[i].name, status->targets[i].host, status->targets[i].port, false);
}

/* ---- LUNs ---- */

static void
append_info (Page *p)
{
  family (p, "lun", "info", "Which LUN it is");
  for (unsigned i = 0; i < p->nluns; i++) {
    const Lun *l = &p->luns[i];
    g_autoptr (GString) labels = g_string_new (l->labels);

    append_label (labels, "portal", l->snapshot.portal);
    append_label (labels, "identity", l->info.identity.text);
    append_label (labels, "serial", l->info.identity.serial);
    append_label (labels, "vendor", l->info.inquiry.vendor);
    append_label (labels, "product", l->info.inquiry.product);
    append_label (labels, "revision", l->info.inquiry.revision);
    sample (p, "lun", "_info", labels->str, 1);
  }
}

#define LUN_GAUGES(X)                                                                                                  \
  X (lun_up, l->snapshot.state == LUNFS_SESSION_UP, "Whether the LUN's session serves; 0 or 1")                        \
  X (lun_failing, l->snapshot.failing, "Whether requests fail since replacement_timeout has passed; 0 or 1")           \
  X (lun_preempted, l->snapshot.reservation.key && l->snapshot.reservation.lost,                                       \
     "Whether writes fail since another initiator has taken the reservation; 0 or 1")                                  \
  X (lun_gone, l->lun->gone, "Whether the target has removed the LUN, which is in use; 0 or 1")                        \
  X (lun_saved_bytes, l->lun->saved_bytes, "What an earlier mount has saved for the LUN")                              \
  X (lun_down_seconds, l->snapshot.down_us ? (now_us - l->snapshot.down_us) / G_USEC_PER_SEC : 0,                      \
     "How long the LUN has had no session")                                                                            \
  X (lun_size_bytes, l->geometry.size_bytes, "Size of the LUN, 0 before its first login")                              \
  X (lun_block_size_bytes, l->geometry.block_size, "Size of its blocks")                                               \
  X (lun_read_only, l->geometry.read_only, "Whether it cannot be written to; 0 or 1")

static void
append_facts (Page *p)
{
  int64_t now_us = g_get_monotonic_time ();

#define GAUGE(name, value, help)                                                                                       \
  family (p, #name, "gauge", help);                                                                                    \
  for (unsigned i = 0; i < p->nluns; i++) {                                                                            \
    const Lun *l = &p->luns[i];                                                                                        \
                                                                                                                       \
    sample (p, #name, "", l->labels, (uint64_t) (value));                                                              \
  }
  LUN_GAUGES (GAUGE)
#undef GAUGE
}

static const struct {
  const char *name, *type, *suffix, *help;
  size_t offset; /* in LunfsStats, of an _Atomic uint64_t */
} counters[] = {
#define TOTAL(name, help) { #name, "counter", "_total", help, offsetof (LunfsStats, name) },
#define GAUGE(name, help) { #name, "gauge", "", help, offsetof (LunfsStats, name) },
  LUNFS_TOTALS (TOTAL) LUNFS_GAUGES (GAUGE)
#undef TOTAL
#undef GAUGE
};

static void
append_counters (Page *p)
{
  for (unsigned i = 0; i < G_N_ELEMENTS (counters); i++) {
    family (p, counters[i].name, counters[i].type, counters[i].help);
    for (unsigned j = 0; j < p->nluns; j++) {
      const char *stats = (const char *) p->luns[j].lun->stats;
      const _Atomic uint64_t *value = (const void *) (stats + counters[i].offset);

      sample (p, counters[i].name, counters[i].suffix, p->luns[j].labels,
              atomic_load_explicit (value, memory_order_relaxed));
    }
  }
}

/* Only the kinds that have occurred: a family may have any samples, and few kinds ever do. */
static void
append_errors (Page *p)
{
  family (p, "errors_by_kind", "counter", "requests answered with an error, by the error");
  for (unsigned i = 0; i < p->nluns; i++) {
    const LunfsStats *stats = p->luns[i].lun->stats;

    for (unsigned err = 0; err < G_N_ELEMENTS (stats->errors_by_errno); err++) {
      uint64_t n = LUNFS_VALUE (stats, errors_by_errno[err]);
      g_autoptr (GString) labels = g_string_new (p->luns[i].labels);

      if (!n)
        continue;
      append_label (labels, "kind", err ? strerrorname_np ((int) err) : "other");
      sample (p, "errors_by_kind", "_total", labels->str, n);
    }
  }
}

/* ---- latency ---- */

static void
append_histogram (Page *p, const char *name, const char *labels, const LunfsLatency *latency)
{
  char buf[G_ASCII_DTOSTR_BUF_SIZE];
  uint64_t n = 0;

  for (unsigned i = 0; i < LUNFS_LATENCY_BUCKETS; i++) {
    n += LUNFS_VALUE (latency, bucket[i]);
    if (i < FIRST_BUCKET || i > LAST_BUCKET)
      continue;
    g_string_append_printf (p->text, "lunfs_%s_bucket{%s,le=\"%s\"} %" G_GUINT64_FORMAT "\n", name, labels,
                            g_ascii_formatd (buf, sizeof buf, "%.9g", (double) (UINT64_C (1) << i) / G_USEC_PER_SEC),
                            n);
  }
  /* The sum of the buckets rather than the count beside them: the lane may be between its two stores. */
  g_string_append_printf (p->text,
                          "lunfs_%s_bucket{%s,le=\"+Inf\"} %" G_GUINT64_FORMAT "\n"
                          "lunfs_%s_count{%s} %" G_GUINT64_FORMAT "\nlunfs_%s_sum{%s} %s\n",
                          name, labels, n, name, labels, n, name, labels,
                          seconds (LUNFS_VALUE (latency, sum_us), buf, sizeof buf));
}

static void
append_latencies (Page *p)
{
  static const struct {
    const char *name, *help;
    size_t offset;
  } kinds[] = {
    { "read_latency_seconds", "from a read request to its answer", offsetof (LunfsStats, read_latency) },
    { "write_latency_seconds", "from a write request to its answer", offsetof (LunfsStats, write_latency) },
    { "flush_latency_seconds", "from an fsync request to its answer", offsetof (LunfsStats, flush_latency) },
  };

  for (unsigned i = 0; i < G_N_ELEMENTS (kinds); i++) {
    family (p, kinds[i].name, "histogram", kinds[i].help);
    for (unsigned j = 0; j < p->nluns; j++)
      append_histogram (p, kinds[i].name, p->luns[j].labels,
                        (const void *) ((const char *) p->luns[j].lun->stats + kinds[i].offset));
  }
}

/* ---- all of it ---- */

char *
lunfs_metrics_text (const LunfsStatus *status)
{
  g_autofree Lun *luns = g_new0 (Lun, status->nluns + 1);
  Page page = { g_string_new (NULL), luns, status->nluns };

  for (unsigned i = 0; i < status->nluns; i++) {
    Lun *l = &luns[i];

    l->lun = &status->luns[i];
    l->labels = lun_labels (l->lun);
    lunfs_session_snapshot (l->lun->session, &l->snapshot);
    lunfs_lun_geometry (l->lun->lun, &l->geometry);
    if (!lunfs_lun_info (l->lun->lun, &l->info))
      memset (&l->info, 0, sizeof l->info);
  }
  append_mount (&page, status);
  append_targets (&page, status);
  append_info (&page);
  append_facts (&page);
  append_counters (&page);
  append_errors (&page);
  append_latencies (&page);
  g_string_append (page.text, "# EOF\n");
  for (unsigned i = 0; i < status->nluns; i++)
    g_free (luns[i].labels);
  return g_string_free (page.text, FALSE);
}
