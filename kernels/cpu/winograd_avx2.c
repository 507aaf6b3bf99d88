#include "winograd.h"

#if defined(__x86_64__)

#define LANES 8
#define WINOGRAD_PASSES winograd_avx2
#include "winograd_passes.h"

#endif
