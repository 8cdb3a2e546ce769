/* A container's own, larger reserve, told to those that run already. */
#ifndef SPARK_RUNTIME_RESERVE_H
#define SPARK_RUNTIME_RESERVE_H

#include <stdint.h>

/* Raises the reserve in the ledger of every container in both directories, where it is smaller. */
void spark_reserve_raise (int registry_fd, int admitted_fd, uint64_t reserve_bytes);

#endif
