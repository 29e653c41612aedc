/* SPDX-License-Identifier: GPL-2.0-or-later */
/* getaddrinfo rather than GLib's resolver, which asks with AI_ADDRCONFIG: then a host that has nothing but its loopback
 * interface (a network namespace) finds no address, not even in /etc/hosts. */
#include "config.h"

#include "control/resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glib.h>
#include <netdb.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>

#define MAX_THREADS 8 /* a name server that is down keeps each of them for seconds */

typedef struct {
  char *host;
  LunfsResolveDone done;
  void *user;
  atomic_uint steps; /* taken so far, each by one thread: ThreadSanitizer does not see GLib's locks between them */
  char *found[LUNFS_RESOLVE_MAX];
  unsigned n;
  char *error;
} Lookup;

static gboolean /* control thread */
tell_cb (gpointer data)
{
  Lookup *lookup = data;

  g_return_val_if_fail (atomic_load (&lookup->steps) == 2, G_SOURCE_REMOVE);
  lookup->done (lookup->user, (const char *const *) lookup->found, lookup->n, lookup->error);
  for (unsigned i = 0; i < lookup->n; i++)
    g_free (lookup->found[i]);
  g_free (lookup->error);
  g_free (lookup->host);
  g_free (lookup);
  return G_SOURCE_REMOVE;
}

static void
take_addresses (Lookup *lookup, const struct addrinfo *list)
{
  for (const struct addrinfo *a = list; a && lookup->n < LUNFS_RESOLVE_MAX; a = a->ai_next) {
    char text[NI_MAXHOST];

    if (getnameinfo (a->ai_addr, a->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) == 0)
      lookup->found[lookup->n++] = g_strdup (text);
  }
}

static void /* a thread of the pool */
look_up (gpointer data, gpointer unused)
{
  Lookup *lookup = data;
  const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
  struct addrinfo *list = NULL;
  g_autofree char *name = NULL;
  const char *why;
  int result;

  g_return_if_fail (atomic_load (&lookup->steps) == 1);
  name = g_hostname_to_ascii (lookup->host);
  result = name ? getaddrinfo (name, NULL, &hints, &list) : EAI_NONAME;
  why = result == EAI_SYSTEM ? g_strerror (errno) : result ? gai_strerror (result) : "it has none for TCP";
  if (result == 0) {
    take_addresses (lookup, list);
    freeaddrinfo (list);
  }
  if (lookup->n == 0)
    lookup->error = g_strdup_printf ("cannot find the address of %s: %s", lookup->host, why);
  atomic_store (&lookup->steps, 2);
  /* Not g_main_context_invoke: at the end of the process it would call from here. */
  g_idle_add_full (G_PRIORITY_DEFAULT, tell_cb, lookup, NULL);
}

static gpointer
make_pool (gpointer unused)
{
  return g_thread_pool_new (look_up, NULL, MAX_THREADS, FALSE, NULL);
}

/* Only an IPv6 address may have a %scope.  What is none the library would look up, and the lane would wait for that. */
bool
lunfs_host_is_numeric (const char *host)
{
  g_autofree char *address = g_strndup (host, strcspn (host, "%"));
  struct in6_addr six;
  struct in_addr four;

  return inet_pton (AF_INET6, address, &six) == 1 || inet_pton (AF_INET, host, &four) == 1;
}

void
lunfs_resolve (const char *host, LunfsResolveDone done, void *user)
{
  static GOnce once = G_ONCE_INIT;
  Lookup *lookup;

  if (lunfs_host_is_numeric (host)) {
    done (user, &host, 1, NULL);
    return;
  }
  lookup = g_new0 (Lookup, 1);
  lookup->host = g_strdup (host);
  lookup->done = done;
  lookup->user = user;
  atomic_store (&lookup->steps, 1);
  g_thread_pool_push (g_once (&once, make_pool, NULL), lookup, NULL);
}
