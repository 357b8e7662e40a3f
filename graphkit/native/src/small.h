// Rows of small matrices as vectors of four numbers, or eight, in registers.
#pragma once

#include <cstring>

#include "simd.h"

namespace graphkit {
namespace GK_ISA {

template <class R, int lanes> struct SmallOf;
template <> struct SmallOf<float, 4> {
    typedef float type __attribute__((vector_size(16)));
    typedef int32_t order __attribute__((vector_size(16)));
};
template <> struct SmallOf<float, 8> {
    typedef float type __attribute__((vector_size(32)));
    typedef int32_t order __attribute__((vector_size(32)));
};
template <> struct SmallOf<double, 4> {
    typedef double type __attribute__((vector_size(32)));
    typedef int64_t order __attribute__((vector_size(32)));
};
template <> struct SmallOf<double, 8> {
    typedef double type __attribute__((vector_size(64)));
    typedef int64_t order __attribute__((vector_size(64)));
};
constexpr int small_lanes(int size) { return size <= 4 ? 4 : 8; }
template <class R, int D> using SmallRow = typename SmallOf<R, small_lanes(D)>::type;

// Row `i` of a D x D matrix; what is in the lanes behind it is of no account.  Nothing outside the matrix is read.
template <class R, int D> GK_INLINE void load_small_row(const R* matrix, int i, SmallRow<R, D>& row) {
    constexpr int lanes = small_lanes(D), entries = D * D;
    if constexpr (entries < lanes) {
        row = SmallRow<R, D>{};
        for (int j = 0; j < D; ++j) row[j] = matrix[i * D + j];
    } else if (i * D + lanes <= entries) {
        std::memcpy(&row, matrix + i * D, sizeof(row));
    } else {
        using Order = typename SmallOf<R, lanes>::order;
        const int back = i * D + lanes - entries;
        Order order;
        for (int j = 0; j < lanes; ++j) order[j] = j + back < lanes ? j + back : lanes - 1;
        std::memcpy(&row, matrix + entries - lanes, sizeof(row));
        row = __builtin_shuffle(row, order);
    }
}

}  // namespace GK_ISA
}  // namespace graphkit
