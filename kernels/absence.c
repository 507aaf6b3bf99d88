#include "absence.h"

int absence_refuse(error *e, absence why, int number, int count)
{
    switch (why) {
    case ABSENT_DRIVER:
        return error_set(e,
                         "CUDA: there is no driver (libcuda.so.1); install NVIDIA's driver, or use "
                         "--device cpu");
    case ABSENT_NEWER_DRIVER:
        return error_set(e,
                         "CUDA: the driver is older than the CUDA version these tools were built "
                         "with; update the driver, or use --device cpu");
    case ABSENT_DEVICE:
        return error_set(e,
                         "CUDA: there is no device (CUDA_VISIBLE_DEVICES hides some); use --device "
                         "cpu");
    case ABSENT_NUMBER:
        break;
    }
    if (count == 1)
        return error_set(e, "CUDA: there is no device cuda:%d; there is only cuda:0", number);
    return error_set(e, "CUDA: there is no device cuda:%d; there are cuda:0 to cuda:%d", number,
                     count - 1);
}
