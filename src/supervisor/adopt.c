/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "supervisor/adopt.h"

#include "lunfs/error.h"
#include "lunfs/log.h"
#include "supervisor/ending.h"
#include "supervisor/mount.h"
#include "supervisor/mountinfo.h"
#include "supervisor/supervisor.h"
#include "supervisor/unmount.h"
#include "util/filelock.h"

#include <fcntl.h>
#include <unistd.h>

/* Mounted somewhere, if only beneath another mount; one that was lazily unmounted ends by itself when its last user goes.
 * Of a mount that somebody else has made we know no device: it must be the one that we are to serve now. */
static bool
is_mounted (int fuse_fd, const LunfsSettings *settings, const LunfsArenaHeader *header)
{
  bool hidden = false;
  g_autofree char *path = NULL;

  if (fuse_fd < 0 || header->init_bytes == 0 || !lunfs_mount_is_alive_fd (fuse_fd))
    return false;
  if (!header->device[0])
    return lunfs_mount_dev_fd (settings->mountpoint) == fuse_fd;
  path = lunfs_mountinfo_find (header->device, &hidden);
  return path || hidden;
}

static void
keep_settings (int settings_fd, LunfsSettings *settings)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (LunfsSettings) then = NULL;
  g_autofree char *kept = NULL;

  if (settings_fd >= 0)
    then = lunfs_worker_read_settings (settings_fd, &error);
  if (!then) {
    lunfs_warning ("%s: started again without the settings it was mounted with%s%s: those of this start count",
                   settings->mountpoint, error ? ": " : "", error ? error->message : "");
    return;
  }
  kept = lunfs_stored_keep_settings (settings, then);
  if (kept)
    lunfs_warning ("%s on %s goes on as it was mounted: what differs now (%s) counts after an orderly stop and start",
                   settings->source_text, settings->mountpoint, kept);
}

bool
lunfs_adopt (LunfsStored *stored, LunfsSettings *settings, LunfsAdopted *out, GError **error)
{
  g_autoptr (LunfsArena) arena = NULL;

  *out = (LunfsAdopted){ NULL, false };
  if (stored->arena_fd < 0) {
    lunfs_stored_close (stored);
    return true;
  }
  arena = lunfs_arena_attach (g_steal_fd (&stored->arena_fd), error);
  if (!arena) {
    g_prefix_error (error,
                    "cannot go on with the mount that a killed lunfs has left; start the version that made it, or "
                    "stop the service, which gives up what was not yet written: ");
    lunfs_stored_close (stored);
    return false;
  }
  out->mounted = is_mounted (stored->fuse_fd, settings, arena->header);
  if (!out->mounted && !lunfs_stored_has_dirty (arena)) {
    lunfs_notice ("the mount that a killed lunfs has left is gone: mounting again");
    lunfs_file_unlock (arena->fd); /* the service manager keeps it open: state_dir would seem to be in use */
    lunfs_stored_close (stored);
    return true;
  }
  keep_settings (stored->settings_fd, settings);
  if (out->mounted)
    lunfs_notice ("going on with %s on %s after the supervisor's death", settings->source_text, settings->mountpoint);
  else
    lunfs_warning (
        "%s was unmounted while no lunfs ran: mounting it again, since there is data that %s has not got yet",
        settings->mountpoint, settings->source_text);
  if (stored->settings_fd >= 0)
    close (g_steal_fd (&stored->settings_fd));
  if (!out->mounted)
    lunfs_stored_close (stored);
  lunfs_ending_forget (arena->header);
  out->arena = g_steal_pointer (&arena);
  return true;
}
