#include "lock.h"

__thread uint32_t spark_locks_held __attribute__ ((tls_model ("initial-exec")));
