/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The options: one row each.  The parser (options.c), --help (usage.c) and the test that compares them with the
 * manual page all read this table, so an option is added here and described in src/lunfs.8. */
#ifndef LUNFS_OPTION_TABLE_H
#define LUNFS_OPTION_TABLE_H

#include "lunfs/settings.h"

typedef enum {
  LUNFS_OPT_SECTION, /* a headline of --help */
  LUNFS_OPT_SET,     /* no value: the bool becomes true */
  LUNFS_OPT_CLEAR,   /* no value: the bool becomes false */
  LUNFS_OPT_INT,     /* int, min..max */
  LUNFS_OPT_SIZE,    /* uint64_t, min..max */
  LUNFS_OPT_STRING,  /* char*, not empty */
  LUNFS_OPT_PATH,    /* char*, made absolute */
  LUNFS_OPT_CALL,    /* parse () */
} LunfsOptionKind;

/* What the options say besides the settings themselves. */
typedef struct {
  LunfsSettings *settings;
  char *credentials_path; /* NULL = none */
  int credentials_fd;     /* -1 = none */
  bool password_stdin;
  bool read_ahead_given; /* a default would give way to cache_size */
  char *config_path;     /* NULL = the usual one */
  bool all;
  bool keep_read_only;   /* the key file says ro; mount(8) adds rw to -o whether anybody asked for it or not */
  bool help, version;
} LunfsOptionState;

typedef struct LunfsOption LunfsOption;
struct LunfsOption {
  const char *name; /* as in -o; the long option has '-' for '_' */
  char letter;      /* 0 = none */
  bool value_optional;
  LunfsOptionKind kind;
  const char *value_name; /* NULL = takes no value */
  const char *help;
  size_t offset; /* in LunfsSettings */
  int64_t min, max;
  /* CALL only.  @value is NULL if none was given. */
  bool (*parse) (LunfsOptionState *state, const LunfsOption *option, const char *value, GError **error);
};

extern const LunfsOption lunfs_options[]; /* ends with name == NULL and help == NULL */

/* By name ('-' and '_' are alike) or letter; NULL if there is none. */
const LunfsOption *lunfs_option_find (const char *name);
const LunfsOption *lunfs_option_find_letter (char letter);
/* The known name closest to a misspelt one, or NULL. */
const char *lunfs_option_suggest (const char *name);
/* Store @value (NULL = none given) by the row's kind. */
bool lunfs_option_apply (LunfsOptionState *state, const LunfsOption *option, const char *value, GError **error);

/* Words of mount(8) that are not ours, only met in -o. */
typedef enum {
  LUNFS_WORD_UNKNOWN,
  LUNFS_WORD_KERNEL, /* goes to the kernel or fusermount3 */
  LUNFS_WORD_IGNORE, /* meant for mount(8) or set by us anyway */
  LUNFS_WORD_REFUSE, /* *out_why says why not */
} LunfsWordKind;
LunfsWordKind lunfs_mount_word (const char *name, bool has_value, const char **out_why);

/* usage.c: to standard output. */
void lunfs_print_help (void);
void lunfs_print_version (void);

#endif
