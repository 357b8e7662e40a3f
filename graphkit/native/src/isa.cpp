// The kernels of one instruction set.
#include "abi.h"

namespace graphkit {
namespace GK_ISA {

int gather_reduce(const Args&);
int gather_reduce_backward(const Args&);
int softmax(const Args&);
int softmax_backward(const Args&);
int powermean(const Args&);
int powermean_backward(const Args&);

extern const Kernel kernels[];
const Kernel kernels[static_cast<int>(Op::count)] = {
    gather_reduce, gather_reduce_backward, softmax, softmax_backward, powermean, powermean_backward,
};

}  // namespace GK_ISA
}  // namespace graphkit
