/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "cache/readahead.h"

#include <check.h>
#include <glib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define KIB UINT64_C (1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define ALIGN (64 * KIB)
#define MAX_BYTES (32 * MIB)

/* A cache that has at once what is asked for, and counts. */
typedef struct {
  LunfsReadAhead *ra;
  uint64_t size;
  uint8_t *block; /* how often each was asked for */
  uint64_t max_bytes;
  uint64_t read, fetched, late, twice; /* bytes; late: not there when read; twice: asked for once more */
  uint64_t furthest;                   /* end of what was asked for */
  LunfsReadAheadRange out[64];
  unsigned n, max;
} Cache;

static void
cache_init (Cache *c, uint64_t size, uint64_t max_bytes)
{
  *c = (Cache){ .size = size, .max_bytes = max_bytes, .max = G_N_ELEMENTS (c->out) };
  c->ra = lunfs_read_ahead_new (max_bytes, ALIGN);
  c->block = g_malloc0 (size / ALIGN + 1);
}

static void
cache_free (Cache *c)
{
  lunfs_read_ahead_free (c->ra);
  g_free (c->block);
}

static bool
cache_has (const Cache *c, uint64_t offset, uint64_t length)
{
  for (uint64_t b = offset / ALIGN; b * ALIGN < offset + length; b++)
    if (!c->block[b])
      return false;
  return true;
}

/* One read; whether all of it was there. */
static bool
cache_read (Cache *c, uint64_t offset, uint64_t length)
{
  bool hit = cache_has (c, offset, length);

  c->read += length;
  c->late += hit ? 0 : length;
  c->n = lunfs_read_ahead_demand (c->ra, offset, length, c->size, c->out, c->max);
  ck_assert_uint_le (c->n, c->max);
  for (unsigned i = 0; i < c->n; i++) {
    const LunfsReadAheadRange *r = &c->out[i];
    uint64_t end = r->offset + r->length;

    ck_assert_uint_gt (r->length, 0);
    ck_assert_uint_le (r->length, MIB);
    ck_assert_uint_eq (r->offset % ALIGN, 0);
    ck_assert (end <= c->size && (end % ALIGN == 0 || end == c->size));
    c->fetched += r->length;
    c->furthest = MAX (c->furthest, end);
    for (uint64_t b = r->offset / ALIGN; b * ALIGN < end; b++)
      c->twice += c->block[b]++ ? ALIGN : 0;
  }
  return hit;
}

static uint64_t
random_below (GRand *rand, uint64_t n)
{
  return (((uint64_t) g_rand_int (rand) << 32) | g_rand_int (rand)) % n;
}

/* -- sequential ----------------------------------------------------------------------------------------------------- */

static const struct {
  uint64_t begin, length, max_bytes;
  unsigned late; /* reads that may find nothing */
} readers[] = {
  { 0, 4 * KIB, 32 * MIB, 2 },
  { 100 * MIB, 4 * KIB, 32 * MIB, 2 },
  { 100 * MIB + 60 * KIB, 4 * KIB, 32 * MIB, 2 },
  { 0, 128 * KIB, 32 * MIB, 1 },
  { 100 * MIB, 128 * KIB, 32 * MIB, 2 },
  { 100 * MIB, 128 * KIB, 1 * MIB, 2 },
  { 100 * MIB, MIB, 32 * MIB, 2 },
  { 100 * MIB, MIB, 4 * MIB, 2 },
  { 100 * MIB + 512, 12800, 32 * MIB, 2 },
  { 100 * MIB, 4 * KIB, 64 * KIB, 2 },
  { 100 * MIB, 4 * KIB, 100 * KIB, 2 },
};

START_TEST (test_sequential)
{
  uint64_t begin = readers[_i].begin, length = readers[_i].length, pos = begin;
  Cache c;

  cache_init (&c, GIB, readers[_i].max_bytes);
  for (unsigned n = 0; pos < begin + 200 * MIB; n++, pos += length) {
    bool hit = cache_read (&c, pos, length);

    if (n >= readers[_i].late && !hit)
      ck_abort_msg ("read %u at %llu not there", n, (unsigned long long) pos);
    if (c.furthest)
      ck_assert_uint_le (c.furthest, pos + length + c.max_bytes + ALIGN);
  }
  ck_assert_uint_eq (c.twice, 0);
  if (c.max_bytes > 2 * ALIGN) /* the window has grown to what is allowed */
    ck_assert_uint_ge (c.furthest, pos + c.max_bytes - MIN (MIB, c.max_bytes / 4));
  cache_free (&c);
}
END_TEST

static const struct {
  unsigned streams;
  uint64_t length, distance;
  unsigned late;
} crowds[] = {
  { 4, 4 * KIB, 64 * MIB, 4 },    { 4, 128 * KIB, 64 * MIB, 4 }, { 12, 4 * KIB, 64 * MIB, 4 },
  { 12, 128 * KIB, 64 * MIB, 4 }, { 12, MIB, 64 * MIB, 4 },      { 16, 128 * KIB, 64 * MIB, 4 },
};

START_TEST (test_interleaved)
{
  Cache c;

  cache_init (&c, 2 * GIB, 8 * MIB);
  for (unsigned n = 0; n * crowds[_i].length < 32 * MIB; n++)
    for (unsigned s = 0; s < crowds[_i].streams; s++) {
      uint64_t pos = (s + 1) * crowds[_i].distance + n * crowds[_i].length;

      if (!cache_read (&c, pos, crowds[_i].length) && n >= crowds[_i].late)
        ck_abort_msg ("read %u of stream %u not there", n, s);
    }
  ck_assert_uint_eq (c.twice, 0);
  ck_assert_uint_le (c.fetched, c.read + crowds[_i].streams * (8 * MIB + ALIGN));
  cache_free (&c);
}
END_TEST

/* Depth 32, delivered in batches of any order, or always one of the 32 that are due. */
START_TEST (test_out_of_order)
{
  enum { DEPTH = 32, READS = 4096 };
  static const uint64_t lengths[] = { 128 * KIB, 4 * KIB, 16 * KIB, 256 * KIB };
  uint64_t length = lengths[_i / 2 % 4], begin = GIB;
  GRand *rand = g_rand_new_with_seed ((guint32) _i);
  unsigned due[DEPTH], ndue = 0, next = 0, late = 0;
  Cache c;

  cache_init (&c, 4 * GIB, MAX_BYTES);
  for (unsigned n = 0; n < READS; n++) {
    unsigned pick;

    while (next < READS && (_i % 2 || n % DEPTH == 0) && ndue < DEPTH)
      due[ndue++] = next++;
    pick = (unsigned) g_rand_int_range (rand, 0, (gint32) ndue);
    if (!cache_read (&c, begin + due[pick] * length, length) && due[pick] >= 8 * DEPTH)
      late++;
    due[pick] = due[--ndue];
  }
  if (late > 0 || c.twice > 2 * MIB)
    ck_abort_msg ("seed %d: %u reads not there, %llu bytes asked for twice", _i, late, (unsigned long long) c.twice);
  ck_assert_uint_le (c.fetched, c.read + MAX_BYTES + 4 * MIB);
  g_rand_free (rand);
  cache_free (&c);
}
END_TEST

/* Reading again what was just read neither ends the stream nor asks for anything. */
START_TEST (test_again)
{
  uint64_t length = 128 * KIB, pos = GIB;
  Cache c;

  cache_init (&c, 2 * GIB, MAX_BYTES);
  for (unsigned n = 0; n < 1000; n++, pos += length) {
    bool hit = cache_read (&c, pos, length);

    ck_assert (n < 2 || hit);
    if (n > 32 && n % 3 == 0) {
      cache_read (&c, pos - (n % 30) * length, length);
      ck_assert_uint_eq (c.n, 0);
    }
    if (n > 32 && n % 7 == 0)
      pos -= 4 * KIB; /* the next one overlaps */
  }
  ck_assert_uint_eq (c.twice, 0);
  ck_assert_uint_ge (c.furthest, pos + MAX_BYTES - MIB);
  cache_free (&c);
}
END_TEST

/* -- strided -------------------------------------------------------------------------------------------------------- */

static const struct {
  uint64_t begin, length;
  int64_t stride;
  unsigned reads, late;
} strides[] = {
  { 0, 64 * KIB, 1 << 20, 1000, 3 },
  { 7 * MIB, 64 * KIB, 1 << 20, 1000, 3 },
  { 7 * MIB, 64 * KIB, 128 << 10, 1000, 3 },
  { 7 * MIB, 4 * KIB, 16 << 10, 10000, 3 },
  { 7 * MIB, 4 * KIB, 1 << 20, 1000, 3 },
  { 7 * MIB, 100 * KIB, 300 << 10, 1000, 3 },
  { 7 * MIB, 128 * KIB, 16 << 20, 100, 3 },
  { 7 * MIB, MIB, 3 << 20, 300, 3 },
  { 2047 * MIB, 4 * KIB, -(4 << 10), 10000, 3 },
  { 2047 * MIB, 128 * KIB, -(128 << 10), 1000, 3 },
  { 2047 * MIB, MIB, -(1 << 20), 500, 3 },
  { 2047 * MIB + 512, 12800, -12800, 2000, 3 },
};

START_TEST (test_strided)
{
  uint64_t pos = strides[_i].begin, length = strides[_i].length;
  Cache c;

  cache_init (&c, 2 * GIB, MAX_BYTES);
  for (unsigned n = 0; n < strides[_i].reads; n++, pos += (uint64_t) strides[_i].stride)
    if (!cache_read (&c, pos, length) && n >= strides[_i].late)
      ck_abort_msg ("read %u of stride %d not there", n, _i);
  ck_assert_uint_eq (c.twice, 0);
  /* Whole blocks for what is read, and no more than a window too much. */
  ck_assert_uint_le (c.fetched, strides[_i].reads * (length / ALIGN + 2) * ALIGN + MAX_BYTES);
  if (length == ALIGN)
    ck_assert_uint_le (c.fetched, c.read + MAX_BYTES);
  cache_free (&c);
}
END_TEST

START_TEST (test_strided_interleaved)
{
  Cache c;

  cache_init (&c, 4 * GIB, 4 * MIB);
  for (unsigned n = 0; n < 200; n++)
    for (unsigned s = 0; s < 6; s++)
      if (!cache_read (&c, s * 500 * MIB + n * (s + 1) * 300 * KIB, 64 * KIB) && n > 4)
        ck_abort_msg ("read %u of stride %u not there", n, s);
  cache_free (&c);
}
END_TEST

/* -- random --------------------------------------------------------------------------------------------------------- */

static const struct {
  uint64_t area, length;
} areas[] = {
  { GIB, 4 * KIB }, { 16 * MIB, 4 * KIB }, { GIB, 16 * KIB }, { 4 * GIB, 128 * KIB }, { 64 * MIB, 4 * KIB },
};

START_TEST (test_random)
{
  uint64_t length = areas[_i].length;
  GRand *rand = g_rand_new_with_seed ((guint32) _i + 17);
  Cache c;

  cache_init (&c, 8 * GIB, MAX_BYTES);
  for (unsigned n = 0; n < 100000; n++)
    cache_read (&c, 2 * GIB + random_below (rand, areas[_i].area / length) * length, length);
  if (c.fetched * 50 > c.read) /* 2 % */
    ck_abort_msg ("%llu of %llu bytes", (unsigned long long) c.fetched, (unsigned long long) c.read);
  g_rand_free (rand);
  cache_free (&c);
}
END_TEST

/* Random reads where streams have just been. */
START_TEST (test_random_after)
{
  GRand *rand = g_rand_new_with_seed (5);
  uint64_t before;
  Cache c;

  cache_init (&c, 8 * GIB, MAX_BYTES);
  for (uint64_t n = 0; n < 512; n++)
    for (uint64_t s = 0; s < 14; s++)
      cache_read (&c, 2 * GIB + s * 1200 * KIB + n * 4 * KIB, 4 * KIB);
  before = c.fetched;
  c.read = 0;
  for (unsigned n = 0; n < 100000; n++)
    cache_read (&c, 2 * GIB + random_below (rand, 4096) * 4 * KIB, 4 * KIB);
  if ((c.fetched - before) * 50 > c.read)
    ck_abort_msg ("%llu of %llu bytes", (unsigned long long) (c.fetched - before), (unsigned long long) c.read);
  g_rand_free (rand);
  cache_free (&c);
}
END_TEST

/* One sequential reader among random ones: found, and the random ones cost next to nothing. */
static const struct {
  unsigned others; /* random reads for each sequential one, on average */
  uint64_t length, area;
} mixes[] = {
  { 1, 4 * KIB, GIB },    { 1, 128 * KIB, GIB },    { 10, 4 * KIB, GIB },
  { 10, 128 * KIB, GIB }, { 1, 4 * KIB, 16 * MIB }, { 4, 128 * KIB, 16 * MIB },
};

START_TEST (test_mix)
{
  uint64_t length = mixes[_i].length, pos = 3 * GIB, reads = 0;
  GRand *rand = g_rand_new_with_seed ((guint32) _i);
  unsigned late = 0;
  Cache c;

  cache_init (&c, 8 * GIB, MAX_BYTES);
  for (unsigned n = 0; n < 5000; n++) /* the credit is gone, and all doubts are there */
    cache_read (&c, random_below (rand, mixes[_i].area / 4096) * 4096, 4096);
  for (unsigned n = 0; n < 200000; n++)
    if (g_rand_int_range (rand, 0, (gint32) mixes[_i].others + 1)) {
      cache_read (&c, random_below (rand, mixes[_i].area / 4096) * 4096, 4096);
    } else if (pos + length <= 7 * GIB) {
      late += !cache_read (&c, pos, length) && reads > 32;
      pos += length;
      reads++;
    }
  ck_assert_uint_eq (late, 0);
  ck_assert_uint_le (c.fetched, pos - 3 * GIB + MAX_BYTES + (c.read - (pos - 3 * GIB)) / 50);
  g_rand_free (rand);
  cache_free (&c);
}
END_TEST

/* -- what happens to streams ---------------------------------------------------------------------------------------- */

START_TEST (test_start)
{
  Cache c;

  cache_init (&c, GIB, MAX_BYTES);
  cache_read (&c, 0, 32 * KIB);
  ck_assert_uint_eq (c.n, 0);
  lunfs_read_ahead_reset (c.ra);
  cache_read (&c, 0, 64 * KIB);
  ck_assert_uint_eq (c.n, 1);
  ck_assert_uint_eq (c.out[0].offset, 64 * KIB);
  ck_assert_uint_eq (c.out[0].length, 256 * KIB);
  cache_read (&c, 0, 64 * KIB);
  ck_assert_uint_eq (c.n, 0);
  /* Half of it consumed: twice as much. */
  cache_read (&c, 64 * KIB, 64 * KIB);
  cache_read (&c, 128 * KIB, 64 * KIB);
  ck_assert_uint_eq (c.furthest, (192 + 512) * KIB);
  cache_free (&c);
}
END_TEST

START_TEST (test_end)
{
  uint64_t size = 10 * MIB + 7 * KIB, pos = 0;
  Cache c;

  cache_init (&c, size, MAX_BYTES);
  for (; pos + 64 * KIB <= size; pos += 64 * KIB)
    ck_assert (cache_read (&c, pos, 64 * KIB) || pos == 0);
  ck_assert (cache_read (&c, pos, size - pos));
  ck_assert_uint_eq (c.furthest, size);
  ck_assert_uint_eq (c.twice, 0);
  ck_assert_uint_eq (c.fetched, size - 64 * KIB);
  /* Not a read at all. */
  cache_read (&c, size, 4096);
  cache_read (&c, size - 512, 4096);
  cache_read (&c, UINT64_MAX - 511, 4096);
  cache_read (&c, 0, 0);
  cache_free (&c);

  /* Downward to the start. */
  cache_init (&c, size, MAX_BYTES);
  for (pos = 10 * MIB; pos > 0; pos -= 64 * KIB)
    ck_assert (cache_read (&c, pos - 64 * KIB, 64 * KIB) || pos > 10 * MIB - 192 * KIB);
  ck_assert_uint_eq (c.fetched, 10 * MIB - 192 * KIB);
  cache_free (&c);
}
END_TEST

/* @c reads on from @pos, @bytes in pieces of 128 KiB. */
static uint64_t
read_on (Cache *c, uint64_t pos, uint64_t bytes)
{
  for (uint64_t end = pos + bytes; pos < end; pos += 128 * KIB)
    cache_read (c, pos, 128 * KIB);
  return pos;
}

START_TEST (test_wasted)
{
  uint64_t pos, before;
  Cache c;

  cache_init (&c, 8 * GIB, MAX_BYTES);
  pos = read_on (&c, GIB, 100 * MIB);
  ck_assert_uint_ge (c.furthest, pos + 31 * MIB);
  lunfs_read_ahead_wasted (c.ra, 7 * GIB, MIB); /* nobody's */
  lunfs_read_ahead_wasted (c.ra, pos + 20 * MIB, 64 * KIB);
  lunfs_read_ahead_wasted (c.ra, pos + 21 * MIB, 64 * KIB); /* still the same window */
  before = c.fetched;
  pos = read_on (&c, pos, 8 * MIB);
  ck_assert_uint_eq (c.fetched, before);
  pos = read_on (&c, pos, 40 * MIB);
  ck_assert_uint_le (c.furthest, pos + 16 * MIB);
  ck_assert_uint_ge (c.furthest, pos + 14 * MIB);
  pos = read_on (&c, pos, 100 * MIB); /* no more waste: it recovers */
  ck_assert_uint_ge (c.furthest, pos + 31 * MIB);
  /* All of it, block by block, and then again. */
  for (uint64_t at = pos; at < pos + 31 * MIB; at += 64 * KIB)
    lunfs_read_ahead_wasted (c.ra, at, 64 * KIB);
  for (unsigned n = 0; n < 6; n++)
    lunfs_read_ahead_wasted (c.ra, pos, MIB);
  before = c.fetched;
  pos = read_on (&c, pos, 7 * MIB);
  ck_assert_uint_eq (c.fetched, before);
  pos = read_on (&c, pos, 100 * MIB); /* and it may try again */
  ck_assert_uint_gt (c.fetched, before);
  cache_free (&c);
}
END_TEST

/* Whatever is asked for is wasted: little is asked for. */
START_TEST (test_collapse)
{
  Cache c;

  cache_init (&c, 8 * GIB, MAX_BYTES);
  for (uint64_t pos = GIB; pos < GIB + 512 * MIB; pos += 128 * KIB) {
    cache_read (&c, pos, 128 * KIB);
    for (unsigned i = 0; i < c.n; i++)
      lunfs_read_ahead_wasted (c.ra, c.out[i].offset, c.out[i].length);
  }
  ck_assert_uint_le (c.fetched, c.read / 4);
  cache_free (&c);
}
END_TEST

static const struct {
  uint64_t length;
  int64_t stride;
} refused[] = { { 128 << 10, 128 << 10 }, { 64 << 10, 1 << 20 }, { 4 << 10, 16 << 10 }, { 256 << 10, -(256 << 10) } };

/* What was refused is asked for by the next read, and all of it: a reader finds everything but for the first reads. */
START_TEST (test_refused)
{
  uint64_t pos = GIB, length = refused[_i].length;
  Cache c;

  cache_init (&c, 4 * GIB, MAX_BYTES);
  for (unsigned n = 0; n < 1000; n++, pos += (uint64_t) refused[_i].stride) {
    bool hit = cache_read (&c, pos, length);

    ck_assert (n < 10 || hit);
    if (n % 3 == 0 && c.n > 0) {
      unsigned from = n % 2 ? c.n - 1 : 0;

      lunfs_read_ahead_refused (c.ra, c.out[from].offset);
      for (unsigned i = from; i < c.n; i++)
        for (uint64_t at = 0; at < c.out[i].length; at += ALIGN)
          c.block[(c.out[i].offset + at) / ALIGN] = 0;
    }
  }
  ck_assert_uint_eq (c.twice, 0);
  lunfs_read_ahead_refused (c.ra, 0); /* nothing was asked for */
  cache_free (&c);
}
END_TEST

/* A caller with room for one range at a time gets the rest later. */
START_TEST (test_narrow)
{
  uint64_t pos = GIB;
  Cache c;

  cache_init (&c, 4 * GIB, MAX_BYTES);
  c.max = 1;
  for (unsigned n = 0; n < 2000; n++, pos += 128 * KIB)
    ck_assert (cache_read (&c, pos, 128 * KIB) || n < 2);
  ck_assert_uint_eq (c.twice, 0);
  ck_assert_uint_ge (c.furthest, pos + 31 * MIB);
  c.max = 0;
  cache_read (&c, pos, 8 * MIB);
  ck_assert_uint_eq (c.n, 0);
  cache_free (&c);
}
END_TEST

START_TEST (test_waited)
{
  uint64_t reached[2];

  for (unsigned waits = 0; waits < 2; waits++) {
    uint64_t pos = GIB;
    Cache c;

    cache_init (&c, 4 * GIB, MAX_BYTES);
    for (unsigned n = 0; n < 8; n++, pos += 128 * KIB) {
      cache_read (&c, pos, 128 * KIB);
      if (waits && n > 2)
        lunfs_read_ahead_waited (c.ra, pos + 128 * KIB);
    }
    reached[waits] = c.furthest - pos;
    lunfs_read_ahead_waited (c.ra, 3 * GIB); /* nobody's */
    cache_free (&c);
  }
  ck_assert_uint_ge (reached[1], 4 * reached[0]);
}
END_TEST

START_TEST (test_reset)
{
  uint64_t pos;
  Cache c;

  cache_init (&c, 4 * GIB, MAX_BYTES);
  pos = read_on (&c, GIB, 64 * MIB);
  lunfs_read_ahead_reset (c.ra);
  lunfs_read_ahead_refused (c.ra, pos);
  lunfs_read_ahead_wasted (c.ra, pos, MIB);
  lunfs_read_ahead_waited (c.ra, pos);
  cache_read (&c, pos, 128 * KIB);
  ck_assert_uint_eq (c.n, 0);
  cache_read (&c, pos + 128 * KIB, 128 * KIB); /* asked for again, from here, with a small window */
  ck_assert_uint_eq (c.n, 1);
  ck_assert_uint_eq (c.out[0].offset, pos + 256 * KIB);
  ck_assert_uint_eq (c.out[0].length, 512 * KIB);
  cache_free (&c);
}
END_TEST

START_TEST (test_off)
{
  Cache c;

  cache_init (&c, GIB, 0);
  read_on (&c, 0, 64 * MIB);
  ck_assert_uint_eq (c.fetched, 0);
  cache_free (&c);
}
END_TEST

/* A 17th stream takes the place of the one used least recently, no other. */
START_TEST (test_replaced)
{
  Cache c;

  cache_init (&c, 8 * GIB, MIB);
  for (uint64_t s = 0; s < 17; s++)
    for (uint64_t n = 0; n < 5; n++)
      cache_read (&c, s * 400 * MIB + 64 * MIB + n * 128 * KIB, 128 * KIB);
  for (uint64_t s = 16; s > 0; s--) {
    cache_read (&c, s * 400 * MIB + 64 * MIB + 5 * 128 * KIB, 128 * KIB);
    ck_assert_uint_gt (c.n, 0);
  }
  cache_read (&c, 64 * MIB + 5 * 128 * KIB, 128 * KIB);
  ck_assert_uint_eq (c.n, 0);
  cache_free (&c);
}
END_TEST

/* Only to be read by people: no limit on time holds on every machine. */
START_TEST (test_speed)
{
  enum { READS = 1000000 };
  static uint64_t at[4096];
  LunfsReadAheadRange out[16];
  LunfsReadAhead *ra = lunfs_read_ahead_new (MAX_BYTES, ALIGN);
  GRand *rand = g_rand_new_with_seed (1);
  clock_t begin;
  unsigned n = 0;

  for (unsigned i = 0; i < G_N_ELEMENTS (at); i++)
    at[i] = random_below (rand, GIB / 4096) * 4096;
  for (uint64_t s = 0; s < 16; s++) /* all entries are in use */
    for (uint64_t i = 0; i < 8; i++)
      lunfs_read_ahead_demand (ra, 2 * GIB + s * 64 * MIB + i * 65536, 65536, 8 * GIB, out, 16);
  begin = clock ();
  for (unsigned i = 0; i < READS; i++) /* another order each time: the same would be sequential somewhere */
    n += lunfs_read_ahead_demand (ra, at[(i * 2654435761u >> 7) % 4096] ^ (uint64_t) (i >> 12) << 14, 4096, 8 * GIB,
                                  out, 16);
  printf ("# random read: %d ns (%u ranges in all)\n",
          (int) ((double) (clock () - begin) / CLOCKS_PER_SEC / READS * 1e9), n);
  g_rand_free (rand);
  lunfs_read_ahead_free (ra);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("readahead");
  TCase *tc = tcase_create ("readahead");
  SRunner *runner;
  int failed;

  tcase_set_timeout (tc, 30);
  tcase_add_loop_test (tc, test_sequential, 0, G_N_ELEMENTS (readers));
  tcase_add_loop_test (tc, test_interleaved, 0, G_N_ELEMENTS (crowds));
  tcase_add_loop_test (tc, test_out_of_order, 0, 32);
  tcase_add_test (tc, test_again);
  tcase_add_loop_test (tc, test_strided, 0, G_N_ELEMENTS (strides));
  tcase_add_test (tc, test_strided_interleaved);
  tcase_add_loop_test (tc, test_random, 0, G_N_ELEMENTS (areas));
  tcase_add_test (tc, test_random_after);
  tcase_add_loop_test (tc, test_mix, 0, G_N_ELEMENTS (mixes));
  tcase_add_test (tc, test_start);
  tcase_add_test (tc, test_end);
  tcase_add_test (tc, test_wasted);
  tcase_add_test (tc, test_collapse);
  tcase_add_loop_test (tc, test_refused, 0, G_N_ELEMENTS (refused));
  tcase_add_test (tc, test_narrow);
  tcase_add_test (tc, test_waited);
  tcase_add_test (tc, test_reset);
  tcase_add_test (tc, test_off);
  tcase_add_test (tc, test_replaced);
  tcase_add_test (tc, test_speed);
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
