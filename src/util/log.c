/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The log's three sinks.  A line is built in a buffer on the stack and leaves with one write(2), so lines of
 * several threads and processes never mix, and no lock is needed.
 *
 * Control characters in a line become blanks: text of a target cannot forge a second line.
 * Reopening replaces the file under its descriptor (dup3), so a thread that writes meanwhile is not disturbed. */
#include "config.h"

#include "lunfs/log.h"

#include "lunfs/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 2048

typedef enum { SINK_STDERR, SINK_SYSLOG, SINK_FILE } Sink;

_Atomic unsigned lunfs_log_debug_mask = 0;

/* Relaxed loads would do: these change at start and on request of the user only. */
static _Atomic int log_sink = SINK_STDERR;
static _Atomic int log_level = LUNFS_LOG_NOTICE;
static _Atomic int log_fd = -1;

static const char *const level_words[] = { "error: ", "warning: ", "", "", "" };
static const int syslog_levels[] = { LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG };

static const struct {
  const char *name;
  unsigned bit;
} domains[] = {
  { "fuse", LUNFS_DBG_FUSE },       { "lun", LUNFS_DBG_LUN },
  { "cache", LUNFS_DBG_CACHE },     { "session", LUNFS_DBG_SESSION },
  { "iscsi", LUNFS_DBG_ISCSI },     { "lane", LUNFS_DBG_LANE },
  { "control", LUNFS_DBG_CONTROL }, { "supervisor", LUNFS_DBG_SUPERVISOR },
  { "all", LUNFS_DBG_ALL },
};

static void
write_line (int fd, const char *line, size_t len)
{
  ssize_t n;
  do
    n = write (fd, line, len);
  while (n < 0 && errno == EINTR);
}

/* "2026-11-21T02:26:29.123Z lunfs[123]: ", in UTC so that no time zone file is read. */
static int
stamp (char *buf, size_t size)
{
  struct timespec now;
  struct tm tm;
  clock_gettime (CLOCK_REALTIME, &now);
  gmtime_r (&now.tv_sec, &tm);
  return snprintf (buf, size, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ lunfs[%d]: ", tm.tm_year + 1900, tm.tm_mon + 1,
                   tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, now.tv_nsec / 1000000, (int) getpid ());
}

static void
clean (char *text)
{
  for (unsigned char *p = (unsigned char *) text; *p; p++)
    if (*p < 0x20 || *p == 0x7f)
      *p = ' ';
}

static void
emit (LunfsLogLevel level, const char *word, const char *text)
{
  char line[LINE_BYTES + 128];
  int sink = log_sink, used = 0;
  if (sink == SINK_SYSLOG) {
    syslog (syslog_levels[level], "%s%s", word, text);
    return;
  }
  if (sink == SINK_FILE)
    used = stamp (line, sizeof line);
  else
    used = snprintf (line, sizeof line, "lunfs: ");
  used += snprintf (line + used, sizeof line - (size_t) used, "%s%s\n", word, text);
  write_line (sink == SINK_FILE ? log_fd : STDERR_FILENO, line, (size_t) used);
}

static void G_GNUC_PRINTF (3, 0) emit_va (LunfsLogLevel level, const char *word, const char *format, va_list args)
{
  char text[LINE_BYTES];
  int saved_errno = errno; /* the format may hold %m, and the caller may look at errno after us */
  vsnprintf (text, sizeof text, format, args);
  clean (text);
  emit (level, word, text);
  errno = saved_errno;
}

void
lunfs_log (LunfsLogLevel level, const char *format, ...)
{
  if ((int) level > log_level)
    return;
  va_list args;
  va_start (args, format);
  emit_va (level, level_words[level], format, args);
  va_end (args);
}

void
lunfs_log_debug_line (const char *domain, const char *format, ...)
{
  char word[32];
  size_t n = 0;
  for (; domain[n] && n < sizeof word - 3; n++)
    word[n] = g_ascii_tolower (domain[n]);
  strcpy (word + n, ": ");
  va_list args;
  va_start (args, format);
  emit_va (LUNFS_LOG_DEBUG, word, format, args);
  va_end (args);
}

static bool
open_file (const char *path, GError **error)
{
  int fd = open (path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
  if (fd < 0) {
    g_set_error (error, LUNFS_ERROR, lunfs_exit_of_path (errno), "log file '%s': %s", path, g_strerror (errno));
    return false;
  }
  if (log_fd < 0) {
    log_fd = fd;
    return true;
  }
  dup3 (fd, log_fd, O_CLOEXEC);
  close (fd);
  return true;
}

/* GLib's own messages: a critical means a bug, and must not vanish with a daemon's stderr. */
static void
glib_message (const char *domain, GLogLevelFlags flags, const char *message, gpointer user)
{
  if (flags & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL))
    lunfs_error ("%s CRITICAL: %s", domain ? domain : "GLib", message);
  else if (flags & G_LOG_LEVEL_WARNING)
    lunfs_warning ("%s: %s", domain ? domain : "GLib", message);
  else
    lunfs_info ("%s: %s", domain ? domain : "GLib", message);
}

bool
lunfs_log_open (const char *target, LunfsLogLevel level, unsigned debug_mask, GError **error)
{
  Sink sink = SINK_FILE;
  if (!target || g_str_equal (target, "stderr"))
    sink = SINK_STDERR;
  else if (g_str_equal (target, "syslog"))
    sink = SINK_SYSLOG;

  if (sink == SINK_FILE && !open_file (target, error))
    return false;
  if (sink == SINK_SYSLOG)
    openlog ("lunfs", LOG_PID, LOG_DAEMON);
  g_log_set_default_handler (glib_message, NULL);
  log_sink = (int) sink;
  lunfs_log_set (level, debug_mask);
  return true;
}

void
lunfs_log_set (LunfsLogLevel level, unsigned debug_mask)
{
  log_level = (int) level;
  lunfs_log_debug_mask = debug_mask;
}

static bool
domain_bit (const char *name, unsigned *mask)
{
  for (size_t i = 0; i < G_N_ELEMENTS (domains); i++)
    if (g_str_equal (name, domains[i].name)) {
      *mask |= domains[i].bit;
      return true;
    }
  return false;
}

bool
lunfs_log_parse_domains (const char *text, unsigned *out_mask)
{
  g_auto (GStrv) names = g_strsplit (text, ",", -1);
  unsigned mask = 0;
  for (char **name = names; *name; name++)
    if (!domain_bit (*name, &mask))
      return false;
  *out_mask = mask;
  return true;
}
