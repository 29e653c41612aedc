/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by reservation.c (commands) and reservation_steps.c (what follows from their answers). */
#ifndef LUNFS_RESERVATION_PRIVATE_H
#define LUNFS_RESERVATION_PRIVATE_H

#include "session/reservation.h"

typedef enum {
  CAPABILITIES,
  KEYS,
  HOLDER_SHOWN,
  RESERVE_FIRST,
  REGISTER_SAME,
  REGISTER_NEW,
  REGISTER_ANY,
  VERIFY,
  BACK_OUT,
  HOLDER_OF_OLDER,
  CLAIM,
  RESERVE,
  HOLDER,
  UNDO,
  FINAL,
  RELEASE,
  UNREGISTER,
  RELEASED,
  HOLDER_OF_VICTIM,
  PREEMPT,
  HOLDER_AFTER,
} Step;

typedef enum { GOOD, CONFLICT, REFUSED } Answer;

struct LunfsReservation {
  LunfsLane *lane;
  LunfsArenaReservation *wish;
  LunfsReservationEvents events;
  void *user;
  LunfsTransport *transport;
  LunfsCommand cmd;
  struct iovec iov;
  LunfsTimer timer;
  LunfsReserveJob job;
  Step step;
  bool running, in_flight;
  unsigned tries, laters, rounds;
  uint64_t key;    /* ours */
  unsigned type;   /* to reserve with; 0 = not at all */
  bool persists;   /* registered with APTPL */
  unsigned before; /* registrations with our key at the beginning of the round */
  uint32_t before_generation;
  bool leaving;               /* CHECK goes on with the release that was begun */
  bool leftover;              /* our key is there, but came after the preemption: it is taken back */
  LunfsReserveOutcome undone; /* after UNDO: why */
  const char *undone_text;
  uint8_t param[LUNFS_PR_PARAM_BYTES];
  uint8_t *answer; /* NULL between jobs */
  size_t answer_len;
  LunfsReserveReport report;
};

/* reservation.c */
void lunfs_reservation_go (LunfsReservation *r, Step step);
void lunfs_reservation_end (LunfsReservation *r, LunfsReserveOutcome outcome, const char *text);

/* reservation_steps.c */
Step lunfs_reservation_first_step (LunfsReservation *r);
/* To the answer of the present step: to the next one, or to the end. */
void lunfs_reservation_take (LunfsReservation *r, Answer answer);

#endif
