/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the commands of lunfsctl share: options, the mounts that are meant, what they say of themselves, and how it is shown.
 *
 * The table of commands is in lunfsctl.c; each command is a function here, in a file per group:
 *   list.c ls, sessions, status    change.c rescan, set, upgrade, stats    flush.c flush, drain
 *   leave.c login, logout, umount    sense.c sense, inquiry    top.c top
 *   reserve.c keys, reserve, release, preempt
 *   discover.c discover    saved.c saved    import.c import, which ask no mount
 *
 * A command returns its exit status (LunfsExit), or sets @error, whose code is the exit status then. */
#ifndef LUNFS_CTL_H
#define LUNFS_CTL_H

#include "control/control.h"
#include "lunfs/error.h"

/* Arguments behind the command's name, which is argv[-1]. */
typedef int (*LunfsCtlRun) (int argc, char **argv, GError **error);

typedef struct {
  const char *name, *arguments, *help;
  LunfsCtlRun run;
  int min_args;
  bool has_options; /* run answers --help itself */
} LunfsCtlCommand;

/* ---- args.c ---- */

/* Takes the options out of @argv; @argc is what is left, at most @max.  --help is printed, and ends the program.  False with
 * @error: an unknown option or too many arguments. */
bool lunfs_ctl_options (int *argc, char ***argv, const GOptionEntry *entries, int max, const char *arguments,
                        GError **error);
/* Of --timeout: @min to a year. */
bool lunfs_ctl_check_timeout (gint64 timeout_s, gint64 min, GError **error);
/* {"command": @command} */
JsonObject *lunfs_ctl_request (const char *command);
/* Asks each of the mounts meant by argv[0] (none: all).  Returns the answers, JsonObject, each with "mountpoint", "socket" and
 * "inside" (LunfsControlMount); those that fail are said, the first of them is *status.  NULL with @error: there is no such
 * mount. */
GPtrArray *lunfs_ctl_ask (int argc, char **argv, JsonObject *request, int *status, GError **error);
/* Asks the mount that gave @answer once more, whatever has come and gone meanwhile.  Without "luns": its worker does not answer
 * just now.  NULL with @error: the mount has ended. */
JsonObject *lunfs_ctl_ask_again (JsonObject *answer, const char *command, GError **error);
/* The LUN of @file in the "luns" of @answer; NULL: there is none.  Borrowed. */
JsonObject *lunfs_ctl_find_lun (JsonObject *answer, const char *file);
/* The same as lunfs_ctl_ask for "status": the status files, parsed.  Only LUNs below argv[0] are in them. */
GPtrArray *lunfs_ctl_statuses (int argc, char **argv, int *status, GError **error);
/* The exit status that @error means; said on stderr. */
int lunfs_ctl_say (const GError *error);

/* Members of the status file; 0, "" if it lacks them. */
gint64 lunfs_ctl_number (JsonObject *object, const char *name);
const char *lunfs_ctl_text (JsonObject *object, const char *name);
JsonArray *lunfs_ctl_array (JsonObject *object, const char *name); /* never NULL; borrowed */
JsonObject *lunfs_ctl_object (JsonObject *object, const char *name);

/* Each LUN of a status file. */
typedef void (*LunfsCtlLunFunc) (JsonObject *mount, JsonObject *target, JsonObject *lun, void *user);
void lunfs_ctl_each_lun (JsonObject *mount, LunfsCtlLunFunc func, void *user);
/* The path of its file; free with g_free. */
char *lunfs_ctl_lun_path (JsonObject *mount, JsonObject *lun);
/* What the LUN does, in a word: its state, "failing" where requests fail, "preempted" where writes do. */
const char *lunfs_ctl_lun_state (JsonObject *lun);

/* ---- show.c ---- */

/* Takes @node. */
void lunfs_ctl_print_json (JsonNode *node);
/* "12.0 MiB" as "12M"; free with g_free. */
char *lunfs_ctl_size (gint64 bytes);

/* Columns as wide as their widest cell.  A title that begins with '>' is for a column of numbers. */
typedef struct LunfsCtlTable LunfsCtlTable;
LunfsCtlTable *lunfs_ctl_table_new (const char *const *titles);
/* Takes the cells; as many as there are titles. */
void lunfs_ctl_table_add (LunfsCtlTable *table, char **cells);
/* The rows so far, each line behind @indent. */
void lunfs_ctl_table_print (const LunfsCtlTable *table, const char *indent, GString *out);
void lunfs_ctl_table_free (LunfsCtlTable *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LunfsCtlTable, lunfs_ctl_table_free)

/* ---- users.c ---- */

/* Who uses @path, or what is in that directory: "qemu (process 7, open file), /dev/loop0"; NULL: nobody that this user may
 * see.  g_free. */
char *lunfs_ctl_users (const char *path);

/* ---- flush.c ---- */

/* Flushes all LUNs below @path.  False with @error: what is not flushed.  @timeout_s 0: waits as long as it takes. */
bool lunfs_ctl_flush_path (const char *path, gint64 timeout_s, GError **error);

/* ---- the commands ---- */

int lunfs_ctl_ls (int argc, char **argv, GError **error);
int lunfs_ctl_sessions (int argc, char **argv, GError **error);
int lunfs_ctl_status (int argc, char **argv, GError **error);
int lunfs_ctl_rescan (int argc, char **argv, GError **error);
int lunfs_ctl_set (int argc, char **argv, GError **error);
int lunfs_ctl_stats (int argc, char **argv, GError **error);
int lunfs_ctl_upgrade (int argc, char **argv, GError **error);
int lunfs_ctl_saved (int argc, char **argv, GError **error);
int lunfs_ctl_discover (int argc, char **argv, GError **error);
int lunfs_ctl_sense (int argc, char **argv, GError **error);
int lunfs_ctl_inquiry (int argc, char **argv, GError **error);
int lunfs_ctl_top (int argc, char **argv, GError **error);
int lunfs_ctl_flush (int argc, char **argv, GError **error);
int lunfs_ctl_drain (int argc, char **argv, GError **error);
int lunfs_ctl_login (int argc, char **argv, GError **error);
int lunfs_ctl_logout (int argc, char **argv, GError **error);
int lunfs_ctl_keys (int argc, char **argv, GError **error);
int lunfs_ctl_reserve (int argc, char **argv, GError **error);
int lunfs_ctl_release (int argc, char **argv, GError **error);
int lunfs_ctl_preempt (int argc, char **argv, GError **error);
int lunfs_ctl_import (int argc, char **argv, GError **error);
int lunfs_ctl_umount (int argc, char **argv, GError **error);

#endif
