/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by session.c (the connection's states), login.c (an attempt to log in), queue.c (the requests' way through it),
 * answer.c (what became of them) and watch.c (the LUN). */
#ifndef LUNFS_SESSION_PRIVATE_H
#define LUNFS_SESSION_PRIVATE_H

#include "session/command.h"
#include "session/probe.h"
#include "session/reservation.h"
#include "session/session.h"
#include "session/witness.h"

#define LUNFS_TASK_IOV LUNFS_REQUEST_IOV

/* A request at the target. */
typedef struct {
  LunfsCommand cmd;
  LunfsSession *session;
  LunfsRequest *req;  /* NULL = free */
  GList link;         /* in LunfsSession.active, oldest first, or in .idle */
  uint64_t witnessed; /* lunfs_witness_sending's */
  struct iovec iov[LUNFS_TASK_IOV];
  uint8_t param[LUNFS_PARAM_BYTES];
} LunfsTask;

struct LunfsSession {
  LunfsLayer base;
  LunfsLane *lane;
  LunfsSessionConf conf; /* strings owned */
  const LunfsSettings *settings;
  LunfsSessionEvents events;
  void *user;
  LunfsStats *stats;

  /* connection: session.c, login.c */
  LunfsSessionState state;
  bool started, ever_up, stopping;
  /* leave.c: nothing more is sent; the last answer has come; it has logged out */
  bool resting; /* lunfs_session_rest */
  bool leaving, going, has_left;
  bool logged_out, goodbye; /* logout.c: by the administrator; a Logout Request is under way */
  bool failing;             /* replacement_timeout has passed, or another LUN answered: requests fail at once */
  bool recheck;             /* the probe to come, or under way, is not one after a login */
  bool fence;               /* teardown: because another LUN answered, or the user rejects it */
  LunfsLoginOutcome fence_outcome;
  LunfsTimeouts timeouts; /* this LUN's: may change */
  LunfsTransport *transport;
  LunfsProbe *probe;
  LunfsLunInfo info; /* of the last good probe */
  bool info_valid;
  char *addresses[8];
  unsigned naddresses, untried; /* of this attempt; not tried yet: the first @untried */
  char *avoid;                  /* address to try last next time */
  char *moved_host;             /* where the target sent us in this attempt; NULL = it did not */
  char *moved_by;               /* the address of several that did */
  uint16_t moved_port;
  unsigned moves;
  bool elsewhere; /* the LUN is in standby here: try the next address at once */
  unsigned attempts;
  int64_t up_us;   /* when it came UP last */
  int64_t down_us; /* when it left UP, or was started; 0 while UP */
  LunfsLoginOutcome last_outcome;
  int probe_error;        /* of the probe that ended the attempt */
  char *last_logged;      /* failure text last put into the log */
  LunfsTimer retry;       /* DOWN: try again.  LOGIN: deadline.  stop: deadline */
  LunfsTimer replacement; /* not UP for too long */
  LunfsTimer tick;        /* liveness, command deadlines */
  LunfsDefer teardown;
  char *teardown_why;
  int64_t ping_us; /* when the NOP-Out under way was sent; 0 = none */

  /* stale writes: guard.c */
  bool unknown_writes;        /* sent and never answered: an older session may still execute them */
  bool moved;                 /* the login is at another portal than theirs: it does not end that session */
  bool security_refused;      /* no SecurityNegotiation for this target */
  bool security_known;        /* ... as a login without it showed */
  bool security_tried;        /* both kinds were refused in this attempt */
  unsigned resets_unanswered; /* LUN RESETs in a row */
  int64_t reset_us;           /* when the LUN RESET under way was sent; 0 = none */
  char *lost_address;         /* of the session that was lost last */

  /* reservation: hold.c */
  LunfsReservation *reservation;
  LunfsArenaReservation *wish; /* what lunfsctl was asked for: conf.reservation, or own_wish */
  LunfsArenaReservation own_wish;
  LunfsReserveJob job;       /* of lunfsctl */
  bool job_waits;            /* for the end of a recheck */
  bool hold_checked;         /* the probe under way is the second one after this login */
  uint32_t found_generation; /* before we have changed it */

  /* requests: queue.c */
  GQueue waiting;  /* in order of seq */
  GQueue recovery; /* LUNFS_REQ_RECOVERY */
  GQueue delayed;  /* by due_us, not sorted: few */
  GQueue finished; /* failed without having been sent: done() at the end of the pass */
  GQueue active, idle;
  LunfsTask *tasks;
  unsigned ntasks;
  unsigned depth;     /* commands allowed now, adapted to BUSY */
  int64_t shrunk_us;  /* when depth was halved last */
  unsigned successes; /* since depth last changed */
  uint64_t next_seq;
  bool reserved; /* the last write met a reservation conflict */
  bool bad_lba_known;
  uint64_t bad_lba; /* of the last medium error */
  LunfsRecorder *recorder;
  char *own_failure; /* what the cache's last WRITE failed with; NULL = none since a good one */
  /* Commands the target turned out to lack; forgotten at each login. */
  bool use10, sync10, sync_unsupported;
  LunfsWitnesses witnesses;
  LunfsTimer delay;
  LunfsTimer expire; /* request_limit */
  LunfsDefer finish;

  /* Protects snapshot only; held for a copy. */
  GMutex snapshot_lock;
  LunfsSessionSnapshot snapshot;
};

/* queue.c */
void lunfs_session_queue_init (LunfsSession *s);
void lunfs_session_queue_clear (LunfsSession *s);
/* Send what may be sent in the present state. */
void lunfs_session_dispatch (LunfsSession *s);
/* What users wait for, sent or not at present, ends with @err (negative errno). */
void lunfs_session_fail_waiting (LunfsSession *s, int err);
/* Give back what does not outlive the session (LUNFS_REQ_RETURN). */
void lunfs_session_return_waiting (LunfsSession *s);
/* Recovery requests come back with -ECANCELED: they are kept by the cache and come again. */
void lunfs_session_cancel_recovery (LunfsSession *s);
/* After a close: what was in flight stands in waiting again; forget adapted depth. */
void lunfs_session_requeue_done (LunfsSession *s);
/* When the oldest command in flight that is past its limit was sent; 0 if none is. */
bool lunfs_session_overdue (LunfsSession *s, int64_t now_us);
/* Its done() is called with @err at the end of the pass. */
void lunfs_session_finish_later (LunfsSession *s, LunfsRequest *req, int err);

/* answer.c */
/* It is done, perhaps after some effort (RECOVERED ERROR): is it all there? */
void lunfs_session_good (LunfsSession *s, LunfsRequest *req, LunfsCommand *cmd);
/* Any other status. */
void lunfs_session_answered (LunfsSession *s, LunfsRequest *req, LunfsCommand *cmd);
/* It waits again, in its old place. */
void lunfs_session_requeue (LunfsSession *s, LunfsRequest *req);
void lunfs_session_delay_fired (LunfsTimer *timer);
/* A new login: what the last one found missing may be there. */
void lunfs_session_forget_features (LunfsSession *s);

/* session.c */
void lunfs_session_set_state (LunfsSession *s, LunfsSessionState state);
/* Requests fail when replacement_timeout, but at least @at_least_s seconds, have passed since it was UP. */
void lunfs_session_arm_replacement (LunfsSession *s, int at_least_s);
/* Nothing on this connection can be trusted: drop it at the end of this pass and log in again. */
void lunfs_session_lost (LunfsSession *s, const char *why);
/* Closes the connection, if there is one; what was in flight comes back. */
void lunfs_session_drop_transport (LunfsSession *s);
/* Why the LUN is not, or not fully, usable; for the status. */
void lunfs_session_set_error (LunfsSession *s, const char *text);
/* DOWN; tried again after a pause. */
void lunfs_session_go_down (LunfsSession *s);

/* login.c */
/* The first step of an attempt: RESOLVE. */
void lunfs_login_begin (LunfsSession *s);
/* In LOGIN or PROBE: this attempt, or its present address, has failed. */
void lunfs_login_failed (LunfsSession *s, const char *why);
void lunfs_login_expired (LunfsSession *s); /* login_timeout */
/* Ask the LUN what it is, in state PROBE. */
void lunfs_session_probe (LunfsSession *s);

/* watch.c */
#define LUNFS_SESSION_TICK_US 500000 /* how often limits are looked at */
/* LunfsProbe's answers. */
void lunfs_session_probed (void *user, int error, const LunfsLunInfo *info, const char *text);
void lunfs_session_waits (void *user, const char *why);
void lunfs_session_tick_fired (LunfsTimer *timer);
/* Something changed at the LUN: finish what is in flight, probe again, then go on. */
void lunfs_session_recheck (LunfsSession *s, const char *why);
/* The last command in flight has come back. */
void lunfs_session_drained (LunfsSession *s);
/* Unit attentions (LUNFS_UA_*) that somebody else has to hear of. */
void lunfs_session_attend (LunfsSession *s, unsigned ua, const char *sense);

/* The LUN is what it should be, and ours: RECOVER. */
void lunfs_session_proven (LunfsSession *s);
/* Unit attentions after which the LUN is looked at again. */
#define LUNFS_UA_RECHECK                                                                                               \
  (LUNFS_UA_DEFERRED | LUNFS_UA_RESET | LUNFS_UA_CAPACITY | LUNFS_UA_MODE | LUNFS_UA_INQUIRY | LUNFS_UA_LUNS           \
   | LUNFS_UA_ALUA)

/* hold.c: see there.  Registered, as far as we know. */
bool lunfs_hold_stands (const LunfsSession *s);
/* Fenced: nothing may be written. */
bool lunfs_hold_is_lost (const LunfsSession *s);
void lunfs_hold_say_lost (LunfsSession *s);
void lunfs_hold_tell (LunfsSession *s);
/* The LUN is proven: true if the reservation is looked at first; lunfs_session_proven, or another probe, follows. */
bool lunfs_hold_start (LunfsSession *s);
/* It is UP: what waits for that is begun. */
void lunfs_hold_serve (LunfsSession *s);
void lunfs_hold_drop (LunfsSession *s); /* before the transport is closed */
void lunfs_hold_init (LunfsSession *s);

/* portal.c */
void lunfs_portal_set (LunfsSession *s, const char *const *addresses, unsigned n);
const char *lunfs_portal_next (LunfsSession *s); /* NULL: all were tried */
const char *lunfs_portal_current (const LunfsSession *s);
/* This one serves the LUN no more: try it last next time.  False: there is no other. */
bool lunfs_portal_leave (LunfsSession *s);
/* The target says that it is at the portal @where for now.  False: nonsense, or the last of too many. */
bool lunfs_portal_move (LunfsSession *s, const char *where);
/* The attempt has failed.  If we were sent elsewhere in it: try the address that did so last next time. */
void lunfs_portal_moved_in_vain (LunfsSession *s);
/* The next attempt begins where the user said. */
void lunfs_portal_move_back (LunfsSession *s);
void lunfs_portal_clear (LunfsSession *s);

/* guard.c: see there.  Log in through SecurityNegotiation? */
bool lunfs_guard_security (const LunfsSession *s);
/* A login failed so: true if it should be tried at once without SecurityNegotiation. */
bool lunfs_guard_refused (LunfsSession *s, LunfsLoginOutcome outcome);
/* How a login ended. */
void lunfs_guard_login (LunfsSession *s, LunfsLoginOutcome outcome);
/* A write was sent and its answer will never come. */
void lunfs_guard_lost_write (LunfsSession *s);
/* What kind of target it is: for the logins to come. */
void lunfs_guard_learn (LunfsSession *s, const LunfsInquiry *inquiry);
/* The LUN is proven: true if it is reset first; a new probe follows. */
bool lunfs_guard_start (LunfsSession *s);
void lunfs_guard_was_reset (LunfsSession *s, unsigned response);

/* leave.c: see there.  Nothing is in flight any more; the session is over, one way or the other. */
void lunfs_session_go (LunfsSession *s);
void lunfs_session_gone (LunfsSession *s);

/* logout.c: see there */
void lunfs_session_say_goodbye (LunfsSession *s);
void lunfs_session_logged_out (LunfsSession *s);

/* "iqn...:t1 lun 0" for the log; borrowed from a per-thread buffer. */
const char *lunfs_session_label (const LunfsSession *s);

#endif
