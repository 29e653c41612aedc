/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "util/iov.h"

#include <glib.h>
#include <string.h>

unsigned
lunfs_iov_slice (const struct iovec *iov, unsigned niov, uint64_t skip, uint64_t len, struct iovec *out, unsigned max)
{
  unsigned n = 0;

  for (unsigned i = 0; i < niov && len > 0; i++) {
    size_t take;

    if (skip >= iov[i].iov_len) {
      skip -= iov[i].iov_len;
      continue;
    }
    if (n == max)
      return 0;
    take = (size_t) MIN (len, iov[i].iov_len - skip);
    out[n++] = (struct iovec){ (char *) iov[i].iov_base + skip, take };
    skip = 0;
    len -= take;
  }
  return len == 0 ? n : 0;
}

static void
copy (const struct iovec *iov, unsigned niov, uint64_t skip, char *data, size_t len, bool put)
{
  for (unsigned i = 0; i < niov && len > 0; i++) {
    size_t take;

    if (skip >= iov[i].iov_len) {
      skip -= iov[i].iov_len;
      continue;
    }
    take = MIN (len, iov[i].iov_len - (size_t) skip);
    if (put)
      memcpy ((char *) iov[i].iov_base + skip, data, take);
    else
      memcpy (data, (char *) iov[i].iov_base + skip, take);
    skip = 0;
    data += take;
    len -= take;
  }
}

void
lunfs_iov_get (const struct iovec *iov, unsigned niov, uint64_t skip, void *data, size_t len)
{
  copy (iov, niov, skip, data, len, false);
}

void
lunfs_iov_put (const struct iovec *iov, unsigned niov, uint64_t skip, const void *data, size_t len)
{
  copy (iov, niov, skip, (char *) data, len, true);
}

bool
lunfs_iov_append (struct iovec *iov, unsigned *niov, unsigned max, void *data, size_t len)
{
  struct iovec *last = *niov ? &iov[*niov - 1] : NULL;

  if (last && (char *) last->iov_base + last->iov_len == data) {
    last->iov_len += len;
    return true;
  }
  if (*niov == max)
    return false;
  iov[(*niov)++] = (struct iovec){ data, len };
  return true;
}
