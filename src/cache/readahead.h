/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Read-ahead of one LUN: what should be fetched before it is asked for.  Decisions only: no I/O, no clock, no allocation
 * after lunfs_read_ahead_new.  The cache tells of every read of a user and of what became of the bytes fetched.
 *
 * A stream is one reader that moves on: forward without holes (sequential), or by a constant distance with a constant
 * length (strided; reading backward is a stride of minus the length).  There are 16, found by position, since a LUN knows
 * no open files; the least recently used is replaced.  Reads that belong to no stream are remembered, the last 32.
 *
 *  born     Sequential: when a read continues a remembered one, or at once for 64 KiB and more at offset 0.  Strided, up
 *           to 16 MiB apart: at the third of equal distance if they came at equal intervals, else at the fourth.  32
 *           reads are what a stream among 16 shows in two rounds.  (recent.h)
 *  evidence A read just where it was expected is worth 3 points, one nearby 1, if it comes within 32 reads of the LUN; 9
 *           points make a stream certain: 4 reads in a row, which random 4 KiB reads in 16 MiB show once in millions.
 *           What an uncertain one asks for is paid from a credit of 2 MiB, given back when it turns out to be certain, and
 *           else earned with 1/512 of what users read.  So two reads in a row suffice as long as guesses were good, and
 *           random reads, which are adjacent by chance the more the smaller their area is, cost 2 MiB once and 0.2 %.
 *           Without credit a stream is born certain or not at all.
 *           Where an area has only hundreds of places to read (128 KiB reads in 64 MiB), random reads do become certain
 *           by chance, and what is fetched stays in that area: there the cache, which skips what it has, is the limit.
 *  order    Asynchronous readers with a depth of 32 come out of order by as much: up to 48 reads' worth may be missing
 *           behind the furthest read, and some come late.  Reads in there belong to the stream; what was missing counts as
 *           progress, what is read again does not.  This holds while the stream moves, and as long as such reads look
 *           like a stream's (stream.h).  After that only a read just where it was expected continues it.
 *  grows    The first window is four reads, within 128 KiB and 1 MiB: at the least two blocks of the cache, at the most
 *           half of the credit.  It doubles when half of it has been consumed (after a waste: four times of it), or
 *           when a reader had to wait.  A quarter of it at a time is asked for, at most 1 MiB, so that requests are
 *           large and half of the window is always ahead.
 *  shrinks  Fetched bytes thrown away unread halve it, at once and then once per window thrown away.  Six times
 *           without growth in between stop the stream; when it has moved on by 8 MiB, it may try again.
 *  dies     By being replaced; an uncertain one after 64 reads of the LUN without progress.
 *
 * The first range of a stream begins with the block its reader is in, which may overlap what the user asks for now; two
 * streams may ask for the same.  So the cache skips what it has or is fetching.
 *
 * One lane; no lock. */
#ifndef LUNFS_READAHEAD_H
#define LUNFS_READAHEAD_H

#include <stdint.h>

/* Bytes. */
typedef struct {
  uint64_t offset, length;
} LunfsReadAheadRange;

typedef struct LunfsReadAhead LunfsReadAhead;

/* @max_bytes: the largest window of one stream (option read_ahead; 0: never reads ahead).  @align: granularity in bytes of
 * what is asked for, a power of two. */
LunfsReadAhead *lunfs_read_ahead_new (uint64_t max_bytes, uint32_t align);
void lunfs_read_ahead_free (LunfsReadAhead *ra);

/* A user reads [@offset, @offset + @length), in bytes.  Fills at most @max elements of @out with what should be fetched
 * now, in the order it will be needed; returns how many.  Ranges lie within [0, @size_bytes), have at most 1 MiB, start at
 * a multiple of align, and end at one or at @size_bytes.  What did not fit into @out is asked for by the stream's next
 * read; what was asked for is not asked for again by the same stream. */
unsigned lunfs_read_ahead_demand (LunfsReadAhead *ra, uint64_t offset, uint64_t length, uint64_t size_bytes,
                                  LunfsReadAheadRange *out, unsigned max);
/* Of what the last lunfs_read_ahead_demand returned, the range that begins at @offset and all behind it in @out could not
 * be fetched (no memory, no session): the stream's next read asks for it again, unless the reader is past it. */
void lunfs_read_ahead_refused (LunfsReadAhead *ra, uint64_t offset);
/* Fetched bytes were thrown away without having been read. */
void lunfs_read_ahead_wasted (LunfsReadAhead *ra, uint64_t offset, uint64_t length);
/* A user had to wait for bytes, at @offset, that were being fetched: the window was too small. */
void lunfs_read_ahead_waited (LunfsReadAhead *ra, uint64_t offset);
/* All is forgotten (the cache was dropped). */
void lunfs_read_ahead_reset (LunfsReadAhead *ra);

#endif
