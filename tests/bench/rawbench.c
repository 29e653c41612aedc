/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rawbench: what a bare libiscsi program reaches on one LUN, without FUSE: the ceiling for lunfs.
 *
 *   rawbench URL read|write|randread|randwrite|write+sync|randwrite+sync BLOCKSIZE DEPTH SECONDS [SESSIONS]
 *
 * +sync: a SYNCHRONIZE CACHE of the whole LUN at the end, which counts.
 *
 * One thread, one poll loop; DEPTH commands are in flight, shared evenly by SESSIONS (1).  The commands that
 * one pass completes are replaced in the same pass and leave together.  Writes destroy the LUN's data. Prints
 * one line of JSON. */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

enum { MAX_SESSIONS = 64, MAX_DEPTH = 1024, HIST_SUB = 32, HIST = 64 * HIST_SUB };

typedef struct Session {
  struct iscsi_context *iscsi;
  int lun;
} Session;

typedef struct Slot { /* one command in flight */
  Session *session;
  struct scsi_iovec iov;
  uint64_t started_ns;
} Slot;

static struct {
  bool write, random, sync;
  uint64_t block_size, depth, seconds, nsessions;
} set;

static Session sessions[MAX_SESSIONS];
static Slot slots[MAX_DEPTH];
static uint64_t lun_bytes, lun_block, next_offset, random_state = 88172645463325252ull;
static uint64_t stop_ns, done, in_flight, total_ns, histogram[HIST];
static bool failed;

static uint64_t
now_ns (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return (uint64_t) ts.tv_sec * 1000000000ull + (uint64_t) ts.tv_nsec;
}

static bool
complain (Session *s, const char *what)
{
  fprintf (stderr, "rawbench: %s: %s\n", what, s->iscsi ? iscsi_get_error (s->iscsi) : "no memory");
  failed = true;
  return false;
}

/* --- latency: buckets of 1/32 of their power of two
 * --------------------------------------------------------- */

static unsigned
bucket_of (uint64_t ns)
{
  unsigned log = 63 - (unsigned) __builtin_clzll (ns | HIST_SUB);

  return (log - 5) * HIST_SUB + (unsigned) (ns >> (log - 5));
}

static double
percentile_us (double fraction)
{
  uint64_t want = (uint64_t) ((double) done * fraction), seen = 0;

  for (unsigned i = 0; i < HIST; i++) {
    seen += histogram[i];
    if (seen > want) {
      unsigned shift = i < 2 * HIST_SUB ? 0 : i / HIST_SUB - 1;
      return (double) ((uint64_t) (i - shift * HIST_SUB) << shift) / 1000.0;
    }
  }
  return 0;
}

/* --- commands ----------------------------------------------------------------------------------------------
 */

static uint64_t
choose_offset (void)
{
  uint64_t nslots = lun_bytes / set.block_size, n = next_offset++;

  if (set.random) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    n = random_state;
  }
  return n % nslots * set.block_size;
}

static void completed_cb (struct iscsi_context *iscsi, int status, void *command_data, void *private_data);

static bool
submit (Slot *slot)
{
  Session *s = slot->session;
  uint64_t lba = choose_offset () / lun_block;
  uint32_t len = (uint32_t) set.block_size;
  struct scsi_task *task;

  slot->started_ns = now_ns ();
  if (set.write)
    task = iscsi_write16_iov_task (s->iscsi, s->lun, lba, NULL, len, (int) lun_block, 0, 0, 0, 0, 0, completed_cb, slot,
                                   &slot->iov, 1);
  else
    task = iscsi_read16_iov_task (s->iscsi, s->lun, lba, len, (int) lun_block, 0, 0, 0, 0, 0, completed_cb, slot,
                                  &slot->iov, 1);
  if (!task)
    return complain (s, "submit");
  in_flight++;
  return true;
}

static void
completed_cb (struct iscsi_context *iscsi, int status, void *command_data, void *private_data)
{
  Slot *slot = private_data;
  uint64_t now = now_ns (), ns = now - slot->started_ns;

  (void) iscsi;
  in_flight--;
  scsi_free_scsi_task (command_data);
  if (status != SCSI_STATUS_GOOD) {
    complain (slot->session, "command");
    return;
  }
  done++;
  total_ns += ns;
  histogram[bucket_of (ns)]++;
  if (now < stop_ns && !failed)
    submit (slot);
}

/* What one pass queues leaves in full segments, which is worth much for small commands (4k at depth 32:
 * reads 1.5x, writes 3x), nothing at depth 1, and costs large ones a third (1 MiB writes 0.7x). */
static bool
send_queued (Session *s)
{
  bool cork = set.depth > set.nsessions && set.block_size <= 65536;
  int fd = iscsi_get_fd (s->iscsi), on = 1, off = 0, failure;

  if (cork)
    setsockopt (fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on);
  failure = iscsi_service (s->iscsi, POLLOUT);
  if (cork)
    setsockopt (fd, IPPROTO_TCP, TCP_CORK, &off, sizeof off);
  return failure == 0;
}

static bool
service_all (void)
{
  struct pollfd fds[MAX_SESSIONS];

  for (uint64_t i = 0; i < set.nsessions; i++) {
    fds[i].fd = iscsi_get_fd (sessions[i].iscsi);
    fds[i].events = (short) iscsi_which_events (sessions[i].iscsi);
  }
  if (poll (fds, set.nsessions, 5000) <= 0)
    return complain (&sessions[0], "no answer for 5 s");
  for (uint64_t i = 0; i < set.nsessions; i++) {
    if (fds[i].revents && iscsi_service (sessions[i].iscsi, fds[i].revents))
      return complain (&sessions[i], "service");
    if (iscsi_which_events (sessions[i].iscsi) & POLLOUT && !send_queued (&sessions[i]))
      return complain (&sessions[i], "service");
  }
  return true;
}

/* --- sessions ----------------------------------------------------------------------------------------------
 */

static bool
connect_session (Session *s, const char *text)
{
  char name[96];
  struct iscsi_url *url;
  bool good;

  snprintf (name, sizeof name, "iqn.2026-01.org.example:rawbench:%d", (int) getpid ());
  if (!(s->iscsi = iscsi_create_context (name)))
    return complain (s, "context");
  iscsi_set_noautoreconnect (s->iscsi, 1);
  if (!(url = iscsi_parse_full_url (s->iscsi, text)))
    return complain (s, text);
  s->lun = url->lun;
  iscsi_set_targetname (s->iscsi, url->target);
  iscsi_set_session_type (s->iscsi, ISCSI_SESSION_NORMAL);
  good = !iscsi_full_connect_sync (s->iscsi, url->portal, url->lun);
  iscsi_destroy_url (url);
  return good || complain (s, "login");
}

static bool
read_capacity (Session *s)
{
  struct scsi_task *task = iscsi_readcapacity16_sync (s->iscsi, s->lun);
  struct scsi_readcapacity16 *rc = NULL;

  if (task && task->status == SCSI_STATUS_GOOD)
    rc = scsi_datain_unmarshall (task);
  if (rc) {
    lun_block = rc->block_length;
    lun_bytes = (rc->returned_lba + 1) * lun_block;
  }
  if (task)
    scsi_free_scsi_task (task);
  if (!lun_bytes)
    return complain (s, "READ CAPACITY(16)");
  if (set.block_size % lun_block || set.block_size > lun_bytes) {
    fprintf (stderr, "rawbench: block size does not suit the LUN\n");
    return false;
  }
  return true;
}

static bool
prepare (const char *url)
{
  for (uint64_t i = 0; i < set.nsessions; i++)
    if (!connect_session (&sessions[i], url))
      return false;
  if (!read_capacity (&sessions[0]))
    return false;
  for (uint64_t i = 0; i < set.depth; i++) {
    slots[i].session = &sessions[i % set.nsessions];
    slots[i].iov.iov_len = set.block_size;
    if (posix_memalign (&slots[i].iov.iov_base, 4096, set.block_size))
      return complain (&sessions[0], "buffers");
    memset (slots[i].iov.iov_base, 0x5a, set.block_size);
  }
  return true;
}

static bool
sync_lun (Session *s)
{
  struct scsi_task *task = iscsi_synchronizecache10_sync (s->iscsi, s->lun, 0, 0, 0, 0);
  bool good = task && task->status == SCSI_STATUS_GOOD;

  if (task)
    scsi_free_scsi_task (task);
  return good || complain (s, "SYNCHRONIZE CACHE");
}

static double
cpu_us (void)
{
  struct rusage ru;

  getrusage (RUSAGE_SELF, &ru);
  return (double) (ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1e6
         + (double) (ru.ru_utime.tv_usec + ru.ru_stime.tv_usec);
}

static bool
measure (void)
{
  double cpu = cpu_us (), seconds;
  uint64_t start = now_ns ();

  stop_ns = start + set.seconds * 1000000000ull;
  for (uint64_t i = 0; i < set.depth; i++)
    if (!submit (&slots[i]))
      return false;
  while (in_flight && !failed)
    if (!service_all ())
      return false;
  if (failed || (set.sync && !sync_lun (&sessions[0])))
    return false;
  seconds = (double) (now_ns () - start) / 1e9;
  printf ("{\"ops\":%" PRIu64 ",\"iops\":%.1f,\"mbps\":%.2f,\"mean_us\":%.1f,\"p99_us\":%.1f,\"cpu_us_per_op\":%.2f}\n",
          done, (double) done / seconds, (double) done * (double) set.block_size / seconds / 1e6,
          (double) total_ns / (double) done / 1000.0, percentile_us (0.99), (cpu_us () - cpu) / (double) done);
  return true;
}

static int
usage (void)
{
  fputs ("usage: rawbench URL read|write|randread|randwrite|write+sync|randwrite+sync BLOCKSIZE DEPTH SECONDS "
         "[SESSIONS]\n",
         stderr);
  return 3;
}

static bool
parse_mode (const char *mode)
{
  set.random = !strncmp (mode, "rand", 4);
  mode += set.random ? 4 : 0;
  set.sync = !strcmp (mode, "write+sync");
  set.write = set.sync || !strcmp (mode, "write");
  return set.write || !strcmp (mode, "read");
}

int
main (int argc, char **argv)
{
  bool good;

  if (argc < 6 || argc > 7 || !parse_mode (argv[2]))
    return usage ();
  set.block_size = strtoull (argv[3], NULL, 0);
  set.depth = strtoull (argv[4], NULL, 0);
  set.seconds = strtoull (argv[5], NULL, 0);
  set.nsessions = argc > 6 ? strtoull (argv[6], NULL, 0) : 1;
  if (!set.block_size || set.block_size > 16 << 20 || !set.depth || set.depth > MAX_DEPTH || !set.seconds
      || !set.nsessions || set.nsessions > MAX_SESSIONS || set.nsessions > set.depth)
    return usage ();
  good = prepare (argv[1]) && measure ();
  for (uint64_t i = 0; i < set.nsessions; i++)
    if (sessions[i].iscsi) {
      if (good)
        iscsi_logout_sync (sessions[i].iscsi);
      iscsi_destroy_context (sessions[i].iscsi);
    }
  for (uint64_t i = 0; i < set.depth; i++)
    free (slots[i].iov.iov_base);
  return good ? 0 : 1;
}
