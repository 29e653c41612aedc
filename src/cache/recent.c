/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "cache/recent.h"

#include <glib.h>
#include <string.h>

#define RUNS LUNFS_RECENT_RUNS
#define EMPTY (UINT64_C (1) << 63) /* start of a run that is none; its end is 0 */
#define MAX_POINTS 32u

static unsigned
hash (uint64_t start)
{
  return (unsigned) ((start >> 9) * UINT64_C (0x9E3779B97F4A7C15) >> 57);
}

static void
forget (LunfsRecent *recent, unsigned i)
{
  recent->start[i] = EMPTY;
  recent->end[i] = 0;
}

static void
remember (LunfsRecent *recent, uint64_t start, uint64_t end, const LunfsRun *run)
{
  unsigned i = recent->newest = (recent->newest + 1) % RUNS;

  recent->start[i] = start;
  recent->end[i] = end;
  recent->run[i] = *run;
  recent->slot[hash (start)] = (uint8_t) i;
}

void
lunfs_recent_reset (LunfsRecent *recent)
{
  memset (recent, 0, sizeof *recent);
  for (unsigned i = 0; i < RUNS; i++)
    forget (recent, i);
}

void
lunfs_recent_forget_newest (LunfsRecent *recent)
{
  forget (recent, recent->newest);
}

/* The run that begins at @start and has @length, RUNS if there is none. */
static unsigned
find_run (const LunfsRecent *recent, uint64_t start, uint64_t length)
{
  unsigned i = recent->slot[hash (start)];

  return recent->start[i] == start && recent->end[i] == start + length ? i : RUNS;
}

/* The run that [offset, end) touches, the one it continues first; RUNS if there is none. */
static unsigned
find_touched (const LunfsRecent *recent, uint64_t offset, uint64_t end)
{
  unsigned touched = RUNS;

  for (unsigned i = 0; i < RUNS; i++)
    if (offset <= recent->end[i] && end >= recent->start[i] && (touched == RUNS || recent->end[i] == offset))
      touched = i;
  return touched;
}

/* A read that touches run @i: they become one, the newest. */
static void
join (LunfsRecent *recent, unsigned i, uint64_t now, uint64_t offset, uint64_t end)
{
  LunfsRun run = recent->run[i];
  uint64_t start = MIN (offset, recent->start[i]);
  bool above = end > recent->end[i], below = offset < recent->start[i];

  if (above)
    run.points = (uint8_t) (run.points + LUNFS_POINTS_EXPECTED);
  else if (below)
    run.points = (uint8_t) (run.points + LUNFS_POINTS_NEARBY);
  if (above)
    run.downs = 0;
  else if (below)
    run.downs = end == recent->start[i] && end - offset == run.length ? (uint8_t) (run.downs + 1) : 0;
  run.even = now - run.seen_at == run.interval;
  run.interval = now - run.seen_at;
  run.seen_at = now;
  run.length = end - offset;
  end = MAX (end, recent->end[i]);
  forget (recent, i);
  for (unsigned j = 0; above && j < RUNS; j++) { /* it may have closed the gap between two */
    if (recent->start[j] != end)
      continue;
    end = recent->end[j];
    run.points = (uint8_t) (run.points + recent->run[j].points + LUNFS_POINTS_NEARBY);
    forget (recent, j);
  }
  run.points = (uint8_t) MIN (run.points, MAX_POINTS);
  run.downs = (uint8_t) MIN (run.downs, MAX_POINTS / LUNFS_POINTS_EXPECTED);
  remember (recent, start, end, &run);
}

/* What the newest run looks like, after a read of [offset, end) has joined it. */
static LunfsTrace
trace_of_run (const LunfsRecent *recent, uint64_t offset, uint64_t end)
{
  const LunfsRun *run = &recent->run[recent->newest];
  uint64_t length = end - offset, front = recent->end[recent->newest];

  if (run->downs >= 3 || (run->downs == 2 && run->even))
    return (LunfsTrace){ offset, end, -(int64_t) length, LUNFS_POINTS_EXPECTED * (run->downs - 1u) };
  return (LunfsTrace){ front - length, front, 0, run->downs ? 0 : run->points };
}

/* Points for reads of equal length and distance that lead to @offset, the last of them run @i. */
static unsigned
stride_points (const LunfsRecent *recent, unsigned i, uint64_t now, uint64_t offset, uint64_t length)
{
  uint64_t stride = offset - recent->start[i];
  unsigned n = 2, newer = i;
  bool even = false;

  while (n < 2 + LUNFS_POINTS_CERTAIN / LUNFS_POINTS_EXPECTED && recent->start[newer] >= stride) {
    unsigned older = find_run (recent, recent->start[newer] - stride, length);

    if (older == RUNS || recent->run[older].seen_at >= recent->run[newer].seen_at)
      break;
    if (n == 2)
      even = now - recent->run[newer].seen_at == recent->run[newer].seen_at - recent->run[older].seen_at;
    newer = older;
    n++;
  }
  return n > 3 || (n == 3 && even) ? LUNFS_POINTS_EXPECTED * (n - 2) : 0;
}

static LunfsTrace
trace_of_stride (const LunfsRecent *recent, uint64_t now, uint64_t offset, uint64_t end, uint64_t max_stride)
{
  LunfsTrace best = { offset, end, 0, 0 };
  uint64_t length = end - offset;

  for (unsigned i = 0; i < RUNS; i++) {
    uint64_t stride = offset - recent->start[i];
    unsigned points;

    if (stride > max_stride || stride <= length || recent->end[i] - recent->start[i] != length)
      continue;
    points = stride_points (recent, i, now, offset, length);
    if (points > best.points || (points && points == best.points && (int64_t) stride < best.stride)) {
      best.points = points;
      best.stride = (int64_t) stride;
    }
  }
  return best;
}

LunfsTrace
lunfs_recent_add (LunfsRecent *recent, uint64_t now, uint64_t offset, uint64_t end, uint64_t max_stride)
{
  unsigned touched = find_touched (recent, offset, end);
  LunfsTrace trace;

  if (touched != RUNS) {
    join (recent, touched, now, offset, end);
    return trace_of_run (recent, offset, end);
  }
  trace = trace_of_stride (recent, now, offset, end, max_stride);
  remember (recent, offset, end, &(LunfsRun){ .length = end - offset, .seen_at = now });
  return trace;
}
