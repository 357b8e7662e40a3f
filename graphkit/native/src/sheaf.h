// The C interface between sheaf.py and the sheaf kernels: one argument block for every operator.
//
// It stands beside abi.h and does not change it: a library without graphkit_sheaf is one without these kernels.
#pragma once

#include <cstdint>

namespace graphkit {

enum class SheafOp : int64_t {
    laplacian = 0,
    laplacian_backward = 1,
    degree = 2,
    degree_backward = 3,
    block_apply = 4,          // result0 = maps x
    block_outer = 5,          // result0 = grad x^T
    inverse_sqrt = 6,         // result0 = maps^(-1/2), result1 = eigenvectors, result2 = roots of eigenvalues
    inverse_sqrt_backward = 7,  // maps = eigenvectors, weight = roots, grad -> result0
    count = 8,
};

// Shapes: ptr [nodes + 1]; index, perm, pair [edges]: slot k of row u is the edge u -> index[k] with position perm[k],
// pair[k] is the position of its reverse, or -1 for an edge to be left out.  maps [edges, stalk] or
// [edges, stalk, stalk]; weight [edges] or null; x and grad [nodes, stalk, channels].
// Of the block operators, maps is [nodes, stalk, stalk].
struct SheafArgs {
    int64_t wide_float;  // 1: float64, 0: float32
    int64_t wide_index;  // 1: ptr, index, perm and pair are int64, 0: int32
    int64_t threads;
    int64_t nodes;
    int64_t edges;
    int64_t stalk;
    int64_t channels;
    int64_t diagonal;   // 1: maps [edges, stalk]
    int64_t transpose;  // block_apply: multiply by the transposed blocks
    const void* ptr;
    const void* index;
    const void* perm;
    const void* pair;
    const void* maps;
    const void* weight;
    const void* x;
    const void* grad;
    void* result0;  // out | gx | degree | gmaps of the degree
    void* result1;  // gmaps | gweight of the degree
    void* result2;  // gweight
};

using SheafKernel = int (*)(const SheafArgs&);

}  // namespace graphkit
