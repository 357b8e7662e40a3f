// The sheaf Laplacian of the edges of one node, maps and stalk rows in registers: forward, and to x backward.
#pragma once

#include "sheaf_edges.h"
#include "small.h"

namespace graphkit {
namespace GK_ISA {

// The block of a node, summed over its edges, and the transport along the edge at hand.
template <class R, int D, bool kDiagonal> struct Blocks {
    R own[D] = {}, across[D];

    GK_INLINE void add(const R* here, const R* there, R w) {
        GK_UNROLL for (int i = 0; i < D; ++i) {
            const R scaled = w * here[i];
            own[i] += scaled * here[i];
            across[i] = scaled * there[i];
        }
    }
    GK_INLINE void add_transported(const Vec<R> (&value)[D], Vec<R> (&sum)[D]) const {
        GK_UNROLL for (int i = 0; i < D; ++i) sum[i] += across[i] * value[i];
    }
    GK_INLINE void subtract_from_own(const Vec<R> (&value)[D], Vec<R> (&sum)[D]) const {
        GK_UNROLL for (int i = 0; i < D; ++i) sum[i] = own[i] * value[i] - sum[i];
    }
};
template <class R, int D> struct Blocks<R, D, false> {
    SmallRow<R, D> own[D] = {};
    R across[D][small_lanes(D)];

    GK_INLINE void add(const R* here, const R* there, R w) {
        SmallRow<R, D> transport[D] = {};
        GK_UNROLL for (int l = 0; l < D; ++l) {
            SmallRow<R, D> first, second;
            load_small_row<R, D>(here, l, first);
            load_small_row<R, D>(there, l, second);
            first *= w;
            second *= w;
            GK_UNROLL for (int i = 0; i < D; ++i) {
                own[i] += here[l * D + i] * first;
                transport[i] += here[l * D + i] * second;
            }
        }
        std::memcpy(across, transport, sizeof(across));
    }
    GK_INLINE void add_transported(const Vec<R> (&value)[D], Vec<R> (&sum)[D]) const {
        GK_UNROLL for (int j = 0; j < D; ++j)
            GK_UNROLL for (int i = 0; i < D; ++i) sum[i] += across[i][j] * value[j];
    }
    GK_INLINE void subtract_from_own(const Vec<R> (&value)[D], Vec<R> (&sum)[D]) const {
        GK_UNROLL for (int i = 0; i < D; ++i) {
            Vec<R> kept = own[i][0] * value[0];
            GK_UNROLL for (int j = 1; j < D; ++j) kept += own[i][j] * value[j];
            sum[i] = kept - sum[i];
        }
    }
};

// out_u = D_u x_u - sum_v T_uv x_v with the blocks D_u = sum w F_u^T F_u and T_uv = w F_u^T F_v, made on the way: with
// more channels than stalk rows that is a third of the arithmetic of both maps applied to rows.
template <class R, int D, bool kDiagonal> struct Apply {
    using Real = R;
    // Sums of all rows of a tile stay in registers.
    static constexpr int tile_vectors = D * kTileVectors <= kSheafRegisters ? kTileVectors : (kTileVectors + 1) / 2;
    template <class Tile> struct State {
        Vec<R> sum[Tile::vectors][D];
    };
    Edges<R, D, kDiagonal> edges;
    const R* x;
    R* out;
    bool prefetch = true;  // false: somebody has just read the same

    template <class Tile>
    GK_NOINLINE void accumulate(State<Tile>& state, const Tile& tile, int64_t row, int64_t begin, int64_t end,
                                const Local<R>&) const {
        constexpr int vectors = Tile::vectors;
        Blocks<R, D, kDiagonal> blocks;
        Vec<R> sum[vectors][D] = {};
        for (int64_t k = begin; k < end; ++k) {
            if (prefetch) edges.prefetch(k, x, nullptr);
            if (!edges.counts(k)) continue;
            blocks.add(edges.own(k), edges.other(k), edges.weight_of(k));
            const R* there = x + edges.index[k] * edges.node_stride;
            GK_UNROLL for (int v = 0; v < vectors; ++v) {
                Vec<R> value[D];
                GK_UNROLL for (int j = 0; j < D; ++j) value[j] = tile.load(there + j * edges.channels, v);
                blocks.add_transported(value, sum[v]);
            }
        }
        const R* here = x + row * edges.node_stride;
        GK_UNROLL for (int v = 0; v < vectors; ++v) {
            Vec<R> value[D];
            GK_UNROLL for (int j = 0; j < D; ++j) value[j] = tile.load(here + j * edges.channels, v);
            blocks.subtract_from_own(value, sum[v]);
            GK_UNROLL for (int i = 0; i < D; ++i) state.sum[v][i] = sum[v][i];
        }
    }
    template <class Tile> GK_NOINLINE void combine(State<Tile>& state, const State<Tile>& other, const Tile&) const {
        for (int v = 0; v < Tile::vectors; ++v)
            for (int i = 0; i < D; ++i) state.sum[v][i] += other.sum[v][i];
    }
    template <class Tile>
    GK_NOINLINE void finish(const State<Tile>& state, const Tile& tile, int64_t row, int64_t, int64_t,
                            const Local<R>&) const {
        R* to = out + row * edges.node_stride;
        for (int v = 0; v < Tile::vectors; ++v)
            GK_UNROLL for (int i = 0; i < D; ++i) tile.store(to + i * edges.channels, v, state.sum[v][i]);
    }
};

}  // namespace GK_ISA
}  // namespace graphkit
