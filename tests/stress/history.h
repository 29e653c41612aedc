/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The last operations of all threads, to be told when something is wrong.  One lock inside. */
#ifndef STRESS_HISTORY_H
#define STRESS_HISTORY_H

#include "shadow.h"

#include <stdio.h>

typedef struct Event {
  const char *what;
  unsigned thread;
  uint64_t offset, len, generation, start, end;
} Event;

void history_add (const Event *e);
/* Those that touch [offset, offset + len), oldest first, at most the last @max; each with a mark if @found
 * (the bytes there) is what it left. */
void history_print (FILE *f, const Shadow *s, uint64_t offset, size_t len, const uint8_t *found,
                    unsigned max);

#endif
