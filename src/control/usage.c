/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --help and --version. */
#include "config.h"

#include "control/option_table.h"

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>
#include <iscsi/iscsi.h> /* only LIBISCSI_API_VERSION: nothing of the library is called here */
#include <stdio.h>

#define HELP_COLUMN 46

static char *
long_name (const LunfsOption *o)
{
  g_autofree char *kebab = g_strdelimit (g_strdup (o->name), "_", '-');
  if (!o->value_name)
    return g_strdup_printf ("--%s", kebab);
  return g_strdup_printf (o->value_optional ? "--%s[=%s]" : "--%s=%s", kebab, o->value_name);
}

/* " [120]" where the default is a number in the settings, else "": then the text says what it is. */
static char *
default_text (const LunfsOption *o, const LunfsSettings *defaults)
{
  const void *at = (const char *) defaults + o->offset;
  if (o->kind == LUNFS_OPT_INT)
    return g_strdup_printf (" [%d]", *(const int *) at);
  if (o->kind == LUNFS_OPT_SIZE && *(const uint64_t *) at)
    return g_strdup_printf (" [%" G_GUINT64_FORMAT "M]", *(const uint64_t *) at >> 20);
  return g_strdup ("");
}

static void
print_option (const LunfsOption *o, const LunfsSettings *defaults)
{
  g_autofree char *name = long_name (o);
  g_autofree char *value = default_text (o, defaults);
  char letter[] = { o->letter ? '-' : ' ', o->letter ? o->letter : ' ', o->letter ? ',' : ' ', '\0' };
  printf ("  %s %-*s %s%s\n", letter, HELP_COLUMN - 6, name, o->help, value);
}

void
lunfs_print_help (void)
{
  g_autoptr (LunfsSettings) defaults = lunfs_settings_new ();
  printf ("usage: lunfs [options] SOURCE [MOUNTPOINT]\n"
          "       lunfs [options] --all\n"
          "\n"
          "Show the LUNs of iSCSI targets as files.\n"
          "\n"
          "SOURCE      iscsi://[user@]host[:port][/target[/lun]]\n"
          "            without lun: all LUNs; without target: all targets\n"
          "            or a name from lunfs.conf, which may give the mount point, too\n"
          "MOUNTPOINT  a directory; or a regular file, if SOURCE names one LUN; or /dev/fd/N\n"
          "\n"
          "Every option can also be given as -o name=value[,name=value...], with '_' for '-'.\n"
          "-o also takes what mount(8) passes on: nosuid, noexec, _netdev, nofail, x-... .\n");
  for (const LunfsOption *o = lunfs_options; o->help; o++)
    if (o->kind == LUNFS_OPT_SECTION)
      printf ("\n%s\n", o->help);
    else
      print_option (o, defaults);
  printf ("\nUnmount with: fusermount3 -u MOUNTPOINT, or umount MOUNTPOINT.  Manual page: lunfs(8).\n");
}

void
lunfs_print_version (void)
{
  printf ("lunfs %s\n", PACKAGE_VERSION);
  printf ("libiscsi API %d\n", LIBISCSI_API_VERSION);
  printf ("libfuse %s\n", fuse_pkgversion ());
}
