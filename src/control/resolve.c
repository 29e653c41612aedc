/* SPDX-License-Identifier: GPL-2.0-or-later */
/* getaddrinfo rather than GLib's resolver, which asks with AI_ADDRCONFIG: then a host that has nothing but its loopback
 * interface (a network namespace) finds no address, not even in /etc/hosts. */
#include "config.h"

#include "control/resolve.h"

#include <errno.h>
#include <gio/gio.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>

typedef struct {
  char *host;
  LunfsResolveDone done;
  void *user;
  char *found[LUNFS_RESOLVE_MAX];
  unsigned n;
  char *error;
} Lookup;

static void
lookup_free (gpointer data)
{
  Lookup *lookup = data;

  for (unsigned i = 0; i < lookup->n; i++)
    g_free (lookup->found[i]);
  g_free (lookup->error);
  g_free (lookup->host);
  g_free (lookup);
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

static void /* a thread of GLib's pool */
look_up (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  Lookup *lookup = data;
  g_autofree char *name = g_hostname_to_ascii (lookup->host);
  const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
  struct addrinfo *list = NULL;
  int result = name ? getaddrinfo (name, NULL, &hints, &list) : EAI_NONAME;
  const char *why = result == EAI_SYSTEM ? g_strerror (errno) : gai_strerror (result);

  if (result == 0) {
    take_addresses (lookup, list);
    freeaddrinfo (list);
  }
  if (lookup->n == 0)
    lookup->error =
        g_strdup_printf ("cannot find the address of %s: %s", lookup->host, result ? why : "it has none for TCP");
  g_task_return_boolean (task, TRUE);
}

static void /* control thread */
looked_up (GObject *source, GAsyncResult *result, gpointer data)
{
  Lookup *lookup = g_task_get_task_data (G_TASK (result));

  lookup->done (lookup->user, (const char *const *) lookup->found, lookup->n, lookup->error);
}

void
lunfs_resolve (const char *host, LunfsResolveDone done, void *user)
{
  g_autoptr (GTask) task = NULL;
  Lookup *lookup;

  if (g_hostname_is_ip_address (host) || strchr (host, '%')) {
    done (user, &host, 1, NULL);
    return;
  }
  lookup = g_new0 (Lookup, 1);
  lookup->host = g_strdup (host);
  lookup->done = done;
  lookup->user = user;
  task = g_task_new (NULL, NULL, looked_up, NULL);
  g_task_set_task_data (task, lookup, lookup_free);
  g_task_run_in_thread (task, look_up);
}
