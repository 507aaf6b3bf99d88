/* program.h: networks on the CPU. */
#ifndef KERNELS_CPU_PROGRAM_H
#define KERNELS_CPU_PROGRAM_H

#include "cpu.h"

/* Fills backend.h's functions on them in. */
void cpu_program(backend *b);

#endif
