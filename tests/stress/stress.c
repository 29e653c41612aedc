/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stress: N threads read, write, punch, zero and sync overlapping parts of one file of fixed size (or block
 * device), and every read is checked against what each byte may hold at that time.  How that is known,
 * although writes overlap and nothing is locked during I/O, is told in shadow.h.
 *
 * The first --max-bytes of FILE are filled first; the rest is not touched.  Half of the operations go to a
 * small hot part, so that they collide.  At the end (--seconds, or SIGTERM) everything is synced, dropped from the
 * page cache, and read again.  longest_ms= is the longest operation: what an application sees of an outage.
 *
 * Exit status: 0 all bytes were right, 1 corruption (told on stderr), 2 an I/O error, 3 wrong usage. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "history.h"
#include "shadow.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_GOOD = 0, EXIT_CORRUPT = 1, EXIT_IO = 2, EXIT_USAGE = 3 };
enum { MAX_THREADS = 256, BUFFER = 1 << 20, HISTORY_SHOWN = 40 };

typedef enum OpKind { OP_READ, OP_WRITE, OP_DSYNC_WRITE, OP_PUNCH, OP_ZERO, OP_SYNC, OP_KINDS } OpKind;

static struct Settings {
  uint64_t threads, seconds, seed, block, max_bytes, pause_us;
  bool direct, punch, zero, unaligned, allow_torn;
  const char *path;
} set = { .threads = 8, .seconds = 20, .block = 512, .max_bytes = 64 << 20 };

typedef struct Worker {
  pthread_t thread;
  unsigned id;
  int fd;
  uint64_t random;
  uint8_t *buffer;
  uint64_t done[OP_KINDS], read_bytes, written_bytes, longest_ns;
  ShadowCounts counts;
} Worker;

static Shadow *shadow;
static uint64_t size;              /* bytes that are used */
static uint64_t stop_at;           /* atomic: monotonic ns */
static int result;                 /* atomic: 0, or the exit status of the first who failed */
static bool unsupported[OP_KINDS]; /* atomic */

static uint64_t
now_ns (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return (uint64_t) ts.tv_sec * 1000000000ull + (uint64_t) ts.tv_nsec;
}

static void
on_signal (int number)
{
  (void) number;
  __atomic_store_n (&stop_at, 1, __ATOMIC_SEQ_CST);
}

static bool
failed (void)
{
  return __atomic_load_n (&result, __ATOMIC_SEQ_CST) != 0;
}

/* True for the one thread that is to report. */
static bool
claim_failure (int status)
{
  int none = 0;

  return __atomic_compare_exchange_n (&result, &none, status, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static bool
io_error (const char *what, uint64_t offset, uint64_t len, int error)
{
  if (claim_failure (EXIT_IO))
    fprintf (stderr, "stress: %s at %" PRIu64 " length %" PRIu64 ": %s (errno %d), seed %" PRIu64 "\n", what, offset,
             len, strerror (error), error, set.seed);
  return false;
}

/* --- random ------------------------------------------------------------------------------------------------
 */

static uint64_t
draw (Worker *w)
{
  uint64_t x = w->random += 0x9e3779b97f4a7c15ull;

  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ x >> 27) * 0x94d049bb133111ebull;
  return x ^ x >> 31;
}

static uint64_t
below (Worker *w, uint64_t limit)
{
  return draw (w) % limit;
}

/* Mostly small, sometimes large; multiples of the block unless --unaligned. */
static void
draw_range (Worker *w, uint64_t *out_offset, size_t *out_len)
{
  static const uint64_t longest[] = { 2048, 8192, 8192, 65536, 65536, 262144, BUFFER };
  uint64_t max = longest[below (w, sizeof longest / sizeof *longest)], unit = set.unaligned ? 1 : set.block;
  uint64_t hot = size / 16 > 65536 ? size / 16 : 65536, area = size, base = 0, len;

  if (below (w, 2) && hot < size) {
    area = hot;
    base = size / 3 / set.block * set.block;
  }
  if (max < unit)
    max = unit;
  if (max > area)
    max = area;
  len = (1 + below (w, max / unit)) * unit;
  *out_offset = base + below (w, (area - len) / unit + 1) * unit;
  *out_len = len;
}

/* --- system calls ------------------------------------------------------------------------------------------
 */

static bool
read_all (int fd, uint8_t *buf, uint64_t offset, size_t len)
{
  for (size_t done = 0; done < len;) {
    ssize_t n = pread (fd, buf + done, len - done, (off_t) (offset + done));
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return io_error (n ? "read" : "read (end of file)", offset + done, len - done, n ? errno : EIO);
    done += (size_t) n;
  }
  return true;
}

static bool
write_all (int fd, const uint8_t *buf, uint64_t offset, size_t len, int flags)
{
  for (size_t done = 0; done < len;) {
    struct iovec iov = { (void *) (uintptr_t) (buf + done), len - done };
    ssize_t n = flags ? pwritev2 (fd, &iov, 1, (off_t) (offset + done), flags)
                      : pwrite (fd, iov.iov_base, iov.iov_len, (off_t) (offset + done));
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return io_error ("write", offset + done, len - done, n ? errno : EIO);
    done += (size_t) n;
  }
  return true;
}

/* --- reports -----------------------------------------------------------------------------------------------
 */

static void
print_bytes (const char *label, const uint8_t *p, size_t len)
{
  fprintf (stderr, "  %s", label);
  for (size_t i = 0; i < len && i < 32; i++)
    fprintf (stderr, " %02x", p[i]);
  fprintf (stderr, "%s\n", len > 32 ? " ..." : "");
}

static uint64_t
first_difference (const uint8_t *a, const uint8_t *b, size_t len)
{
  size_t i = 0;

  while (i < len && a[i] == b[i])
    i++;
  return i;
}

/* Read the block again a little later: is it wrong on the disk, or was it wrong on the way? */
static void
report_again (Worker *w, const Finding *f, const uint8_t *found)
{
  uint64_t from = f->offset / set.block * set.block;
  size_t len = (size_t) ((f->offset + f->len - from + set.block - 1) / set.block * set.block);
  uint8_t *again = w->buffer; /* what it held was copied to found */

  usleep (200000);
  if (pread (w->fd, again, len, (off_t) from) != (ssize_t) len)
    return;
  fprintf (stderr, "  read again 0.2 s later: %s\n",
           memcmp (again + (f->offset - from), found, f->len) ? "different" : "the same");
}

static bool
report (Worker *w, const Finding *f, const uint8_t *data, uint64_t rstart)
{
  uint8_t found[CELL], want[CELL];

  memcpy (found, data, f->len);
  if (!claim_failure (EXIT_CORRUPT))
    return false;
  fprintf (stderr,
           "stress: CORRUPTION: %s%s at offset %" PRIu64 " length %zu, read at %" PRIu64 " by thread %u, seed %" PRIu64
           "\n",
           f->torn ? "torn write" : "wrong data", f->ncandidates ? "" : " (nothing was ever written there)", f->offset,
           f->len, rstart, w->id, set.seed);
  print_bytes ("found", found, f->len);
  for (unsigned i = 0; i < f->ncandidates && i < SHADOW_CANDIDATES; i++) {
    shadow_fill (shadow, f->candidates[i], f->offset, want, f->len);
    fprintf (stderr, "  generation %" PRIu64 "%s would be (first difference at byte %" PRIu64 "):\n", f->candidates[i],
             f->candidates[i] & 1 ? " (zeroes)" : "", first_difference (want, found, f->len));
    print_bytes ("     ", want, f->len);
  }
  if (f->ncandidates > SHADOW_CANDIDATES)
    fprintf (stderr, "  and %u more generations\n", f->ncandidates - SHADOW_CANDIDATES);
  fprintf (stderr, "  the last operations there, [start..end]:\n");
  history_print (stderr, shadow, f->offset, f->len, found, HISTORY_SHOWN);
  report_again (w, f, found);
  return false;
}

/* --- operations --------------------------------------------------------------------------------------------
 */

static bool
op_read (Worker *w, OpKind kind, uint64_t offset, size_t len)
{
  uint64_t rstart = shadow_read_start (shadow, w->id);
  Finding f;

  (void) kind;
  if (!read_all (w->fd, w->buffer, offset, len))
    return false;
  w->read_bytes += len;
  if (!shadow_read_check (shadow, w->id, rstart, offset, w->buffer, len, set.allow_torn, &w->counts, &f))
    return report (w, &f, w->buffer + (f.offset - offset), rstart);
  return true;
}

static bool
op_write (Worker *w, OpKind kind, uint64_t offset, size_t len)
{
  Event e = { kind == OP_WRITE ? "write" : "write (dsync)", w->id, offset, len, 0, shadow_clock (shadow), 0 };

  e.generation = shadow_change_start (shadow, offset, len, false);
  shadow_fill (shadow, e.generation, offset, w->buffer, len);
  if (!write_all (w->fd, w->buffer, offset, len, kind == OP_WRITE ? 0 : RWF_DSYNC))
    return false;
  shadow_change_end (shadow, offset, len, e.generation, false);
  e.end = shadow_clock (shadow);
  history_add (&e);
  w->written_bytes += len;
  return true;
}

static bool
op_fallocate (Worker *w, OpKind kind, uint64_t offset, size_t len)
{
  int mode = FALLOC_FL_KEEP_SIZE | (kind == OP_PUNCH ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE), n;
  Event e = { kind == OP_PUNCH ? "punch" : "zero", w->id, offset, len, 0, shadow_clock (shadow), 0 };

  e.generation = shadow_change_start (shadow, offset, len, true);
  do
    n = fallocate (w->fd, mode, (off_t) offset, (off_t) len);
  while (n && errno == EINTR);
  if (n && errno != EOPNOTSUPP)
    return io_error (e.what, offset, len, errno);
  shadow_change_end (shadow, offset, len, e.generation, n != 0);
  if (n) {
    if (!__atomic_exchange_n (&unsupported[kind], true, __ATOMIC_SEQ_CST))
      fprintf (stderr, "stress: %s is not supported here: done without\n", e.what);
    return true;
  }
  e.end = shadow_clock (shadow);
  history_add (&e);
  return true;
}

static bool
op_sync (Worker *w, OpKind kind, uint64_t offset, size_t len)
{
  (void) kind;
  if (below (w, 4) ? fdatasync (w->fd) : fsync (w->fd))
    return io_error ("fsync", offset, len, errno);
  return true;
}

static const struct OpType {
  const char *plural;
  unsigned weight;
  bool (*run) (Worker *w, OpKind kind, uint64_t offset, size_t len);
  const bool *wanted; /* NULL = always */
} op_types[OP_KINDS] = {
  [OP_READ] = { "reads", 45, op_read, NULL },
  [OP_WRITE] = { "writes", 40, op_write, NULL },
  [OP_DSYNC_WRITE] = { "dsync_writes", 3, op_write, NULL },
  [OP_PUNCH] = { "punches", 6, op_fallocate, &set.punch },
  [OP_ZERO] = { "zeroes", 6, op_fallocate, &set.zero },
  [OP_SYNC] = { "syncs", 1, op_sync, NULL },
};

static OpKind
draw_op (Worker *w)
{
  for (;;) {
    uint64_t ticket = below (w, 101);
    for (int kind = 0; kind < OP_KINDS; ticket -= op_types[kind++].weight)
      if (ticket < op_types[kind].weight) {
        if ((op_types[kind].wanted && !*op_types[kind].wanted)
            || __atomic_load_n (&unsupported[kind], __ATOMIC_SEQ_CST))
          break;
        return (OpKind) kind;
      }
  }
}

static void *
work (void *arg)
{
  Worker *w = arg;

  uint64_t start, took;

  while (!failed () && (start = now_ns ()) < __atomic_load_n (&stop_at, __ATOMIC_SEQ_CST)) {
    OpKind kind = draw_op (w);
    uint64_t offset;
    size_t len;

    draw_range (w, &offset, &len);
    if (!op_types[kind].run (w, kind, offset, len))
      break;
    w->done[kind]++;
    took = now_ns () - start;
    if (took > w->longest_ns)
      w->longest_ns = took;
    if (set.pause_us)
      usleep ((useconds_t) set.pause_us);
  }
  return NULL;
}

/* --- the whole ---------------------------------------------------------------------------------------------
 */

static bool
fill (Worker *w)
{
  for (uint64_t offset = 0; offset < size; offset += BUFFER)
    if (!op_write (w, OP_WRITE, offset, size - offset < BUFFER ? size - offset : BUFFER))
      return false;
  return true;
}

static bool
verify (Worker *w)
{
  if (fsync (w->fd))
    return io_error ("fsync", 0, size, errno);
  posix_fadvise (w->fd, 0, 0, POSIX_FADV_DONTNEED);
  for (uint64_t offset = 0; offset < size; offset += BUFFER)
    if (!op_read (w, OP_READ, offset, size - offset < BUFFER ? size - offset : BUFFER))
      return false;
  return true;
}

static bool
open_worker (Worker *w, unsigned id)
{
  w->id = id;
  w->random = set.seed * 1000003 + id;
  w->fd = open (set.path, O_RDWR | O_CLOEXEC | (set.direct ? O_DIRECT : 0));
  if (w->fd < 0) {
    fprintf (stderr, "stress: %s: %s\n", set.path, strerror (errno));
    return false;
  }
  if (posix_memalign ((void **) &w->buffer, 4096, BUFFER))
    abort ();
  return true;
}

static bool
find_size (int fd)
{
  struct stat st;

  if (fstat (fd, &st)) {
    perror (set.path);
    return false;
  }
  size = (uint64_t) st.st_size;
  if (S_ISBLK (st.st_mode) && ioctl (fd, BLKGETSIZE64, &size)) {
    perror (set.path);
    return false;
  }
  if (size > set.max_bytes)
    size = set.max_bytes;
  size -= size % set.block;
  if (size < 65536) {
    fprintf (stderr, "stress: %s is too small\n", set.path);
    return false;
  }
  return true;
}

static void
print_sums (const Worker *workers)
{
  Worker sum = { 0 };

  for (unsigned i = 0; i < set.threads; i++) {
    for (int k = 0; k < OP_KINDS; k++)
      sum.done[k] += workers[i].done[k];
    sum.read_bytes += workers[i].read_bytes;
    sum.written_bytes += workers[i].written_bytes;
    if (workers[i].longest_ns > sum.longest_ns)
      sum.longest_ns = workers[i].longest_ns;
    sum.counts.cells += workers[i].counts.cells;
    sum.counts.contested += workers[i].counts.contested;
    sum.counts.settled += workers[i].counts.settled;
  }
  printf ("seed=%" PRIu64 " threads=%" PRIu64 " bytes=%" PRIu64, set.seed, set.threads, size);
  for (int k = 0; k < OP_KINDS; k++)
    printf (" %s=%" PRIu64, op_types[k].plural, sum.done[k]);
  printf (" read_mib=%" PRIu64 " written_mib=%" PRIu64 " cells_checked=%" PRIu64 " contested=%" PRIu64
          " settled=%" PRIu64 " longest_ms=%" PRIu64 " result=%s\n",
          sum.read_bytes >> 20, sum.written_bytes >> 20, sum.counts.cells, sum.counts.contested, sum.counts.settled,
          sum.longest_ns / 1000000,
          result == EXIT_GOOD      ? "ok"
          : result == EXIT_CORRUPT ? "CORRUPT"
                                   : "io-error");
}

static int
run (void)
{
  static Worker workers[MAX_THREADS];
  unsigned n = (unsigned) set.threads, started = 0;

  for (unsigned i = 0; i < n; i++)
    if (!open_worker (&workers[i], i))
      return EXIT_IO;
  if (!find_size (workers[0].fd))
    return EXIT_IO;
  printf ("stress: %s seed %" PRIu64 "\n", set.path, set.seed);
  fflush (stdout);
  shadow = shadow_new (size, n, set.seed);
  __atomic_store_n (&stop_at, UINT64_MAX, __ATOMIC_SEQ_CST);
  signal (SIGTERM, on_signal);
  if (fill (&workers[0])) {
    uint64_t no_signal = UINT64_MAX;

    __atomic_compare_exchange_n (&stop_at, &no_signal, now_ns () + set.seconds * 1000000000ull, false, __ATOMIC_SEQ_CST,
                                 __ATOMIC_SEQ_CST);
    printf ("stress: running\n");
    fflush (stdout);
    while (started < n && !pthread_create (&workers[started].thread, NULL, work, &workers[started]))
      started++;
    for (unsigned i = 0; i < started; i++)
      pthread_join (workers[i].thread, NULL);
    if (started < n)
      io_error ("pthread_create", 0, 0, EAGAIN);
    if (!failed ())
      verify (&workers[0]);
  }
  print_sums (workers);
  shadow_free (shadow);
  for (unsigned i = 0; i < n; i++) {
    if (close (workers[i].fd))
      io_error ("close", 0, 0, errno);
    free (workers[i].buffer);
  }
  return result;
}

static int
usage (void)
{
  fputs ("usage: stress [--threads N] [--seconds S] [--seed N] [--block 512|4096] [--max-bytes N] [--pause USEC]\n"
         "              [--direct | --unaligned] [--punch] [--zero] [--allow-torn] FILE\n"
         "FILE (of fixed size, or a block device) loses its first --max-bytes (64 MiB).\n",
         stderr);
  return EXIT_USAGE;
}

static const struct option longs[] = {
  { "threads", required_argument, NULL, 't' },   { "seconds", required_argument, NULL, 's' },
  { "seed", required_argument, NULL, 'S' },      { "block", required_argument, NULL, 'b' },
  { "max-bytes", required_argument, NULL, 'm' }, { "pause", required_argument, NULL, 'P' },
  { "direct", no_argument, NULL, 'd' },          { "unaligned", no_argument, NULL, 'u' },
  { "punch", no_argument, NULL, 'p' },           { "zero", no_argument, NULL, 'z' },
  { "allow-torn", no_argument, NULL, 'a' },      { NULL, 0, NULL, 0 },
};

/* A number with an optional k, m or g. */
static uint64_t
parse_number (const char *text)
{
  static const char units[] = "kmg";
  char *end;
  uint64_t n = strtoull (text, &end, 0);
  const char *unit = *end ? strchr (units, *end | 0x20) : NULL;

  if (unit && !end[1])
    return n << 10 * (unit - units + 1);
  return *end || end == text ? UINT64_MAX : n;
}

static bool
parse (int argc, char **argv)
{
  int c;

  set.seed = (uint64_t) time (NULL) ^ (uint64_t) getpid () << 32;
  while ((c = getopt_long (argc, argv, "", longs, NULL)) != -1) {
    uint64_t n = optarg ? parse_number (optarg) : 0;
    switch (c) {
    case 't':
      set.threads = n;
      break;
    case 's':
      set.seconds = n;
      break;
    case 'S':
      set.seed = n;
      break;
    case 'b':
      set.block = n;
      break;
    case 'm':
      set.max_bytes = n;
      break;
    case 'P':
      set.pause_us = n;
      break;
    case 'd':
      set.direct = true;
      break;
    case 'u':
      set.unaligned = true;
      break;
    case 'p':
      set.punch = true;
      break;
    case 'z':
      set.zero = true;
      break;
    case 'a':
      set.allow_torn = true;
      break;
    default:
      return false;
    }
  }
  set.path = argv[optind];
  return optind + 1 == argc && set.seconds <= 10000000 && set.max_bytes <= 1ull << 45 && set.pause_us < 1000000
         && set.threads >= 1 && set.threads <= MAX_THREADS && !(set.direct && set.unaligned)
         && (set.block == 512 || set.block == 4096);
}

int
main (int argc, char **argv)
{
  if (!parse (argc, argv))
    return usage ();
  return run ();
}
