/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "supervisor/holdings.h"

#include "lunfs/error.h"
#include "supervisor/adopt.h"
#include "supervisor/init.h"
#include "supervisor/isid.h"
#include "supervisor/state.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int
settings_memfd (const LunfsSettings *settings, GError **error)
{
  char *text = lunfs_settings_to_text (settings);
  size_t len = strlen (text);
  int fd = memfd_create ("lunfs-settings", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  bool ok = fd >= 0 && write (fd, text, len) == (ssize_t) len
            && fcntl (fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0;

  explicit_bzero (text, len);
  g_free (text);
  if (ok)
    return fd;
  g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_NOMEM, "cannot hand over the settings: %s", g_strerror (errno));
  if (fd >= 0)
    close (fd);
  return -1;
}

/* Room for requests and, beside it, for what is kept until it is synchronised: neither can take the other's.  By default
 * so much that the requests of a LUN that does not answer never keep the others, or the status file, waiting for memory.
 * It is address space until it is used. */
static uint64_t
arena_bytes (const LunfsSettings *s)
{
  uint64_t requests = s->buffer_size ? s->buffer_size : (uint64_t) s->max_background * LUNFS_MAX_WRITE + (64 << 20);

  return requests + s->cache_size;
}

/* With what a killed supervisor has left, or new. */
static bool
make_memory (LunfsHoldings *h, LunfsSettings *settings, LunfsStored *stored, GError **error)
{
  LunfsAdopted adopted;

  if (!lunfs_adopt (stored, settings, &adopted, error))
    return false;
  h->adopted = adopted.mounted;
  h->settings_fd = settings_memfd (settings, error);
  h->arena = adopted.arena;
  h->same_memory = adopted.arena != NULL;
  if (h->settings_fd >= 0 && !h->arena)
    h->arena = settings->state_dir ? lunfs_state_create (settings, arena_bytes (settings), error)
                                   : lunfs_arena_create (arena_bytes (settings), error);
  if (h->settings_fd < 0 || !h->arena)
    return false;
  if (adopted.arena)
    h->isid_lock_fd = lunfs_isid_lock (h->arena->header->isid_random);
  else
    h->arena->header->isid_random = lunfs_isid_choose (settings, &h->isid_lock_fd);
  return true;
}

static bool
make_mount (LunfsHoldings *h, const LunfsSettings *settings, const LunfsStored *stored, GError **error)
{
  LunfsArenaHeader *header = h->arena->header;
  const char *device;

  if (h->adopted) {
    h->mount = lunfs_mount_adopt (settings, stored->fuse_fd, header->device);
    if (!h->mount)
      g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_FAILED, "cannot go on with the mount on %s", settings->mountpoint);
    return h->mount != NULL;
  }
  h->mount = lunfs_mount_new (settings, error);
  if (!h->mount
      || !lunfs_init_answer (lunfs_mount_fd (h->mount), header, (uint32_t) settings->max_background,
                             settings->cache == LUNFS_CACHE_PAGE, error))
    return false;
  device = lunfs_mount_device (h->mount);
  g_strlcpy (header->device, device ? device : "", sizeof header->device);
  return true;
}

void
lunfs_holdings_store (const LunfsHoldings *h, LunfsNotify *notify)
{
  lunfs_notify_store (notify, LUNFS_STORED_FUSE, lunfs_mount_fd (h->mount), !h->adopted);
  lunfs_notify_store (notify, LUNFS_STORED_ARENA, h->arena->fd, !h->same_memory);
  lunfs_notify_store (notify, LUNFS_STORED_SETTINGS, h->settings_fd, true);
  lunfs_notify_store_done (notify);
}

bool
lunfs_holdings_make (LunfsHoldings *h, LunfsSettings *settings, LunfsStored *stored, GError **error)
{
  *h = (LunfsHoldings){ .settings_fd = -1, .isid_lock_fd = -1 };
  return make_memory (h, settings, stored, error) && make_mount (h, settings, stored, error);
}
