/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Chooses the terms of the FUSE connection.
 *
 * Left out on purpose: WRITEBACK_CACHE (lies about the end of the file and about sync), ATOMIC_O_TRUNC (then an
 * O_TRUNC open would have to be refused by us), POSIX_LOCKS and FLOCK_LOCKS (the kernel does them locally),
 * AUTO_INVAL_DATA but for the page cache (EXPLICIT_INVAL_DATA instead: sizes change only through us).  There it has readers drop
 * what is cached of a file with another time of change.  To tell the kernel to do so (NOTIFY_INVAL_INODE) is to wait for pages
 * that are being read or written, in a state that no kill ends, and whoever answers for those pages must not.
 * HANDLE_KILLPRIV_V2 is there though nothing needs to be stripped: without it the kernel asks for security.capability before
 * each write into its page cache, since there are extended attributes. */
#include "config.h"

#include "supervisor/init.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lunfs/error.h"
#include "lunfs/log.h"

#define PROTOCOL_MAJOR 7
#define PROTOCOL_MINOR 38
#define MINOR_NEEDED 23 /* the first whose INIT answer has today's size */
/* What the kernel sends without FUSE_MAX_PAGES. */
#define PAGES_WITHOUT_MAX_PAGES 32
#define INIT_WAIT_MS 20000
#define READ_BYTES (FUSE_MIN_READ_BUFFER * 2)

#define FLAGS_WANTED                                                                                                   \
  (FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_MAX_PAGES | FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_INIT_EXT          \
   | FUSE_HAS_RESEND | FUSE_DIRECT_IO_ALLOW_MMAP | FUSE_NO_EXPORT_SUPPORT | FUSE_HANDLE_KILLPRIV_V2)

uint64_t
lunfs_init_flags (uint32_t flags, uint32_t flags2)
{
  return flags | (flags & FUSE_INIT_EXT ? (uint64_t) flags2 << 32 : 0);
}

struct fuse_init_out
lunfs_init_choose (const struct fuse_init_in *offered, uint32_t max_background, bool page_cache)
{
  struct fuse_init_out out;
  uint64_t wanted = FLAGS_WANTED | (page_cache ? FUSE_AUTO_INVAL_DATA : FUSE_EXPLICIT_INVAL_DATA);
  uint64_t flags = wanted & lunfs_init_flags (offered->flags, offered->flags2);
  uint32_t page = (uint32_t) sysconf (_SC_PAGESIZE);

  memset (&out, 0, sizeof out);
  out.major = PROTOCOL_MAJOR;
  out.minor = MIN (offered->minor, PROTOCOL_MINOR);
  out.flags = (uint32_t) flags;
  out.flags2 = (uint32_t) (flags >> 32);
  out.max_readahead = offered->max_readahead;
  out.max_write = LUNFS_MAX_WRITE;
  if (!(flags & FUSE_MAX_PAGES))
    out.max_write = MIN (LUNFS_MAX_WRITE, PAGES_WITHOUT_MAX_PAGES * page);
  else
    out.max_pages = (uint16_t) (LUNFS_MAX_WRITE / page);
  out.max_background = (uint16_t) CLAMP (max_background, 1, G_MAXUINT16);
  out.congestion_threshold = (uint16_t) MAX (out.max_background * 3 / 4, 1);
  out.time_gran = 1;
  return out;
}

static bool
fail (GError **error, const char *what)
{
  g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_MOUNT, "the kernel's first FUSE request: %s", what);
  return false;
}

/* Who hands us /dev/fd/N may have mounted nothing on it, or let another program answer. */
static bool
wait_readable (int fuse_fd, GError **error)
{
  struct pollfd p = { .fd = fuse_fd, .events = POLLIN };
  int n;

  do
    n = poll (&p, 1, INIT_WAIT_MS);
  while (n < 0 && errno == EINTR);
  if (n < 0)
    return fail (error, g_strerror (errno));
  if (n == 0)
    return fail (error, "none came; was the descriptor already served by another program?");
  if (p.revents & (POLLERR | POLLNVAL))
    return fail (error, "the descriptor is not a mounted /dev/fuse; mount it first, or give a directory");
  return true;
}

static bool
check_request (const uint8_t *bytes, ssize_t len, GError **error)
{
  const struct fuse_in_header *header = (const void *) bytes;
  const struct fuse_init_in *in = (const void *) (header + 1);

  if (len < (ssize_t) (sizeof *header + offsetof (struct fuse_init_in, flags2)) || len > LUNFS_ARENA_INIT_MAX
      || (size_t) len != header->len)
    return fail (error, "unexpected length");
  if (header->opcode != FUSE_INIT)
    return fail (error, "not INIT; was the descriptor already served by another program?");
  if (in->major < PROTOCOL_MAJOR || (in->major == PROTOCOL_MAJOR && in->minor < MINOR_NEEDED))
    return fail (error, "this kernel's FUSE is too old (Linux 3.15 or newer is needed)");
  return true;
}

static bool
read_request (int fuse_fd, uint8_t *bytes, size_t size, ssize_t *out_len, GError **error)
{
  ssize_t len;

  if (!wait_readable (fuse_fd, error))
    return false;
  do
    len = read (fuse_fd, bytes, size);
  while (len < 0 && (errno == EINTR || errno == EAGAIN));
  if (len < 0 && (errno == EPERM || errno == ENODEV))
    return fail (error, "nothing is mounted on this descriptor (any more)");
  if (len < 0)
    return fail (error, g_strerror (errno));
  *out_len = len;
  return check_request (bytes, len, error);
}

static bool
write_answer (int fuse_fd, uint64_t unique, struct fuse_init_out *out, GError **error)
{
  struct fuse_out_header header = { .len = sizeof header + sizeof *out, .unique = unique };
  struct iovec iov[] = { { &header, sizeof header }, { out, sizeof *out } };

  if (writev (fuse_fd, iov, G_N_ELEMENTS (iov)) != (ssize_t) header.len)
    return fail (error, g_strerror (errno));
  return true;
}

uint32_t
lunfs_init_request_timeout (uint32_t default_s, uint32_t max_s)
{
  if (default_s == 0 || (max_s && max_s < default_s))
    return max_s;
  return default_s;
}

static uint32_t
read_seconds (const char *name)
{
  g_autofree char *path = g_build_filename ("/proc/sys/fs/fuse", name, NULL);
  g_autofree char *text = NULL;

  return g_file_get_contents (path, &text, NULL, NULL) ? (uint32_t) g_ascii_strtoull (text, NULL, 10) : 0;
}

static void
note (LunfsArenaHeader *header, const uint8_t *bytes, size_t len, const struct fuse_init_out *out)
{
  memcpy (header->init_request, bytes, len);
  header->init_flags = lunfs_init_flags (out->flags, out->flags2);
  header->max_write = out->max_write;
  header->max_background = out->max_background;
  header->request_timeout_s =
      lunfs_init_request_timeout (read_seconds ("default_request_timeout"), read_seconds ("max_request_timeout"));
  header->init_bytes = (uint32_t) len;
}

bool
lunfs_init_answer (int fuse_fd, LunfsArenaHeader *header, uint32_t max_background, bool page_cache, GError **error)
{
  _Alignas(struct fuse_in_header) uint8_t bytes[READ_BYTES];
  const struct fuse_in_header *request = (const void *) bytes;
  struct fuse_init_in in;
  struct fuse_init_out out;
  ssize_t len = 0;

  for (int tries = 0; tries < 2; tries++) {
    if (!read_request (fuse_fd, bytes, sizeof bytes, &len, error))
      return false;
    memset (&in, 0, sizeof in); /* older kernels send less of it */
    memcpy (&in, request + 1, MIN ((size_t) len - sizeof *request, sizeof in));
    out = lunfs_init_choose (&in, max_background, page_cache);
    if (!write_answer (fuse_fd, request->unique, &out, error))
      return false;
    /* A kernel of a later major version takes that as "speak 7" and asks again. */
    if (in.major == PROTOCOL_MAJOR)
      break;
  }
  if (in.major != PROTOCOL_MAJOR)
    return fail (error, "no common protocol version");
  note (header, bytes, (size_t) len, &out);
  lunfs_debug (SUPERVISOR, "FUSE %u.%u, flags offered %#" G_GINT64_MODIFIER "x, agreed %#" G_GINT64_MODIFIER "x",
               in.major, in.minor, lunfs_init_flags (in.flags, in.flags2), header->init_flags);
  return true;
}
