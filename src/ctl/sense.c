/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lunfsctl sense, inquiry: what targets said, and what LUNs say they are. */
#include "config.h"

#include "ctl/ctl.h"

#include <stdio.h>
#include <string.h>

/* All LUNs of all answers, each with its "path", in one array. */
static JsonNode *
all_luns (GPtrArray *answers)
{
  JsonNode *node = json_node_new (JSON_NODE_ARRAY);
  JsonArray *array = json_array_new ();

  for (unsigned m = 0; m < answers->len; m++) {
    JsonArray *luns = lunfs_ctl_array (answers->pdata[m], "luns");

    for (unsigned i = 0; i < json_array_get_length (luns); i++) {
      JsonObject *lun = json_array_get_object_element (luns, i);
      g_autofree char *path = lunfs_ctl_lun_path (answers->pdata[m], lun);

      json_object_set_string_member (lun, "path", path);
      json_array_add_object_element (array, json_object_ref (lun));
    }
  }
  json_node_take_array (node, array);
  return node;
}

/* ---- sense ---- */

static void
print_records (JsonObject *lun)
{
  static const char *const titles[] = { "TIME", "OP", ">LBA", ">BLOCKS", ">TRY", "ANSWER", "ACTION", NULL };
  g_autoptr (LunfsCtlTable) table = lunfs_ctl_table_new (titles);
  g_autoptr (GString) text = g_string_new (NULL);
  JsonArray *records = lunfs_ctl_array (lun, "records");
  unsigned n = json_array_get_length (records);

  printf ("%s: %d answers that were not good%s\n", lunfs_ctl_text (lun, "path"), (int) lunfs_ctl_number (lun, "total"),
          n < lunfs_ctl_number (lun, "total") ? "; the last of them:" : "");
  for (unsigned i = 0; i < n; i++) {
    JsonObject *r = json_array_get_object_element (records, i);
    char **cells = g_new0 (char *, 8);

    cells[0] = g_strdup (lunfs_ctl_text (r, "time"));
    cells[1] = g_strdup (lunfs_ctl_text (r, "op"));
    cells[2] = g_strdup_printf ("%" G_GINT64_FORMAT, lunfs_ctl_number (r, "lba"));
    cells[3] = g_strdup_printf ("%" G_GINT64_FORMAT, lunfs_ctl_number (r, "blocks"));
    cells[4] = g_strdup_printf ("%" G_GINT64_FORMAT, lunfs_ctl_number (r, "try"));
    cells[5] = g_strdup (lunfs_ctl_text (r, "text"));
    cells[6] = g_strdup (lunfs_ctl_text (r, "action"));
    lunfs_ctl_table_add (table, cells);
  }
  if (n)
    lunfs_ctl_table_print (table, "  ", text);
  fputs (text->str, stdout);
}

/* ---- inquiry ---- */

/* One member per line, as "  name: value"; what is an object, indented below its name. */
static void
print_members (JsonObject *object, int indent)
{
  g_autoptr (GList) names = json_object_get_members (object);

  for (GList *l = names; l; l = l->next) {
    JsonNode *node = json_object_get_member (object, l->data);
    g_autofree char *text = NULL;

    if (strcmp (l->data, "path") == 0 || strcmp (l->data, "file") == 0 || strcmp (l->data, "known") == 0)
      continue;
    if (JSON_NODE_HOLDS_OBJECT (node)) {
      printf ("%*s%s:\n", indent, "", (char *) l->data);
      print_members (json_node_get_object (node), indent + 2);
      continue;
    }
    text = json_node_get_value_type (node) == G_TYPE_STRING ? g_strdup (json_node_get_string (node))
                                                            : json_to_string (node, FALSE);
    printf ("%*s%s: %s\n", indent, "", (char *) l->data, text);
  }
}

static void
print_inquiry (JsonObject *lun)
{
  printf ("%s:%s\n", lunfs_ctl_text (lun, "path"),
          json_object_get_boolean_member_with_default (lun, "known", FALSE) ? "" : " it has never been up");
  print_members (lun, 2);
}

/* ---- both ---- */

static int
run (const char *command, void (*print) (JsonObject *lun), int argc, char **argv, GError **error)
{
  gboolean json = FALSE;
  const GOptionEntry entries[] = { { "json", 0, 0, G_OPTION_ARG_NONE, &json, "an array of objects", NULL }, { 0 } };
  g_autoptr (JsonObject) request = lunfs_ctl_request (command);
  g_autoptr (GPtrArray) answers = NULL;
  JsonNode *luns;
  int status;

  if (!lunfs_ctl_options (&argc, &argv, entries, 1, "[PATH]", error)
      || !(answers = lunfs_ctl_ask (argc, argv, request, &status, error)))
    return LUNFS_EXIT_FAILED;
  luns = all_luns (answers);
  if (json) {
    lunfs_ctl_print_json (luns);
    return status;
  }
  for (unsigned i = 0; i < json_array_get_length (json_node_get_array (luns)); i++)
    print (json_array_get_object_element (json_node_get_array (luns), i));
  json_node_unref (luns);
  return status;
}

int
lunfs_ctl_sense (int argc, char **argv, GError **error)
{
  return run ("sense", print_records, argc, argv, error);
}

int
lunfs_ctl_inquiry (int argc, char **argv, GError **error)
{
  return run ("inquiry", print_inquiry, argc, argv, error);
}
