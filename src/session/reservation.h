/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Persistent reservations (SPC-4 5.9), one sequence of commands at a time on the session's transport.
 *
 * What was asked for stands in LunfsArenaReservation, for the workers to come.  CHECK, after each login, brings the target
 * there again, or finds out that it may not.  The nexus of the login may be the one that is registered, or a new one: another
 * portal, or a target that takes each login for one (tgtd).  So:
 *
 *   our key is registered     we were not fenced.  Registrations and the reservation of our older nexuses, which nobody uses any
 *                             more, go to this one: PREEMPT with our own key as the victim.
 *   it is not, and PRGENERATION has not grown since, and the target was not to keep it over a loss of power
 *                             the target was started anew: register as before.
 *   it is not, else           somebody has removed it: we are fenced (LOST), and only the user may register again.
 *
 * A preemption between the look at the keys and the registration of a new nexus would go unnoticed: PRGENERATION must have
 * grown by that one registration only, else it is taken back, and all begins anew.  Therefore, too, REGISTER and not REGISTER
 * AND IGNORE EXISTING KEY: with the key that must be there it fails where we have been preempted.
 *
 * Keys stand for hosts here: who uses the key of another takes over from it, and is fenced with it.  Lane thread only. */
#ifndef LUNFS_RESERVATION_H
#define LUNFS_RESERVATION_H

#include "iscsi/transport.h"
#include "lunfs/arena.h"
#include "scsi/reservation.h"

typedef enum {
  LUNFS_RESERVE_CHECK,
  LUNFS_RESERVE_KEYS,    /* look, and change nothing */
  LUNFS_RESERVE_TAKE,    /* register with .key, and reserve unless .type is 0 */
  LUNFS_RESERVE_RELEASE, /* release, and unregister unless .keep */
  LUNFS_RESERVE_PREEMPT, /* remove the registrations with .key, and take over their reservation */
} LunfsReserveWhat;

typedef struct {
  LunfsReserveWhat what;
  uint64_t key;
  unsigned type;
  bool keep, abort;
} LunfsReserveJob;

typedef enum {
  LUNFS_RESERVE_OK,
  LUNFS_RESERVE_LOST,        /* CHECK only: LunfsArenaReservation.lost says why */
  LUNFS_RESERVE_CONFLICT,    /* another initiator is in the way */
  LUNFS_RESERVE_NO_KEY,      /* PREEMPT: nobody is registered with it */
  LUNFS_RESERVE_UNSUPPORTED, /* the target lacks the commands */
  LUNFS_RESERVE_FAILED,
  LUNFS_RESERVE_GONE, /* the session is; how far it came is not known */
} LunfsReserveOutcome;

#define LUNFS_RESERVE_KEYS_MAX 128

typedef struct {
  LunfsReserveOutcome outcome;
  char text[200]; /* what was in the way; "" = nothing */
  uint32_t generation;
  bool changed; /* commands were sent that may have changed something */
  bool anew;    /* CHECK: this nexus was not registered before */
  LunfsHolder holder;
  unsigned nkeys; /* registered; KEYS only: */
  uint64_t keys[LUNFS_RESERVE_KEYS_MAX];
} LunfsReserveReport;

typedef struct LunfsReservation LunfsReservation;

typedef struct {
  /* The job has ended; a new one may be begun from here. */
  void (*done) (void *user, const LunfsReserveJob *job, const LunfsReserveReport *report);
  /* Unit attentions (LUNFS_UA_*) that @job has met; its command goes out again. */
  void (*attended) (void *user, const LunfsReserveJob *job, unsigned ua, const char *sense);
} LunfsReservationEvents;

/* @wish is borrowed, and changed by the jobs. */
LunfsReservation *lunfs_reservation_new (LunfsLane *lane, LunfsArenaReservation *wish,
                                         const LunfsReservationEvents *events, void *user);
void lunfs_reservation_free (LunfsReservation *r); /* not while a command is at the transport */
/* Not while a job runs. */
void lunfs_reservation_start (LunfsReservation *r, LunfsTransport *transport, const LunfsReserveJob *job);
bool lunfs_reservation_busy (const LunfsReservation *r);
bool lunfs_reservation_looks (const LunfsReservation *r); /* the job is, or was, LUNFS_RESERVE_KEYS */
/* The transport is about to be closed: the job ends with GONE. */
void lunfs_reservation_abort (LunfsReservation *r);
/* When the command in flight was sent (lane clock, us); 0 if none. */
int64_t lunfs_reservation_since_us (const LunfsReservation *r);

#endif
