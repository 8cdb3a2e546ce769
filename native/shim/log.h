/* The shim is silent but for one thing: a program that uses the driver and cannot be held to its budget says so once. With
   SPARK_RUN_DEBUG=1 in the environment it also names the other reasons why it does not do its work. All on stderr. */
#ifndef SPARK_SHIM_LOG_H
#define SPARK_SHIM_LOG_H

/* One line "spark-shim: <what><detail>"; `detail` may be empty. */
void spark_say (const char *what, const char *detail);

/* The same where SPARK_RUN_DEBUG=1 asks for it. */
void spark_log (const char *what, const char *detail);

#endif
