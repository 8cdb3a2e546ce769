#include "wish.h"

#include "common/size.h"
#include "container.h"

#include <stdio.h>
#include <string.h>

static const char request_variable[] = "SPARK_RUN_REQUEST";
enum { REQUEST_TEXT_MAX = 512, REQUEST_ID_MAX = 63 };
static const uint64_t size_max_bytes = (UINT64_C (1) << 53) - 1;

static bool
bytes_read (const char *text, uint64_t *bytes)
{
  size_t length = strspn (text, "0123456789");
  if (length == 0 || length > 16 || text[length] != '\0')
    return false;
  *bytes = strtoull (text, NULL, 10);
  return *bytes >= 1 && *bytes <= size_max_bytes;
}

/* One key=value of the request. Returns what is allowed where it is wrong, else NULL. */
static const char *
request_field (const char *key, const char *value, struct spark_wish *wish)
{
  if (strcmp (key, "budget") == 0)
    return bytes_read (value, &wish->budget_bytes) ? NULL : "whole bytes above 0";
  if (strcmp (key, "reserve") == 0)
    return bytes_read (value, &wish->reserve_bytes) ? NULL : "whole bytes above 0";
  if (strcmp (key, "priority") == 0)
    return spark_priority_parse (value, &wish->priority) ? NULL : "a whole number from -1000 to 1000";
  if (strcmp (key, "name") == 0)
    {
      if (!spark_id_valid (value))
        return "up to 128 letters, digits, _ . and -, not beginning with a dot";
      snprintf (wish->name, sizeof wish->name, "%s", value);
      return NULL;
    }
  if (strcmp (key, "id") == 0)
    {
      if (!spark_id_valid (value) || strlen (value) > REQUEST_ID_MAX)
        return "up to 63 letters, digits and -";
      snprintf (wish->request, sizeof wish->request, "%s", value);
      return NULL;
    }
  return "the fields id, budget, reserve, priority and name";
}

int
spark_wish_request (const char *text, struct spark_wish *wish, struct spark_error *error)
{
  char copy[REQUEST_TEXT_MAX];
  if (strlen (text) >= sizeof copy)
    return spark_fail (error, 0, "%s is %zu characters long, the most is %zu", request_variable, strlen (text),
                       sizeof copy - 1);
  strcpy (copy, text);
  char *save = NULL, *version = strtok_r (copy, ";", &save);
  if (version == NULL || strcmp (version, "v1") != 0)
    return spark_fail (error, 0, "%s begins with \"%.40s\", allowed: v1", request_variable, version != NULL ? version : "");
  unsigned seen = 0;
  for (char *field = strtok_r (NULL, ";", &save); field != NULL; field = strtok_r (NULL, ";", &save))
    {
      char *value = strchr (field, '=');
      if (value == NULL)
        return spark_fail (error, 0, "%s has the field \"%.60s\", which is not key=value", request_variable, field);
      *value++ = '\0';
      const char *allowed = request_field (field, value, wish);
      if (allowed != NULL)
        return spark_fail (error, 0, "%s has %.40s=%.100s, allowed: %s", request_variable, field, value, allowed);
      /* The five keys begin with five different letters. */
      unsigned bit = 1u << (field[0] - 'a');
      if (seen & bit)
        return spark_fail (error, 0, "%s has %s twice", request_variable, field);
      seen |= bit;
    }
  return 0;
}

static int
annotations_read (json_object *config, uint64_t percent_of_bytes, struct spark_wish *wish, struct spark_error *error)
{
  struct spark_error problem;
  static const char budget_key[] = "io.spark-run.budget", reserve_key[] = "io.spark-run.reserve",
                    priority_key[] = "io.spark-run.priority";
  const char *budget = spark_container_annotation (config, budget_key);
  const char *reserve = spark_container_annotation (config, reserve_key);
  const char *priority = spark_container_annotation (config, priority_key);
  if (budget != NULL && spark_size_parse (budget, 1, percent_of_bytes, &wish->budget_bytes, &problem) != 0)
    return spark_fail (error, 0, "the annotation %s: %s", budget_key, problem.text);
  if (budget != NULL)
    snprintf (wish->source, sizeof wish->source, "the annotation %s", budget_key);
  if (reserve != NULL && spark_size_parse (reserve, 1, 0, &wish->reserve_bytes, &problem) != 0)
    return spark_fail (error, 0, "the annotation %s: %s", reserve_key, problem.text);
  if (priority != NULL && !spark_priority_parse (priority, &wish->priority))
    return spark_fail (error, 0, "the annotation %s is \"%.40s\", allowed: a whole number from -1000 to 1000",
                       priority_key, priority);
  return 0;
}

static int
wishes_read (const struct spark_plan *plan, json_object *config, uint64_t percent_of_bytes, struct spark_wish *wish,
             struct spark_error *error)
{
  size_t count = plan->wishes != NULL ? json_object_array_length (plan->wishes) : 0;
  for (size_t i = 0; i < count; i++)
    {
      json_object *one = json_object_array_get_idx (plan->wishes, i);
      const char *name = spark_json_string (one, "env");
      const char *text = name != NULL ? spark_container_env (config, name) : NULL;
      uint64_t unit_bytes = 1;
      struct spark_error problem;
      if (text == NULL || text[0] == '\0')
        continue;
      spark_json_uint64 (one, "unitBytes", &unit_bytes);
      if (spark_size_parse (text, unit_bytes, percent_of_bytes, &wish->budget_bytes, &problem) != 0)
        return spark_fail (error, 0, "the container's %s: %s", name, problem.text);
      snprintf (wish->source, sizeof wish->source, "%s", name);
      return 0;
    }
  return 0;
}

int
spark_wish_read (const struct spark_plan *plan, json_object *config, uint64_t percent_of_bytes, struct spark_wish *wish,
                 struct spark_error *error)
{
  memset (wish, 0, sizeof *wish);
  if (annotations_read (config, percent_of_bytes, wish, error) != 0)
    return -1;
  uint64_t annotated_bytes = wish->budget_bytes;
  wish->budget_bytes = 0;
  const char *request = spark_container_env (config, request_variable);
  if (request != NULL && request[0] != '\0' && spark_wish_request (request, wish, error) != 0)
    return -1;
  if (wish->budget_bytes > 0)
    snprintf (wish->source, sizeof wish->source, "--budget");
  else
    wish->budget_bytes = annotated_bytes;
  if (wish->name[0] == '\0')
    snprintf (wish->name, sizeof wish->name, "%s", spark_container_name (config));
  if (wish->budget_bytes == 0)
    return wishes_read (plan, config, percent_of_bytes, wish, error);
  return 0;
}
