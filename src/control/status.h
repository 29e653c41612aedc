/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The status file's text, from published facts and counters only: it never waits for a lane or a target. */
#ifndef LUNFS_STATUS_H
#define LUNFS_STATUS_H

#include "lun/lun.h"
#include "lunfs/settings.h"
#include "session/session.h"

/* One LUN of the mount, as the status file sees it. */
typedef struct {
  const char *target_name, *host;
  uint16_t port, number;
  LunfsSession *session;
  LunfsLun *lun;
  LunfsStats *stats;
  char *file;           /* below the mount point; owned by the caller */
  uint64_t saved_bytes; /* of an earlier mount, that wait for the LUN */
  bool gone;            /* the target has it no longer */
} LunfsStatusLun;

/* A target, or a portal asked for targets, that has no LUNs (yet). */
typedef struct {
  const char *name, *host, *error;
  uint16_t port;
} LunfsStatusTarget;

typedef struct {
  const LunfsSettings *settings;
  int supervisor_pid;
  unsigned workers_started, resent, upgrades;
  const char *supervisor_version;
  unsigned replayed, poisoned, crashes; /* LunfsArenaHeader */
  const char *last_end;                 /* of the last worker; "" = this one is the first */
  const char *recovery;                 /* crash_recovery, as chosen */
  int64_t started_us;                   /* wall clock */
  const LunfsStatusLun *luns;           /* those of a target together */
  unsigned nluns;
  const LunfsStatusTarget *targets; /* those without LUNs */
  unsigned ntargets;
} LunfsStatus;

/* Behind the last LUN of the target of the @first. */
unsigned lunfs_status_target_end (const LunfsStatus *status, unsigned first);
/* JSON, one object, ends with a newline.  Control thread.  Free with g_free. */
char *lunfs_status_text (const LunfsStatus *status);
/* "none", "registered", "reserved"; "preempted" and "lost": nothing may be written. */
const char *lunfs_status_reservation_state (const LunfsArenaReservation *wish);
/* Paths, and what targets say, may be any bytes; JSON text is UTF-8 without control characters.  Free with g_free. */
char *lunfs_json_make_valid (const char *json);

#endif
