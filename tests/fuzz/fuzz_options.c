/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A command line, its arguments separated by NULs, up to where files would be read: every value is in its range, and the
 * settings are the same after their way to the worker. */
#include "config.h"

#include "fuzz.h"

#include "control/options.c" /* take_args(), check_combinations(), check_login() */

#define MAX_ARGS 32

static void
in_range (const LunfsSettings *s)
{
  for (const LunfsOption *o = lunfs_options; o->help; o++) {
    const void *at = (const char *) s + o->offset;

    if (o->kind == LUNFS_OPT_INT)
      must (*(const int *) at >= o->min && *(const int *) at <= o->max);
    else if (o->kind == LUNFS_OPT_SIZE && *(const uint64_t *) at) /* 0: not given */
      must (*(const uint64_t *) at >= (uint64_t) o->min && *(const uint64_t *) at <= (uint64_t) o->max);
    else if (o->kind == LUNFS_OPT_STRING)
      must (!*(char *const *) at || **(char *const *) at);
    else if (o->kind == LUNFS_OPT_PATH)
      must (!*(char *const *) at || **(char *const *) at == '/');
  }
  must ((s->umask & ~0777u) == 0 && s->uid != UINT32_MAX && s->gid != UINT32_MAX);
  must (s->log_level >= LUNFS_LOG_ERROR && s->log_level <= LUNFS_LOG_DEBUG);
  must ((unsigned) s->cache <= LUNFS_CACHE_PAGE && s->read_ahead <= 256 << 20);
  must (s->header_digest == LUNFS_DIGEST_NONE || s->header_digest == LUNFS_DIGEST_CRC32C);
  must (!s->password && !s->target_password);
}

static void
handed_on (const LunfsSettings *s)
{
  g_autofree char *text = lunfs_settings_to_text (s), *text2 = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (LunfsSettings) other = lunfs_settings_from_text (text, strlen (text), &error);

  must (other);
  text2 = lunfs_settings_to_text (other);
  must (g_str_equal (text, text2) && other->mount_options->len == s->mount_options->len);
  for (guint i = 0; i < s->mount_options->len; i++)
    must (g_str_equal (s->mount_options->pdata[i], other->mount_options->pdata[i]));
  must (g_strcmp0 (s->user, other->user) == 0 && g_strcmp0 (s->pidfile, other->pidfile) == 0);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  FuzzBytes in = { data, size };
  g_autoptr (LunfsSettings) settings = lunfs_settings_new ();
  g_autoptr (GPtrArray) positional = g_ptr_array_new ();
  g_autoptr (GError) error = NULL;
  char *argv[MAX_ARGS + 1] = { NULL };
  LunfsOptionState st = { .settings = settings, .credentials_fd = -1 };
  Args args = { .next = 0, .argv = argv, .positional = positional };
  bool ok;

  fuzz_quiet ();
  while (in.left && args.argc < MAX_ARGS)
    argv[args.argc++] = fuzz_string (&in);
  ok = take_args (&st, &args, &error);
  must (ok == !error);
  must (ok || (error->domain == LUNFS_ERROR && error->code == LUNFS_EXIT_USAGE && error->message[0]));
  in_range (settings);
  must (st.credentials_fd >= -1);
  handed_on (settings);
  if (ok && check_combinations (&st, NULL))
    check_login (settings, NULL);
  g_free (st.credentials_path);
  for (int i = 0; i < args.argc; i++)
    g_free (argv[i]);
  return 0;
}
