/* The shim is silent. With SPARK_RUN_DEBUG=1 in the environment it says on stderr why it does not do its work. */
#ifndef SPARK_SHIM_LOG_H
#define SPARK_SHIM_LOG_H

/* One line "spark-shim: <what><detail>"; `detail` may be empty. */
void spark_log (const char *what, const char *detail);

#endif
