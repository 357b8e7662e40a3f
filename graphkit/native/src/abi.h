// The C interface between kernels.py and the kernels: one argument block for every operator.
//
// Python fills the block with one struct.pack call and passes its address, which costs a fraction of what
// converting twenty ctypes arguments would.  Every field is 8 bytes wide, so both sides agree on the layout.
#pragma once

#include <cstdint>

// Increase whenever Args, an enumeration below or the meaning of a function changes, or a function is added;
// library.py refuses a library that reports another number.
#define GRAPHKIT_NATIVE_ABI 5

namespace graphkit {

enum class DType : int64_t { float32 = 0, float64 = 1, bfloat16 = 2, float16 = 3 };
enum class Message : int64_t { copy = 0, mul = 1, add_relu = 2 };
enum class Reduce : int64_t { sum = 0, mean = 1, min = 2, max = 3 };
enum class Op : int64_t {
    gather_reduce = 0,
    gather_reduce_backward = 1,
    softmax = 2,
    softmax_backward = 3,
    powermean = 4,
    powermean_backward = 5,
    count = 6,
};
enum class Path : int64_t { automatic = 0, edge = 1, node = 2 };

// Shapes: ptr [rows + 1]; index, perm [edges]; x [nodes, channels]; edge [edges] or [edges, channels].
// In a forward call the rows are targets and the nodes sources.  In a backward call the rows are sources, the
// compressed form is the transposed one, x has `rows` rows, and grad, out and aux have `nodes` rows.
struct Args {
    int64_t dtype;       // DType of x, edge, out, grad and of the gradients
    int64_t wide_index;  // 1: ptr, index and perm are int64, 0: int32
    int64_t threads;
    int64_t rows;
    int64_t nodes;
    int64_t edges;
    int64_t channels;
    int64_t message;
    int64_t reduce;
    int64_t edge_width;  // 0: no edge data, 1: one weight per edge, channels: a feature row per edge
    int64_t path;        // Path: per node or per edge where both exist
    int64_t semi_grad;
    int64_t need_edge;
    const void* ptr;
    const void* index;
    const void* perm;
    const void* x;
    const void* edge;
    const void* exponent;  // t or p [channels], accumulation type
    const void* grad;
    const void* out;
    const void* aux;  // lse (accumulation type) or ties (int32)
    void* result0;    // out | gx
    void* result1;    // lse, dlogp, ties | gedge
    void* result2;    // gt (accumulation type)
    double eps;
};

enum Status : int { ok = 0, out_of_memory = 1 };

using Kernel = int (*)(const Args&);

}  // namespace graphkit
