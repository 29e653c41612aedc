/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "control/status.h"

#include <errno.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <unistd.h>

static void
add_string (JsonBuilder *b, const char *name, const char *value)
{
  json_builder_set_member_name (b, name);
  json_builder_add_string_value (b, value ? value : "");
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

static void
add_counters (JsonBuilder *b, LunfsStats *stats)
{
  json_builder_set_member_name (b, "counters");
  json_builder_begin_object (b);
#define ADD(name, help) add_int (b, #name, (gint64) LUNFS_VALUE (stats, name));
  LUNFS_COUNTERS (ADD)
#undef ADD
  json_builder_end_object (b);
}

/* "EIO" rather than 5: names are the same everywhere. */
static void
add_errors (JsonBuilder *b, LunfsStats *stats)
{
  json_builder_set_member_name (b, "errors_by_kind");
  json_builder_begin_object (b);
  for (unsigned i = 0; i < G_N_ELEMENTS (stats->errors_by_errno); i++) {
    uint64_t n = LUNFS_VALUE (stats, errors_by_errno[i]);

    if (n)
      add_int (b, i ? strerrorname_np ((int) i) : "other", (gint64) n);
  }
  json_builder_end_object (b);
}

static void
add_latency (JsonBuilder *b, const char *name, const LunfsLatency *latency)
{
  json_builder_set_member_name (b, name);
  json_builder_begin_object (b);
  add_int (b, "count", (gint64) LUNFS_VALUE (latency, count));
  add_int (b, "sum", (gint64) LUNFS_VALUE (latency, sum_us));
  add_int (b, "p50", (gint64) lunfs_latency_percentile (latency, 50));
  add_int (b, "p99", (gint64) lunfs_latency_percentile (latency, 99));
  json_builder_set_member_name (b, "buckets"); /* i: below 2^i us */
  json_builder_begin_array (b);
  for (unsigned i = 0; i < LUNFS_LATENCY_BUCKETS; i++)
    json_builder_add_int_value (b, (gint64) LUNFS_VALUE (latency, bucket[i]));
  json_builder_end_array (b);
  json_builder_end_object (b);
}

/* How long there has been something that the target does not have. */
static gint64
dirty_ms (LunfsStats *stats)
{
  gint64 since_us = (gint64) LUNFS_VALUE (stats, dirty_since_us);

  return since_us ? MAX (g_get_monotonic_time () - since_us, 0) / 1000 : 0;
}

const char *
lunfs_status_reservation_state (const LunfsArenaReservation *wish)
{
  if (!wish->key)
    return "none";
  switch (wish->lost) {
  case LUNFS_LOST_NOT:
    return wish->type ? "reserved" : "registered";
  case LUNFS_LOST_HELD:
    return "lost";
  default:
    return "preempted";
  }
}

/* What lunfsctl reserve was asked for, and whether it stands. */
static void
add_reservation (JsonBuilder *b, const LunfsArenaReservation *wish)
{
  char key[24] = "";

  if (wish->key)
    g_snprintf (key, sizeof key, "0x%" G_GINT64_MODIFIER "x", wish->key);
  json_builder_set_member_name (b, "reservation");
  json_builder_begin_object (b);
  add_string (b, "state", lunfs_status_reservation_state (wish));
  add_string (b, "key", key);
  add_string (b, "type", lunfs_reservation_type_name (wish->type));
  json_builder_end_object (b);
}

static void
add_lun (JsonBuilder *b, const LunfsStatus *status, const LunfsStatusLun *l)
{
  LunfsSessionSnapshot snapshot;
  LunfsLunInfo info;
  LunfsGeometry g;

  lunfs_session_snapshot (l->session, &snapshot);
  lunfs_lun_geometry (l->lun, &g);
  if (!lunfs_lun_info (l->lun, &info))
    memset (&info, 0, sizeof info);
  json_builder_begin_object (b);
  add_int (b, "lun", l->number);
  add_string (b, "file", l->file);
  add_string (b, "state", lunfs_session_state_name (snapshot.state));
  add_bool (b, "failing", snapshot.failing);
  add_bool (b, "gone", l->gone);
  add_int (b, "state_seconds", (g_get_monotonic_time () - snapshot.since_us) / G_USEC_PER_SEC);
  add_int (b, "down_seconds", snapshot.down_us ? (g_get_monotonic_time () - snapshot.down_us) / G_USEC_PER_SEC : 0);
  add_string (b, "error", snapshot.error);
  add_string (b, "portal", snapshot.portal);
  add_string (b, "identity", info.identity.text);
  add_string (b, "serial", info.identity.serial);
  add_string (b, "alua", g.size_bytes ? lunfs_alua_name (info.alua) : "");
  add_string (b, "vendor", info.inquiry.vendor);
  add_string (b, "product", info.inquiry.product);
  add_string (b, "revision", info.inquiry.revision);
  add_int (b, "size", (gint64) g.size_bytes);
  add_int (b, "block_size", g.block_size);
  add_int (b, "physical_block_size", g.physical_block_size);
  add_bool (b, "read_only", g.read_only);
  add_bool (b, "write_cache", g.write_cache);
  add_bool (b, "unmap", g.can_unmap);
  add_reservation (b, &snapshot.reservation);
  add_int (b, "saved_bytes", (gint64) l->saved_bytes);
  add_int (b, "replacement_timeout", snapshot.timeouts.replacement_timeout);
  add_int (b, "dirty_ms", dirty_ms (l->stats));
  add_counters (b, l->stats);
  add_errors (b, l->stats);
  json_builder_set_member_name (b, "latency_us");
  json_builder_begin_object (b);
  add_latency (b, "read", &l->stats->read_latency);
  add_latency (b, "write", &l->stats->write_latency);
  add_latency (b, "flush", &l->stats->flush_latency);
  json_builder_end_object (b);
  json_builder_end_object (b);
}

unsigned
lunfs_status_target_end (const LunfsStatus *status, unsigned first)
{
  const LunfsStatusLun *a = &status->luns[first], *b = a;

  while (++b < status->luns + status->nluns)
    if (strcmp (a->target_name, b->target_name) != 0 || strcmp (a->host, b->host) != 0 || a->port != b->port)
      break;
  return (unsigned) (b - status->luns);
}

/* A target is up when one of its LUNs is; its error is the first one found. */
static void
add_target_head (JsonBuilder *b, const LunfsStatus *status, unsigned first, unsigned end)
{
  const LunfsStatusLun *l = &status->luns[first];
  const char *state = "down";
  char error[256] = "";

  for (unsigned i = first; i < end; i++) {
    LunfsSessionSnapshot snapshot;

    lunfs_session_snapshot (status->luns[i].session, &snapshot);
    if (snapshot.state == LUNFS_SESSION_UP)
      state = "up";
    if (!error[0])
      g_strlcpy (error, snapshot.error, sizeof error);
  }
  add_string (b, "name", l->target_name);
  add_string (b, "host", l->host);
  add_int (b, "port", l->port);
  add_string (b, "state", state);
  add_string (b, "error", error);
}

static void
add_targets (JsonBuilder *b, const LunfsStatus *status)
{
  json_builder_set_member_name (b, "targets");
  json_builder_begin_array (b);
  for (unsigned i = 0, end; i < status->nluns; i = end) {
    end = lunfs_status_target_end (status, i);
    json_builder_begin_object (b);
    add_target_head (b, status, i, end);
    json_builder_set_member_name (b, "luns");
    json_builder_begin_array (b);
    for (unsigned j = i; j < end; j++)
      add_lun (b, status, &status->luns[j]);
    json_builder_end_array (b);
    json_builder_end_object (b);
  }
  for (unsigned i = 0; i < status->ntargets; i++) {
    const LunfsStatusTarget *t = &status->targets[i];

    json_builder_begin_object (b);
    add_string (b, "name", t->name);
    add_string (b, "host", t->host);
    add_int (b, "port", t->port);
    add_string (b, "state", "down");
    add_string (b, "error", t->error);
    json_builder_set_member_name (b, "luns");
    json_builder_begin_array (b);
    json_builder_end_array (b);
    json_builder_end_object (b);
  }
  json_builder_end_array (b);
}

/* json-glib 1.6 copies bytes that are no UTF-8, and of the control characters one. */
char *
lunfs_json_make_valid (const char *json)
{
  return g_strdelimit (g_utf8_make_valid (json, -1), "\x1f", ' ');
}

static void
add_cache (JsonBuilder *b, const LunfsSettings *s)
{
  json_builder_set_member_name (b, "cache");
  json_builder_begin_object (b);
  add_string (b, "mode", lunfs_cache_words[s->cache]);
  add_int (b, "size_bytes", (int64_t) s->cache_size);
  add_int (b, "max_dirty_bytes", (int64_t) lunfs_settings_max_dirty (s));
  add_int (b, "write_delay_ms", s->cache_write_delay_ms);
  add_int (b, "read_ahead_bytes", (int64_t) s->read_ahead);
  json_builder_end_object (b);
}

/* How often workers died, and what became of the requests they left. */
static void
add_worker (JsonBuilder *b, const LunfsStatus *status)
{
  json_builder_set_member_name (b, "worker");
  json_builder_begin_object (b);
  add_int (b, "started", status->workers_started);
  add_string (b, "last_end", status->last_end);
  add_int (b, "crashes", status->crashes);
  add_string (b, "recovery", status->recovery);
  add_int (b, "resent", status->resent);
  add_int (b, "replayed", status->replayed);
  add_int (b, "poisoned", status->poisoned);
  json_builder_end_object (b);
}

char *
lunfs_status_text (const LunfsStatus *status)
{
  g_autoptr (JsonBuilder) b = json_builder_new ();
  g_autoptr (JsonGenerator) generator = json_generator_new ();
  g_autoptr (JsonNode) root = NULL;
  g_autofree char *text = NULL, *valid = NULL;

  json_builder_begin_object (b);
  json_builder_set_member_name (b, "lunfs");
  json_builder_begin_object (b);
  add_string (b, "version", PACKAGE_VERSION);
  add_int (b, "pid", getpid ());
  add_int (b, "supervisor_pid", status->supervisor_pid);
  add_int (b, "workers_started", status->workers_started);
  add_int (b, "requests_resent", status->resent);
  add_int (b, "upgrades", status->upgrades);
  add_string (b, "supervisor_version", status->supervisor_version);
  add_worker (b, status);
  add_int (b, "uptime_s", (g_get_real_time () - status->started_us) / G_USEC_PER_SEC);
  json_builder_end_object (b);
  add_string (b, "source", status->settings->source_text);
  add_string (b, "mountpoint", status->settings->mountpoint);
  add_string (b, "initiator_name", status->settings->initiator_name);
  add_cache (b, status->settings);
  add_targets (b, status);
  json_builder_end_object (b);

  root = json_builder_get_root (b);
  json_generator_set_root (generator, root);
  json_generator_set_pretty (generator, TRUE);
  text = json_generator_to_data (generator, NULL);
  valid = lunfs_json_make_valid (text);
  return g_strconcat (valid, "\n", NULL);
}
