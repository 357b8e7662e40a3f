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
    ends = 8,           // result0 = act(a_u + b_v), x = [a | b] of the nodes, mode = act
    ends_backward = 9,  // maps = what ends gave, grad -> result0
    scale_maps = 10,    // of diagonal maps: result0 = maps s, result1 = s, s = (degree + 1)^(-1/2)
    scale_maps_backward = 11,  // x = s, grad -> result0
    householder = 12,          // maps = parameters [edges, d (d - 1) / 2] -> result0
    householder_backward = 13,
    update = 14,           // result0 = maps x - elu(grad), maps a number per stalk row
    update_backward = 15,  // weight = what went into elu, grad -> result0 (to x), result1 (into elu), result2 (to maps)
    mix = 16,  // result0 = maps x weight^T per node, maps [stalk, stalk] or null, weight [channels, channels] or null
    mix_backward = 17,  // grad -> result0 (to x), result1 (to maps), result2 (to weight)
    count = 18,
};

// Shapes: ptr [nodes + 1]; index, perm, pair [edges]: slot k of row u is the edge u -> index[k] with position perm[k],
// pair[k] is the position of its reverse, or -1 for an edge to be left out.  maps [edges, stalk] or
// [edges, stalk, stalk]; weight [edges] or null; x and grad [nodes, stalk, channels].
// Of the block operators, maps is [nodes, stalk, stalk]; of ends, stalk is the number of parameters and x is
// [nodes, 2 stalk].
struct SheafArgs {
    int64_t wide_float;  // 1: float64, 0: float32
    int64_t wide_index;  // 1: ptr, index, perm and pair are int64, 0: int32
    int64_t threads;
    int64_t nodes;
    int64_t edges;
    int64_t stalk;
    int64_t channels;
    int64_t diagonal;   // 1: maps [edges, stalk]
    int64_t mode;       // block_apply, 1: multiply by the transposed blocks; ends: 0 nothing, 1 tanh, 2 sigmoid, 3 elu
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
