/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the fuzz harnesses share.  A harness is one function that makes something of bytes and ends the process, by must(),
 * if what lunfs made of them is wrong.  libFuzzer calls it, or driver.c; see the README here. */
#ifndef LUNFS_FUZZ_H
#define LUNFS_FUZZ_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The harness.  Returns 0. */
int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

G_NORETURN void fuzz_failed (const char *file, int line, const char *what);
#define must(expression)                                                                                               \
  do {                                                                                                                 \
    if (G_UNLIKELY (!(expression)))                                                                                    \
      fuzz_failed (__FILE__, __LINE__, #expression);                                                                   \
  } while (0)

/* First thing of each harness: messages are made, but go nowhere; criticals of GLib end the process. */
void fuzz_quiet (void);

/* What is left of the input, eaten from the front.  At its end numbers are 0 and texts empty. */
typedef struct {
  const uint8_t *p;
  size_t left;
} FuzzBytes;

uint8_t fuzz_u8 (FuzzBytes *b);
uint16_t fuzz_u16 (FuzzBytes *b); /* big-endian, as are the next two */
uint32_t fuzz_u32 (FuzzBytes *b);
uint64_t fuzz_u64 (FuzzBytes *b);
/* At most @max bytes in memory of exactly that size, so that a sanitizer sees a step beyond it.  g_free. */
uint8_t *fuzz_take (FuzzBytes *b, size_t max, size_t *out_len);
/* Up to the next NUL, which is eaten, or the end.  g_free. */
char *fuzz_string (FuzzBytes *b);
/* A file in memory with what is left, read from its start.  close. */
int fuzz_memfd (FuzzBytes *b);

/* Every byte is 20h..7Eh. */
bool fuzz_printable (const char *text);
/* @n bytes at @p are all @value. */
bool fuzz_all (const void *p, size_t n, uint8_t value);

#endif
