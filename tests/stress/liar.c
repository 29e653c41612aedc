/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A preloaded library that makes a file lie now and then, in the way that LIE names: to see that stress finds out.
 *   drop   a write is acknowledged and not done
 *   tear   a write is done in two parts, cut inside a sector
 *   late   a write is done after the thread's next one
 *   stale  a read returns what the thread read there before
 *   short  a read's last bytes are from the bytes before
 *   punch  a punched hole still holds its data */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Which call of a thread is a lie.  Few operations are punches: on a busy machine a thread does a few hundred. */
enum { EVERY = 500, EVERY_PUNCH = 50, KEPT = 65536 };

typedef struct Kept {
  char data[KEPT];
  size_t len;
  off_t offset;
} Kept;

static ssize_t (*real_pwrite) (int, const void *, size_t, off_t);
static ssize_t (*real_pread) (int, void *, size_t, off_t);
static int (*real_fallocate) (int, int, off_t, off_t);
static const char *lie = "";
static __thread unsigned calls;

static void __attribute__ ((constructor)) find_real (void)
{
  *(void **) &real_pwrite = dlsym (RTLD_NEXT, "pwrite");
  *(void **) &real_pread = dlsym (RTLD_NEXT, "pread");
  *(void **) &real_fallocate = dlsym (RTLD_NEXT, "fallocate");
  if (getenv ("LIE"))
    lie = getenv ("LIE");
}

static int
time_for (const char *which, unsigned every)
{
  return !strcmp (lie, which) && ++calls % every == 0;
}

ssize_t
pwrite (int fd, const void *buf, size_t len, off_t offset)
{
  static __thread Kept late;
  ssize_t n;

  if (time_for ("drop", EVERY))
    return (ssize_t) len;
  if (!strcmp (lie, "tear") && len > 300) {
    n = real_pwrite (fd, buf, 300, offset);
    usleep (500);
    return n == 300 ? n + real_pwrite (fd, (const char *) buf + 300, len - 300, offset + 300) : -1;
  }
  if (len <= KEPT && !late.len && time_for ("late", EVERY)) {
    memcpy (late.data, buf, len);
    late.len = len;
    late.offset = offset;
    return (ssize_t) len;
  }
  n = real_pwrite (fd, buf, len, offset);
  if (late.len && real_pwrite (fd, late.data, late.len, late.offset) < 0)
    abort ();
  late.len = 0;
  return n;
}

ssize_t
pread (int fd, void *buf, size_t len, off_t offset)
{
  static __thread Kept old;

  if (old.len && offset <= old.offset && old.offset + (off_t) old.len <= offset + (off_t) len
      && time_for ("stale", EVERY)) {
    ssize_t n = real_pread (fd, buf, len, offset);
    memcpy ((char *) buf + (old.offset - offset), old.data, old.len);
    old.len = 0;
    return n;
  }
  ssize_t n = real_pread (fd, buf, len, offset);
  if (n > 0 && n <= KEPT && !old.len) {
    memcpy (old.data, buf, (size_t) n);
    old.len = (size_t) n;
    old.offset = offset;
  }
  if (n > 64 && time_for ("short", EVERY))
    memcpy ((char *) buf + n - 32, (char *) buf + n - 64, 32);
  return n;
}

int
fallocate (int fd, int mode, off_t offset, off_t len)
{
  if (time_for ("punch", EVERY_PUNCH))
    return 0;
  return real_fallocate (fd, mode, offset, len);
}
