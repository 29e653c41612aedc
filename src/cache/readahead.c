/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "cache/readahead.h"
#include "cache/recent.h"
#include "cache/stream.h"

#include <glib.h>
#include <stdbool.h>
#include <string.h>

#define KIB UINT64_C (1024)
#define MIB (1024 * KIB)

#define STREAMS 16u
#define MAX_RANGE MIB
#define MIN_FIRST_WINDOW (128 * KIB)
#define MAX_FIRST_WINDOW MIB
#define MIN_LENGTH_AT_START (64 * KIB)
#define MAX_STRIDE (16 * MIB)
#define MAX_LENGTH (256 * MIB)
#define MAX_POSITION (UINT64_C (1) << 62) /* so that sums and differences of positions fit into 63 bits */
/* Points of evidence. */
#define EXPECTED LUNFS_POINTS_EXPECTED
#define NEARBY LUNFS_POINTS_NEARBY
#define CERTAIN LUNFS_POINTS_CERTAIN
#define LIKELY 3
#define MAX_POINTS 32
#define MAX_CREDIT (2 * MIB)
#define CREDIT_SHARE 512
#define MAX_WASTES 6
#define REST (8 * MIB)

typedef LunfsStream Stream;
typedef LunfsMatch Match;

struct LunfsReadAhead {
  uint64_t max_bytes, align;
  uint64_t now; /* reads so far */
  uint64_t credit, earned;
  Stream *last; /* who asked in the last demand, and its edge before */
  uint64_t last_edge;
  /* Where a read may belong to a stream: [zone, zone + zone_length); apart from the rest, as every read looks here. */
  uint64_t zone[STREAMS], zone_length[STREAMS];
  Stream streams[STREAMS];
  LunfsRecent recent;
};

static uint64_t
down (const LunfsReadAhead *ra, uint64_t pos)
{
  return pos & ~(ra->align - 1);
}

static uint64_t
up (const LunfsReadAhead *ra, uint64_t pos)
{
  return down (ra, pos + ra->align - 1);
}

void
lunfs_read_ahead_reset (LunfsReadAhead *ra)
{
  uint64_t max_bytes = ra->max_bytes, align = ra->align;

  memset (ra, 0, sizeof *ra);
  ra->max_bytes = max_bytes;
  ra->align = align;
  ra->credit = MAX_CREDIT;
  lunfs_recent_reset (&ra->recent);
}

LunfsReadAhead *
lunfs_read_ahead_new (uint64_t max_bytes, uint32_t align)
{
  LunfsReadAhead *ra = g_new0 (LunfsReadAhead, 1);

  ra->align = align;
  ra->max_bytes = max_bytes ? MAX (down (ra, MIN (max_bytes, MAX_POSITION)), align) : 0;
  lunfs_read_ahead_reset (ra);
  return ra;
}

void
lunfs_read_ahead_free (LunfsReadAhead *ra)
{
  g_free (ra);
}

/* -- streams -------------------------------------------------------------------------------------------------------- */

static uint64_t
first_window (const LunfsReadAhead *ra, uint64_t length)
{
  return MIN (CLAMP (4 * length, MIN_FIRST_WINDOW, MAX_FIRST_WINDOW), ra->max_bytes);
}

static void
set_zone (LunfsReadAhead *ra, const Stream *s)
{
  size_t i = (size_t) (s - ra->streams);

  lunfs_stream_zone (s, &ra->zone[i], &ra->zone_length[i]);
}

/* The stream the read belongs to, best match first; NULL: none. */
static Stream *
find_stream (LunfsReadAhead *ra, uint64_t offset, uint64_t end, Match *how)
{
  unsigned near = 0;
  Stream *best = NULL;

  *how = LUNFS_MATCH_NONE;
  for (unsigned i = 0; i < STREAMS; i++)
    near |= (unsigned) (offset - ra->zone[i] < ra->zone_length[i]) << i;
  for (; near; near &= near - 1) {
    Stream *s = &ra->streams[__builtin_ctz (near)];
    Match m = lunfs_stream_match (s, ra->now, offset, end);

    /* Of equals the sequential one: strides show by chance in what is read out of order. */
    if (m > *how || (m == *how && best && best->stride && !s->stride)) {
      best = s;
      *how = m;
    }
  }
  return best;
}

/* Evidence from a read that has come just now. */
static void
add_points (LunfsReadAhead *ra, Stream *s, Match how)
{
  if (ra->now - s->progress_at <= LUNFS_STREAM_SOON)
    s->points = (uint8_t) MIN (s->points + (how == LUNFS_MATCH_EXACT ? EXPECTED : NEARBY), MAX_POINTS);
  if (lunfs_stream_certain (s)) {
    ra->credit = MIN (ra->credit + s->stake, MAX_CREDIT);
    s->stake = 0;
  }
}

/* Bytes of progress, already counted in front and missing, to the window. */
static void
consume (const LunfsReadAhead *ra, Stream *s, uint64_t bytes)
{
  if (s->window == 0) {
    s->rest -= MIN (s->rest, bytes);
    if (s->rest == 0) {
      s->window = first_window (ra, s->length);
      s->wastes = 0;
      s->consumed = 0;
    }
    return;
  }
  s->consumed += bytes;
  if (s->hurry || s->consumed >= (s->wastes ? 4 * s->window : s->window / 2)) {
    s->window = MIN (2 * s->window, ra->max_bytes);
    s->consumed = s->wasted = 0;
    s->wastes = 0;
    s->hurry = false;
  }
}

/* The reader of @s has come to [offset, end). */
static void
advance (LunfsReadAhead *ra, Stream *s, uint64_t offset, uint64_t end, Match how)
{
  uint64_t bytes = lunfs_stream_move (s, offset, end, how);

  s->used_at = ra->now;
  if (how == LUNFS_MATCH_AGAIN)
    return;
  add_points (ra, s, how);
  s->progress_at = ra->now;
  consume (ra, s, bytes);
  set_zone (ra, s);
}

/* NULL: the evidence does not suffice. */
static Stream *
create (LunfsReadAhead *ra, const LunfsTrace *trace)
{
  uint64_t offset = trace->offset, end = trace->end, length = end - offset, window = first_window (ra, length);
  int64_t stride = trace->stride;
  unsigned points = trace->points;
  Stream *s = ra->streams;

  if (points < LIKELY || (points < CERTAIN && ra->credit < window))
    return NULL;
  if (stride < 0 && offset < (uint64_t) -stride)
    return NULL;
  for (unsigned i = 0; i < STREAMS; i++) {
    Stream *other = &ra->streams[i];
    bool inside =
        other->front + LUNFS_STREAM_PAST * length >= end && other->front <= end + LUNFS_STREAM_MISSING * length;

    /* It was taken for strided because it came out of order. */
    if (!stride && other->in_use && other->stride && !lunfs_stream_certain (other) && inside) {
      other->in_use = false;
      ra->zone_length[i] = 0;
    }
    if (s->in_use && (!other->in_use || other->used_at < s->used_at))
      s = other;
  }
  *s = (Stream){
    .front = stride ? (uint64_t) ((int64_t) offset + stride) : end,
    .stride = stride,
    .length = length,
    .unit = stride ? (uint64_t) ABS (stride) : length,
    .edge = stride < 0 ? up (ra, offset) : down (ra, end),
    .window = window,
    .progress_at = ra->now,
    .used_at = ra->now,
    .points = (uint8_t) MIN (points, MAX_POINTS),
    .trust = LUNFS_STREAM_TRUST,
    .in_use = true,
  };
  s->worth = stride ? MIN (up (ra, length), s->unit) : length;
  s->origin = s->edge;
  s->next = s->front;
  set_zone (ra, s);
  return s;
}

/* A read that belongs to no stream: the stream it makes with what is remembered, or NULL. */
static Stream *
consider (LunfsReadAhead *ra, uint64_t offset, uint64_t end)
{
  LunfsTrace trace = lunfs_recent_add (&ra->recent, ra->now, offset, end, MAX_STRIDE);
  bool at_start = offset == 0 && end >= MIN_LENGTH_AT_START && trace.points < LIKELY;
  Stream *s;

  for (unsigned i = 0; at_start && i < STREAMS; i++) /* the same again, not a new reader */
    at_start = !ra->streams[i].in_use || ra->streams[i].front != end;
  if (at_start)
    trace = (LunfsTrace){ offset, end, 0, LIKELY };
  s = create (ra, &trace);
  if (s && at_start)
    s->trust = 0; /* one read says nothing about those nearby */
  else if (s)
    lunfs_recent_forget_newest (&ra->recent);
  return s;
}

/* -- asking --------------------------------------------------------------------------------------------------------- */

typedef struct {
  LunfsReadAheadRange *out;
  unsigned n, max;
  uint64_t budget; /* bytes */
} Asking;

/* Asks for [begin, end), beginning at that end, or at the other for @backward; returns how far it came. */
static uint64_t
ask_range (const LunfsReadAhead *ra, Asking *a, uint64_t begin, uint64_t end, bool backward)
{
  while (begin < end) {
    LunfsReadAheadRange *prev = a->n ? &a->out[a->n - 1] : NULL;
    bool joins =
        prev && prev->length < MAX_RANGE && (backward ? prev->offset == end : prev->offset + prev->length == begin);
    uint64_t bytes = MIN (end - begin, joins ? MAX_RANGE - prev->length : MAX_RANGE);

    if (!joins && a->n == a->max)
      break;
    bytes = MIN (bytes, a->budget);
    if (backward)
      bytes = end - MIN (up (ra, end - bytes), end);
    else if (bytes < end - begin)
      bytes = down (ra, bytes);
    if (bytes == 0)
      break;
    if (joins)
      *prev = (LunfsReadAheadRange){ backward ? end - bytes : prev->offset, prev->length + bytes };
    else
      a->out[a->n++] = (LunfsReadAheadRange){ backward ? end - bytes : begin, bytes };
    a->budget -= bytes;
    if (backward)
      end -= bytes;
    else
      begin += bytes;
  }
  return backward ? end : begin;
}

static void
ask_sequential (const LunfsReadAhead *ra, Stream *s, uint64_t size, Asking *a)
{
  uint64_t target = MIN (up (ra, s->front + s->window), size);

  s->edge = MAX (s->edge, down (ra, s->front));
  if (target < size && target < s->edge + CLAMP (s->window / 4, ra->align, MAX_RANGE))
    return;
  s->edge = ask_range (ra, a, s->edge, target, false);
}

static void
ask_strided (const LunfsReadAhead *ra, Stream *s, uint64_t size, Asking *a)
{
  int64_t wanted = (int64_t) MAX (s->window / s->worth, 1);
  int64_t asked = ((int64_t) (s->next - s->front)) / s->stride;

  if (asked < 0) {
    s->next = s->front;
    asked = 0;
  }
  if (wanted - asked < MAX (wanted / 4, 1))
    return;
  for (; asked < wanted && s->next < size; asked++) {
    uint64_t begin = down (ra, s->next), end = MIN (up (ra, s->next + s->length), size);

    if (s->stride > 0 && end > s->edge) {
      s->edge = ask_range (ra, a, MAX (begin, s->edge), end, false);
      if (s->edge < end)
        return;
    } else if (s->stride < 0 && begin < s->edge) {
      s->edge = ask_range (ra, a, begin, MIN (end, s->edge), true);
      if (s->edge > begin)
        return;
    }
    s->next = (uint64_t) ((int64_t) s->next + s->stride); /* below 0: beyond any size */
  }
}

static unsigned
ask (LunfsReadAhead *ra, Stream *s, uint64_t size, LunfsReadAheadRange *out, unsigned max)
{
  Asking a = { .out = out, .max = max, .budget = lunfs_stream_certain (s) ? UINT64_MAX : ra->credit };

  if (s->window == 0)
    return 0;
  ra->last_edge = s->edge;
  if (s->stride)
    ask_strided (ra, s, size, &a);
  else
    ask_sequential (ra, s, size, &a);
  if (!lunfs_stream_certain (s)) {
    s->stake += ra->credit - a.budget;
    ra->credit = a.budget;
  }
  ra->last = a.n ? s : NULL;
  return a.n;
}

unsigned
lunfs_read_ahead_demand (LunfsReadAhead *ra, uint64_t offset, uint64_t length, uint64_t size_bytes,
                         LunfsReadAheadRange *out, unsigned max)
{
  uint64_t end = offset + length;
  Match how;
  Stream *s;

  ra->last = NULL;
  if (!ra->max_bytes || length == 0 || length > MAX_LENGTH || size_bytes > MAX_POSITION || offset >= size_bytes
      || length > size_bytes - offset)
    return 0;
  ra->now++;
  ra->earned += length;
  ra->credit = MIN (ra->credit + ra->earned / CREDIT_SHARE, MAX_CREDIT);
  ra->earned %= CREDIT_SHARE;
  s = find_stream (ra, offset, end, &how);
  if (s)
    advance (ra, s, offset, end, how);
  else
    s = consider (ra, offset, end);
  return s ? ask (ra, s, size_bytes, out, max) : 0;
}

/* -- what became of it ---------------------------------------------------------------------------------------------- */

void
lunfs_read_ahead_refused (LunfsReadAhead *ra, uint64_t offset)
{
  Stream *s = ra->last;

  if (!s)
    return;
  if (s->stride < 0) /* ranges of 1 MiB without gaps, but for the last, below last_edge */
    s->edge = offset < ra->last_edge ? offset + (ra->last_edge - offset - 1) % MAX_RANGE + 1 : s->edge;
  else
    s->edge = MIN (s->edge, offset);
  while (s->stride && s->next != s->front) {
    uint64_t before = (uint64_t) ((int64_t) s->next - s->stride);

    if (s->stride > 0 ? up (ra, before + s->length) <= s->edge : down (ra, before) >= s->edge)
      break;
    s->next = before;
  }
}

/* The stream that asked for the byte at @offset, of several the one that is nearest; NULL: it is no longer known. */
static Stream *
asker (LunfsReadAhead *ra, uint64_t offset)
{
  Stream *best = NULL;
  uint64_t nearest = UINT64_MAX;

  for (unsigned i = 0; i < STREAMS; i++) {
    Stream *s = &ra->streams[i];
    uint64_t begin = s->stride < 0 ? s->edge : s->origin, end = s->stride < 0 ? s->origin : s->edge;
    uint64_t distance = s->stride < 0 ? offset - begin : end - offset;

    if (!s->in_use || offset < begin || offset >= end || distance >= nearest)
      continue;
    best = s;
    nearest = distance;
  }
  return best;
}

void
lunfs_read_ahead_wasted (LunfsReadAhead *ra, uint64_t offset, uint64_t length)
{
  Stream *s = asker (ra, offset);

  if (!s || s->window == 0)
    return;
  s->wasted += length;
  if (s->wastes && s->wasted < s->window)
    return;
  s->window = MAX (down (ra, s->window / 2), ra->align);
  s->wasted = s->consumed = 0;
  s->hurry = false;
  if (++s->wastes >= MAX_WASTES) {
    s->window = 0;
    s->rest = REST;
  }
}

void
lunfs_read_ahead_waited (LunfsReadAhead *ra, uint64_t offset)
{
  Stream *s = asker (ra, offset);

  if (s)
    s->hurry = true;
}
