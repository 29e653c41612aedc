/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "fuzz.h"

#include "lunfs/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void
fuzz_failed (const char *file, int line, const char *what)
{
  fprintf (stderr, "%s:%d: not true: %s\n", file, line, what);
  abort ();
}

static void
be_silent (const char *domain, GLogLevelFlags level, const char *message, gpointer user)
{
  if (level & (G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_ERROR)) {
    fprintf (stderr, "%s: %s\n", domain ? domain : "", message);
    abort ();
  }
}

void
fuzz_quiet (void)
{
  static bool done;

  if (done)
    return;
  done = true;
  g_log_set_default_handler (be_silent, NULL);
  must (lunfs_log_open (g_getenv ("LUNFS_FUZZ_LOG") ? g_getenv ("LUNFS_FUZZ_LOG") : "/dev/null", LUNFS_LOG_DEBUG, ~0u,
                        NULL));
}

uint8_t
fuzz_u8 (FuzzBytes *b)
{
  if (b->left == 0)
    return 0;
  b->left--;
  return *b->p++;
}

uint16_t
fuzz_u16 (FuzzBytes *b)
{
  uint16_t high = fuzz_u8 (b);

  return (uint16_t) (high << 8 | fuzz_u8 (b));
}

uint32_t
fuzz_u32 (FuzzBytes *b)
{
  uint32_t high = fuzz_u16 (b);

  return high << 16 | fuzz_u16 (b);
}

uint64_t
fuzz_u64 (FuzzBytes *b)
{
  uint64_t high = fuzz_u32 (b);

  return high << 32 | fuzz_u32 (b);
}

uint8_t *
fuzz_take (FuzzBytes *b, size_t max, size_t *out_len)
{
  size_t n = MIN (max, b->left);
  uint8_t *copy = malloc (n);

  if (n)
    memcpy (copy, b->p, n);
  b->p += n;
  b->left -= n;
  *out_len = n;
  return copy;
}

char *
fuzz_string (FuzzBytes *b)
{
  const uint8_t *end = b->left ? memchr (b->p, 0, b->left) : NULL;
  size_t n = end ? (size_t) (end - b->p) : b->left;
  char *text = g_malloc (n + 1);

  if (n)
    memcpy (text, b->p, n);
  text[n] = '\0';
  n += end != NULL;
  b->p += n;
  b->left -= n;
  return text;
}

int
fuzz_memfd (FuzzBytes *b)
{
  int fd = memfd_create ("fuzz", MFD_CLOEXEC);

  must (fd >= 0 && pwrite (fd, b->p, b->left, 0) == (ssize_t) b->left);
  b->p += b->left;
  b->left = 0;
  return fd;
}

bool
fuzz_printable (const char *text)
{
  for (; *text; text++)
    if (*text < 0x20 || *text > 0x7e)
      return false;
  return true;
}

bool
fuzz_all (const void *p, size_t n, uint8_t value)
{
  for (size_t i = 0; i < n; i++)
    if (((const uint8_t *) p)[i] != value)
      return false;
  return true;
}
