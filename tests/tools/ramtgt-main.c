/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options, the listening socket, signals, and the control socket. */
#include "ramtgt.h"

#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

Conf rt_conf = {
  .nluns = 1,
  .size = 1ull << 30,
  .block_size = 512,
  .physical_exponent = 3,
  .mrdsl = 262144,
  .first_burst = 262144,
  .max_burst = 1048576,
  .cmdsn_window = 128,
  .iqn = "iqn.2026-01.org.example:ramtgt",
  .serial = "ramtgt",
  .immediate_data = true,
  .wce = true,
  .dpofua = true,
  .unmap = true,
  .write_same = true,
  .rw16 = true,
  .unit_attention = true,
};

/* --- options -----------------------------------------------------------------------------------------------
 */

typedef struct Option {
  const char *name;
  enum { OPT_NUMBER, OPT_STRING, OPT_ON, OPT_OFF } kind;
  void *value;
  uint64_t min, max;
  const char *help;
} Option;

static const Option options[] = {
  { "port", OPT_NUMBER, &rt_conf.port, 0, 65535, "port on 127.0.0.1; 0 chooses one (default)" },
  { "iqn", OPT_STRING, &rt_conf.iqn, 0, 0, "name of the target" },
  { "luns", OPT_NUMBER, &rt_conf.nluns, 1, 4000, "number of LUNs" },
  { "first-lun", OPT_NUMBER, &rt_conf.first_lun, 0, 12000, "number of the first one" },
  { "size", OPT_NUMBER, &rt_conf.size, 512, 1ull << 46, "bytes of each LUN; k, m, g and t are understood" },
  { "block-size", OPT_NUMBER, &rt_conf.block_size, 512, 4096, "512 or 4096" },
  { "physical-exponent", OPT_NUMBER, &rt_conf.physical_exponent, 0, 15,
    "log2 of logical blocks per physical one" },
  { "file", OPT_STRING, &rt_conf.file, 0, 0, "keep the LUN in a file (FILE.<lun> if there are several)" },
  { "thin", OPT_ON, &rt_conf.thin, 0, 0, "reserve no memory: sizes beyond RAM work" },
  { "populate", OPT_ON, &rt_conf.populate, 0, 0, "take all memory at the start" },
  { "mrdsl", OPT_NUMBER, &rt_conf.mrdsl, 512, 0xffffff, "MaxRecvDataSegmentLength" },
  { "first-burst", OPT_NUMBER, &rt_conf.first_burst, 512, 0xffffff, "FirstBurstLength" },
  { "max-burst", OPT_NUMBER, &rt_conf.max_burst, 512, 0xffffff, "MaxBurstLength" },
  { "initial-r2t", OPT_ON, &rt_conf.initial_r2t, 0, 0, "InitialR2T=Yes" },
  { "no-immediate-data", OPT_OFF, &rt_conf.immediate_data, 0, 0, "ImmediateData=No" },
  { "max-cmdsn-window", OPT_NUMBER, &rt_conf.cmdsn_window, 1, TASKS_MAX, "commands in flight per session" },
  { "latency-us", OPT_NUMBER, &rt_conf.latency_us, 0, 10000000, "replies leave that much later" },
  { "wce", OPT_ON, &rt_conf.wce, 0, 0, "write cache enabled (default)" },
  { "no-wce", OPT_OFF, &rt_conf.wce, 0, 0, "write cache disabled" },
  { "no-dpofua", OPT_OFF, &rt_conf.dpofua, 0, 0, "no FUA bit" },
  { "no-unmap", OPT_OFF, &rt_conf.unmap, 0, 0, "no UNMAP" },
  { "no-write-same", OPT_OFF, &rt_conf.write_same, 0, 0, "no WRITE SAME" },
  { "no-read16", OPT_OFF, &rt_conf.rw16, 0, 0, "no READ, WRITE, READ CAPACITY of 16 bytes" },
  { "no-unit-attention", OPT_OFF, &rt_conf.unit_attention, 0, 0,
    "no unit attention at the start of a session" },
  { "write-protect", OPT_ON, &rt_conf.write_protect, 0, 0, "LUNs are read-only" },
  { "max-transfer", OPT_NUMBER, &rt_conf.max_transfer, 0, UINT32_MAX,
    "blocks in one READ or WRITE; 0 = any" },
  { "max-unmap", OPT_NUMBER, &rt_conf.max_unmap, 0, UINT32_MAX, "blocks in one UNMAP; 0 = any" },
  { "max-ws", OPT_NUMBER, &rt_conf.max_ws, 0, UINT32_MAX, "blocks in one WRITE SAME; 0 = any" },
  { "serial", OPT_STRING, &rt_conf.serial, 0, 0, "prefix of the serial numbers" },
  { "control", OPT_STRING, &rt_conf.control, 0, 0, "unix socket: stats, reset, drop, quit" },
};
enum { OPTIONS = sizeof options / sizeof *options };

static int
usage (FILE *f, int status)
{
  fputs ("usage: ramtgt [OPTION]...\nAn iSCSI target in memory, on loopback, for tests.  SIGUSR1 prints "
         "counters.\n",
         f);
  for (unsigned i = 0; i < OPTIONS; i++)
    fprintf (f, "  --%-22s %s\n", options[i].name, options[i].help);
  return status;
}

static bool
parse_number (const Option *o, const char *text)
{
  static const char units[] = "kmgt";
  char *end;
  const char *unit;
  uint64_t value;

  errno = 0;
  value = strtoull (text, &end, 0);
  if (*end && (unit = strchr (units, *end | 0x20)) && !end[1]) {
    unsigned shift = 10 * (unsigned)(unit - units + 1);
    if (value >> (64 - shift))
      errno = ERANGE;
    value <<= shift;
    end++;
  }
  if (errno || end == text || *end || *text == '-' || value < o->min || value > o->max) {
    fprintf (stderr, "ramtgt: --%s %s: not a number from %llu to %llu\n", o->name, text,
             (unsigned long long)o->min, (unsigned long long)o->max);
    return false;
  }
  *(uint64_t *)o->value = value;
  return true;
}

static bool
parse_options (int argc, char **argv)
{
  struct option longs[OPTIONS + 1] = { 0 };
  int which, got;

  for (unsigned i = 0; i < OPTIONS; i++) {
    longs[i].name = options[i].name;
    longs[i].has_arg = options[i].kind <= OPT_STRING ? required_argument : no_argument;
  }
  while ((got = getopt_long (argc, argv, "", longs, &which)) != -1) {
    const Option *o = &options[which];
    if (got)
      return false;
    if (o->kind == OPT_NUMBER && !parse_number (o, optarg))
      return false;
    if (o->kind == OPT_STRING)
      *(const char **)o->value = optarg;
    else if (o->kind != OPT_NUMBER)
      *(bool *)o->value = o->kind == OPT_ON;
  }
  if (optind < argc || (rt_conf.block_size != 512 && rt_conf.block_size != 4096))
    return false;
  rt_conf.size -= rt_conf.size % rt_conf.block_size;
  rt_conf.first_burst = min64 (rt_conf.first_burst, rt_conf.max_burst);
  rt_conf.provisioning = rt_conf.unmap || rt_conf.write_same;
  return true;
}

/* --- control socket ----------------------------------------------------------------------------------------
 */

static char *
verb_stats (void)
{
  return stat_json ();
}

static char *
verb_reset (void)
{
  stat_reset ();
  return strdup ("ok\n");
}

static char *
verb_drop (void)
{
  conn_drop_all ();
  return strdup ("ok\n");
}

static char *
verb_quit (void)
{
  kill (getpid (), SIGTERM);
  return strdup ("ok\n");
}

static const struct Verb {
  const char *name;
  char *(*run) (void);
} verbs[] = {
  { "stats", verb_stats }, { "reset", verb_reset }, { "drop", verb_drop }, { "quit", verb_quit }
};

static void
control_serve (FILE *f)
{
  char line[256];

  while (fgets (line, sizeof line, f)) {
    char *reply = NULL;
    bool known = false;
    line[strcspn (line, "\r\n")] = 0;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs && !known; i++)
      if ((known = !strcmp (line, verbs[i].name)))
        reply = verbs[i].run ();
    fputs (reply ? reply : "unknown\n", f);
    free (reply);
    if (fflush (f))
      break;
  }
}

static void *
control_thread (void *arg)
{
  int listener = *(int *)arg;

  for (;;) {
    int fd = accept4 (listener, NULL, NULL, SOCK_CLOEXEC);
    FILE *f = fd >= 0 ? fdopen (fd, "r+") : NULL;
    if (f) {
      control_serve (f);
      fclose (f);
    } else if (fd >= 0) {
      close (fd);
    }
  }
  return NULL;
}

/* --- sockets -----------------------------------------------------------------------------------------------
 */

static int
listen_control (void)
{
  struct sockaddr_un sa = { .sun_family = AF_UNIX };
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  snprintf (sa.sun_path, sizeof sa.sun_path, "%s", rt_conf.control);
  unlink (sa.sun_path);
  if (fd < 0 || bind (fd, (struct sockaddr *)&sa, sizeof sa) || listen (fd, 4)) {
    perror (rt_conf.control);
    return -1;
  }
  return fd;
}

static int
listen_iscsi (void)
{
  struct sockaddr_in sa = { .sin_family = AF_INET,
                            .sin_port = htons ((uint16_t)rt_conf.port),
                            .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  socklen_t sl = sizeof sa;
  int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

  setsockopt (fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (fd < 0 || bind (fd, (struct sockaddr *)&sa, sizeof sa) || listen (fd, 64)
      || getsockname (fd, (struct sockaddr *)&sa, &sl)) {
    perror ("ramtgt: listen");
    return -1;
  }
  rt_conf.port = ntohs (sa.sin_port);
  return fd;
}

static void *
accept_thread (void *arg)
{
  int listener = *(int *)arg;

  for (;;) {
    int fd = accept4 (listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
      conn_start (fd);
    else if (errno != EINTR && errno != ECONNABORTED)
      usleep (10000); /* out of descriptors: wait for one */
  }
  return NULL;
}

static bool
start_thread (void *(*run) (void *), int *arg)
{
  pthread_t thread;

  if (pthread_create (&thread, NULL, run, arg)) {
    perror ("ramtgt: thread");
    return false;
  }
  pthread_detach (thread);
  return true;
}

static void
wait_for_signals (const sigset_t *set)
{
  int sig;

  while (!sigwait (set, &sig) && sig == SIGUSR1) {
    char *text = stat_json ();
    fputs (text ? text : "{}\n", stdout);
    fflush (stdout);
    free (text);
  }
}

int
main (int argc, char **argv)
{
  static int iscsi, control;
  sigset_t set;

  if (argc > 1 && !strcmp (argv[1], "--help"))
    return usage (stdout, 0);
  if (!parse_options (argc, argv))
    return usage (stderr, 3);
  signal (SIGPIPE, SIG_IGN);
  sigemptyset (&set);
  sigaddset (&set, SIGUSR1);
  sigaddset (&set, SIGTERM);
  sigaddset (&set, SIGINT);
  pthread_sigmask (SIG_BLOCK, &set, NULL);
  if (!luns_open () || (iscsi = listen_iscsi ()) < 0 || !start_thread (accept_thread, &iscsi))
    return 1;
  if (rt_conf.control && ((control = listen_control ()) < 0 || !start_thread (control_thread, &control)))
    return 1;
  printf ("listening on 127.0.0.1:%u\n", (unsigned)rt_conf.port);
  fflush (stdout);
  wait_for_signals (&set);
  if (rt_conf.control)
    unlink (rt_conf.control);
  return 0;
}
