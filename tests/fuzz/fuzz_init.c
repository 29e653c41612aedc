/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What comes over descriptors: the kernel's first request (first byte even; up to three of them, each behind two length
 * bytes), and the messages between supervisor and worker (odd). */
#include "config.h"

#include "fuzz.h"

#include "supervisor/init.h"
#include "supervisor/supervisor.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WANTED_MAX_WRITE LUNFS_MAX_WRITE

/* Send what is there, packet by packet; nothing more will come. */
static unsigned
send_packets (FuzzBytes *in, int fd)
{
  unsigned n = 0;

  for (; in->left && n < 3; n++) {
    size_t len, told = fuzz_u16 (in);
    uint8_t *packet = fuzz_take (in, told, &len);

    must (send (fd, packet, len, 0) == (ssize_t) len);
    free (packet);
  }
  shutdown (fd, SHUT_WR);
  return n;
}

static void
check_terms (const LunfsArenaHeader *h, const struct fuse_init_out *out)
{
  const struct fuse_init_in *in = (const void *) (h->init_request + sizeof (struct fuse_in_header));
  uint64_t offered =
      lunfs_init_flags (in->flags, h->init_bytes >= sizeof (struct fuse_in_header) + sizeof *in ? in->flags2 : 0);

  must (h->init_bytes <= LUNFS_ARENA_INIT_MAX && h->init_bytes > sizeof (struct fuse_in_header));
  must ((h->init_flags & ~offered) == 0 || h->init_bytes < sizeof (struct fuse_in_header) + sizeof *in);
  must (h->max_write >= 4096 && h->max_write <= WANTED_MAX_WRITE && h->max_background > 0);
  must (out->major == 7 && out->minor >= 23 && out->minor <= 38 && out->max_write == h->max_write);
  must (out->max_background == h->max_background && out->congestion_threshold > 0
        && out->congestion_threshold <= out->max_background);
}

static void
init (FuzzBytes *in, const int fd[2])
{
  LunfsArenaHeader *header = g_new0 (LunfsArenaHeader, 1);
  uint32_t max_background = fuzz_u32 (in);
  g_autoptr (GError) error = NULL;
  struct {
    struct fuse_out_header header;
    struct fuse_init_out out;
  } answer;

  send_packets (in, fd[1]);
  if (!lunfs_init_answer (fd[0], header, max_background, false, &error)) {
    must (error && header->init_bytes == 0 && header->max_write == 0);
  } else {
    must (recv (fd[1], &answer, sizeof answer, 0) == sizeof answer && answer.header.len == sizeof answer);
    while (recv (fd[1], &answer, sizeof answer, MSG_DONTWAIT) == sizeof answer)
      ; /* the kernel was of a later major version */
    check_terms (header, &answer.out);
  }
  g_free (header);
}

static void
messages (FuzzBytes *in, const int fd[2])
{
  unsigned sent = send_packets (in, fd[1]), received = 0;
  LunfsReceived got;
  LunfsMessage m;
  int passed;

  must (lunfs_message_send (fd[0], LUNFS_MSG_SETTLED, 7, 9, "text"));
  while ((got = lunfs_message_receive (fd[0], &m, &passed)) == LUNFS_RECEIVED_MESSAGE) {
    received++;
    must (memchr (m.text, 0, sizeof m.text) && passed == -1);
  }
  must (got == LUNFS_RECEIVED_END && received <= sent);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  FuzzBytes in = { data, size };
  int fd[2];

  fuzz_quiet ();
  must (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) == 0);
  if (fuzz_u8 (&in) & 1)
    messages (&in, fd);
  else
    init (&in, fd);
  close (fd[0]);
  close (fd[1]);
  return 0;
}
