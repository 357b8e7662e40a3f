// What the sheaf kernels share: the edges of a node with their two maps, and the choice of template by stalk size.
#pragma once

#include "schedule.h"
#include "sheaf.h"

namespace graphkit {
namespace GK_ISA {

constexpr int kMaxStalk = 5;
constexpr int64_t kMapPrefetch = 6;
#if defined(__AVX512F__)
constexpr int kSheafRegisters = 20;  // vectors of a tile's sums; the others hold what is added
#else
constexpr int kSheafRegisters = 8;
#endif

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

    // A map of 5 x 5 numbers lies in up to three lines.
    template <int write = 0> GK_INLINE static void prefetch_one(const R* map) {
        constexpr int bytes = (kDiagonal ? D : D * D) * int(sizeof(R));
        const char* at = reinterpret_cast<const char*>(map);
        __builtin_prefetch(at, write);
        if constexpr (bytes > 64) {
            for (int line = 64; line < bytes; line += 64) __builtin_prefetch(at + line, write);
            __builtin_prefetch(at + bytes - 1, write);
        }
    }
    GK_INLINE void prefetch_map(int64_t k) const {
        if (k + kMapPrefetch >= count) return;
        const int64_t reverse = pair[k + kMapPrefetch];
        prefetch_one(maps + perm[k + kMapPrefetch] * map_stride);
        prefetch_one(maps + (reverse < 0 ? 0 : reverse) * map_stride);
        if (weight != nullptr) __builtin_prefetch(weight + (reverse < 0 ? 0 : reverse));
    }
    template <class Tile> GK_INLINE void prefetch(const Tile& tile, int64_t k, const R* x) const {
        prefetch_map(k);
        if (k + kMapPrefetch >= count) return;
        const R* row = x + index[k + kMapPrefetch] * node_stride;
        GK_UNROLL for (int i = 0; i < D; ++i)
            GK_UNROLL for (int v = 0; v < Tile::vectors; ++v) __builtin_prefetch(row + i * channels + tile.at(v));
    }

    // The rows of both tables of the node at the other end of an edge to come, if it is not the lesser one.
    GK_INLINE void prefetch_nodes(int64_t k, int64_t row, const R* x, const R* grad, R* gmaps) const {
        const int64_t next = k + 2 * kMapPrefetch;
        if (next >= count || index[next] < row) return;
        const int64_t own = perm[next], reverse = pair[next] < 0 ? 0 : int64_t(pair[next]);
        prefetch_one(maps + own * map_stride);
        prefetch_one(maps + reverse * map_stride);
        prefetch_one<1>(gmaps + own * map_stride);
        prefetch_one<1>(gmaps + reverse * map_stride);
        if (weight != nullptr) __builtin_prefetch(weight + reverse);
        const int64_t at = index[next] * node_stride;
        const int64_t bytes = D * channels * int64_t(sizeof(R));
        for (int64_t line = 0; line < bytes; line += 64) {
            __builtin_prefetch(reinterpret_cast<const char*>(x + at) + line);
            __builtin_prefetch(reinterpret_cast<const char*>(grad + at) + line);
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

// The row of a slot: the last whose first slot is not behind it.
inline int64_t row_of_slot(const Index& ptr, int64_t rows, int64_t slot) {
    int64_t low = 0, high = rows;
    while (low + 1 < high) {
        const int64_t middle = (low + high) / 2;
        if (ptr[middle] <= slot) low = middle; else high = middle;
    }
    return low;
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
