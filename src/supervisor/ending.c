/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "supervisor/ending.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "lunfs/unique.h"

/* The arena is a file then: a page of it that cannot be read. */
#define FAILING_DISK                                                                                                   \
  "; if the kernel's log has errors of the disk that state_dir is on, unmount and mount with another state_dir"

bool
lunfs_ending_is_fault (int signal)
{
  static const int faults[] = { SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE, SIGSYS };

  for (unsigned i = 0; i < G_N_ELEMENTS (faults); i++)
    if (signal == faults[i])
      return true;
  return false;
}

void
lunfs_ending_note (LunfsArenaHeader *header, int wait_state)
{
  header->last_signal = WIFSIGNALED (wait_state) ? (uint32_t) WTERMSIG (wait_state) : 0;
  header->last_status = WIFEXITED (wait_state) ? (uint32_t) WEXITSTATUS (wait_state) : 0;
  header->last_crashed = lunfs_ending_is_fault ((int) header->last_signal);
  header->ended++;
  header->crashes += header->last_crashed;
}

void
lunfs_ending_forget (LunfsArenaHeader *header)
{
  header->last_signal = header->last_status = header->last_crashed = 0;
}

static bool
is_suspect (const LunfsArenaHeader *header, uint64_t unique)
{
  for (uint32_t i = 0; i < MIN (header->nsuspects, LUNFS_ARENA_SUSPECTS); i++)
    if (header->suspects[i].unique == unique)
      return true;
  return false;
}

bool
lunfs_ending_accuses (const LunfsArena *arena)
{
  if (!arena->header->last_crashed)
    return false;
  for (unsigned i = 0; i < LUNFS_ARENA_SLOTS; i++) {
    const LunfsArenaSlot *slot = &arena->slots[i];

    if (slot->len && lunfs_slot_bytes (slot) && is_suspect (arena->header, lunfs_slot_unique (slot)))
      return true;
  }
  return false;
}

char *
lunfs_ending_text (const LunfsArenaHeader *header)
{
  if (header->ended == 0)
    return g_strdup ("");
  if (header->last_signal)
    return g_strdup_printf ("signal %u (%s)%s", header->last_signal, strsignal ((int) header->last_signal),
                            header->last_signal == SIGBUS && *header->boot_id ? FAILING_DISK : "");
  return g_strdup_printf ("status %u", header->last_status);
}
