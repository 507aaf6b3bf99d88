#include "first_conv.h"

#if defined(__x86_64__)

#define LANES 8
#define FIRST_CONV_SUMS first_conv_sums_avx2
#include "first_conv_sums.h"

#endif
