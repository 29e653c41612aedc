/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reads of a LUN that belong to no stream (readahead.h), the last 32 of them, and whether the newest looks like the
 * beginning of one: how much evidence there is.  Reads that touch each other are kept as one run.  Pure; embedded in its
 * user, whose lane is the only one. */
#ifndef LUNFS_RECENT_H
#define LUNFS_RECENT_H

#include <stdbool.h>
#include <stdint.h>

#define LUNFS_RECENT_RUNS 32u    /* a power of two */
#define LUNFS_RECENT_SLOTS 128u  /* of the hash over them, 2 to the 7th */
#define LUNFS_POINTS_EXPECTED 3u /* for a read just where it was expected */
#define LUNFS_POINTS_NEARBY 1u   /* for one that is only near */
#define LUNFS_POINTS_CERTAIN 9u  /* are enough for anything */

typedef struct {
  uint64_t length, seen_at; /* of the last read in it */
  uint64_t interval;        /* reads of the LUN between the last two */
  bool even;                /* and as many between the two before */
  uint8_t points;
  uint8_t downs; /* how many in a row came just below the one before */
} LunfsRun;

typedef struct {
  uint64_t start[LUNFS_RECENT_RUNS],
      end[LUNFS_RECENT_RUNS]; /* apart from the rest, as every read looks at all of them */
  LunfsRun run[LUNFS_RECENT_RUNS];
  unsigned newest;
  uint8_t slot[LUNFS_RECENT_SLOTS]; /* hash of start -> index of a run; may be out of date */
} LunfsRecent;

/* What a stream would be: its furthest read, in bytes, and the distance to the next one (0: sequential). */
typedef struct {
  uint64_t offset, end;
  int64_t stride;
  unsigned points; /* 0: there is no evidence */
} LunfsTrace;

void lunfs_recent_reset (LunfsRecent *recent);
/* Remembers a read of [@offset, @end), the @now-th of the LUN.  Distances above @max_stride bytes are not looked for. */
LunfsTrace lunfs_recent_add (LunfsRecent *recent, uint64_t now, uint64_t offset, uint64_t end, uint64_t max_stride);
/* The last one has become a stream. */
void lunfs_recent_forget_newest (LunfsRecent *recent);

#endif
