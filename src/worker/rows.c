/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The data path of each LUN: made right to left. */
#include "config.h"

#include "worker/worker-private.h"

#include "iscsi/libiscsi.h"
#include "lunfs/log.h"
#include "supervisor/claim.h"

#include <string.h>

static LunfsCache *
build_cache (LunfsWorker *w, LunfsRow *row)
{
  g_autofree char *label = g_strdup_printf ("%s lun %u", row->record->target_name, row->record->lun);
  LunfsCacheConf conf = {
    .lane = row->lane,
    .lower = lunfs_session_layer (row->session),
    .frames = w->frames,
    .lun = row->index,
    .label = label,
    .mode = w->settings->cache,
    .write_delay_us = (int64_t) w->settings->cache_write_delay_ms * 1000,
    .read_ahead_bytes = w->settings->read_ahead,
    .request_limit_s = lunfs_worker_request_limit (w),
    .stats = &row->stats,
    .recovered = lunfs_worker_row_recovered,
    .user = row,
  };

  return lunfs_cache_new (&conf);
}

/* What the mount before had reserved stands at the target, and its data could not be written back from outside of it. */
static void
inherit_reservation (LunfsArenaLun *record, const LunfsArenaLun *before)
{
  uint64_t key = before->reservation.key;

  if (record->proven || record->reservation.key || !key)
    return;
  record->reservation = before->reservation;
  record->reservation.key = 0;
  __atomic_store_n (&record->reservation.key, key, __ATOMIC_RELEASE);
}

static void
build_row (LunfsWorker *w, LunfsRow *row)
{
  LunfsArenaLun *record = row->record;
  const LunfsSaved *saved = NULL;
  const LunfsArenaLun *before = lunfs_worker_saved_lun (row, &saved);
  LunfsSessionConf conf = {
    .open = lunfs_iscsi_open,
    .settings = w->settings,
    .host = record->host,
    .port = record->port,
    .target_name = record->target_name,
    .lun = record->lun,
    .isid_random = w->arena->header->isid_random,
    .isid_qualifier = (uint16_t) row->index,
    .stats = &row->stats,
    .request_limit = lunfs_worker_request_limit (w),
    .reservation = &record->reservation,
    .resolve = lunfs_worker_row_resolve,
    .resolve_user = row,
  };

  if (record->proven) { /* an earlier worker wrote to it: the same LUN or none */
    g_strlcpy (conf.known_identity.text, record->identity, sizeof conf.known_identity.text);
    conf.known_nblocks = record->nblocks;
    conf.known_block_size = record->block_size;
    conf.known_no_reinstatement = record->no_reinstatement;
  }
  lunfs_worker_take_row (row, &conf);
  if (w->settings->state_dir)
    conf.witnesses = &w->arena->witnesses[row->index * LUNFS_ARENA_WITNESSES];
  if (before) { /* its last session may still do what it was told, and not be ended by ours */
    inherit_reservation (record, before);
    conf.known_writes = true;
    conf.known_no_reinstatement |= before->no_reinstatement || before != &saved->arena->luns[row->index]
                                   || saved->arena->header->isid_random != w->arena->header->isid_random;
  }
  row->session = lunfs_session_new (row->lane, &conf, &lunfs_worker_session_events, row);
  lunfs_worker_restore_timeouts (row);
  row->cache = build_cache (w, row);
  row->lun = lunfs_lun_new (row->lane, lunfs_cache_layer (row->cache), w->pool, &row->stats, w->settings->read_only,
                            w->settings->cache == LUNFS_CACHE_PAGE);
  if (record->proven) {
    lunfs_lun_preset (row->lun, record->nblocks, record->block_size);
    lunfs_cache_inherit (row->cache, record->nblocks, record->block_size);
  } else if (before) {
    lunfs_lun_preset (row->lun, before->nblocks, before->block_size);
  }
}

static void /* lane */
start_row (void *user)
{
  LunfsRow *row = user;

  if (row->record->logged_out)
    lunfs_session_log_out (row->session);
  lunfs_session_start (row->session);
}

static LunfsRow *
find_row (LunfsWorker *w, unsigned index)
{
  for (unsigned i = 0; i < w->rows->len; i++) {
    LunfsRow *row = w->rows->pdata[i];

    if (row->index == index)
      return row;
  }
  return NULL;
}

/* As people look for them: of a target together, by number.  Not by index, which says when they were found. */
static int
compare (gconstpointer a, gconstpointer b)
{
  const LunfsArenaLun *x = (*(LunfsRow *const *) a)->record, *y = (*(LunfsRow *const *) b)->record;
  int order = strcmp (x->target_name, y->target_name);

  order = order ? order : strcmp (x->host, y->host);
  order = order ? order : x->port - y->port;
  return order ? order : x->lun - y->lun;
}

static void
add_to_tree (LunfsRow *row)
{
  const LunfsArenaLun *record = row->record;
  const LunfsTreeLun known = { .host = record->host,
                               .port = record->port,
                               .target_name = record->target_name,
                               .number = record->lun,
                               .lun = row->lun,
                               .session = row->session,
                               .stats = &row->stats,
                               .found = row->found };

  lunfs_tree_add (row->worker->tree, row->index, &known);
}

/* The LUN becomes part of the mount: its file appears when it has been up. */
void
lunfs_worker_add_lun (LunfsWorker *w, const char *host, uint16_t port, const char *target_name, uint16_t lun,
                      bool found)
{
  int index = lunfs_arena_lun (w->arena, host, port, target_name, lun);
  LunfsRow *row;

  if (index < 0) {
    lunfs_error (
        "%s lun %u: no room for it: %d LUNs in one mount, host and target names of 255 and 223 characters are the "
        "limits",
        target_name, lun, LUNFS_ARENA_LUNS);
    return;
  }
  row = find_row (w, (unsigned) index);
  if (row) {
    lunfs_worker_row_named (row);
    return;
  }
  row = g_new0 (LunfsRow, 1);
  row->worker = w;
  row->found = found;
  row->index = (unsigned) index;
  row->record = &w->arena->luns[index];
  row->lane = w->lanes[w->next_lane++ % w->nlanes];
  lunfs_worker_number_flushes (row);
  build_row (w, row);
  g_ptr_array_add (w->rows, row);
  g_ptr_array_sort (w->rows, compare);
  w->unsettled++;
  add_to_tree (row);
  if (row->record->proven || lunfs_worker_saved_lun (row, NULL)) {
    lunfs_tree_show (w->tree, row->index);
    lunfs_ops_release_opens (w->ops, false);
  }
  lunfs_lane_call (row->lane, start_row, row);
  if (row->record->logged_out)
    lunfs_worker_settle (w, &row->settled, LUNFS_EXIT_OK, target_name, "");
}

void
lunfs_worker_free_rows (LunfsWorker *w)
{
  for (unsigned i = 0; i < w->rows->len; i++) {
    LunfsRow *row = w->rows->pdata[i];

    if (row->claim)
      lunfs_claim_drop (row->claim, (int) w->supervisor);
    g_free (row->claim);
    lunfs_worker_free_restore (row->restore);
    lunfs_lun_free (row->lun);
    lunfs_cache_free (row->cache);
    lunfs_session_free (row->session);
    g_free (row);
  }
  g_ptr_array_unref (w->rows);
}
