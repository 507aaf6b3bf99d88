/* dense.h: dense layers, by oneDNN's inner products. */
#ifndef KERNELS_CPU_DENSE_H
#define KERNELS_CPU_DENSE_H

#include "product.h"

extern const product_kind dense_product;

#endif
