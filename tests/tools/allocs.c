/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A preloaded library that counts what the lanes of lunfs allocate, in the file that LUNFS_ALLOCS names:
 *   8 bytes   armed: written by the test, != 0 counts
 *   8 bytes   allocations by libiscsi
 *   8 bytes   by libfuse, for requests that are neither READ nor WRITE
 *   8 bytes   by anybody else; where the first ones come from is in the file's namesake with .where */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { SHOWN = 20, DEPTH = 12 };

typedef struct Counts {
  uint64_t armed, libiscsi, libfuse, others;
} Counts;

extern void *__libc_malloc (size_t);
extern void *__libc_calloc (size_t, size_t);
extern void *__libc_realloc (void *, size_t);
extern void *__libc_memalign (size_t, size_t);

static Counts *counts;
static int where = -1;
static __thread int inside;

__attribute__ ((constructor)) static void
start (void)
{
  const char *path = getenv ("LUNFS_ALLOCS");
  char name[4096];
  void *frames[2];
  int fd;

  if (!path || (fd = open (path, O_RDWR | O_CLOEXEC)) < 0)
    return;
  snprintf (name, sizeof name, "%s.where", path);
  where = open (name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  where = where < 0 ? -1 : fcntl (where, F_DUPFD_CLOEXEC, 1000); /* out of the way of what is handed over */
  backtrace (frames, 2);                                         /* loads what it needs */
  counts = mmap (NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close (fd);
  if (counts == MAP_FAILED)
    counts = NULL;
}

static int
on_a_lane (void)
{
  char name[16];

  return prctl (PR_GET_NAME, name) == 0 && strncmp (name, "lunfs-lane", 10) == 0;
}

static void
count (const void *caller)
{
  void *frames[DEPTH];
  Dl_info info;

  if (!counts || inside || !__atomic_load_n (&counts->armed, __ATOMIC_RELAXED) || !on_a_lane ())
    return;
  inside = 1;
  if (!dladdr (caller, &info) || !info.dli_fname)
    info.dli_fname = "";
  if (strstr (info.dli_fname, "libiscsi"))
    __atomic_fetch_add (&counts->libiscsi, 1, __ATOMIC_RELAXED);
  else if (strstr (info.dli_fname, "libfuse"))
    __atomic_fetch_add (&counts->libfuse, 1, __ATOMIC_RELAXED);
  else if (__atomic_fetch_add (&counts->others, 1, __ATOMIC_RELAXED) < SHOWN && where >= 0) {
    backtrace_symbols_fd (frames, backtrace (frames, DEPTH), where);
    if (write (where, "\n", 1) < 0)
      where = -1;
  }
  inside = 0;
}

void *
malloc (size_t size)
{
  count (__builtin_return_address (0));
  return __libc_malloc (size);
}

void *
calloc (size_t n, size_t size)
{
  count (__builtin_return_address (0));
  return __libc_calloc (n, size);
}

void *
realloc (void *p, size_t size)
{
  count (__builtin_return_address (0));
  return __libc_realloc (p, size);
}

int
posix_memalign (void **out, size_t alignment, size_t size)
{
  count (__builtin_return_address (0));
  *out = __libc_memalign (alignment, size);
  return *out ? 0 : 12;
}
