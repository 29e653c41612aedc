/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "reserve" begins a job about persistent reservations (session/reservation.h) at each LUN and answers with its number;
 * "reserve-state" tells how far they are, "keys-state" the same of looks at the keys.  One job of a LUN at a time; its report stays
 * until the next one of its kind begins: who looks at the keys takes away no answer about a change. */
#include "config.h"

#include "worker/commands.h"

#include "control/status.h"

#include <string.h>

/* ---- begin ---- */

typedef struct {
  LunfsRow *row;
  LunfsReserveJob job;
  GError *error;
} Begin;

static LunfsRowReserve *
memory_of (LunfsRow *row, bool is_look)
{
  return is_look ? &row->look : &row->reserve;
}

static void /* lane */
begin (void *user)
{
  Begin *b = user;
  LunfsRowReserve *r = memory_of (b->row, b->job.what == LUNFS_RESERVE_KEYS);

  if (!lunfs_session_reserve (b->row->session, &b->job, &b->error))
    return;
  /* Workers do not share numbers: who asked the one before does not take this one's answer for his. */
  if (r->asked == 0)
    r->asked = (uint64_t) b->row->worker->arena->header->worker_count << 32;
  r->asked++;
}

void /* lane */
lunfs_worker_row_reserved (LunfsRow *row, const LunfsReserveJob *job, const LunfsReserveReport *report)
{
  LunfsRowReserve *r = memory_of (row, job->what == LUNFS_RESERVE_KEYS);

  r->job = *job;
  r->report = *report;
  r->done++;
}

static bool
usage (GError **error, const char *what, const char *value, const char *must)
{
  g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "%s '%s': %s", what, value, must);
  return false;
}

/* Hexadecimal, as with sg_persist. */
static bool
parse_key (const char *text, uint64_t *out, GError **error)
{
  const char *digits = g_str_has_prefix (text, "0x") || g_str_has_prefix (text, "0X") ? text + 2 : text;
  guint64 key;

  if (!g_ascii_string_to_unsigned (digits, 16, 0, G_MAXUINT64, &key, NULL))
    return usage (error, "key", text, "it is not a hexadecimal number of at most 16 digits");
  if (key == 0)
    return usage (error, "key", text, "0 stands for no registration; take another one, of this host alone");
  *out = key;
  return true;
}

static bool
parse_job (JsonObject *request, LunfsReserveJob *job, GError **error)
{
  static const char *const whats[] = {
    [LUNFS_RESERVE_KEYS] = "keys",
    [LUNFS_RESERVE_TAKE] = "take",
    [LUNFS_RESERVE_RELEASE] = "release",
    [LUNFS_RESERVE_PREEMPT] = "preempt",
  };
  const char *what = lunfs_command_string (request, "what"), *type = lunfs_command_string (request, "type");

  job->what = LUNFS_RESERVE_CHECK;
  for (unsigned i = 0; i < G_N_ELEMENTS (whats); i++)
    if (whats[i] && strcmp (what, whats[i]) == 0)
      job->what = (LunfsReserveWhat) i;
  if (job->what == LUNFS_RESERVE_CHECK)
    return usage (error, "request", what, "there is no such one about reservations");
  if ((job->what == LUNFS_RESERVE_TAKE || job->what == LUNFS_RESERVE_PREEMPT)
      && !parse_key (lunfs_command_string (request, "key"), &job->key, error))
    return false;
  job->type = lunfs_reservation_type_parse (type);
  if (*type && !job->type)
    return usage (error, "type", type,
                  "it is none of write-exclusive and exclusive-access, or these with -registrants-only or "
                  "-all-registrants behind");
  job->keep = json_object_get_boolean_member_with_default (request, "keep", FALSE);
  job->abort = json_object_get_boolean_member_with_default (request, "abort", FALSE);
  return true;
}

bool
lunfs_command_reserve (LunfsWorker *w, JsonObject *request, JsonObject *answer, GError **error)
{
  LunfsReserveJob job = { 0 };
  g_autoptr (GPtrArray) rows = NULL;

  if (!parse_job (request, &job, error) || !(rows = lunfs_command_rows (w, request, error)))
    return false;
  for (unsigned i = 0; i < rows->len; i++) {
    LunfsRow *row = rows->pdata[i];
    JsonObject *lun = lunfs_command_add_lun (w, answer, row);
    Begin b = { .row = row, .job = job };

    lunfs_lane_call (row->lane, begin, &b);
    json_object_set_int_member (lun, "asked", (gint64) memory_of (row, job.what == LUNFS_RESERVE_KEYS)->asked);
    json_object_set_int_member (lun, "status", b.error ? b.error->code : LUNFS_EXIT_OK);
    json_object_set_string_member (lun, "error", b.error ? b.error->message : "");
    g_clear_error (&b.error);
  }
  return true;
}

/* ---- how far it is ---- */

typedef struct {
  LunfsRow *row;
  bool is_look; /* that is asked about */
  LunfsRowReserve state;
} Look;

static void /* lane */
look (void *user)
{
  Look *l = user;

  l->state = *memory_of (l->row, l->is_look);
}

static LunfsExit
exit_of (LunfsReserveOutcome outcome)
{
  switch (outcome) {
  case LUNFS_RESERVE_OK:
    return LUNFS_EXIT_OK;
  case LUNFS_RESERVE_CONFLICT:
    return LUNFS_EXIT_BUSY;
  case LUNFS_RESERVE_NO_KEY:
    return LUNFS_EXIT_NO_OBJECTS;
  case LUNFS_RESERVE_UNSUPPORTED:
    return LUNFS_EXIT_UNSUPPORTED;
  case LUNFS_RESERVE_GONE:
    return LUNFS_EXIT_TRANSPORT;
  default:
    return LUNFS_EXIT_FAILED;
  }
}

static char *
text_of (const LunfsRowReserve *state)
{
  const LunfsHolder *holder = &state->report.holder;
  const char *type = lunfs_reservation_type_name (holder->type);

  if (*state->report.text || state->report.outcome != LUNFS_RESERVE_CONFLICT)
    return g_strdup (state->report.text);
  if (holder->key == state->job.key)
    return g_strdup_printf ("reserved by us already, as %s; lunfsctl release --keep-registered first", type);
  if (holder->key == 0)
    return g_strdup_printf ("reserved by others already, as %s; reserve with the same type", type);
  return g_strdup_printf (
      "reserved by another initiator, with key 0x%" G_GINT64_MODIFIER
      "x, as %s; if that one must be kept out: lunfsctl reserve --register-only, then lunfsctl preempt",
      holder->key, type);
}

static void
set_key (JsonObject *object, const char *name, uint64_t key)
{
  g_autofree char *text = key ? g_strdup_printf ("0x%" G_GINT64_MODIFIER "x", key) : g_strdup ("");

  json_object_set_string_member (object, name, text);
}

static void
add_keys (JsonObject *lun, const LunfsReserveReport *report)
{
  JsonArray *keys = json_array_new ();

  for (unsigned i = 0; i < MIN (report->nkeys, LUNFS_RESERVE_KEYS_MAX); i++) {
    g_autofree char *text = g_strdup_printf ("0x%" G_GINT64_MODIFIER "x", report->keys[i]);

    json_array_add_string_element (keys, text);
  }
  json_object_set_int_member (lun, "generation", report->generation);
  json_object_set_int_member (lun, "registrations", report->nkeys);
  json_object_set_array_member (lun, "keys", keys);
  json_object_set_string_member (lun, "type", lunfs_reservation_type_name (report->holder.type));
  set_key (lun, "holder", report->holder.key);
}

static void
add_ours (JsonObject *lun, const LunfsArenaReservation *wish)
{
  JsonObject *ours = json_object_new ();

  set_key (ours, "key", wish->key);
  json_object_set_string_member (ours, "type", lunfs_reservation_type_name (wish->type));
  json_object_set_string_member (ours, "state", lunfs_status_reservation_state (wish));
  json_object_set_boolean_member (ours, "persists", wish->persists);
  json_object_set_object_member (lun, "ours", ours);
}

bool
lunfs_command_reserve_state (LunfsWorker *w, JsonObject *request, JsonObject *answer, GError **error)
{
  g_autoptr (GPtrArray) rows = lunfs_command_rows (w, request, error);

  for (unsigned i = 0; rows && i < rows->len; i++) {
    LunfsRow *row = rows->pdata[i];
    JsonObject *lun = lunfs_command_add_lun (w, answer, row);
    g_autofree Look *l = g_new0 (Look, 1);
    g_autofree char *text = NULL;
    LunfsSessionSnapshot snapshot;

    l->row = row;
    l->is_look = strcmp (lunfs_command_string (request, "command"), "keys-state") == 0;
    lunfs_lane_call (row->lane, look, l);
    lunfs_session_snapshot (row->session, &snapshot);
    text = text_of (&l->state);
    json_object_set_int_member (lun, "asked", (gint64) l->state.asked);
    json_object_set_boolean_member (lun, "done", (uint32_t) l->state.asked == l->state.done);
    json_object_set_int_member (lun, "status", exit_of (l->state.report.outcome));
    json_object_set_string_member (lun, "error", text);
    add_keys (lun, &l->state.report);
    add_ours (lun, &snapshot.reservation);
  }
  return rows != NULL;
}
