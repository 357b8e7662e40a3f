// What the sheaf kernels share: the edges of a node with their two maps, and the choice of template by stalk size.
#pragma once

#include "schedule.h"
#include "sheaf.h"

namespace graphkit {
namespace GK_ISA {

constexpr int kMaxStalk = 5;
constexpr int64_t kMapPrefetch = 6;

template <class R, int D, bool kDiagonal> struct Edges {
    Index index, perm, pair;
    const R* maps;
    const R* weight;
    int64_t count, channels, node_stride, map_stride;

    // `offset`: first stalk row of this piece (diagonal maps).
    Edges(const SheafArgs& args, int64_t offset)
        : index{args.index, args.wide_index != 0},
          perm{args.perm, args.wide_index != 0},
          pair{args.pair, args.wide_index != 0},
          maps(static_cast<const R*>(args.maps) + offset),
          weight(static_cast<const R*>(args.weight)),
          count(args.edges),
          channels(args.channels),
          node_stride(args.stalk * args.channels),
          map_stride(kDiagonal ? args.stalk : D * D) {}

    // Whether slot k is an edge: it has a reverse and is no self loop, whose coboundary is zero.
    GK_INLINE bool counts(int64_t k) const {
        const int64_t reverse = pair[k];
        return reverse >= 0 && reverse != perm[k];
    }
    GK_INLINE const R* own(int64_t k) const { return maps + perm[k] * map_stride; }
    GK_INLINE const R* other(int64_t k) const { return maps + pair[k] * map_stride; }
    GK_INLINE R weight_of(int64_t k) const {
        return weight == nullptr ? R(1) : (weight[perm[k]] + weight[pair[k]]) / 2;
    }

    GK_INLINE void prefetch_map(int64_t k) const {
        if (k + kMapPrefetch >= count) return;
        const int64_t reverse = pair[k + kMapPrefetch];
        __builtin_prefetch(maps + perm[k + kMapPrefetch] * map_stride);
        __builtin_prefetch(maps + (reverse < 0 ? 0 : reverse) * map_stride);
    }
    template <class Tile> GK_INLINE void prefetch(const Tile& tile, int v, int64_t k, const R* x) const {
        if (v == 0) prefetch_map(k);
        if (k + kMapPrefetch >= count) return;
        const R* row = x + index[k + kMapPrefetch] * node_stride + tile.at(v);
        GK_UNROLL for (int i = 0; i < D; ++i) __builtin_prefetch(row + i * channels);
    }

    // The rows of both tables of the node at the other end of an edge to come, if it is not the lesser one.
    GK_INLINE void prefetch_nodes(int64_t k, int64_t row, const R* x, const R* grad) const {
        if (k + kMapPrefetch >= count || index[k + kMapPrefetch] < row) return;
        prefetch_map(k);
        const int64_t at = index[k + kMapPrefetch] * node_stride;
        const int64_t bytes = D * channels * int64_t(sizeof(R));
        for (int64_t line = 0; line < bytes; line += 64) {
            __builtin_prefetch(reinterpret_cast<const char*>(x + at) + line);
            __builtin_prefetch(reinterpret_cast<const char*>(grad + at) + line);
        }
    }

    template <class Tile>
    GK_INLINE void load(const Tile& tile, int v, const R* x, int64_t node, Vec<R> (&to)[D]) const {
        GK_UNROLL for (int i = 0; i < D; ++i) to[i] = tile.load(x + node * node_stride + i * channels, v);
    }
    template <class Tile>
    GK_INLINE void store(const Tile& tile, int v, R* x, int64_t node, const Vec<R> (&from)[D]) const {
        GK_UNROLL for (int i = 0; i < D; ++i) tile.store(x + node * node_stride + i * channels, v, from[i]);
    }

    // y = F_u here - F_v there
    GK_INLINE void coboundary(const R* own, const R* other, const Vec<R> (&here)[D], const Vec<R> (&there)[D],
                              Vec<R> (&y)[D]) const {
        if constexpr (kDiagonal) {
            GK_UNROLL for (int i = 0; i < D; ++i) y[i] = own[i] * here[i] - other[i] * there[i];
        } else {
            GK_UNROLL for (int i = 0; i < D; ++i) {
                Vec<R> u = own[i * D] * here[0], v = other[i * D] * there[0];
                GK_UNROLL for (int j = 1; j < D; ++j) {
                    u += own[i * D + j] * here[j];
                    v += other[i * D + j] * there[j];
                }
                y[i] = u - v;
            }
        }
    }
    // sum += F_u^T y
    GK_INLINE void add_transposed(const R* own, const Vec<R> (&y)[D], Vec<R> (&sum)[D]) const {
        if constexpr (kDiagonal) {
            GK_UNROLL for (int i = 0; i < D; ++i) sum[i] += own[i] * y[i];
        } else {
            GK_UNROLL for (int j = 0; j < D; ++j)
                GK_UNROLL for (int i = 0; i < D; ++i) sum[j] += own[i * D + j] * y[i];
        }
    }
};

// The part of the general argument block that run_rows reads.
inline Args row_args(const SheafArgs& args) {
    Args rows{};
    rows.wide_index = args.wide_index;
    rows.threads = args.threads;
    rows.rows = rows.nodes = args.nodes;
    rows.edges = args.edges;
    rows.channels = args.channels;
    rows.ptr = args.ptr;
    return rows;
}

template <int entries> int64_t work_per_row(const SheafArgs& args) {
    return entries * (1 + args.edges / (args.nodes > 0 ? args.nodes : 1));
}

template <int n> using Size = std::integral_constant<int, n>;

template <class R, bool kDiagonal, class Body>
void for_size(int64_t size, int64_t offset, const Body& body) {
    const std::integral_constant<bool, kDiagonal> diagonal;
    switch (size) {
        case 1: return body(R(0), Size<1>{}, diagonal, offset);
        case 2: return body(R(0), Size<2>{}, diagonal, offset);
        case 3: return body(R(0), Size<3>{}, diagonal, offset);
        case 4: return body(R(0), Size<4>{}, diagonal, offset);
        default: return body(R(0), Size<kMaxStalk>{}, diagonal, offset);
    }
}

// body(real, size, diagonal, offset) with compile-time size and kind; for diagonal maps once per piece of the stalk.
template <class R, class Body> void for_kind_of_maps(const SheafArgs& args, const Body& body) {
    if (args.diagonal == 0) return for_size<R, false>(args.stalk, 0, body);
    for (int64_t offset = 0; offset < args.stalk; offset += kMaxStalk)
        for_size<R, true>(args.stalk - offset, offset, body);
}

template <class Body> void for_stalk(const SheafArgs& args, const Body& body) {
    if (args.wide_float != 0) return for_kind_of_maps<double>(args, body);
    for_kind_of_maps<float>(args, body);
}

}  // namespace GK_ISA
}  // namespace graphkit
