/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One stream of reads (readahead.h): where its reader is, and which reads are its own.  Pure; part of its user.
 *
 * A read nearby, not just where it was expected, is its own as long as the stream has trust.  A stream read out of order
 * comes back to what it has just passed; random reads that happen to be nearby hit all of its past alike, mostly what has
 * been read already.  So reads just where expected and those in the recent past earn trust, others cost it; without,
 * the stream is continued only at its front. */
#ifndef LUNFS_STREAM_H
#define LUNFS_STREAM_H

#include "cache/recent.h"

#define LUNFS_STREAM_MISSING 48u /* reads' worth that may be missing behind the front */
#define LUNFS_STREAM_PAST 256u   /* reads' worth behind the front that may still come, or come again */
#define LUNFS_STREAM_SOON 32u    /* reads of the LUN from one read of a stream to the next if it is read steadily */
#define LUNFS_STREAM_TRUST 32u   /* at first */

typedef struct {
  uint64_t front;    /* sequential: end of the furthest read; strided: start of the next one */
  int64_t stride;    /* 0: sequential */
  uint64_t length;   /* of its reads; sequential: the longest of late */
  uint64_t unit;     /* how far one read moves it: length or the stride's magnitude */
  uint64_t worth;    /* bytes fetched for one read, within rounding: length, aligned, but no more than the stride */
  uint64_t missing;  /* bytes behind front not read so far */
  uint64_t origin;   /* what was asked for lies between origin and edge */
  uint64_t edge;     /* sequential and forward: its end; backward: its start */
  uint64_t next;     /* strided: start of the first read not asked for */
  uint64_t window;   /* 0: stopped */
  uint64_t consumed; /* since the window changed */
  uint64_t wasted;   /* since it was halved */
  uint64_t rest;     /* stopped: bytes until it may try again */
  uint64_t stake;    /* taken from the credit */
  uint64_t progress_at, used_at;
  uint8_t points, wastes;
  uint8_t trust; /* 0: only reads just where they are expected are its own */
  bool in_use, hurry;
} LunfsStream;

typedef enum {
  LUNFS_MATCH_NONE,
  LUNFS_MATCH_AGAIN,  /* in what has been passed, and nothing is missing there: no progress */
  LUNFS_MATCH_BEHIND, /* what was missing */
  LUNFS_MATCH_AHEAD,  /* leaves something missing */
  LUNFS_MATCH_EXACT,
} LunfsMatch;

static inline bool
lunfs_stream_certain (const LunfsStream *s)
{
  return s->points >= LUNFS_POINTS_CERTAIN;
}

/* Reads at [@zone, @zone + @length) may be its own. */
void lunfs_stream_zone (const LunfsStream *s, uint64_t *zone, uint64_t *length);
/* How the @now-th read of the LUN, [@offset, @end), fits. */
LunfsMatch lunfs_stream_match (const LunfsStream *s, uint64_t now, uint64_t offset, uint64_t end);
/* Its reader has come to [@offset, @end), which fits as @how says; returns the bytes of progress. */
uint64_t lunfs_stream_move (LunfsStream *s, uint64_t offset, uint64_t end, LunfsMatch how);

#endif
