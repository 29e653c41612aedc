/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control socket: one line of JSON asks, one line of JSON answers, as often as the client likes.
 *
 *   {"command":"status"}                                       -> {"status":0,"text":...the status file...}
 *   {"command":"hello"}                                        -> {"status":0,"mountpoint":...,"source":...}
 *   {"command":"set","lun":"iqn.../lun1","values":{"replacement_timeout":"60"}}     lun "" or left out: all LUNs
 *                                                              -> {"status":0,"luns":1}
 *   {"command":"flush"}, {"command":"flush-state"}, ...        the other commands: worker/commands.c
 *   {"command":"upgrade"}                                      -> {"status":0,"attempts":N}: passed on to the supervisor
 *   {"command":"upgrade-state"}                                -> {"status":0,"attempts":N+1,"state":"done",...}
 *   anything that fails                                        -> {"status":7,"error":"..."}, a LunfsExit
 *
 * Each mount has a socket of its own, named after its supervisor: /run/lunfs/PID.sock, of an ordinary user
 * /run/user/UID/lunfs/PID.sock.  Only root and the mount's owner may connect (mode 0600, and the peer's uid is looked at:
 * others are told {"status":13,...} before they say anything).  A line has less than 64 KiB, and who is silent for a minute, or does
 * not read, is hung up on; of more than 32 clients the next one is told {"status":28,...}.
 * Control thread only: a command answers from what that thread knows, however dead the targets are. */
#ifndef LUNFS_CONTROL_H
#define LUNFS_CONTROL_H

#include <json-glib/json-glib.h>
#include <stdbool.h>

typedef struct LunfsControl LunfsControl;

/* Carry out @request: the members of the answer go into @answer, or false with @error (code: a LunfsExit). */
typedef bool (*LunfsControlHandler) (void *user, JsonObject *request, JsonObject *answer, GError **error);

/* Listen on @path (its directory is made if need be; a socket left there by an earlier worker is replaced). */
LunfsControl *lunfs_control_new (const char *path, LunfsControlHandler handler, void *user, GError **error);
/* Closes and removes the socket. */
void lunfs_control_free (LunfsControl *control);

/* Of the mount whose supervisor is @pid, run by this user. */
char *lunfs_control_path (int pid);

/* ---- for clients ---- */

/* Ask the mount that has @path in it (or, "" for @path, the only one there is); blocks.  @out_inside: what follows the
 * mount point, "" if nothing.  NULL with @error: no such mount, or its answer is an error. */
JsonObject *lunfs_control_ask (const char *path, JsonObject *request, char **out_inside, GError **error);

typedef struct {
  char *socket, *mountpoint;
  char *inside;   /* what follows the mount point in @path; "" if nothing */
  GError *silent; /* it does not answer, so that its mount point is not known; NULL = it does */
} LunfsControlMount;
/* The mount that has @path in it, or (NULL for @path) all: LunfsControlMount.  At least one that answers, or NULL with @error. */
GPtrArray *lunfs_control_find (const char *path, GError **error);
/* Between two workers it waits for the next one.  NULL with @error, which is always a LunfsExit. */
JsonObject *lunfs_control_ask_at (const char *socket, JsonObject *request, unsigned timeout_s, GError **error);
/* Does the supervisor whose @socket it is still live? */
bool lunfs_control_has_owner (const char *socket);

#endif
