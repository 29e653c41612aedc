/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What channel.c (reading, slots, memory) and serve.c (what becomes of a request that was read) share. */
#ifndef LUNFS_CHANNEL_PRIVATE_H
#define LUNFS_CHANNEL_PRIVATE_H

#include "fuse/channel.h"
#include "fuse/data.h"
#include "fuse/interrupt.h"
#include "fuse/poison.h"
#include "lunfs/unique.h"

#include <stdatomic.h>
#include <sys/uio.h>

struct LunfsChannel {
  LunfsLane *lane;
  LunfsChannelConf conf;
  LunfsDataEnv env;
  LunfsWatch watch;
  LunfsMail resume;
  atomic_bool resume_posted;
  bool reading, started, gone;
  uint32_t offered[LUNFS_CHUNKS_PER_REQUEST]; /* chunks the next request's payload lands in */
  bool have_offered, recorded;                /* recorded: the current slot knows what is on offer */
  struct iovec *iov;                          /* a slot's header, the offered chunks */
  unsigned nmapped;                           /* how many chunks of iov are right */
  LunfsCall *current;                         /* its slot takes the next request */
  uint8_t *linear;                            /* non-data requests in one piece, for libfuse */
  LunfsCall *replays;                         /* an earlier worker's, in the order of comes_before() */
  bool collecting;                            /* they are being sent again, and none is served yet */
  uint64_t crash_offset;                      /* for tests */

  /* poison.h */
  LunfsPoison *poison;
  LunfsCall *held; /* suspects that wait for their turn */
  LunfsMail next_suspect;
  atomic_bool next_suspect_posted;
  LunfsTimer look_again;
  LunfsCall *_Atomic trying; /* the one suspect that is being served */

  GMutex lock; /* Protects free, to which calls come back from every lane, and others. */
  LunfsCall *free;
  GHashTable *others; /* what libfuse has not answered yet: LunfsCall by its key */
  LunfsCall *calls;
  LunfsInterrupts *interrupts;
  atomic_uint in_flight;
  atomic_uint waiting; /* in replays and held: read, and not being served */
  atomic_bool starved;
};

/* channel.c: the slot is free.  Any thread. */
void lunfs_channel_give_call (LunfsCall *call);
/* Any lane: something was given back that reading waits for. */
void lunfs_channel_wake (LunfsChannel *ch);

/* serve.c */
void lunfs_serve_init (LunfsChannel *ch);
void lunfs_serve_clear (LunfsChannel *ch);
/* The request in @call's slot has come, from the kernel or from an earlier worker; call->chunk is its payload. */
void lunfs_serve (LunfsChannel *ch, LunfsCall *call);
/* FUSE_INTERRUPT of @len bytes in the current slot. */
void lunfs_serve_interrupt (LunfsChannel *ch, size_t len);

#endif
