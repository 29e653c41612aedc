/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "sense": the flight recorder.  "inquiry": what the last probe found out about each LUN. */
#include "config.h"

#include "worker/commands.h"

#include "scsi/vpd.h"
#include "session/recorder.h"

/* ---- sense ---- */

static const char *const op_names[] = {
  [LUNFS_OP_READ] = "read",       [LUNFS_OP_WRITE] = "write", [LUNFS_OP_FLUSH] = "flush",
  [LUNFS_OP_DISCARD] = "discard", [LUNFS_OP_ZERO] = "zero",   [LUNFS_OP_EXTENT] = "extent",
};

static const char *const action_names[] = {
  [LUNFS_ACT_DONE] = "done",
  [LUNFS_ACT_RETRY] = "sent again",
  [LUNFS_ACT_RETRY_LATER] = "sent again later",
  [LUNFS_ACT_BUSY] = "sent again later, fewer at once",
  [LUNFS_ACT_WAIT_READY] = "waits until it is ready",
  [LUNFS_ACT_START_UNIT] = "started, and waits",
  [LUNFS_ACT_UNIT_ATTENTION] = "looked at the LUN, sent again",
  [LUNFS_ACT_FEATURE_OFF] = "does without",
  [LUNFS_ACT_CAPACITY] = "failed, looked at the size",
  [LUNFS_ACT_LUN_GONE] = "waits until the LUN is there",
  [LUNFS_ACT_READ_ONLY] = "failed, read-only now",
  [LUNFS_ACT_FENCE] = "failed, reserved by another",
  [LUNFS_ACT_SPLIT] = "sent again, bad block",
  [LUNFS_ACT_SESSION_DEAD] = "logged in again",
  [LUNFS_ACT_FAIL] = "failed",
};

static JsonObject *
record_object (const LunfsRecord *r)
{
  JsonObject *object = json_object_new ();
  g_autoptr (GDateTime) at = g_date_time_new_from_unix_utc (r->real_us / G_USEC_PER_SEC);
  g_autofree char *second = g_date_time_format (at, "%Y-%m-%dT%H:%M:%S");
  g_autofree char *time = g_strdup_printf ("%s.%03dZ", second, (int) (r->real_us / 1000 % 1000));

  json_object_set_string_member (object, "time", time);
  json_object_set_string_member (object, "op", op_names[r->op]);
  json_object_set_int_member (object, "lba", (gint64) r->lba);
  json_object_set_int_member (object, "blocks", r->nblocks);
  json_object_set_int_member (object, "status", r->status);
  json_object_set_int_member (object, "key", r->key);
  json_object_set_int_member (object, "asc", r->asc);
  json_object_set_int_member (object, "ascq", r->ascq);
  json_object_set_string_member (object, "text", r->text);
  json_object_set_int_member (object, "try", r->tries);
  json_object_set_string_member (object, "action", action_names[r->action]);
  return object;
}

bool
lunfs_command_sense (LunfsWorker *w, JsonObject *request, JsonObject *answer, GError **error)
{
  g_autoptr (GPtrArray) rows = lunfs_command_rows (w, request, error);

  for (unsigned i = 0; rows && i < rows->len; i++) {
    LunfsRow *row = rows->pdata[i];
    JsonObject *lun = lunfs_command_add_lun (w, answer, row);
    JsonArray *array = json_array_new ();
    g_autofree LunfsRecord *records = g_new (LunfsRecord, LUNFS_RECORDER_ENTRIES);
    uint64_t total;
    unsigned n = lunfs_session_records (row->session, records, &total);

    for (unsigned k = 0; k < n; k++)
      json_array_add_object_element (array, record_object (&records[k]));
    json_object_set_int_member (lun, "total", (gint64) total);
    json_object_set_array_member (lun, "records", array);
  }
  return rows != NULL;
}

/* ---- inquiry ---- */

static void
add_inquiry (JsonObject *lun, const LunfsLunInfo *info)
{
  JsonObject *inquiry = json_object_new (), *capacity = json_object_new (), *modes = json_object_new ();

  json_object_set_string_member (inquiry, "vendor", info->inquiry.vendor);
  json_object_set_string_member (inquiry, "product", info->inquiry.product);
  json_object_set_string_member (inquiry, "revision", info->inquiry.revision);
  json_object_set_int_member (inquiry, "device_type", info->inquiry.device_type);
  json_object_set_boolean_member (inquiry, "removable", info->inquiry.removable);
  json_object_set_int_member (inquiry, "tpgs", info->inquiry.tpgs);
  json_object_set_object_member (lun, "inquiry", inquiry);
  json_object_set_string_member (lun, "identity", info->identity.text);
  json_object_set_string_member (lun, "serial", info->identity.serial);
  json_object_set_string_member (lun, "alua", lunfs_alua_name (info->alua));
  json_object_set_int_member (capacity, "blocks", (gint64) info->capacity.nblocks);
  json_object_set_int_member (capacity, "block_size", info->capacity.block_size);
  json_object_set_int_member (capacity, "physical_block_size", info->capacity.physical_block_size);
  json_object_set_boolean_member (capacity, "lbpme", info->capacity.lbpme);
  json_object_set_boolean_member (capacity, "lbprz", info->capacity.lbprz);
  json_object_set_boolean_member (capacity, "prot_en", info->capacity.protected);
  json_object_set_object_member (lun, "capacity", capacity);
  json_object_set_boolean_member (modes, "write_protected", info->modes.write_protected);
  json_object_set_boolean_member (modes, "dpofua", info->modes.dpofua);
  json_object_set_boolean_member (modes, "caching_page", info->modes.have_caching);
  json_object_set_boolean_member (modes, "wce", info->modes.wce);
  json_object_set_object_member (lun, "mode", modes);
}

static void
add_limits (JsonObject *lun, const LunfsLimits *l)
{
  JsonObject *limits = json_object_new ();

  json_object_set_int_member (limits, "max_transfer_blocks", l->max_transfer_blocks);
  json_object_set_int_member (limits, "opt_transfer_blocks", l->opt_transfer_blocks);
  json_object_set_int_member (limits, "max_unmap_blocks", l->max_unmap_blocks);
  json_object_set_int_member (limits, "max_unmap_descriptors", l->max_unmap_descriptors);
  json_object_set_int_member (limits, "unmap_granularity_blocks", l->unmap_granularity_blocks);
  json_object_set_int_member (limits, "unmap_alignment_blocks", l->unmap_alignment_blocks);
  json_object_set_int_member (limits, "max_write_same_blocks", (gint64) l->max_write_same_blocks);
  json_object_set_boolean_member (limits, "wsnz", l->wsnz);
  json_object_set_boolean_member (limits, "lbpu", l->lbpu);
  json_object_set_boolean_member (limits, "lbpws", l->lbpws);
  json_object_set_boolean_member (limits, "lbpws10", l->lbpws10);
  json_object_set_int_member (limits, "lbprz", l->lbprz);
  json_object_set_object_member (lun, "limits", limits);
}

bool
lunfs_command_inquiry (LunfsWorker *w, JsonObject *request, JsonObject *answer, GError **error)
{
  g_autoptr (GPtrArray) rows = lunfs_command_rows (w, request, error);

  for (unsigned i = 0; rows && i < rows->len; i++) {
    LunfsRow *row = rows->pdata[i];
    JsonObject *lun = lunfs_command_add_lun (w, answer, row);
    LunfsLunInfo info;

    json_object_set_string_member (lun, "target", row->record->target_name);
    json_object_set_int_member (lun, "lun", row->record->lun);
    json_object_set_boolean_member (lun, "known", lunfs_lun_info (row->lun, &info));
    if (json_object_get_boolean_member (lun, "known")) {
      add_inquiry (lun, &info);
      add_limits (lun, &info.limits);
    }
  }
  return rows != NULL;
}
