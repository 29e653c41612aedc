/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What read.c (readers: users' READs) and fill.c (fills: READs of ours) share. */
#ifndef LUNFS_READ_PRIVATE_H
#define LUNFS_READ_PRIVATE_H

#include "cache/cache-private.h"

#define LUNFS_CACHE_READ_PAGES (LUNFS_CACHE_IO_PAGES + 1) /* of a user's READ that is not aligned to pages */

typedef struct LunfsReader LunfsReader;
typedef struct LunfsFill LunfsFill;

/* A READ of ours. */
struct LunfsFill {
  LunfsRequest req;
  LunfsCache *cache;
  GList link;
  LunfsReader *reader; /* for whom; NULL: ahead, or nobody any more */
  GSList *joined;      /* LunfsReader: others that wait for it */
  bool ahead;
  uint64_t first; /* page */
  unsigned npages;
  uint32_t page[LUNFS_CACHE_READ_PAGES]; /* its memory; LUNFS_NO_PAGE: the reader's own */
  struct iovec iov[LUNFS_REQUEST_IOV];
};

/* A user's READ that has to wait. */
struct LunfsReader {
  LunfsRequest *req; /* NULL: given up */
  GList link;
  unsigned waiting; /* fills of its own and of others */
  int error;
  uint64_t first;
  unsigned npages;
  bool walking;
  bool exact;                                        /* whole pages could not be fetched: only what it asks for */
  uint64_t done[(LUNFS_CACHE_READ_PAGES + 63) / 64]; /* bit per page: copied */
};

/* What somebody wants of a page. */
typedef struct {
  uint64_t offset;     /* in the LUN */
  size_t length, skip; /* bytes of the page that the user wants, and where they begin in it */
  uint8_t mask;
} LunfsPart;

/* What @req wants of page @number. */
static inline LunfsPart
lunfs_part_of (const LunfsCache *c, const LunfsRequest *req, uint64_t number)
{
  uint64_t start = number * LUNFS_PAGE_BYTES;
  uint64_t from = MAX (start, req->offset), to = MIN (start + LUNFS_PAGE_BYTES, req->offset + req->length);

  return (LunfsPart){ from, (size_t) (to - from), (size_t) (from - start),
                      lunfs_pages_mask (&c->pages, number, from, to - from) };
}

/* Blocks of page @number, which is page @i or none, that are zeroes although the target may hold something else. */
static inline uint8_t
lunfs_zeroes_of (const LunfsCache *c, uint64_t number, uint32_t i)
{
  uint8_t valid = i == LUNFS_NO_PAGE ? 0 : lunfs_page (&c->pages, i)->valid;

  return lunfs_ranges_count_due (&c->ranges) ? lunfs_cache_zero_mask (c, number) & (uint8_t) ~valid : 0;
}

/* Nothing of page @number is in memory, or known to be zeroes: what of it is must not come into the table as the target has
 * it. */
static inline bool
lunfs_is_unknown (const LunfsCache *c, uint64_t number)
{
  return lunfs_pages_find (&c->pages, number) == LUNFS_NO_PAGE && !lunfs_zeroes_of (c, number, LUNFS_NO_PAGE);
}

static inline bool
lunfs_reader_is_done (const LunfsReader *r, uint64_t number)
{
  return r->done[(number - r->first) / 64] >> ((number - r->first) % 64) & 1;
}

static inline void
lunfs_reader_set_done (LunfsReader *r, uint64_t number)
{
  r->done[(number - r->first) / 64] |= UINT64_C (1) << ((number - r->first) % 64);
}

/* read.c */
/* From page @i, which has what it wants of @number. */
void lunfs_reader_copy (LunfsCache *c, LunfsReader *r, uint64_t number, uint32_t i);
/* A fill that it waited for has ended. */
void lunfs_reader_ready (LunfsCache *c, LunfsReader *r);

/* fill.c */
/* Fetches pages from @number on, up to before @end, for @r or (NULL) ahead; returns the first one that is left. */
uint64_t lunfs_cache_fetch (LunfsCache *c, LunfsReader *r, uint64_t number, uint64_t end);
void lunfs_cache_fill_clear (LunfsCache *c);

#endif
