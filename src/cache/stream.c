/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "cache/stream.h"

#include <glib.h>

#define MAX_POSITION (UINT64_C (1) << 62) /* of any LUN; so differences of positions fit into 63 bits */
#define MAX_TRUST 64u
#define RECENT_PAST 64u /* reads' worth */
/* Reads of the LUN since the stream's last progress. */
#define AT_ONCE 16u
#define FORGOTTEN 64u
#define MOVING 1024u

static uint64_t
minus (uint64_t a, uint64_t b)
{
  return a > b ? a - b : 0;
}

void
lunfs_stream_zone (const LunfsStream *s, uint64_t *zone, uint64_t *length)
{
  uint64_t before = (s->stride < 0 ? LUNFS_STREAM_MISSING : LUNFS_STREAM_PAST) * s->unit;
  uint64_t after = (s->stride < 0 ? LUNFS_STREAM_PAST : LUNFS_STREAM_MISSING) * s->unit;

  *zone = minus (s->front, before);
  *length = s->front + after + 1 - *zone;
  if (s->front >= MAX_POSITION) /* backward, and it has come to the start of the LUN: nothing is left to expect */
    *length = 0;
}

/* How a read of [offset, end) fits to a sequential stream that made progress @ago reads ago. */
static LunfsMatch
match_sequential (const LunfsStream *s, uint64_t offset, uint64_t end, uint64_t ago)
{
  if (offset <= s->front && end > s->front)
    return LUNFS_MATCH_EXACT;
  if (ago > (lunfs_stream_certain (s) ? MOVING : AT_ONCE) || s->trust == 0)
    return LUNFS_MATCH_NONE;
  if (offset > s->front)
    return s->missing + (offset - s->front) <= LUNFS_STREAM_MISSING * MIN (end - offset, s->length) ? LUNFS_MATCH_AHEAD
                                                                                                    : LUNFS_MATCH_NONE;
  /* It was found in the middle of what came out of order: what lies before its origin has not been read. */
  if (s->missing || (offset < s->origin && s->front - offset <= RECENT_PAST * s->unit))
    return LUNFS_MATCH_BEHIND;
  return ago <= LUNFS_STREAM_SOON ? LUNFS_MATCH_AGAIN : LUNFS_MATCH_NONE;
}

static LunfsMatch
match_strided (const LunfsStream *s, uint64_t offset, uint64_t end, uint64_t ago)
{
  int64_t distance = (int64_t) (offset - s->front), steps;

  if (end - offset != s->length)
    return LUNFS_MATCH_NONE;
  if (distance == 0)
    return LUNFS_MATCH_EXACT;
  if (ago > MOVING || !lunfs_stream_certain (s) || s->trust == 0 || distance % s->stride != 0)
    return LUNFS_MATCH_NONE;
  steps = distance / s->stride;
  if (steps > 0)
    return s->missing + (uint64_t) steps * s->worth <= LUNFS_STREAM_MISSING * s->worth ? LUNFS_MATCH_AHEAD
                                                                                       : LUNFS_MATCH_NONE;
  if (s->missing)
    return LUNFS_MATCH_BEHIND;
  return ago <= LUNFS_STREAM_SOON ? LUNFS_MATCH_AGAIN : LUNFS_MATCH_NONE;
}

LunfsMatch
lunfs_stream_match (const LunfsStream *s, uint64_t now, uint64_t offset, uint64_t end)
{
  uint64_t ago = now - s->progress_at;

  if (!lunfs_stream_certain (s) && ago > FORGOTTEN)
    return LUNFS_MATCH_NONE;
  return s->stride ? match_strided (s, offset, end, ago) : match_sequential (s, offset, end, ago);
}

/* Reads that only are in the neighbourhood hit all of the past alike, those of a stream what has just been passed. */
static void
judge (LunfsStream *s, uint64_t offset, LunfsMatch how)
{
  uint64_t distance = s->stride < 0 ? offset - s->front : s->front - offset;

  if (how == LUNFS_MATCH_EXACT)
    s->trust = (uint8_t) MIN (s->trust + LUNFS_POINTS_EXPECTED, MAX_TRUST);
  else if (how == LUNFS_MATCH_BEHIND && distance <= RECENT_PAST * s->unit)
    s->trust = (uint8_t) MIN (s->trust + LUNFS_POINTS_NEARBY, MAX_TRUST);
  else if (how != LUNFS_MATCH_AHEAD)
    s->trust = (uint8_t) minus (s->trust, 2);
}

uint64_t
lunfs_stream_move (LunfsStream *s, uint64_t offset, uint64_t end, LunfsMatch how)
{
  uint64_t bytes = s->stride ? s->worth : end - offset;

  judge (s, offset, how);
  if (how == LUNFS_MATCH_AGAIN)
    return 0;
  if (how == LUNFS_MATCH_BEHIND) {
    bytes = MIN (bytes, s->missing);
    s->missing -= bytes;
    return bytes;
  }
  if (how == LUNFS_MATCH_EXACT) /* nobody may ever come for what is missing; so it is forgotten bit by bit */
    s->missing -= s->missing / 16;
  if (s->stride) {
    s->missing += (uint64_t) ((int64_t) (offset - s->front) / s->stride) * s->worth;
    s->front = (uint64_t) ((int64_t) offset + s->stride);
    return bytes;
  }
  if (how == LUNFS_MATCH_AHEAD)
    s->missing += offset - s->front;
  else
    bytes = end - s->front;
  s->front = end;
  s->length = s->unit = s->worth = MAX (end - offset, s->length - s->length / 16);
  return bytes;
}
