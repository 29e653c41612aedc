/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The main() of a harness where there is no libFuzzer: runs every file of the seed corpus, then variants of them, the same
 * ones each time.
 *
 *   fuzz_x                the corpus ($top_srcdir/tests/fuzz/corpus/x) and variants of it
 *   fuzz_x FILE...        just these files, as libFuzzer does
 * LUNFS_FUZZ_RUNS=variants [2000]   LUNFS_FUZZ_SEED=N [1]
 * What ends the process is left in found-x in the current directory. */
#include "config.h"

#include "fuzz.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUNS 2000
#define MAX_BYTES 4096u
#define LIMIT_S 300 /* one input; hangs are found by the harnesses' own clocks */

typedef struct {
  uint8_t *bytes;
  size_t len;
} Seed;

static const char *what; /* "sense" */
static GArray *seeds;
static uint64_t random_state;

/* The input under way, for the report. */
static uint8_t *now_bytes;
static size_t now_len;
static char found_path[256];

/* In the sanitizers' runtime, if there is one. */
extern void __sanitizer_set_death_callback (void (*callback) (void)) __attribute__ ((weak));

static void
leave_input (void)
{
  int fd = open (found_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

  if (fd < 0 || write (fd, now_bytes, now_len) != (ssize_t) now_len || close (fd) < 0)
    return;
  dprintf (STDERR_FILENO, "fuzz_%s: %zu bytes of input left in %s\n", what, now_len, found_path);
}

static void
died (int number)
{
  signal (number, SIG_DFL);
  if (number == SIGALRM)
    dprintf (STDERR_FILENO, "fuzz_%s: no end after %d s\n", what, LIMIT_S);
  leave_input ();
  raise (number);
}

static void
watch_deaths (void)
{
  static const int signals[] = { SIGABRT, SIGALRM, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };

  if (__sanitizer_set_death_callback)
    __sanitizer_set_death_callback (leave_input);
  for (size_t i = 0; i < G_N_ELEMENTS (signals); i++)
    if (!__sanitizer_set_death_callback || signals[i] == SIGABRT || signals[i] == SIGALRM)
      signal (signals[i], died);
}

/* In memory of just that size. */
static void
run (const uint8_t *bytes, size_t len)
{
  now_bytes = malloc (len);
  now_len = len;
  if (len)
    memcpy (now_bytes, bytes, len);
  alarm (LIMIT_S);
  must (LLVMFuzzerTestOneInput (now_bytes, len) == 0);
  free (now_bytes);
  now_bytes = NULL;
  now_len = 0;
}

/* ---- variants ---- */

static uint32_t
roll (size_t n)
{
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return n ? (uint32_t) ((random_state >> 16) % n) : 0;
}

/* Replace @gone bytes at @at by @n bytes, as far as there is room. */
static void
replace (Seed *s, size_t at, size_t gone, const uint8_t *bytes, size_t n)
{
  gone = MIN (gone, s->len - at);
  n = MIN (n, MAX_BYTES - (s->len - gone));
  memmove (s->bytes + at + n, s->bytes + at + gone, s->len - at - gone);
  if (n)
    memmove (s->bytes + at, bytes, n);
  s->len = s->len - gone + n;
}

static void
put_number (Seed *s)
{
  static const uint64_t numbers[] = {
    0,          1,          2,         7,          8,         0x7f,       0x80,          0xfe,
    0xff,       0x100,      0x1ff,     0x1000,     0x7fff,    0x8000,     0xffff,        0x10000,
    0x7fffffff, 0x80000000, 0xfffffff, 0xffffffff, INT64_MAX, UINT64_MAX, UINT64_MAX - 7
  };
  uint64_t n = numbers[roll (G_N_ELEMENTS (numbers))];
  size_t width = (size_t) 1 << roll (4), at = roll (s->len + 1);
  bool big = roll (4) != 0;
  uint8_t bytes[8];

  for (size_t i = 0; i < width; i++)
    bytes[big ? width - 1 - i : i] = (uint8_t) (n >> 8 * i);
  replace (s, at, roll (8) ? width : 0, bytes, width);
}

static void
change (Seed *s)
{
  const Seed *other = &g_array_index (seeds, Seed, roll (seeds->len));
  size_t at = roll (s->len + 1), n = roll (MIN (s->len, 64) + 1), from = roll (other->len + 1);
  uint8_t byte = (uint8_t) roll (256), copy[64];

  switch (roll (9)) {
  case 0:
  case 1:
    if (s->len)
      s->bytes[at % s->len] ^= (uint8_t) (1 << roll (8));
    break;
  case 2:
    replace (s, at, roll (2), &byte, 1);
    break;
  case 3:
  case 4:
    put_number (s);
    break;
  case 5: /* cut at the end, or in the middle */
    if (roll (2))
      s->len = at;
    else
      replace (s, at, n, NULL, 0);
    break;
  case 6: /* some of it twice */
    n = MIN (n, s->len - at);
    memcpy (copy, s->bytes + at, n);
    replace (s, roll (s->len + 1), 0, copy, n);
    break;
  case 7: /* another's end */
    replace (s, at, SIZE_MAX, other->bytes + from, other->len - from);
    break;
  default: /* another's middle */
    n = roll (MIN (other->len - from, 64) + 1);
    replace (s, at, roll (2) ? n : 0, other->bytes + from, n);
    break;
  }
}

static void
run_variants (unsigned n)
{
  uint8_t *bytes = g_malloc (MAX_BYTES);

  for (unsigned i = 0; i < n; i++) {
    const Seed *from = &g_array_index (seeds, Seed, roll (seeds->len));
    Seed s = { bytes, from->len };

    memcpy (bytes, from->bytes, from->len);
    for (uint32_t changes = 1 + roll (6); changes > 0; changes--)
      change (&s);
    run (s.bytes, s.len);
  }
  g_free (bytes);
}

/* ---- the seeds ---- */

static bool
add_file (const char *path)
{
  g_autoptr (GError) error = NULL;
  char *bytes;
  gsize len;

  if (!g_file_get_contents (path, &bytes, &len, &error)) {
    fprintf (stderr, "fuzz_%s: %s\n", what, error->message);
    return false;
  }
  g_array_append_val (seeds, ((Seed){ (uint8_t *) bytes, MIN (len, MAX_BYTES) }));
  return true;
}

static int
by_name (const void *a, const void *b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* In the order of their names, so that variants are the same on every machine. */
static bool
add_corpus (void)
{
  const char *top = g_getenv ("top_srcdir");
  g_autofree char *path = g_build_filename (top ? top : ".", "tests", "fuzz", "corpus", what, NULL);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GError) error = NULL;
  GDir *dir = g_dir_open (path, 0, &error);
  const char *name;
  bool ok = true;

  if (!dir) {
    fprintf (stderr, "fuzz_%s: %s (top_srcdir is the top of the sources)\n", what, error->message);
    return false;
  }
  while ((name = g_dir_read_name (dir)))
    g_ptr_array_add (names, g_build_filename (path, name, NULL));
  g_dir_close (dir);
  qsort (names->pdata, names->len, sizeof *names->pdata, by_name);
  for (unsigned i = 0; i < names->len; i++)
    ok &= add_file (names->pdata[i]);
  return ok && names->len > 0;
}

static unsigned
number (const char *name, unsigned otherwise)
{
  const char *text = g_getenv (name);

  return text && *text ? (unsigned) g_ascii_strtoull (text, NULL, 10) : otherwise;
}

int
main (int argc, char **argv)
{
  const char *mark = strstr (argv[0], "fuzz_");
  unsigned seed = number ("LUNFS_FUZZ_SEED", 1), runs = argc > 1 ? 0 : number ("LUNFS_FUZZ_RUNS", RUNS);
  bool ok = true;

  for (const char *next; mark && (next = strstr (mark + 1, "fuzz_"));)
    mark = next;
  what = mark ? mark + strlen ("fuzz_") : "what";
  snprintf (found_path, sizeof found_path, "found-%s", what);
  seeds = g_array_new (FALSE, FALSE, sizeof (Seed));
  for (int i = 1; i < argc; i++)
    ok &= add_file (argv[i]);
  if (argc < 2)
    ok = add_corpus ();
  if (!ok)
    return EXIT_FAILURE;
  random_state = seed * UINT64_C (0x9e3779b97f4a7c15) + 0x1234567;
  printf ("fuzz_%s: %u files, %u variants, LUNFS_FUZZ_SEED=%u\n", what, seeds->len, runs, seed);
  fflush (stdout);
  watch_deaths ();
  run (NULL, 0);
  for (unsigned i = 0; i < seeds->len; i++)
    run (g_array_index (seeds, Seed, i).bytes, g_array_index (seeds, Seed, i).len);
  run_variants (runs);
  for (unsigned i = 0; i < seeds->len; i++)
    g_free (g_array_index (seeds, Seed, i).bytes);
  g_array_free (seeds, TRUE);
  return EXIT_SUCCESS;
}
