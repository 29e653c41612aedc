/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nullfs: one file in memory behind FUSE, served the way lunfs serves a LUN: the floor, what FUSE alone costs.
 *
 *   nullfs MIB DIRECTORY        mounts it, with DIRECTORY/disk of MIB MiB; ends when it is unmounted or at SIGTERM
 *
 * One thread: epoll, up to 16 requests in a pass, each answered at once, readv into 64 KiB chunks, writev, direct I/O with
 * parallel writes (src/fuse/channel.c, data.c).  Whatever is no READ or WRITE goes through libfuse, which mounts, too. */
#define _GNU_SOURCE
#include "fuse/fuse_api.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef FOPEN_PARALLEL_DIRECT_WRITES /* Linux 6.2 */
#define FOPEN_PARALLEL_DIRECT_WRITES (1 << 6)
#endif

#define DISK "disk"
#define MIN(a, b) ((a) < (b) ? (a) : (b))

enum {
  DISK_INO = 2,
  BATCH = 16, /* as in src/fuse/channel.c */
  MAX_BACKGROUND = 64,
  CHUNK_BYTES = 65536,
  CHUNKS = 16, /* 1 MiB: the largest request */
  HEADER_BYTES = sizeof (struct fuse_in_header) + sizeof (struct fuse_write_in),
};

static uint8_t *disk;
static uint64_t disk_bytes;
static int fuse_fd;
static _Alignas(8) uint8_t header[HEADER_BYTES];
static uint8_t *payload; /* CHUNKS in one piece, read as CHUNKS elements */

/* ---- what libfuse asks for ---- */

static struct stat
attributes (fuse_ino_t ino)
{
  struct stat st = { .st_ino = ino, .st_nlink = 1, .st_uid = getuid (), .st_gid = getgid () };

  st.st_mode = ino == DISK_INO ? S_IFREG | 0600 : S_IFDIR | 0700;
  st.st_size = ino == DISK_INO ? (off_t) disk_bytes : 0;
  st.st_blksize = 4096;
  return st;
}

static void
init (void *user, struct fuse_conn_info *conn)
{
  (void) user;
  conn->max_background = MAX_BACKGROUND;
  conn->max_write = CHUNKS * CHUNK_BYTES;
}

static void
lookup (fuse_req_t req, fuse_ino_t parent, const char *name)
{
  struct fuse_entry_param e = { .ino = DISK_INO, .attr = attributes (DISK_INO), .attr_timeout = 60 };

  (void) parent;
  if (strcmp (name, DISK) == 0)
    fuse_reply_entry (req, &e);
  else
    fuse_reply_err (req, ENOENT);
}

static void
getattr (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  struct stat st = attributes (ino);

  (void) fi;
  fuse_reply_attr (req, &st, 60);
}

static void /* loop devices and O_TRUNC: nothing changes */
setattr (fuse_req_t req, fuse_ino_t ino, struct stat *wanted, int what, struct fuse_file_info *fi)
{
  (void) wanted;
  (void) what;
  getattr (req, ino, fi);
}

static void
open_disk (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  struct fuse_open_out out = { .open_flags = FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES | FOPEN_NOFLUSH };

  (void) ino;
  (void) fi;
  fuse_reply_buf (req, (const char *) &out, sizeof out);
}

static void
sync_disk (fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
  (void) ino;
  (void) datasync;
  (void) fi;
  fuse_reply_err (req, 0);
}

/* ---- READ and WRITE ---- */

static void
answer (int error, void *data, size_t bytes)
{
  const struct fuse_in_header *in = (const void *) header;
  struct fuse_out_header out = { .len = (uint32_t) (sizeof out + bytes), .error = error, .unique = in->unique };
  struct iovec iov[] = { { &out, sizeof out }, { data, bytes } };

  if (writev (fuse_fd, iov, bytes ? 2 : 1) < 0 && errno != ENOENT)
    perror ("nullfs: answering the kernel");
}

static void
serve_read (void)
{
  const struct fuse_read_in *in = (const void *) (header + sizeof (struct fuse_in_header));

  if (in->offset >= disk_bytes)
    answer (0, NULL, 0);
  else
    answer (0, disk + in->offset, MIN (in->size, disk_bytes - in->offset));
}

static void
serve_write (void)
{
  const struct fuse_write_in *in = (const void *) (header + sizeof (struct fuse_in_header));
  struct fuse_write_out out = { 0 };

  if (in->offset >= disk_bytes) {
    answer (-ENOSPC, NULL, 0);
    return;
  }
  out.size = (uint32_t) MIN (in->size, disk_bytes - in->offset);
  memcpy (disk + in->offset, payload, out.size);
  answer (0, &out, sizeof out);
}

static void
serve (struct fuse_session *session, size_t bytes)
{
  static uint8_t linear[HEADER_BYTES + CHUNKS * CHUNK_BYTES];
  const struct fuse_in_header *in = (const void *) header;
  struct fuse_buf buf = { .mem = linear, .size = bytes };
  size_t head = MIN (bytes, sizeof header);

  if (in->opcode == FUSE_READ) {
    serve_read ();
  } else if (in->opcode == FUSE_WRITE) {
    serve_write ();
  } else {
    memcpy (linear, header, head);
    memcpy (linear + head, payload, bytes - head);
    fuse_session_process_buf (session, &buf);
  }
}

/* One pass.  False: unmounted. */
static bool
pass (struct fuse_session *session)
{
  struct iovec iov[1 + CHUNKS] = { { header, sizeof header } };

  for (int i = 0; i < CHUNKS; i++)
    iov[1 + i] = (struct iovec){ payload + i * CHUNK_BYTES, CHUNK_BYTES };
  for (int i = 0; i < BATCH; i++) {
    ssize_t n = readv (fuse_fd, iov, 1 + CHUNKS);

    if (n >= (ssize_t) sizeof (struct fuse_in_header))
      serve (session, (size_t) n);
    else if (n >= 0 || (errno != EINTR && errno != ENOENT))
      return n < 0 && errno == EAGAIN;
  }
  return true;
}

static void
loop (struct fuse_session *session)
{
  struct epoll_event event = { .events = EPOLLIN };
  int epoll_fd = epoll_create1 (EPOLL_CLOEXEC);

  fcntl (fuse_fd, F_SETFL, fcntl (fuse_fd, F_GETFL) | O_NONBLOCK);
  if (epoll_ctl (epoll_fd, EPOLL_CTL_ADD, fuse_fd, &event) < 0)
    return;
  while (!fuse_session_exited (session)) {
    if (epoll_wait (epoll_fd, &event, 1, -1) > 0 && !pass (session))
      break;
  }
  close (epoll_fd);
}

/* The memory is touched before, since the first touch of a page costs more than the request. */
static void *
memory (uint64_t bytes)
{
  void *p = mmap (NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

  return p == MAP_FAILED ? NULL : p;
}

int
main (int argc, char **argv)
{
  static const struct fuse_lowlevel_ops ops = {
    .init = init, .lookup = lookup, .getattr = getattr, .setattr = setattr, .open = open_disk, .fsync = sync_disk
  };
  struct fuse_args args = FUSE_ARGS_INIT (1, argv);
  struct fuse_session *session;

  if (argc != 3 || !(disk_bytes = strtoull (argv[1], NULL, 10) << 20)) {
    fputs ("usage: nullfs MIB DIRECTORY\n", stderr);
    return 3;
  }
  disk = memory (disk_bytes);
  payload = memory (CHUNKS * CHUNK_BYTES);
  session = fuse_session_new (&args, &ops, sizeof ops, NULL);
  if (!disk || !payload || !session || fuse_set_signal_handlers (session) < 0
      || fuse_session_mount (session, argv[2]) < 0) {
    fputs ("nullfs: no memory, or not mounted\n", stderr);
    return 1;
  }
  fuse_fd = fuse_session_fd (session);
  loop (session);
  fuse_session_unmount (session);
  fuse_remove_signal_handlers (session);
  fuse_session_destroy (session);
  return 0;
}
