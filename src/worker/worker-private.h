/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The worker: builds the data path of every LUN, right to left (rows.c), finds out which LUNs there are (find.c), tells the
 * supervisor when the mount serves and how the first logins went, answers the control socket (control.c), and takes
 * everything down in order (stop.c).
 *
 * Main thread (control), but for the functions marked "lane". */
#ifndef LUNFS_WORKER_PRIVATE_H
#define LUNFS_WORKER_PRIVATE_H

#include "cache/cache.h"
#include "control/control.h"
#include "control/discovery.h"
#include "fuse/channel.h"
#include "fuse/ops.h"
#include "lunfs/error.h"
#include "session/session.h"
#include "supervisor/saved.h"
#include "supervisor/supervisor.h"

typedef struct LunfsWorker LunfsWorker;
typedef struct LunfsWorkerPing LunfsWorkerPing;
typedef struct LunfsRestore LunfsRestore;

/* commands_flush.c: FLUSHes that lunfsctl asks for, numbered. */
typedef struct {
  LunfsRequest req;
  bool busy;
  uint64_t under_way;
  uint64_t asked; /* lane, and the control thread while the lane waits for it */
  _Atomic uint64_t done;
  _Atomic int result; /* of that one: 0 or -errno */
} LunfsRowFlush;

/* commands_reserve.c: the last job about reservations.  Lane. */
typedef struct {
  uint64_t asked; /* its number; the lower half counts, as .done does */
  uint32_t done;
  LunfsReserveJob job;
  LunfsReserveReport report;
} LunfsRowReserve;

/* The data path of one LUN. */
typedef struct {
  LunfsWorker *worker;
  unsigned index; /* in the arena: node id, ISID */
  LunfsArenaLun *record;
  LunfsLane *lane;
  LunfsStats stats;
  LunfsSession *session;
  LunfsCache *cache;
  LunfsLun *lun;
  /* control thread */
  bool settled, stopped;
  bool awaited;                /* it was up before an upgrade, and is not yet */
  unsigned in_use;             /* how often another mount of this host was found to have it */
  bool found;                  /* by REPORT LUNS, not named by the user */
  bool missing, gone, resting; /* gone.c */
  int64_t gone_us;
  bool hidden;                   /* found, and no disk (tgtd's LUN 0 is a controller): not part of the mount */
  char *claim;                   /* lane: what it has claimed (supervisor/claim.h), or NULL */
  LunfsRequest tidy;             /* leave.c */
  LunfsRowFlush flush;           /* lane */
  LunfsRowReserve reserve, look; /* lane: the last change, and the last look at the keys */
  int64_t stop_limit_ms;         /* set before the drain */
  _Atomic int drain_result;
  LunfsRestore *restore; /* lane: what an earlier mount left is being written back; NULL = not now */
  bool taken;            /* lane: another initiator has reserved the LUN */
} LunfsRow;

/* A portal or target being asked what it has. */
typedef struct {
  LunfsWorker *worker;
  char *host, *target_name;
  uint16_t port;
  bool settled, found;
  bool busy;    /* being asked, or about to be */
  bool again;   /* and once more when it has answered */
  bool removed; /* the portal does not name the target any more */
  char *error;
  unsigned pause_ms;
} LunfsAsking;

struct LunfsWorker {
  pid_t supervisor;
  LunfsWorkerFds fds;
  LunfsSettings *settings;
  LunfsArena *arena;
  LunfsPool *pool;
  LunfsFrames *frames;
  LunfsLane **lanes;
  unsigned nlanes, next_lane;
  LunfsTree *tree;
  LunfsOps *ops;
  struct fuse_session *se;
  LunfsChannel *channel;
  bool inbox; /* fuse/inbox.h */
  GMainLoop *loop;
  LunfsControl *control; /* NULL: could not listen */
  GPtrArray *rows, *askings;
  GPtrArray *saved;   /* LunfsSaved*: what earlier mounts left in state_dir; constant */
  unsigned questions; /* being asked now */
  GQueue to_ask;
  unsigned rescan_source; /* a rescan that is due soon */
  unsigned gone_source;   /* gone.c */

  /* first logins */
  unsigned unsettled;
  bool settled, any_up;
  LunfsExit first_error;
  char *first_text;
  const bool *troubled; /* the "settled" of whose trouble the supervisor knows */

  /* the end */
  bool stopping, unmounted;
  unsigned stop_source; /* the limit's timer */
  int64_t stop_at_us;
  unsigned running_rows;
  int exit_status;
  LunfsExit stop_status;

  /* leave.c */
  uint32_t leave_limit_ms; /* 0 = not asked to leave */
  bool leaving;            /* nothing is read any more */
  atomic_uint tidying;     /* FLUSHes under way */
  atomic_uint rows_here;   /* sessions that are not over */
  unsigned awaited;        /* rows, after an upgrade */
  /* the supervisor */
  LunfsWorkerPing *ping;
  bool stored;   /* a successor of it goes on with the mount */
  bool orphaned; /* it is gone, and no successor comes */
  int64_t orphan_until_us;
};

/* rows.c */
/* The LUN becomes part of the mount: its file appears when it has been up.  @found: not named by the user. */
void lunfs_worker_add_lun (LunfsWorker *w, const char *host, uint16_t port, const char *target_name, uint16_t lun,
                           bool found);
void lunfs_worker_free_rows (LunfsWorker *w);
/* Seconds within which every request is answered because the kernel asks for it; 0 = it does not. */
int lunfs_worker_request_limit (const LunfsWorker *w);

/* events.c */
extern const LunfsSessionEvents lunfs_worker_session_events;                         /* of a row */
void lunfs_worker_row_resolve (void *user, LunfsSession *session, const char *host); /* lane */
/* The LUN is ours, proven, and has all that it should have: serve it.  Lane. */
void lunfs_worker_row_ready (LunfsRow *row, const LunfsLunInfo *info);
void lunfs_worker_row_recovered (void *user); /* lane; after that */
void lunfs_worker_send_settled (LunfsWorker *w);
/* One row or question has its first outcome. */
void lunfs_worker_settle (LunfsWorker *w, bool *flag, LunfsExit status, const char *object, const char *text);

/* saved.c */
/* Control thread, before any row. */
void lunfs_worker_load_saved (LunfsWorker *w);
/* Rows of the LUNs that data is saved for, also where the target does not answer. */
void lunfs_worker_add_saved (LunfsWorker *w);
/* What is known of the LUN from an earlier mount with saved data for it; NULL = nothing waits. */
const LunfsArenaLun *lunfs_worker_saved_lun (LunfsRow *row, const LunfsSaved **out_saved);
/* The same for a LUN that says to be @identity, with its index there. */
LunfsSaved *lunfs_worker_find_saved (LunfsRow *row, const char *identity, unsigned *out_index);
/* Bytes that wait; any thread. */
uint64_t lunfs_worker_saved_bytes (LunfsRow *row);

/* restore.c */
/* Lane.  Nothing waits for the LUN: true.  Else it is written back, and lunfs_worker_row_ready follows, or the session is
 * rejected. */
bool lunfs_worker_restore (LunfsRow *row, const LunfsLunInfo *info);
void lunfs_worker_free_restore (LunfsRestore *r);

/* find.c */
void lunfs_worker_find (LunfsWorker *w);
/* Ask again what the portals and targets have: new LUNs and targets join the mount. */
void lunfs_worker_rescan (LunfsWorker *w);
/* The same in a moment: once for all who say so. */
void lunfs_worker_rescan_soon (LunfsWorker *w);
void lunfs_worker_free_askings (LunfsWorker *w);

/* gone.c */
/* All LUNs of the target are in @found, or all targets of the portal. */
void lunfs_worker_luns_named (LunfsWorker *w, const char *target_name, const LunfsFound *found);
void lunfs_worker_targets_named (LunfsWorker *w, const LunfsFound *found);
void lunfs_worker_row_named (LunfsRow *row);
/* Its session serves: true if it was gone. */
bool lunfs_worker_row_returns (LunfsRow *row);
/* For the status: removed by the target, and without a session. */
bool lunfs_worker_row_is_gone (LunfsRow *row);

/* control.c */
/* LunfsOpsConf. */
char *lunfs_worker_status (void *user);
char *lunfs_worker_metrics (void *user);
/* commands.c, commands_set.c */
void lunfs_worker_listen (LunfsWorker *w);
/* What lunfsctl has set through an earlier worker.  Before the session starts. */
void lunfs_worker_restore_timeouts (LunfsRow *row);

/* commands_reserve.c */
void lunfs_worker_number_flushes (LunfsRow *row); /* commands_flush.c: before it is used */
void lunfs_worker_row_reserved (LunfsRow *row, const LunfsReserveJob *job, const LunfsReserveReport *report); /* lane */

/* ping.c */
LunfsWorkerPing *lunfs_worker_ping_new (const LunfsWorker *w); /* free with g_free when the lanes have stopped */
/* Answered with LUNFS_MSG_PONG when every lane has been round. */
void lunfs_worker_ping (LunfsWorker *w);

/* orphan.c */
/* The supervisor is gone.  May not return. */
void lunfs_worker_orphaned (LunfsWorker *w);
/* After the flush: what the supervisor would have tidied up. */
void lunfs_worker_orphan_end (LunfsWorker *w);

/* stop.c */
/* Flush, log out, end, within @limit_ms; called again with 0: at once. */
void lunfs_worker_stop (LunfsWorker *w, uint32_t limit_ms);
void lunfs_worker_rows_stopped (LunfsWorker *w);
void lunfs_worker_unmounted (void *user); /* lane */

/* leave.c */
/* End within @limit_ms for a successor; no request is answered because of it. */
void lunfs_worker_leave (LunfsWorker *w, uint32_t limit_ms);
/* After that: become the successor: the program at @path, open as @program_fd; -1: the program that this one is. */
void lunfs_worker_follow (LunfsWorker *w, char *path, int program_fd) G_GNUC_NORETURN;
void lunfs_worker_row_quiet (LunfsRow *row); /* lane */
void lunfs_worker_row_left (LunfsRow *row);  /* lane */

/* succeed.c */
/* Before the first request is read, the rows being there: true if the worker before has left none unanswered. */
bool lunfs_worker_take_over (LunfsWorker *w);
/* What that worker knew of the LUN. */
void lunfs_worker_take_row (LunfsRow *row, LunfsSessionConf *conf);
void lunfs_worker_row_is_up (LunfsRow *row);
/* The control socket's "upgrade" and "upgrade-state". */
bool lunfs_worker_ask_upgrade (LunfsWorker *w, JsonObject *answer, GError **error);
void lunfs_worker_tell_upgrade (LunfsWorker *w, JsonObject *answer);

#endif
