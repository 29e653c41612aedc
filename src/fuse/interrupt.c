/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "fuse/interrupt.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A fatal signal becomes SIGKILL in the pending set of every thread (kernel/signal.c: complete_signal). */
bool
lunfs_interrupt_dying_text (const char *status)
{
  static const char *const masks[] = { "\nSigPnd:", "\nShdPnd:" };

  for (unsigned i = 0; i < G_N_ELEMENTS (masks); i++) {
    const char *line = strstr (status, masks[i]);

    if (line && (strtoull (line + strlen (masks[i]), NULL, 16) & (UINT64_C (1) << (SIGKILL - 1))))
      return true;
  }
  return false;
}

bool
lunfs_interrupt_dying (uint32_t tid)
{
  char path[32], text[4096];
  size_t n;
  FILE *f;

  snprintf (path, sizeof path, "/proc/%u/status", tid);
  if (tid == 0 || !(f = fopen (path, "re")))
    return false;
  n = fread (text, 1, sizeof text - 1, f);
  fclose (f);
  text[n] = '\0';
  return lunfs_interrupt_dying_text (text);
}
