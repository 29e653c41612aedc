/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One group for each target: the first of its records says how, the others add portals.  A value is written if it differs from
 * [defaults], which is iscsid.conf where that differs from what is built in, and only if the option table takes it. */
#include "config.h"

#include "control/import.h"

#include "control/option_table.h"
#include "control/secret.h"
#include "control/url.h"
#include "lunfs/error.h"

#include <string.h>

#define NAME_CHARS G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "._-"

typedef struct {
  const LunfsNodeDb *db;
  const LunfsImportConf *conf;
  GPtrArray *secrets;
  GString *out;
  GHashTable *names;    /* groups there are */
  GHashTable *defaults; /* option -> its value unless a group says another */
} Import;

static const struct {
  const char *theirs, *ours;
  const char *unchosen; /* open-iscsi's own default, which nobody has chosen, where ours is another */
} values[] = {
  { "node.session.timeo.replacement_timeout", "replacement_timeout", NULL },
  { "node.conn[0].timeo.login_timeout", "login_timeout", NULL },
  { "node.conn[0].timeo.logout_timeout", "logout_timeout", NULL },
  { "node.conn[0].timeo.noop_out_interval", "noop_out_interval", NULL },
  { "node.conn[0].timeo.noop_out_timeout", "noop_out_timeout", NULL },
  { "node.session.queue_depth", "queue_depth", "32" },
  { "node.conn[0].iscsi.HeaderDigest", "header_digest", NULL },
};

/* One line of UTF-8, whatever names of files and values are. */
static void
put_comment (Import *im, const char *kind, const char *text)
{
  g_autofree char *line = g_utf8_make_valid (text, -1);

  g_string_append_printf (im->out, "# %s%s\n", kind, g_strdelimit (line, "\r\n", ' '));
}

static void G_GNUC_PRINTF (2, 3) warn (Import *im, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);

  put_comment (im, "warning: ", text);
}

/* ---- values ---- */

/* In our words: digests are lists there, best first. */
static const char *
translate (const char *ours, const char *value)
{
  if (!g_str_equal (ours, "header_digest"))
    return value;
  return g_ascii_strncasecmp (value, "crc32c", 6) == 0 ? "crc32c" : "none";
}

static bool
is_accepted (Import *im, const char *theirs, const char *ours, const char *value)
{
  LunfsOptionState state = { .settings = lunfs_settings_new (), .credentials_fd = -1 };
  g_autoptr (GError) why = NULL;
  bool ok = lunfs_option_apply (&state, lunfs_option_find (ours), value, &why);

  if (!ok)
    warn (im, "%s is left out: %s", theirs, why->message);
  lunfs_settings_free (state.settings);
  return ok;
}

static void
set_built_in (Import *im)
{
  g_autoptr (LunfsSettings) s = lunfs_settings_new ();

  for (size_t i = 0; i < G_N_ELEMENTS (values); i++) {
    const LunfsOption *o = lunfs_option_find (values[i].ours);
    char *text = o->kind == LUNFS_OPT_INT ? g_strdup_printf ("%d", *(const int *) ((const char *) s + o->offset))
                                          : g_strdup ("none");
    g_hash_table_insert (im->defaults, (gpointer) values[i].ours, text);
  }
}

/* What @record says otherwise than [defaults]. */
static void
put_values (Import *im, const LunfsNodeRecord *record, bool is_defaults)
{
  for (size_t i = 0; i < G_N_ELEMENTS (values); i++) {
    const char *value = lunfs_node_record_get (record, values[i].theirs);
    const char *usual = g_hash_table_lookup (im->defaults, values[i].ours);

    if (!value || g_strcmp0 (value, values[i].unchosen) == 0)
      continue;
    value = translate (values[i].ours, value);
    if (g_str_equal (value, usual) || !is_accepted (im, values[i].theirs, values[i].ours, value))
      continue;
    g_string_append_printf (im->out, "%s=%s\n", values[i].ours, value);
    if (is_defaults)
      g_hash_table_insert (im->defaults, (gpointer) values[i].ours, g_strdup (value));
  }
}

/* ---- what cannot be said ---- */

static void
warn_of_interface (Import *im, const LunfsNodeRecord *r)
{
  static const char *const bound[] = { "iface.net_ifacename", "iface.hwaddress", "iface.ipaddress" };
  const char *transport = lunfs_node_record_get (r, "iface.transport_name");

  if (transport && !g_str_equal (transport, "tcp"))
    warn (im, "%s: transport %s; lunfs uses TCP", r->path, transport);
  for (size_t i = 0; i < G_N_ELEMENTS (bound); i++) {
    const char *value = lunfs_node_record_get (r, bound[i]);

    if (value)
      warn (im, "%s: bound to an interface (%s = %s); lunfs takes the route that the kernel has", r->path, bound[i],
            value);
  }
}

static void
warn_of_rest (Import *im, const LunfsNodeRecord *r)
{
  const char *digest = lunfs_node_record_get (r, "node.conn[0].iscsi.DataDigest");
  const char *sessions = lunfs_node_record_get (r, "node.session.nr_sessions");
  const char *algorithms = lunfs_node_record_get (r, "node.session.auth.chap_algs");

  warn_of_interface (im, r);
  if (digest && g_ascii_strncasecmp (digest, "crc32c", 6) == 0)
    warn (im, "%s: data digests; lunfs has header digests only", r->path);
  if (sessions && !g_str_equal (sessions, "1"))
    warn (im, "%s: %s sessions; lunfs has one for each LUN", r->path, sessions);
  if (algorithms && !strstr (algorithms, "MD5"))
    warn (im, "%s: CHAP with %s; lunfs offers MD5 only", r->path, algorithms);
}

/* ---- names, portals, credentials ---- */

/* The last part of an iqn, or an address, as a group's name that nobody has yet. */
static char *
make_name (Import *im, const char *prefix, const char *text)
{
  const char *colon = *prefix ? NULL : strrchr (text, ':');
  g_autofree char *base = g_strconcat (prefix, colon && g_ascii_isalnum (colon[1]) ? colon + 1 : text, NULL);
  char *name;

  g_strcanon (base, NAME_CHARS, '-');
  base[MIN (strlen (base), 56)] = '\0';
  name = g_strdup (base);
  for (unsigned n = 2; g_str_equal (name, "defaults") || g_hash_table_contains (im->names, name); n++) {
    g_free (name);
    name = g_strdup_printf ("%s-%u", base, n);
  }
  g_hash_table_add (im->names, g_strdup (name));
  return name;
}

/* NULL: none, which was said. */
static char *
portal_of (Import *im, const LunfsNodeRecord *r, const char *address_name, const char *port_name)
{
  const char *address = lunfs_node_record_get (r, address_name), *port = lunfs_node_record_get (r, port_name);
  g_autofree char *portal = NULL;
  LunfsSource source = { 0 };

  if (address)
    portal = g_strdup_printf (strchr (address, ':') ? "[%s]:%s" : "%s:%s", address, port ? port : "3260");
  if (!portal || !lunfs_url_parse_portal (portal, &source)) {
    warn (im, "%s is left out: %s and %s are no portal", r->path, address_name, port_name);
    return NULL;
  }
  lunfs_source_clear (&source);
  return g_steal_pointer (&portal);
}

/* A key file has a meaning for backslashes. */
static void
put_path (Import *im, const char *key, const char *path)
{
  g_auto (GStrv) parts = g_strsplit (path, "\\", -1);
  g_autofree char *escaped = g_strjoinv ("\\\\", parts);

  g_string_append_printf (im->out, "%s=%s\n", key, escaped);
}

static void
put_credentials (Import *im, const LunfsNodeRecord *r, const char *prefix, const char *name)
{
  static const char *const theirs[] = { "username", "password", "username_in", "password_in" };
  static const char *const ours[] = { "user", "password", "target_user", "target_password" };
  g_autofree char *method_name = g_strconcat (prefix, "authmethod", NULL);
  const char *method = lunfs_node_record_get (r, method_name);
  LunfsImportSecret *secret;
  GString *text;

  if (!method || g_ascii_strncasecmp (method, "CHAP", 4) != 0)
    return;
  if (!im->conf->credentials_dir) {
    warn (im, "it needs CHAP: import with --credentials-dir, or write credentials=FILE");
    return;
  }
  text = g_string_sized_new (1024); /* not to leave copies of secrets behind as it grows */
  for (size_t i = 0; i < G_N_ELEMENTS (theirs); i++) {
    g_autofree char *key = g_strconcat (prefix, theirs[i], NULL);
    const char *value = lunfs_node_record_get (r, key);

    if (value)
      g_string_append_printf (text, "%s=%s\n", ours[i], value);
    else if (i < 2)
      warn (im, "%s: CHAP without %s", r->path, theirs[i]);
  }
  secret = g_new0 (LunfsImportSecret, 1);
  secret->path = g_strdup_printf ("%s/%s.cred", im->conf->credentials_dir, name);
  secret->text = g_string_free (text, false);
  g_ptr_array_add (im->secrets, secret);
  put_path (im, "credentials", secret->path);
}

static void
put_startup (Import *im, const LunfsNodeRecord *r, const char *name)
{
  const char *startup = lunfs_node_record_get (r, "node.startup");

  if (!startup)
    startup = lunfs_node_record_get (im->db->defaults, "node.startup");
  if (startup && !g_str_equal (startup, "manual"))
    g_string_append (im->out, "startup=automatic\n");
  if (im->conf->mountpoint_dir) {
    g_autofree char *path = g_build_filename (im->conf->mountpoint_dir, name, NULL);
    put_path (im, "mountpoint", path);
  } else
    g_string_append_printf (im->out, "#mountpoint=/srv/%s\n", name);
}

/* ---- groups ---- */

/* The portals of all records of @target from @first on, which are marked in @taken; NULL: none. */
static char *
collect_portals (Import *im, const char *target, unsigned first, bool *taken)
{
  g_autoptr (GPtrArray) list = g_ptr_array_new_with_free_func (g_free);

  for (unsigned i = first; i < im->db->nodes->len; i++) {
    const LunfsNodeRecord *r = im->db->nodes->pdata[i];
    char *portal;

    if (g_strcmp0 (lunfs_node_record_get (r, "node.name"), target) != 0)
      continue;
    taken[i] = true;
    portal = portal_of (im, r, "node.conn[0].address", "node.conn[0].port");
    if (!portal || g_ptr_array_find_with_equal_func (list, portal, g_str_equal, NULL)) {
      g_free (portal);
    } else if (list->len >= LUNFS_PORTALS_MAX) {
      warn (im, "%s is left out: more than %d portals", r->path, LUNFS_PORTALS_MAX);
      g_free (portal);
    } else {
      g_ptr_array_add (list, portal);
    }
    if (portal)
      warn_of_rest (im, r);
  }
  g_ptr_array_add (list, NULL);
  return list->len > 1 ? g_strjoinv (" ", (char **) list->pdata) : NULL;
}

static void
put_target (Import *im, unsigned first, bool *taken)
{
  const LunfsNodeRecord *r = im->db->nodes->pdata[first];
  const char *target = lunfs_node_record_get (r, "node.name");
  const char *initiator = lunfs_node_record_get (r, "iface.initiatorname");
  g_autofree char *portals = NULL, *name = NULL;

  taken[first] = true;
  g_string_append_c (im->out, '\n');
  put_comment (im, "", r->path);
  if (!target || !lunfs_iscsi_name_valid (target)) {
    warn (im, "%s is left out: node.name is not an iSCSI name", r->path);
    return;
  }
  portals = collect_portals (im, target, first, taken);
  if (!portals)
    return;
  name = make_name (im, "", target);
  g_string_append_printf (im->out, "[%s]\ntarget=%s\nportal=%s\n", name, target, portals);
  if (initiator && is_accepted (im, "iface.initiatorname", "initiator_name", initiator))
    g_string_append_printf (im->out, "initiator_name=%s\n", initiator);
  put_values (im, r, false);
  put_credentials (im, r, "node.session.auth.", name);
  put_startup (im, r, name);
}

static void
put_portal (Import *im, const LunfsNodeRecord *r)
{
  g_autofree char *portal = NULL, *name = NULL, *what = g_strconcat (r->path, ": whatever this portal offers", NULL);

  g_string_append_c (im->out, '\n');
  put_comment (im, "", what);
  portal = portal_of (im, r, "discovery.sendtargets.address", "discovery.sendtargets.port");
  if (!portal)
    return;
  name = make_name (im, "all-of-", lunfs_node_record_get (r, "discovery.sendtargets.address"));
  g_string_append_printf (im->out, "[%s]\nportal=%s\n", name, portal);
  put_credentials (im, r, "discovery.sendtargets.auth.", name);
}

char *
lunfs_import_text (const LunfsNodeDb *db, const LunfsImportConf *conf, GPtrArray *secrets)
{
  Import im = { .db = db, .conf = conf, .secrets = secrets };
  g_autofree bool *taken = g_new0 (bool, db->nodes->len + 1);

  im.out = g_string_new ("# Made by lunfsctl import; see lunfs.conf(5).\n");
  im.names = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  im.defaults = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, g_free);
  set_built_in (&im);
  for (unsigned i = 0; i < db->warnings->len; i++)
    warn (&im, "%s", (const char *) db->warnings->pdata[i]);
  g_string_append (im.out, "\n[defaults]\n");
  put_values (&im, db->defaults, true);
  for (unsigned i = 0; i < db->nodes->len; i++)
    if (!taken[i])
      put_target (&im, i, taken);
  for (unsigned i = 0; i < db->portals->len; i++)
    put_portal (&im, db->portals->pdata[i]);
  g_hash_table_unref (im.names);
  g_hash_table_unref (im.defaults);
  return g_string_free (im.out, false);
}

static void
secret_free (gpointer data)
{
  LunfsImportSecret *secret = data;

  g_free (secret->path);
  lunfs_secret_free (secret->text);
  g_free (secret);
}

GPtrArray *
lunfs_import_secrets_new (void)
{
  return g_ptr_array_new_with_free_func (secret_free);
}
