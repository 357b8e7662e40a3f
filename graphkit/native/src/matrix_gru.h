// The C interface between matrix_gru.py and the kernels of a GRU whose state is a matrix: one argument block for both.
#pragma once

#include <cstdint>

namespace graphkit {

// All matrices are transposed: a row of a state is a column of the weight.  first [2 size or 3 size, size], candidate
// [size, size], given [steps or 1, columns, 3 size], gates [steps, columns, 3 size] (sigmoid, sigmoid, tanh), opened
// [steps, columns, size], states [steps + 1, columns, size].
struct MatrixGRUArgs {
    int64_t wide_float;  // 1: float64, 0: float32
    int64_t threads;
    int64_t steps;
    int64_t columns;
    int64_t size;
    int64_t own;    // 1: first has the rows of the candidate too
    int64_t apart;  // 1: `given` is of each step, 0: of all alike
    int64_t last;   // 1: grad is of the last state alone, 0: of each [steps, columns, size]
    const void* first;
    const void* candidate;
    const void* given;
    const void* grad;  // null in a forward call
    void* gates;
    void* opened;    // null in a backward call
    void* states;    // states[0] is given
    void* to_gates;  // backward: what arrives at the gates before their functions, as gates
    void* to_given;  // its sum over steps [columns, 3 size], or null
    void* to_state;  // what arrives at states[0]
};

using MatrixGRUKernel = int (*)(const MatrixGRUArgs&);

}  // namespace graphkit
