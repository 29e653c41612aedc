/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "logout" and "login" of LUNs.  A LUN that is logged out stays so for the workers to come, until "login" or the end of the
 * mount.  Whether it may be logged out (flushed, not open) is the client's to find out. */
#include "config.h"

#include "worker/commands.h"

static void /* lane */
log_out (void *user)
{
  lunfs_session_log_out (((LunfsRow *) user)->session);
}

static void /* lane */
log_in (void *user)
{
  lunfs_session_log_in (((LunfsRow *) user)->session);
}

static bool
change (LunfsWorker *w, JsonObject *request, JsonObject *answer, bool out, GError **error)
{
  g_autoptr (GPtrArray) rows = lunfs_command_rows (w, request, error);

  for (unsigned i = 0; rows && i < rows->len; i++) {
    LunfsRow *row = rows->pdata[i];

    row->record->logged_out = out;
    lunfs_lane_call (row->lane, out ? log_out : log_in, row);
    lunfs_command_add_lun (w, answer, row);
  }
  return rows != NULL;
}

bool
lunfs_command_logout (LunfsWorker *w, JsonObject *request, JsonObject *answer, GError **error)
{
  return change (w, request, answer, true, error);
}

bool
lunfs_command_login (LunfsWorker *w, JsonObject *request, JsonObject *answer, GError **error)
{
  return change (w, request, answer, false, error);
}
