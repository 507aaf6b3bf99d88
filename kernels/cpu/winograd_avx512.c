#include "winograd.h"

#if defined(__x86_64__)

#define LANES 16
#define WINOGRAD_PASSES winograd_avx512
#include "winograd_passes.h"

#endif
