/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fsx: one thread does whatever can be done with a file of fixed size, at any alignment, against a copy of it in memory;
 * what a read gives must be what the copy has, byte by byte.  (The stress program has many threads and knows less.)
 *
 * Written bytes say who wrote them: each aligned word of 8 is the operation's number and its own offset / 8.  With --medium
 * (the file a target keeps the LUN in), when fsync returns everything written before it must be there.
 *
 * Exit status: 0 all bytes were right, 1 corruption (told on stderr), 2 an I/O error, 3 wrong usage. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_GOOD = 0, EXIT_CORRUPT = 1, EXIT_IO = 2, EXIT_USAGE = 3 };
enum { BUFFER = 1 << 20, PAGE = 4096, HISTORY = 4096, SHOWN = 30 };

typedef enum Kind {
  READ,
  WRITE,
  DSYNC,
  STREAM_READ,
  STREAM_WRITE,
  AGAIN,
  MAP_READ,
  MAP_WRITE,
  PUNCH,
  ZERO,
  SYNC,
  REOPEN,
  KINDS
} Kind;

static const struct {
  const char *name;
  unsigned weight;
} kinds[KINDS] = {
  [READ] = { "read", 300 },        [WRITE] = { "write", 300 },       [DSYNC] = { "dsync", 20 },
  [STREAM_READ] = { "stream", 25 }, [STREAM_WRITE] = { "append", 8 }, [AGAIN] = { "again", 8 },
  [MAP_READ] = { "mapread", 10 },  [MAP_WRITE] = { "mapwrite", 10 }, [PUNCH] = { "punch", 30 },
  [ZERO] = { "zero", 30 },         [SYNC] = { "fsync", 15 },         [REOPEN] = { "reopen", 5 },
};

static struct Settings {
  uint64_t seconds, ops, seed, block, max_bytes;
  bool direct, no_map, no_punch;
  const char *path, *medium;
} set = { .seconds = 10, .ops = UINT64_MAX, .block = 512, .max_bytes = 16 << 20 };

typedef struct {
  Kind kind;
  uint64_t number, offset, length;
} Op;

static Op history[HISTORY];
static uint64_t done[KINDS], number, size, random_state;
static uint8_t *model, *buffer, *unsynced; /* unsynced: of each page, written since the last fsync */
static int fd = -1, medium = -1;
static volatile sig_atomic_t stopped;

static void
on_signal (int signal)
{
  (void) signal;
  stopped = 1;
}

static uint64_t
below (uint64_t limit)
{
  uint64_t x = random_state += 0x9e3779b97f4a7c15ull;

  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ x >> 27) * 0x94d049bb133111ebull;
  return (x ^ x >> 31) % limit;
}

/* --- ends -------------------------------------------------------------------------------------------------- */

static void
io_error (const char *what, uint64_t offset, uint64_t length, int error)
{
  fprintf (stderr, "fsx: %s at %" PRIu64 " length %" PRIu64 ": %s (operation %" PRIu64 ", seed %" PRIu64 ")\n", what,
           offset, length, strerror (error), number, set.seed);
  exit (EXIT_IO);
}

static void
print_word (const char *label, const uint8_t *bytes, uint64_t at)
{
  uint32_t word[2];

  memcpy (word, bytes + at / 8 * 8, sizeof word);
  fprintf (stderr, "  %s %08x %08x: operation %u", label, word[0], word[1], word[0]);
  if (word[0] && word[1] != (uint32_t) (at / 8))
    fprintf (stderr, ", of offset %" PRIu64, (uint64_t) word[1] * 8);
  fprintf (stderr, "\n");
}

/* @found is the whole of the file's copy with what was found put over it. */
static void
corrupt (const char *what, uint64_t at, uint64_t end, const uint8_t *found)
{
  uint64_t last = end, shown = 0;

  while (last > at + 1 && found[last - 1] == model[last - 1])
    last--;
  fprintf (stderr,
           "fsx: CORRUPTION: %s, operation %" PRIu64 ", bytes %" PRIu64 " to %" PRIu64 " (pages %" PRIu64 " to %" PRIu64
           "), seed %" PRIu64 "\n",
           what, number, at, last, at / PAGE, (last - 1) / PAGE, set.seed);
  print_word ("found ", found, at);
  print_word ("wanted", model, at);
  fprintf (stderr, "  what touched that page before, last first:\n");
  for (uint64_t k = number + 1; k-- > 0 && number - k < HISTORY && shown < SHOWN;) {
    const Op *op = &history[k % HISTORY];
    bool touches = op->offset / PAGE * PAGE <= at && at < (op->offset + op->length + PAGE - 1) / PAGE * PAGE;

    if (touches || op->kind == SYNC) {
      fprintf (stderr, "    %" PRIu64 " %s %" PRIu64 " + %" PRIu64 "\n", op->number, kinds[op->kind].name, op->offset,
               op->length);
      shown++;
    }
  }
  exit (EXIT_CORRUPT);
}

static void
compare (const char *what, const uint8_t *found, uint64_t offset, uint64_t length)
{
  uint8_t *whole;
  uint64_t at = 0;

  if (!memcmp (found, model + offset, length))
    return;
  while (found[at] == model[offset + at])
    at++;
  whole = malloc (size);
  memcpy (whole, model, size);
  memcpy (whole + offset, found, length);
  corrupt (what, offset + at, offset + length, whole);
}

/* --- the copy ---------------------------------------------------------------------------------------------- */

/* What this operation writes to [offset, offset + length), into the copy. */
static void
change (uint64_t offset, uint64_t length, bool zeroes)
{
  for (uint64_t p = offset / PAGE; p <= (offset + length - 1) / PAGE; p++)
    unsynced[p] = 1;
  if (zeroes) {
    memset (model + offset, 0, length);
    return;
  }
  for (uint64_t at = offset, n; at < offset + length; at += n) {
    uint32_t word[2] = { (uint32_t) number, (uint32_t) (at / 8) };

    n = 8 - at % 8 < offset + length - at ? 8 - at % 8 : offset + length - at;
    memcpy (model + at, (uint8_t *) word + at % 8, n);
  }
}

/* What was synchronised is on the medium. */
static void
check_medium (void)
{
  for (uint64_t p = 0, end; medium >= 0 && p * PAGE < size; p = end) {
    end = p + 1;
    if (!unsynced[p])
      continue;
    while (end * PAGE < size && unsynced[end] && end - p < BUFFER / PAGE)
      end++;
    uint64_t length = end * PAGE < size ? (end - p) * PAGE : size - p * PAGE;
    if (pread (medium, buffer, length, (off_t) (p * PAGE)) != (ssize_t) length)
      io_error ("read of the medium", p * PAGE, length, errno);
    compare ("the medium after fsync", buffer, p * PAGE, length);
  }
  memset (unsynced, 0, size / PAGE + 1);
}

/* --- system calls ------------------------------------------------------------------------------------------ */

static void
read_some (uint64_t offset, uint64_t length)
{
  for (uint64_t got = 0; got < length;) {
    ssize_t n = pread (fd, buffer + got, length - got, (off_t) (offset + got));
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      io_error ("read", offset + got, length - got, n ? errno : EIO);
    got += (uint64_t) n;
  }
  compare ("read", buffer, offset, length);
}

static void
write_some (uint64_t offset, uint64_t length, int flags)
{
  change (offset, length, false);
  memcpy (buffer, model + offset, length);
  for (uint64_t put = 0; put < length;) {
    struct iovec iov = { buffer + put, length - put };
    ssize_t n = pwritev2 (fd, &iov, 1, (off_t) (offset + put), flags);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      io_error ("write", offset + put, length - put, n ? errno : EIO);
    put += (uint64_t) n;
  }
}

static void
allocate (uint64_t offset, uint64_t length, int mode)
{
  int n;

  do
    n = fallocate (fd, mode | FALLOC_FL_KEEP_SIZE, (off_t) offset, (off_t) length);
  while (n && errno == EINTR);
  if (n == 0)
    change (offset, length, true);
  else if (errno != EOPNOTSUPP)
    io_error ("fallocate", offset, length, errno);
}

static void
map_some (uint64_t offset, uint64_t length, bool write)
{
  uint64_t start = offset / PAGE * PAGE, bytes = offset + length - start;
  uint8_t *map = mmap (NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t) start);

  if (map == MAP_FAILED)
    io_error ("mmap", start, bytes, errno);
  if (write) {
    change (offset, length, false);
    memcpy (map + (offset - start), model + offset, length);
    if (below (2) && msync (map, bytes, MS_SYNC))
      io_error ("msync", start, bytes, errno);
  } else {
    memcpy (buffer, map + (offset - start), length);
    compare ("mapped read", buffer, offset, length);
  }
  munmap (map, bytes);
}

static void
open_file (void)
{
  if (fd >= 0)
    close (fd);
  fd = open (set.path, O_RDWR | O_CLOEXEC | (set.direct ? O_DIRECT : 0));
  if (fd < 0)
    io_error ("open", 0, 0, errno);
}

/* --- one operation ----------------------------------------------------------------------------------------- */

static void
draw_range (uint64_t *offset, uint64_t *length)
{
  static const uint64_t longest[] = { 600, 4096, 4096, 9000, 16384, 65536, 200000, BUFFER };
  uint64_t max = longest[below (sizeof longest / sizeof *longest)], unit = 1, area = size, base = 0;

  if (set.direct || below (3) == 0)
    unit = set.block;
  else if (below (3) == 0)
    unit = PAGE;
  if (max < unit)
    max = unit;
  if (below (3) == 0) { /* where things meet */
    area = size / 8;
    base = size / 4 / PAGE * PAGE;
  }
  if (max > area)
    max = area;
  *length = (1 + below (max / unit)) * unit;
  *offset = base + below ((area - *length) / unit + 1) * unit;
}

static void
write_ahead (uint64_t from)
{
  uint64_t start = from + below (64) * PAGE, length = set.block * (1 + below (16));

  if (start + length <= size)
    write_some (start, length, 0);
}

/* Equal pieces one behind the other, or by a stride, forward or backward.  Reads: now and then something is written ahead of
 * them, where it may just be being fetched. */
static void
stream (uint64_t offset, bool write)
{
  uint64_t unit = set.block * (1 + below (32)), step = below (4) ? unit : unit * (1 + below (6)), n = 8 + below (64);
  bool backward = below (6) == 0;

  offset -= offset % unit;
  for (uint64_t at = offset; n-- > 0 && at + unit <= size; at = backward ? at - step : at + step) {
    if (write)
      write_some (at, unit, 0);
    else
      read_some (at, unit);
    if (!write && !backward && below (6) == 0)
      write_ahead (at + unit);
    if (backward && at < step)
      break;
  }
}

/* One place again and again: pages whose WRITE is under way are written once more. */
static void
again (uint64_t offset, uint64_t length)
{
  for (uint64_t n = 1 + below (20); n-- > 0;) {
    write_some (offset, length, 0);
    if (below (4) == 0)
      read_some (offset, length);
  }
}

static void
run_op (Kind kind, uint64_t offset, uint64_t length)
{
  switch (kind) {
  case READ:
    read_some (offset, length);
    break;
  case WRITE:
    write_some (offset, length, 0);
    break;
  case DSYNC:
    write_some (offset, length, RWF_DSYNC);
    break;
  case STREAM_READ:
    stream (offset, false);
    break;
  case STREAM_WRITE:
    stream (offset, true);
    break;
  case AGAIN:
    again (offset, length);
    break;
  case MAP_READ:
    map_some (offset, length, false);
    break;
  case MAP_WRITE:
    map_some (offset, length, true);
    break;
  case PUNCH:
    allocate (offset, length, FALLOC_FL_PUNCH_HOLE);
    break;
  case ZERO:
    allocate (offset, length, FALLOC_FL_ZERO_RANGE);
    break;
  case SYNC:
    if (below (2) ? fsync (fd) : fdatasync (fd))
      io_error ("fsync", 0, 0, errno);
    check_medium ();
    break;
  case REOPEN:
    open_file ();
    break;
  case KINDS:
    break;
  }
}

static Kind
draw_kind (void)
{
  for (;;) {
    uint64_t total = 0, ticket;
    int kind = 0;

    for (int k = 0; k < KINDS; k++)
      total += kinds[k].weight;
    ticket = below (total);
    for (; ticket >= kinds[kind].weight; kind++)
      ticket -= kinds[kind].weight;
    if (!(set.no_map && (kind == MAP_READ || kind == MAP_WRITE)) && !(set.no_punch && (kind == PUNCH || kind == ZERO)))
      return (Kind) kind;
  }
}

/* --- the whole --------------------------------------------------------------------------------------------- */

static void
verify (void)
{
  if (fsync (fd))
    io_error ("fsync", 0, size, errno);
  memset (unsynced, 1, size / PAGE + 1);
  check_medium ();
  posix_fadvise (fd, 0, 0, POSIX_FADV_DONTNEED);
  for (uint64_t at = 0; at < size; at += BUFFER)
    read_some (at, size - at < BUFFER ? size - at : BUFFER);
}

static int
run (void)
{
  time_t end;
  struct stat st;

  random_state = set.seed * 1000003;
  printf ("fsx: %s seed %" PRIu64 "\n", set.path, set.seed);
  open_file ();
  if (fstat (fd, &st))
    io_error ("stat", 0, 0, errno);
  size = (uint64_t) st.st_size < set.max_bytes ? (uint64_t) st.st_size : set.max_bytes;
  if (size < 2 * BUFFER || size % set.block)
    io_error ("size", 0, size, EINVAL);
  if (set.medium && (medium = open (set.medium, O_RDONLY)) < 0)
    io_error ("open of the medium", 0, 0, errno);
  model = calloc (1, size);
  unsynced = calloc (1, size / PAGE + 1);
  if (posix_memalign ((void **) &buffer, PAGE, BUFFER))
    abort ();
  for (uint64_t at = 0; at < size; at += BUFFER)
    write_some (at, size - at < BUFFER ? size - at : BUFFER, 0);
  printf ("fsx: running\n");
  fflush (stdout);
  end = time (NULL) + (time_t) set.seconds;
  for (number = 1; number <= set.ops && !stopped && (set.ops != UINT64_MAX || time (NULL) < end); number++) {
    Op *op = &history[number % HISTORY];

    *op = (Op){ draw_kind (), number, 0, 0 };
    draw_range (&op->offset, &op->length);
    run_op (op->kind, op->offset, op->length);
    done[op->kind]++;
  }
  verify ();
  printf ("seed=%" PRIu64, set.seed);
  for (int k = 0; k < KINDS; k++)
    printf (" %s=%" PRIu64, kinds[k].name, done[k]);
  printf (" result=ok\n");
  return EXIT_GOOD;
}

static const struct option longs[] = {
  { "seconds", required_argument, NULL, 's' }, { "ops", required_argument, NULL, 'o' },
  { "seed", required_argument, NULL, 'S' },    { "block", required_argument, NULL, 'b' },
  { "max-mib", required_argument, NULL, 'm' }, { "medium", required_argument, NULL, 'M' },
  { "direct", no_argument, NULL, 'd' },        { "no-map", no_argument, NULL, 'n' },
  { "no-punch", no_argument, NULL, 'p' },      { NULL, 0, NULL, 0 },
};

int
main (int argc, char **argv)
{
  int c;

  set.seed = (uint64_t) time (NULL) ^ (uint64_t) getpid () << 32;
  while ((c = getopt_long (argc, argv, "", longs, NULL)) != -1)
    switch (c) {
    case 's':
      set.seconds = strtoull (optarg, NULL, 0);
      break;
    case 'o':
      set.ops = strtoull (optarg, NULL, 0);
      break;
    case 'S':
      set.seed = strtoull (optarg, NULL, 0);
      break;
    case 'b':
      set.block = strtoull (optarg, NULL, 0);
      break;
    case 'm':
      set.max_bytes = strtoull (optarg, NULL, 0) << 20;
      break;
    case 'M':
      set.medium = optarg;
      break;
    case 'd':
      set.direct = true;
      break;
    case 'n':
      set.no_map = true;
      break;
    case 'p':
      set.no_punch = true;
      break;
    default:
      optind = argc + 1;
    }
  if (optind + 1 != argc || (set.block != 512 && set.block != 4096) || set.max_bytes > (uint64_t) 1 << 30) {
    fputs ("usage: fsx [--seconds S | --ops N] [--seed N] [--block 512|4096] [--max-mib N] [--medium FILE]\n"
           "           [--direct] [--no-map] [--no-punch] FILE\n"
           "FILE loses its first --max-mib (16).  A run of --ops is the same each time.\n",
           stderr);
    return EXIT_USAGE;
  }
  set.path = argv[optind];
  signal (SIGTERM, on_signal);
  signal (SIGINT, on_signal);
  return run ();
}
