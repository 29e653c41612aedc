/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The session of one LUN: logs in, proves that the LUN is the same one, keeps its queue full, survives the loss of
 * its connection.  One session (one I_T nexus, one TCP connection) serves one LUN: its command window, its failures
 * and its lane are its own.
 *
 *   DOWN -> RESOLVE -> LOGIN -> PROBE -> RECOVER -> UP        any -> DOWN on failure, with a growing pause
 *                                 ^______________/ \-> PROBE  (a unit attention says that something changed)
 *                               PROBE -> FENCED               (another LUN under the same number; asked again later)
 *                               any -> STOPPED
 *                               any -> LOGGED_OUT -> DOWN     (by the administrator)
 *
 * As a layer it takes requests at any time: they wait while it is not UP, at most replacement_timeout, then they fail
 * with EIO, as new ones do at once, until it is UP again.  Requests in flight at a loss are sent again in the order in
 * which they came; the layers to the left never have two overlapping writes here at once, so that order suffices.
 *
 * Lane thread only, but for lunfs_session_snapshot. */
#ifndef LUNFS_SESSION_H
#define LUNFS_SESSION_H

#include "iscsi/transport.h"
#include "lunfs/arena.h"
#include "lunfs/luninfo.h"
#include "lunfs/request.h"
#include "lunfs/settings.h"
#include "lunfs/stats.h"
#include "session/recorder.h"
#include "session/reservation.h"

typedef struct LunfsSession LunfsSession;

typedef enum {
  LUNFS_SESSION_DOWN,
  LUNFS_SESSION_RESOLVE,
  LUNFS_SESSION_LOGIN,
  LUNFS_SESSION_PROBE,
  LUNFS_SESSION_RECOVER,
  LUNFS_SESSION_UP,
  LUNFS_SESSION_FENCED,
  LUNFS_SESSION_STOPPED,
  LUNFS_SESSION_LOGGED_OUT,
} LunfsSessionState;
const char *lunfs_session_state_name (LunfsSessionState state);

/* The limits that may change while the LUN is in use; seconds, as in LunfsSettings, from which they come at first. */
typedef struct {
  int replacement_timeout, login_timeout, noop_out_interval, noop_out_timeout, cmd_timeout;
  int request_limit; /* no request waits or runs longer, whatever else allows it; 0 = no such limit */
} LunfsTimeouts;

typedef struct {
  LunfsTransportOpen open;
  const LunfsSettings *settings; /* borrowed, outlives the session */
  const char *host;
  uint16_t port;
  const char *target_name;
  uint16_t lun;
  uint32_t isid_random;
  uint16_t isid_qualifier;
  LunfsStats *stats;
  /* What is known of the LUN from before (an earlier worker); text "" and nblocks 0 if nothing. */
  LunfsIdentity known_identity;
  uint64_t known_nblocks;
  uint32_t known_block_size;
  bool known_no_reinstatement;
  bool known_quiet;                   /* nothing that worker sent can come late (LunfsSessionEvents.quiet) */
  bool known_writes;                  /* an earlier mount's writes may still be under way */
  LunfsArenaWitness *witnesses;       /* of this LUN (witness.h); NULL = nothing is noted */
  LunfsArenaReservation *reservation; /* what was asked for, of this LUN; NULL: it ends with the session */
  int request_limit;                  /* see LunfsTimeouts */
  /* Look up @host; the answer comes by lunfs_session_resolved on the lane. */
  void (*resolve) (void *resolve_user, LunfsSession *session, const char *host);
  void *resolve_user;
} LunfsSessionConf;

typedef struct {
  /* The LUN is proven and described; nothing is sent but requests with LUNFS_REQ_RECOVERY until the user calls
   * lunfs_session_serve. */
  void (*up) (void *user, const LunfsLunInfo *info);
  /* The target says that writes it acknowledged are lost, or a synchronisation failed: what is kept is written again
   * after the up() that follows; if nothing is kept, the next fsync must say -@err. */
  void (*deferred) (void *user, int err);
  /* Another initiator has the LUN, or had it, to itself (reservation conflict, preempted): what was written before must not
   * be written again over its data. */
  void (*taken) (void *user);
  /* A job of lunfs_session_reserve has ended. */
  void (*reserved) (void *user, const LunfsReserveJob *job, const LunfsReserveReport *report);
  /* The target says that it has other LUNs now. */
  void (*luns_changed) (void *user);
  /* replacement_timeout has passed: requests fail until the next up(). */
  void (*failing) (void *user);
  /* The nexus is gone; recovery requests under way come back with -ECANCELED. */
  void (*down) (void *user);
  /* A login, probe or connection attempt failed: for the first outcome that mount(8)'s user sees. */
  void (*failed) (void *user, LunfsLoginOutcome outcome, const char *text);
  void (*stopped) (void *user);
  /* After lunfs_session_leave: the target has answered everything, so that nothing of it can come late. */
  void (*quiet) (void *user);
  /* And then, quiet or not: the session is over. */
  void (*left) (void *user);
} LunfsSessionEvents;

LunfsSession *lunfs_session_new (LunfsLane *lane, const LunfsSessionConf *conf, const LunfsSessionEvents *events,
                                 void *user);
void lunfs_session_free (LunfsSession *session); /* only when STOPPED */
LunfsLayer *lunfs_session_layer (LunfsSession *session);
void lunfs_session_start (LunfsSession *session);
/* Numeric addresses, best first, borrowed; or none and @error_text. */
void lunfs_session_resolved (LunfsSession *session, const char *const *addresses, unsigned n, const char *error_text);
void lunfs_session_serve (LunfsSession *session);
/* Instead of serve: it must not be used, for now.  FENCED with @why; looked at again after a pause. */
void lunfs_session_reject (LunfsSession *session, LunfsLoginOutcome outcome, const char *why);
/* Fail what is left with EIO, log out if logged in (at most @limit_ms), then events->stopped. */
void lunfs_session_stop (LunfsSession *session, int64_t limit_ms);

/* By the administrator, and until log_in: no session, requests fail with EIO.  Lane thread. */
void lunfs_session_log_out (LunfsSession *session);
void lunfs_session_log_in (LunfsSession *session);

/* Begin @job, as lunfsctl asks; events->reserved follows.  False with @error: it cannot be begun now.  Lane thread. */
bool lunfs_session_reserve (LunfsSession *session, const LunfsReserveJob *job, GError **error);

/* This process ends soon and a successor takes over: send nothing more, log out when what was sent has been answered.  No
 * request is answered because of it. */
void lunfs_session_leave (LunfsSession *session);

/* Look at the LUN again (size, identity, write protection), as after a unit attention; without a session, try to log in now.
 * Lane thread. */
void lunfs_session_look (LunfsSession *session);
/* Nobody misses it: no more logins until somebody looks.  Lane thread. */
void lunfs_session_rest (LunfsSession *session);
/* From now on, for requests that wait already, too.  Lane thread. */
void lunfs_session_set_timeouts (LunfsSession *session, const LunfsTimeouts *timeouts);
/* NULL: @info may be the LUN that was known as this; else what differs.  With a name of its own (VPD 83h/80h) a LUN may have
 * grown meanwhile; without one size and block size are all there is to compare. */
const char *lunfs_session_differs (const LunfsIdentity *known, uint64_t known_nblocks, uint32_t known_block_size,
                                   const LunfsLunInfo *info);
/* True: this kind of target ends the older session of a nexus only in a login with SecurityNegotiation (tgtd). */
bool lunfs_inquiry_lacks_reinstatement (const LunfsInquiry *inquiry);

/* For the status file; any thread. */
typedef struct {
  LunfsSessionState state;
  bool failing; /* replacement_timeout has passed: requests fail at once */
  char portal[80];
  char error[256];  /* why it is not UP, or the last failure; "" = none */
  int64_t since_us; /* monotonic, of the last state change */
  int64_t down_us;  /* monotonic, since when it has not been UP; 0 while it is */
  LunfsTimeouts timeouts;
  LunfsArenaReservation reservation;
} LunfsSessionSnapshot;
void lunfs_session_snapshot (LunfsSession *session, LunfsSessionSnapshot *out);
/* As lunfs_recorder_read.  Any thread. */
unsigned lunfs_session_records (LunfsSession *session, LunfsRecord *out, uint64_t *out_total);

#endif
