/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the user asked for, checked and complete: made once by the supervisor (options.c), handed to every
 * worker as text in an inherited memfd (settings.c), constant afterwards.
 *
 * Owner: whoever made it; free with lunfs_settings_free, which wipes the secrets. */
#ifndef LUNFS_SETTINGS_H
#define LUNFS_SETTINGS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define LUNFS_LUN_ALL (-1)

/* One source: iscsi://[user[%password]@]host[:port][/target-iqn[/lun]] */
typedef struct {
  char *host;        /* name or address, IPv6 without brackets (with %scope if given) */
  uint16_t port;     /* 3260 by default */
  char *target_name; /* iqn./eui./naa. name; NULL = all targets (SendTargets) */
  int lun;           /* LUNFS_LUN_ALL or 0..16383 */
} LunfsSource;

typedef enum { LUNFS_DIGEST_NONE, LUNFS_DIGEST_CRC32C } LunfsDigest;
typedef enum { LUNFS_GUARD_AUTO, LUNFS_GUARD_ON, LUNFS_GUARD_OFF } LunfsGuardMode;
/* What becomes of requests that a dead worker had read; see fuse/inbox.h. */
typedef enum {
  LUNFS_RECOVERY_AUTO,   /* RESEND where the kernel has it, else INBOX */
  LUNFS_RECOVERY_RESEND, /* the kernel sends them again */
  LUNFS_RECOVERY_INBOX,  /* they are found in the arena */
} LunfsRecovery;
typedef enum {
  LUNFS_CACHE_WRITEBACK,    /* a write is answered when it is in memory */
  LUNFS_CACHE_WRITETHROUGH, /* a write is answered when the target has it; reads are cached */
  LUNFS_CACHE_NONE,         /* every read comes from the target */
  LUNFS_CACHE_PAGE,         /* the kernel's page cache, with write-through, in place of ours */
} LunfsCacheMode;

typedef struct {
  LunfsSource source;
  char *source_text; /* as given, without a password: fsname in /proc/mounts, log, status */
  /* More portals of source's targets, tried after its host: "HOST[:PORT]" separated by blanks; NULL = none. */
  char *other_portals;
  char *luns;       /* which of them to show (control/luns.h); NULL = all */
  char *mountpoint; /* absolute path, or "/dev/fd/N" */
  bool mount_is_file;

  /* identity and login */
  char *initiator_name;
  char *user, *password;               /* one-way CHAP; NULL = none */
  char *target_user, *target_password; /* mutual CHAP; NULL = none */
  LunfsDigest header_digest;
  LunfsGuardMode stale_write_guard; /* see session/guard.c; auto */

  /* outages, seconds; names and meanings are open-iscsi's */
  int replacement_timeout; /* default 120; 0 = fail at once; <0 = wait for ever */
  int login_timeout;       /* 15 */
  int logout_timeout;      /* 15: part of the stop limit */
  int noop_out_interval;   /* 5; 0 = off */
  int noop_out_timeout;    /* 5 */
  int cmd_timeout;         /* 30 */
  int rescan_interval; /* 300: how often portals and targets are asked for new and removed LUNs; 0 = only when told */
  int login_wait;      /* 3: how long the command waits for the first login's outcome before it returns */
  int stop_timeout;    /* 30: flush, log out and unmount end within this after SIGTERM */

  /* data path */
  int queue_depth;      /* 128: commands in flight per LUN, 1..128 */
  int max_background;   /* 256: FUSE requests the kernel keeps in flight */
  int lanes;            /* 1: threads of the data path */
  bool read_only;       /* ro */
  uint64_t buffer_size; /* bytes; upper bound of request buffers; 0 (default): enough for max_background requests */
  LunfsCacheMode cache; /* writeback */
  uint64_t cache_size;  /* bytes, of the mount: all pages kept, clean and written; 128 MiB; 8 MiB..64 GiB */
  /* bytes: of these, written data not yet on stable storage; 0 (default): half of cache_size; at most 3/4 of it */
  uint64_t cache_max_dirty;
  int cache_write_delay_ms; /* 5: how long written data waits for more to go with it, 0..60000 */
  uint64_t read_ahead;      /* bytes: most that is fetched ahead of one stream; 8 MiB, but at most half of cache_size;
                               0 = off; up to 256 MiB */

  /* presentation */
  uint32_t uid, gid; /* owner of the files; the caller's by default */
  uint32_t umask;    /* 0177 -> LUN files 0600 */
  bool allow_other, allow_root;
  GPtrArray *mount_options; /* char*: further options for the kernel/fusermount3: nosuid, noexec, context=... */

  /* log and process */
  bool foreground, single_thread;
  int log_level;                /* LunfsLogLevel */
  unsigned debug_mask;          /* LUNFS_DBG_* */
  char *log_target;             /* "stderr", "syslog" or a path; NULL = stderr with -f, else syslog */
  char *pidfile;                /* written when the mount serves; NULL = none */
  bool mlock;                   /* lock buffers in memory where allowed; default true */
  LunfsRecovery crash_recovery; /* auto */
  char *state_dir;     /* the arena is a file there (supervisor/state.h); NULL = in memory */
} LunfsSettings;

LunfsSettings *lunfs_settings_new (void); /* all defaults */
void lunfs_settings_free (LunfsSettings *s);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LunfsSettings, lunfs_settings_free)

/* The words for LunfsCacheMode, in its order; ends with NULL. */
extern const char *const lunfs_cache_words[];
/* cache_max_dirty with its default filled in, bytes. */
uint64_t lunfs_settings_max_dirty (const LunfsSettings *s);

/* As a GKeyFile text, secrets included: only ever written to a memfd. */
char *lunfs_settings_to_text (const LunfsSettings *s);
LunfsSettings *lunfs_settings_from_text (const char *text, gsize len, GError **error);

#endif
