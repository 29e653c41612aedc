/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the cache room share.
 *
 *   cache.c      takes requests, decides who serves them, gives them back
 *   read.c       READs from memory; what users, and those who will come, lack of it
 *   fill.c       fetches that (fills)
 *   store.c      WRITEs into memory, within the limits
 *   writeback.c  sends dirty pages
 *   through.c    WRITEs the target takes first; discards and zeroes
 *   zero.c       discards and zeroes that are answered before
 *   commit.c     FLUSH: drain, then SYNCHRONIZE CACHE
 *   recover.c    after a login; losses
 *   pages.c (pages_*.c)  the page table     ranges.c  discards not yet stable     readahead.c  what to fetch
 *   frames.c     memory */
#ifndef LUNFS_CACHE_PRIVATE_H
#define LUNFS_CACHE_PRIVATE_H

#include "cache/cache.h"
#include "cache/pages.h"
#include "cache/ranges.h"
#include "cache/readahead.h"

#define LUNFS_CACHE_IO_BYTES (1u << 20) /* most of one READ or WRITE of ours */
#define LUNFS_CACHE_IO_PAGES (LUNFS_CACHE_IO_BYTES / LUNFS_PAGE_BYTES)
#define LUNFS_CACHE_ZEROINGS 4 /* discards and zeroes of ours at the target at once */

typedef struct LunfsSend LunfsSend;

/* A WRITE of ours: dirty pages. */
struct LunfsSend {
  LunfsRequest req;
  LunfsCache *cache;
  GList link;
  uint64_t first; /* page */
  unsigned npages;
  uint8_t left; /* one page, blocks of it with gaps between, or more than the target takes: what is still to be sent */
  uint32_t page[LUNFS_CACHE_IO_PAGES];
  struct iovec iov[LUNFS_REQUEST_IOV];
};

/* A discard or zeroes of ours. */
typedef struct {
  LunfsRequest req; /* all of the range, or, if that was refused, a piece of it as a WRITE */
  LunfsCache *cache;
  uint64_t seq, end; /* of the range */
  int64_t began_us;
  bool busy;
  struct iovec iov;
} LunfsZeroing;

struct LunfsCache {
  LunfsLayer base;
  LunfsCacheConf conf;
  LunfsLane *lane;
  LunfsLayer *lower;
  LunfsStats *stats;
  LunfsPages pages;
  LunfsRanges ranges;
  bool wce, dpofua;
  bool cached;  /* reads are served from memory */
  bool delayed; /* writes are answered from memory */
  bool keeps;   /* what is written stays in memory until it is stable; else it is stable before it is answered */
  uint64_t size_bytes, max_bytes; /* of the LUN; of one command */
  GQueue finished;                /* answered without having been sent, at the end of the pass */
  LunfsDefer finish;
  LunfsTimer expire;

  /* read.c, fill.c */
  LunfsReadAhead *ahead;
  uint64_t ahead_bytes;           /* being fetched ahead */
  uint8_t sink[LUNFS_PAGE_BYTES]; /* for what nobody wants */
  GQueue fills, free_fills, readers, free_readers;

  /* writeback.c */
  GQueue sends, free_sends;
  uint64_t sending_bytes;
  GQueue held;            /* writes that wait for memory */
  unsigned stores_failed; /* of the first of them */
  GQueue blocked;         /* through.c: what must not overtake dirty pages of its range */
  LunfsDefer kick;
  LunfsTimer delay, retry;
  bool due;            /* what was dirty when the delay ended goes now */
  int send_error;      /* the last WRITE that failed after it was answered; negative, 0 = none since a good one */
  bool retry_now;      /* a flush or the timer asks for one more attempt */
  uint64_t rate_bytes; /* per second, measured while there is more to send */
  uint64_t rated_bytes;
  int64_t rated_us; /* since when; 0 = not now */

  /* zero.c */
  LunfsZeroing zeroing[LUNFS_CACHE_ZEROINGS];
  unsigned zeroes;     /* 1 << LunfsOp: the target has done one since the login */
  uint64_t zeroing_us; /* how long the last one took */

  /* commit.c; writes completed, and how many of them the last good SYNCHRONIZE CACHE covered */
  uint64_t written, synced;
  LunfsRequest commit;
  bool committing;
  uint64_t commit_written;
  int commit_error;                   /* what it covers could not be written again meanwhile: negative */
  int64_t commit_began_us, commit_us; /* how long the last good one took; 0 = none yet */
  GQueue wanting;                     /* FLUSH, EXTENT: need a drain that begins after they came */
  GQueue draining;                    /* wait for the one under way */
  GQueue covered;                     /* answered when the commit under way ends */
  GQueue waiting;                     /* need the next commit */
  bool drain, drain_fua;
  uint64_t drain_seq; /* ranges up to this one belong to the drain under way */
  LunfsTimer age;

  /* recover.c */
  bool recovering, recovery_failed, fenced;
  uint64_t range_seq;     /* ranges up to this one are written again */
  unsigned recover_sends; /* under way */
  /* Requests of through.c at the layer below; of these, those sent before the last lunfs_cache_up. */
  uint32_t era;
  unsigned through, through_old;
  bool refused;   /* some of what was to be written again was refused: it must not overtake through_old */
  int lost_error; /* the last loss's, negative; how many there were is in stats->losses */
};

/* cache.c */
/* @req waits in @queue, but not longer than request_limit_s. */
void lunfs_cache_wait (LunfsCache *c, GQueue *queue, LunfsRequest *req);
/* Something waits: see to it that it does not longer than that. */
void lunfs_cache_watch_age (LunfsCache *c);
/* It goes on to the layer below as it is. */
void lunfs_cache_pass (LunfsCache *c, LunfsRequest *req);
void lunfs_cache_give_back (LunfsRequest *req, int result);
void lunfs_cache_finish_later (LunfsCache *c, LunfsRequest *req, int result);
void lunfs_cache_count (LunfsCache *c);
bool lunfs_cache_refuses (const LunfsCache *c);
/* @max_transfer_blocks: of one command; 0 = no limit known. */
void lunfs_cache_set_size (LunfsCache *c, uint64_t nblocks, uint32_t block_size, uint64_t max_transfer_blocks);

/* read.c */
void lunfs_cache_read_init (LunfsCache *c);
void lunfs_cache_read_clear (LunfsCache *c);
void lunfs_cache_read (LunfsCache *c, LunfsRequest *req);
bool lunfs_cache_read_cancel (LunfsCache *c, LunfsRequest *req, bool dying);
/* Ends READs that came at @oldest_us or before and wait only for what others fetch.  Returns true if others wait. */
bool lunfs_cache_expire_readers (LunfsCache *c, int64_t oldest_us);

/* store.c */
/* Takes @req and answers it, or holds it. */
void lunfs_cache_write (LunfsCache *c, LunfsRequest *req);
void lunfs_cache_release_held (LunfsCache *c);
void lunfs_cache_fail_held (LunfsCache *c, int result);
/* Put the data of @req into the table as @state.  False: no memory, or not for all of it. */
bool lunfs_cache_store (LunfsCache *c, LunfsRequest *req, LunfsPageState state);
/* Something is under way whose end may make room. */
bool lunfs_cache_something_ends (const LunfsCache *c);

/* writeback.c */
void lunfs_cache_write_init (LunfsCache *c);
void lunfs_cache_write_clear (LunfsCache *c);
/* Something may be sent now that could not before: at the end of the pass. */
void lunfs_cache_kick (LunfsCache *c);
/* Send RECOVER pages. */
void lunfs_cache_send_recover (LunfsCache *c);
/* All that was answered and then failed has been written. */
bool lunfs_cache_nothing_failed (const LunfsCache *c);
void lunfs_cache_send_held_through (LunfsCache *c);

/* through.c */
void lunfs_cache_through (LunfsCache *c, LunfsRequest *req);
/* Pages have been written: whoever waited for that may go. */
void lunfs_cache_unblock (LunfsCache *c);
void lunfs_cache_fail_blocked (LunfsCache *c, int result);
/* What is in memory of its range is out of date. */
void lunfs_cache_forget_range (LunfsCache *c, const LunfsRequest *req);

/* zero.c */
void lunfs_cache_zero_init (LunfsCache *c);
/* Takes @req and answers it, if that is right; else false, and nothing was done. */
bool lunfs_cache_zero_later (LunfsCache *c, LunfsRequest *req);
/* Blocks of page @number that read as zeroes unless there is something newer in memory; nothing of them may be fetched. */
uint8_t lunfs_cache_zero_mask (const LunfsCache *c, uint64_t number);
void lunfs_cache_zero_send (LunfsCache *c);
/* After a login; lunfs_cache_recovered_range is called when it has ended. */
void lunfs_cache_zero_again (LunfsCache *c, const LunfsArenaRange *range);
bool lunfs_cache_zero_busy (const LunfsCache *c);
void lunfs_cache_zero_cancel (LunfsCache *c);
const char *lunfs_cache_zero_check (const LunfsCache *c);

/* commit.c */
void lunfs_cache_flush (LunfsCache *c, LunfsRequest *req);
void lunfs_cache_start_commit (LunfsCache *c);
/* The SYNCHRONIZE CACHE under way has not been sent yet: it covers all that is written now. */
void lunfs_cache_cover_all (LunfsCache *c);
void lunfs_cache_wait_for_commit (LunfsCache *c, LunfsRequest *req);
/* Something has become unstable: is it time for a commit in the background? */
void lunfs_cache_consider_commit (LunfsCache *c);
/* Dirty pages have been written, or have failed with @error. */
void lunfs_cache_drained (LunfsCache *c, int error);
void lunfs_cache_lose (LunfsCache *c, int error);
void lunfs_cache_commit_init (LunfsCache *c);
void lunfs_cache_commit_clear (LunfsCache *c);

/* recover.c */
/* Before a write to blocks @mask of page @number: others of it that are kept and must not be written again do not go with the
 * new ones.  If the target loses them now, nobody could tell: so it is a loss already. */
void lunfs_cache_disown_page (LunfsCache *c, uint64_t number, uint8_t mask);
/* Some RECOVER pages have been written. */
void lunfs_cache_recover_some (LunfsCache *c);
/* A range has been written again, or has failed.  @was_done: before the login. */
void lunfs_cache_recovered_range (LunfsCache *c, const LunfsRequest *req, bool was_done);

#endif
