/* spark-runtime: in front of the real OCI runtime. docs/formats.md section 9. */
#ifndef SPARK_RUNTIME_RUNTIME_H
#define SPARK_RUNTIME_RUNTIME_H

/* Returns only where it cannot become the next runtime: the exit code, after saying why in the engine's log, on stderr and
   in the event log. */
int spark_runtime_main (int argc, char **argv);

#endif
