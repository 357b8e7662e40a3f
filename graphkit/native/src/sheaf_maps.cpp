// The gradients of the sheaf Laplacian, in one visit of a node's edges.
//
// The operator is its own adjoint, so that to x is L G.  Of <G, L x> the maps see d x d matrices alone: with
//     Q_u = x_u G_u^T + G_u x_u^T,   M = x_v G_u^T + G_v x_u^T
// the gradients are dF_u = w A_u with A_u = F_u Q_u - F_v M, and dF_v likewise, seen from v.  As the energy is quadratic
// in the maps, dw = (<F_u, A_u> + <F_v, A_v>) / 2, half of it to each direction.  Of diagonal maps only the diagonals
// exist.
//
// A node's edges write the maps of its own ends, in order, and read what lies elsewhere (the other node's rows of x and
// G, the other end's map) once.  An undirected edge's M is thus made twice: that costs less than writing maps all over
// their table, and reading G once more for the gradient to x.
#include "sheaf_products.h"

namespace graphkit {
namespace GK_ISA {
namespace {

// to = w (map q - other m); returns <map, map q - other m> if it is wanted.
template <bool wanted, class R, int D, bool kDiagonal>
GK_INLINE R gradient(const R* map, const Matrix<R, D, kDiagonal>& q, const R* other, const Matrix<R, D, kDiagonal>& m,
                     R w, R* to) {
    R inner = 0;
    if constexpr (kDiagonal) {
        GK_UNROLL for (int i = 0; i < D; ++i) {
            const R value = map[i] * q.row[0][i] - other[i] * m.row[0][i];
            inner += map[i] * value;
            to[i] = w * value;
        }
    } else {
        SmallRow<R, D> products = {};
        GK_UNROLL for (int i = 0; i < D; ++i) {
            SmallRow<R, D> row = map[i * D] * q.row[0] - other[i * D] * m.row[0];
            GK_UNROLL for (int l = 1; l < D; ++l) {
                row += map[i * D + l] * q.row[l];
                row -= other[i * D + l] * m.row[l];
            }
            if constexpr (wanted) {
                SmallRow<R, D> own;
                load_small_row<R, D>(map, i, own);
                products += own * row;
            }
            row *= w;
            // Lanes behind the row are written over by the next.
            constexpr int lanes = small_lanes(D), whole = D * D / lanes == 0 ? 0 : (D * D - lanes) / D + 1;
            if (i < whole) {
                std::memcpy(to + i * D, &row, sizeof(row));
            } else {
                std::memcpy(to + i * D, &row, (D < 4 ? D : 4) * sizeof(R));
                if constexpr (D > 4) to[i * D + 4] = row[4];
            }
        }
        if constexpr (wanted)
            GK_UNROLL for (int j = 0; j < D; ++j) inner += products[j];
    }
    return inner;
}

template <class R, int D, bool kDiagonal> struct Backward {
    using Real = R;
    using Adjoint = Apply<R, D, kDiagonal>;
    static constexpr int tile_vectors = Adjoint::tile_vectors;
    template <class Tile> using State = typename Adjoint::template State<Tile>;
    Adjoint adjoint;
    Stalks<R> tables;
    R* gmaps;
    R* energy;  // <F_u, A_u> by edge, or null

    GK_INLINE Stalks<R> stalks(int64_t node) const {
        const int64_t at = node * adjoint.edges.node_stride;
        return {tables.x + at, tables.grad + at};
    }
    template <Split split, bool wanted> GK_NOINLINE void maps_of(int64_t row, int64_t begin, int64_t end) const {
        constexpr int entries = kDiagonal ? D : D * D;
        const Edges<R, D, kDiagonal>& edges = adjoint.edges;
        const Here<R, D, kDiagonal, split> here(stalks(row), edges.channels);
        Matrix<R, D, kDiagonal> q, m;
        here.multiply(stalks(row), q);
        for (int64_t k = begin; k < end; ++k) {
            edges.prefetch(k, tables.x, tables.grad);
            const int64_t edge = edges.perm[k];
            R* to = gmaps + edge * edges.map_stride;
            if (!edges.counts(k)) {
                GK_UNROLL for (int i = 0; i < entries; ++i) to[i] = 0;
                if constexpr (wanted) energy[edge] = 0;
                continue;
            }
            here.multiply(stalks(edges.index[k]), m);
            const R inner = gradient<wanted>(edges.own(k), q, edges.other(k), m, edges.weight_of(k), to);
            if constexpr (wanted) energy[edge] = inner;
        }
    }
    // The first tile's visit brings the rows into the cache, maps are done with it; then L G for each tile.
    template <int V, bool narrow>
    GK_INLINE void accumulate(State<Tile<R, V, narrow>>& state, const Tile<R, V, narrow>& tile, int64_t row,
                              int64_t begin, int64_t end, const Local<R>& local) const {
        if (tile.first_of_row() && begin < end) {
            with_split<R>(adjoint.edges.channels, [&](auto split) {
                if (energy == nullptr) maps_of<split(), false>(row, begin, end);
                else maps_of<split(), true>(row, begin, end);
            });
        }
        adjoint.accumulate(state, tile, row, begin, end, local);
    }
    template <class Tile> GK_INLINE void combine(State<Tile>& state, const State<Tile>& other, const Tile& tile) const {
        adjoint.combine(state, other, tile);
    }
    template <class Tile>
    GK_INLINE void finish(const State<Tile>& state, const Tile& tile, int64_t row, int64_t begin, int64_t end,
                          const Local<R>& local) const {
        adjoint.finish(state, tile, row, begin, end, local);
    }
};

// Of both ends' energies a quarter to each direction; an edge left out has none.
template <class R> void weight_gradient(const SheafArgs& args, const R* energy, bool first) {
    const Index perm{args.perm, args.wide_index != 0}, pair{args.pair, args.wide_index != 0};
    R* gweight = static_cast<R*>(args.result2);
    parallel_ranges(args.edges, 4, args.threads, [&](int64_t begin, int64_t end) {
        for (int64_t k = begin; k < end; ++k) {
            const int64_t edge = perm[k], reverse = pair[k];
            const R both = reverse < 0 || reverse == edge ? R(0) : energy[edge] + energy[reverse];
            gweight[edge] = (first ? R(0) : gweight[edge]) + both / 4;
        }
    });
}

}  // namespace

int sheaf_laplacian_backward(const SheafArgs& args) {
    for_stalk(args, [&](auto real, auto stalk, auto diagonal, int64_t offset) {
        using R = decltype(real);
        const Edges<R, stalk(), diagonal()> edges(args, offset);
        const int64_t first = offset * args.channels;
        const Stalks<R> tables{static_cast<const R*>(args.x) + first, static_cast<const R*>(args.grad) + first};
        R *gx = static_cast<R*>(args.result0) + first, *gmaps = static_cast<R*>(args.result1) + offset;
        advise_huge_pages(gx, args.nodes * edges.node_stride * int64_t(sizeof(R)));
        advise_huge_pages(gmaps, args.edges * edges.map_stride * int64_t(sizeof(R)));
        Buffer<R> energy(args.result2 == nullptr ? 0 : args.edges);
        run_rows(Backward<R, stalk(), diagonal()>{{edges, tables.grad, gx, false}, tables, gmaps, energy.get()},
                 row_args(args), static_cast<R*>(nullptr));
        if (args.result2 != nullptr) weight_gradient<R>(args, energy.get(), offset == 0);
    });
    return Status::ok;
}

}  // namespace GK_ISA
}  // namespace graphkit
