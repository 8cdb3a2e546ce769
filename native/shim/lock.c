#include "lock.h"

__thread const struct spark_lock *volatile spark_lock_touched __attribute__ ((tls_model ("initial-exec")));
