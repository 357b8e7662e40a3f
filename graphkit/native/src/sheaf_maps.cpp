// The gradients of the sheaf Laplacian to its maps and weights, one undirected edge at a time.
//
// Of <G, L x> the maps see d x d matrices alone: with
//     Q_u = x_u G_u^T + G_u x_u^T,   M = x_v G_u^T + G_v x_u^T     (of the edge seen from v: M^T)
//     A_u = F_u Q_u - F_v M,         A_v = F_v Q_v - F_u M^T
// the gradients are dF_u = w A_u, dF_v = w A_v and, as the energy is quadratic in the maps,
// dw = (<F_u, A_u> + <F_v, A_v>) / 2, half of it to each direction.  So the rows of an edge's two nodes are read once
// for both directions.  Q is a table of nodes.  Of diagonal maps only the diagonals exist.
//
// Every edge is written by one task, so the split over threads changes no bit.
#include "sheaf_edges.h"
#include "small.h"

namespace graphkit {
namespace GK_ISA {
namespace {

constexpr int64_t kSlots = 1024;  // of a task

// Small matrices are kept by rows of quads, in registers: what is written number by number and read as a vector waits for
// the store.
template <class R> using Quad = SmallRow<R, 4>;
constexpr int quads_for(int entries) { return (entries + 3) / 4; }

// A vector folded to four lanes with the same sum.
template <class R> GK_INLINE void fold(const Vec<R>& vector, Quad<R>& sum) {
    if constexpr (kLanes<R> < 4) {
        sum = Quad<R>{};
        for (int i = 0; i < kLanes<R>; ++i) sum[i] = vector[i];
    } else {
        Quad<R> pieces[kLanes<R> / 4];
        std::memcpy(pieces, &vector, sizeof(pieces));
        sum = pieces[0];
        for (int i = 1; i < kLanes<R> / 4; ++i) sum += pieces[i];
    }
}

// The sums of four quads, as one.
template <class R> GK_INLINE void sum_four(const Quad<R>& a, const Quad<R>& b, const Quad<R>& c, const Quad<R>& d, Quad<R>& sum) {
    using Order = typename SmallOf<R, 4>::order;
    const Order even = {0, 4, 1, 5}, odd = {2, 6, 3, 7}, low = {0, 1, 4, 5}, high = {2, 3, 6, 7};
    const Quad<R> ab = __builtin_shuffle(a, b, even) + __builtin_shuffle(a, b, odd);
    const Quad<R> cd = __builtin_shuffle(c, d, even) + __builtin_shuffle(c, d, odd);
    sum = __builtin_shuffle(ab, cd, low) + __builtin_shuffle(ab, cd, high);
}

// A matrix of D x D (by rows) or, of diagonal maps, a row of D.
template <class R, int D, bool kDiagonal> struct Matrix {
    static constexpr int rows = kDiagonal ? 1 : D, width = quads_for(D);
    Quad<R> quad[rows][width];
};

// Vector `v` of a row of channels, as a tile of its own.
template <class R, bool narrow> GK_INLINE Tile<R, 1, narrow> vector_tile(int64_t v, int64_t channels) {
    constexpr int64_t lanes = kLanes<R>;
    if constexpr (narrow) return {0, 0, 0, static_cast<int>(channels)};
    const int64_t start = v * lanes;
    return {v, start, start + lanes <= channels ? start : channels - lanes, 0};
}

// x and G of one node, zero where vectors overlap: kept while its edges are looked at.
template <class R, int D> struct Here {
    Buffer<Vec<R>> vectors;  // of vector v: D of x, D of G
    int64_t node = -1;

    explicit Here(int64_t channels) : vectors(2 * D * vector_count<R>(channels)) {}
    template <bool narrow> GK_INLINE void load(const R* x, const R* grad, int64_t channels) {
        for (int64_t v = 0; v < vector_count<R>(channels); ++v) {
            const auto tile = vector_tile<R, narrow>(v, channels);
            Vec<R>* to = vectors.get() + 2 * D * v;
            GK_UNROLL for (int i = 0; i < D; ++i) {
                to[i] = tile.fresh(0, tile.load(x + i * channels, 0));
                to[D + i] = tile.fresh(0, tile.load(grad + i * channels, 0));
            }
        }
    }
};

// P_ij = sum over the channels of x_i G'_j + G_i x'_j (diagonal: i = j), and its transpose; x' and G' are `here`.
template <class R, int D, bool kDiagonal, bool narrow>
GK_INLINE void products(int64_t channels, const R* x, const R* grad, const Here<R, D>& here,
                        Matrix<R, D, kDiagonal>& p, Matrix<R, D, kDiagonal>& transposed) {
    constexpr int rows = kDiagonal ? 1 : D, parts = quads_for(D), padded = 4 * parts;
    Vec<R> total[rows][D] = {};
    for (int64_t v = 0; v < vector_count<R>(channels); ++v) {
        const auto tile = vector_tile<R, narrow>(v, channels);
        const Vec<R>*x_here = here.vectors.get() + 2 * D * v, *g_here = x_here + D;
        GK_UNROLL for (int i = 0; i < D; ++i) {
            const Vec<R> left = tile.load(x + i * channels, 0), second = tile.load(grad + i * channels, 0);
            if constexpr (kDiagonal) {
                total[0][i] += left * g_here[i] + second * x_here[i];
            } else {
                GK_UNROLL for (int j = 0; j < D; ++j) total[i][j] += left * g_here[j] + second * x_here[j];
            }
        }
    }
    Quad<R> folded[padded][padded] = {};
    GK_UNROLL for (int i = 0; i < rows; ++i)
        GK_UNROLL for (int j = 0; j < D; ++j) fold<R>(total[i][j], folded[i][j]);
    GK_UNROLL for (int i = 0; i < rows; ++i)
        GK_UNROLL for (int q = 0; q < parts; ++q) {
            const int j = 4 * q;
            sum_four<R>(folded[i][j], folded[i][j + 1], folded[i][j + 2], folded[i][j + 3], p.quad[i][q]);
            if constexpr (!kDiagonal)
                sum_four<R>(folded[j][i], folded[j + 1][i], folded[j + 2][i], folded[j + 3][i], transposed.quad[i][q]);
        }
}

// to = w (map q - other m); returns <map, map q - other m> if it is wanted.
template <class R, int D, bool kDiagonal>
GK_INLINE R gradient(const R* map, const Matrix<R, D, kDiagonal>& q, const R* other, const Matrix<R, D, kDiagonal>& m,
                     R w, bool wanted, R* to) {
    R inner = 0;
    [[maybe_unused]] constexpr int parts = quads_for(D);
    if constexpr (kDiagonal) {
        GK_UNROLL for (int i = 0; i < D; ++i) {
            const R value = map[i] * q.quad[0][i / 4][i % 4] - other[i] * m.quad[0][i / 4][i % 4];
            inner += map[i] * value;
            to[i] = w * value;
        }
        return inner;
    } else {
        GK_UNROLL for (int i = 0; i < D; ++i) {
            Quad<R> row[quads_for(D)];
            GK_UNROLL for (int part = 0; part < parts; ++part) {
                row[part] = map[i * D] * q.quad[0][part] - other[i * D] * m.quad[0][part];
                GK_UNROLL for (int l = 1; l < D; ++l) {
                    row[part] += map[i * D + l] * q.quad[l][part];
                    row[part] -= other[i * D + l] * m.quad[l][part];
                }
            }
            if (wanted)
                GK_UNROLL for (int j = 0; j < D; ++j) inner += map[i * D + j] * row[j / 4][j % 4];
            GK_UNROLL for (int part = 0; part < parts; ++part) {
                constexpr int left = D % 4 == 0 ? 4 : D % 4;
                row[part] *= w;
                std::memcpy(to + i * D + 4 * part, &row[part], (part + 1 < quads_for(D) ? 4 : left) * sizeof(R));
            }
        }
        return inner;
    }
}

template <class R, int D, bool kDiagonal, bool narrow>
void map_gradient(const SheafArgs& args, const Edges<R, D, kDiagonal>& edges, int64_t offset) {
    using Block = Matrix<R, D, kDiagonal>;
    constexpr int entries = kDiagonal ? D : D * D;
    const Index ptr{args.ptr, args.wide_index != 0};
    const int64_t first = offset * args.channels;
    const R* x = static_cast<const R*>(args.x) + first;
    const R* grad = static_cast<const R*>(args.grad) + first;
    R* gmaps = static_cast<R*>(args.result1) + offset;
    R* gweight = static_cast<R*>(args.result2);

    advise_huge_pages(gmaps, args.edges * edges.map_stride * int64_t(sizeof(R)));
    Buffer<Block> table(args.nodes);
    parallel_ranges(args.nodes, entries * args.channels, args.threads, [&](int64_t begin, int64_t end) {
        Here<R, D> here(args.channels);
        for (int64_t node = begin; node < end; ++node) {
            const R *at = x + node * edges.node_stride, *g = grad + node * edges.node_stride;
            Block unused;
            here.template load<narrow>(at, g, args.channels);
            products<R, D, kDiagonal, narrow>(args.channels, at, g, here, table[node], unused);
        }
    });

    const int64_t tasks = (args.edges + kSlots - 1) / kSlots;
    parallel_for(tasks, args.edges * args.channels, args.threads, [&](int64_t task) {
        const int64_t begin = task * kSlots, end = begin + kSlots < args.edges ? begin + kSlots : args.edges;
        Here<R, D> here(args.channels);
        int64_t row = row_of_slot(ptr, args.nodes, begin);
        for (int64_t k = begin; k < end; ++k) {
            while (ptr[row + 1] <= k) ++row;
            edges.prefetch_nodes(k, row, x, grad, gmaps);
            const int64_t edge = edges.perm[k], reverse = edges.pair[k];
            if (!edges.counts(k)) {
                GK_UNROLL for (int i = 0; i < entries; ++i) gmaps[edge * edges.map_stride + i] = 0;
                if (gweight != nullptr) gweight[edge] = 0;
                continue;
            }
            const int64_t node = edges.index[k];
            if (node < row) continue;  // the slot of the reverse writes both
            if (here.node != row) {
                here.template load<narrow>(x + row * edges.node_stride, grad + row * edges.node_stride, args.channels);
                here.node = row;
            }
            const int64_t there = node * edges.node_stride;
            Block m, turned;
            products<R, D, kDiagonal, narrow>(args.channels, x + there, grad + there, here, m, turned);
            const R *own = edges.own(k), *other = edges.other(k);
            const R w = edges.weight_of(k);
            const bool wanted = gweight != nullptr;
            const Block& back = kDiagonal ? m : turned;
            R energy = gradient<R, D, kDiagonal>(own, table[row], other, m, w, wanted,
                                                 gmaps + edge * edges.map_stride);
            energy += gradient<R, D, kDiagonal>(other, table[node], own, back, w, wanted,
                                                gmaps + reverse * edges.map_stride);
            if (wanted) {
                const R before = offset == 0 ? R(0) : gweight[edge];
                gweight[edge] = gweight[reverse] = before + energy / 4;
            }
        }
    });
}

}  // namespace

void sheaf_map_gradient(const SheafArgs& args) {
    for_stalk(args, [&](auto real, auto stalk, auto diagonal, int64_t offset) {
        using R = decltype(real);
        const Edges<R, stalk(), diagonal()> edges(args, offset);
        if (args.channels < kLanes<R>)
            map_gradient<R, stalk(), diagonal(), true>(args, edges, offset);
        else
            map_gradient<R, stalk(), diagonal(), false>(args, edges, offset);
    });
}

}  // namespace GK_ISA
}  // namespace graphkit
