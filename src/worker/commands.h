/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands of the control socket: a table (commands.c) and a file per group.
 *
 * A command answers at once from what the control thread knows, however dead the targets are; what takes time is begun by
 * one command and looked at by another.  Control thread. */
#ifndef LUNFS_WORKER_COMMANDS_H
#define LUNFS_WORKER_COMMANDS_H

#include "worker/worker-private.h"

typedef bool (*LunfsCommandHandler) (LunfsWorker *w, JsonObject *request, JsonObject *answer, GError **error);

/* ---- for handlers ---- */

/* "" for whatever is not a string. */
const char *lunfs_command_string (JsonObject *object, const char *name);
/* LunfsRow: those in use below the request's "lun" ("" or none: all).  NULL with @error: there are none. */
GPtrArray *lunfs_command_rows (LunfsWorker *w, JsonObject *request, GError **error);
/* One object per row, with its "file", in the array "luns" of @answer: the one to fill. */
JsonObject *lunfs_command_add_lun (LunfsWorker *w, JsonObject *answer, const LunfsRow *row);

/* ---- the handlers ---- */

bool lunfs_command_set (LunfsWorker *w, JsonObject *request, JsonObject *answer, GError **error);
bool lunfs_command_stats_reset (LunfsWorker *w, JsonObject *request, JsonObject *answer, GError **error);
bool lunfs_command_sense (LunfsWorker *w, JsonObject *request, JsonObject *answer, GError **error);
bool lunfs_command_inquiry (LunfsWorker *w, JsonObject *request, JsonObject *answer, GError **error);
bool lunfs_command_flush (LunfsWorker *w, JsonObject *request, JsonObject *answer, GError **error);
bool lunfs_command_flush_state (LunfsWorker *w, JsonObject *request, JsonObject *answer, GError **error);
bool lunfs_command_reserve (LunfsWorker *w, JsonObject *request, JsonObject *answer, GError **error);
bool lunfs_command_reserve_state (LunfsWorker *w, JsonObject *request, JsonObject *answer, GError **error);
bool lunfs_command_login (LunfsWorker *w, JsonObject *request, JsonObject *answer, GError **error);
bool lunfs_command_logout (LunfsWorker *w, JsonObject *request, JsonObject *answer, GError **error);

#endif
