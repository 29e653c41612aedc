/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "control/resolve.h"

#include <gio/gio.h>
#include <string.h>

typedef struct {
  char *host;
  LunfsResolveDone done;
  void *user;
  GSocketAddressEnumerator *addresses;
  GPtrArray *found;
} Lookup;

static void
lookup_ended (Lookup *lookup, const char *error)
{
  g_autofree char *text = NULL;

  if (lookup->found->len == 0)
    text = g_strdup_printf ("cannot find the address of %s: %s", lookup->host, error ? error : "no such host");
  lookup->done (lookup->user, (const char *const *) lookup->found->pdata, lookup->found->len, text);
  g_ptr_array_unref (lookup->found);
  g_object_unref (lookup->addresses);
  g_free (lookup->host);
  g_free (lookup);
}

static char *
numeric (GInetSocketAddress *address)
{
  g_autofree char *text = g_inet_address_to_string (g_inet_socket_address_get_address (address));
  guint32 scope = g_socket_address_get_family (G_SOCKET_ADDRESS (address)) == G_SOCKET_FAMILY_IPV6
                      ? g_inet_socket_address_get_scope_id (address)
                      : 0;

  return scope ? g_strdup_printf ("%s%%%u", text, scope) : g_steal_pointer (&text);
}

static void
next_cb (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Lookup *lookup = user_data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GSocketAddress) address = g_socket_address_enumerator_next_finish (lookup->addresses, result, &error);

  if (!address || lookup->found->len >= LUNFS_RESOLVE_MAX) {
    lookup_ended (lookup, error ? error->message : NULL);
    return;
  }
  if (G_IS_INET_SOCKET_ADDRESS (address))
    g_ptr_array_add (lookup->found, numeric (G_INET_SOCKET_ADDRESS (address)));
  g_socket_address_enumerator_next_async (lookup->addresses, NULL, next_cb, lookup);
}

static gboolean
start_cb (gpointer data)
{
  Lookup *lookup = data;
  g_autoptr (GSocketConnectable) name = g_network_address_new (lookup->host, 0);

  lookup->addresses = g_socket_connectable_enumerate (name);
  lookup->found = g_ptr_array_new_with_free_func (g_free);
  g_socket_address_enumerator_next_async (lookup->addresses, NULL, next_cb, lookup);
  return G_SOURCE_REMOVE;
}

void
lunfs_resolve (const char *host, LunfsResolveDone done, void *user)
{
  Lookup *lookup;

  if (g_hostname_is_ip_address (host) || strchr (host, '%')) {
    done (user, &host, 1, NULL);
    return;
  }
  lookup = g_new0 (Lookup, 1);
  lookup->host = g_strdup (host);
  lookup->done = done;
  lookup->user = user;
  g_main_context_invoke (NULL, start_cb, lookup);
}
