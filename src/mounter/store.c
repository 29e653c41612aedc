/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "mounter/store.h"

#include <string.h>
#include <unistd.h>

#include "mounter/pass.h"
#include "supervisor/stored.h"

#define AT_ONCE                                                                                                        \
  64 /* so that one who talks without end keeps nobody else waiting; all that one start and end say is less */

/* By place in LunfsKept.fds. */
static const char *const names[LUNFS_KEPT_N] = { LUNFS_STORED_ARENA, LUNFS_STORED_SETTINGS, "lunfs-probe" };

void
lunfs_kept_init (LunfsKept *kept, uid_t owner)
{
  kept->owner = owner;
  for (int i = 0; i < LUNFS_KEPT_N; i++)
    kept->fds[i] = -1;
}

void
lunfs_kept_drop (LunfsKept *kept, int which)
{
  if (kept->fds[which] >= 0)
    close (kept->fds[which]);
  kept->fds[which] = -1;
}

void
lunfs_kept_drop_all (LunfsKept *kept)
{
  for (int i = 0; i < LUNFS_KEPT_N; i++)
    lunfs_kept_drop (kept, i);
}

bool
lunfs_kept_is_whole (const LunfsKept *kept)
{
  return kept->fds[LUNFS_KEPT_ARENA] >= 0 && kept->fds[LUNFS_KEPT_SETTINGS] >= 0;
}

/* The place of what a message is about; -1: nothing we keep. */
static int
place_of (char *const *lines)
{
  for (; *lines; lines++)
    for (int i = 0; g_str_has_prefix (*lines, "FDNAME=") && i < LUNFS_KEPT_N; i++)
      if (strcmp (*lines + strlen ("FDNAME="), names[i]) == 0)
        return i;
  return -1;
}

/* The newest of a name counts. */
static void
obey (LunfsKept *kept, LunfsPassed *said)
{
  g_auto (GStrv) lines = g_strsplit (said->text, "\n", 16);
  int at = place_of (lines);

  if (at < 0)
    return;
  if (g_strv_contains ((const char *const *) lines, "FDSTOREREMOVE=1"))
    lunfs_kept_drop (kept, at);
  if (!g_strv_contains ((const char *const *) lines, "FDSTORE=1") || said->nfds != 1)
    return;
  lunfs_kept_drop (kept, at);
  kept->fds[at] = said->fds[0];
  said->nfds = 0;
}

void
lunfs_kept_hear (LunfsKept *kept, int sock)
{
  LunfsPassed said;

  for (int n = 0; n < AT_ONCE && lunfs_pass_receive (sock, &said); n++) {
    if (said.uid == kept->owner || said.uid == 0)
      obey (kept, &said);
    lunfs_pass_close (&said); /* BARRIER=1 is answered by that */
  }
}
