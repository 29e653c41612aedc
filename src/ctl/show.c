/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How things are shown: JSON, sizes, tables. */
#include "config.h"

#include "ctl/ctl.h"

#include <stdio.h>
#include <string.h>

void
lunfs_ctl_print_json (JsonNode *node)
{
  g_autofree char *text = json_to_string (node, TRUE);

  puts (text);
  json_node_unref (node);
}

char *
lunfs_ctl_size (gint64 bytes)
{
  static const char units[] = "KMGTPE";
  double value = (double) bytes;
  int unit = -1;

  while (value >= 1024 && unit < 5) {
    value /= 1024;
    unit++;
  }
  if (unit < 0)
    return g_strdup_printf ("%d", (int) bytes);
  return g_strdup_printf (value < 10 && value * 10 != (double) ((int) value * 10) ? "%.1f%c" : "%.0f%c", value,
                          units[unit]);
}

struct LunfsCtlTable {
  GPtrArray *rows; /* GStrv; the first: the titles */
  unsigned columns;
};

LunfsCtlTable *
lunfs_ctl_table_new (const char *const *titles)
{
  LunfsCtlTable *table = g_new0 (LunfsCtlTable, 1);

  table->rows = g_ptr_array_new_with_free_func ((GDestroyNotify) g_strfreev);
  table->columns = g_strv_length ((char **) titles);
  g_ptr_array_add (table->rows, g_strdupv ((char **) titles));
  return table;
}

void
lunfs_ctl_table_add (LunfsCtlTable *table, char **cells)
{
  g_assert (g_strv_length (cells) == table->columns);
  g_ptr_array_add (table->rows, cells);
}

static int
width_of (const char *text)
{
  return g_utf8_validate (text, -1, NULL) ? (int) g_utf8_strlen (text, -1) : (int) strlen (text);
}

void
lunfs_ctl_table_print (const LunfsCtlTable *table, const char *indent, GString *out)
{
  char **titles = table->rows->pdata[0];
  g_autofree int *width = g_new0 (int, table->columns);

  for (unsigned i = 0; i < table->rows->len; i++)
    for (unsigned k = 0; k < table->columns; k++) {
      const char *cell = ((char **) table->rows->pdata[i])[k];

      width[k] = MAX (width[k], width_of (cell) - (i == 0 && *cell == '>'));
    }
  for (unsigned i = 0; i < table->rows->len; i++) {
    g_string_append (out, indent);
    for (unsigned k = 0; k < table->columns; k++) {
      const char *cell = ((char **) table->rows->pdata[i])[k];
      bool right = titles[k][0] == '>', last = k + 1 == table->columns;
      int blanks;

      cell += i == 0 && right;
      blanks = width[k] - width_of (cell);
      g_string_append_printf (out, "%*s%s", right ? blanks : 0, "", cell);
      if (!last)
        g_string_append_printf (out, "%*s", (right ? 0 : blanks) + 2, "");
    }
    g_string_append_c (out, '\n');
  }
}

void
lunfs_ctl_table_free (LunfsCtlTable *table)
{
  g_ptr_array_unref (table->rows);
  g_free (table);
}
