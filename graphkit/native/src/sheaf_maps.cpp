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

namespace graphkit {
namespace GK_ISA {
namespace {

constexpr int64_t kSlots = 1024;  // of a task

// Small matrices are kept by rows of quads, in registers: what is written number by number and read as a vector waits for
// the store.
template <class R> struct QuadOf;
template <> struct QuadOf<float> {
    typedef float type __attribute__((vector_size(16)));
    typedef int32_t order __attribute__((vector_size(16)));
};
template <> struct QuadOf<double> {
    typedef double type __attribute__((vector_size(32)));
    typedef int64_t order __attribute__((vector_size(32)));
};
template <class R> using Quad = typename QuadOf<R>::type;
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
    using Order = typename QuadOf<R>::order;
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

// body(tile) for every vector of channels, as a tile of its own.
template <class R, class Body> GK_INLINE void for_each_vector(int64_t channels, const Body& body) {
    constexpr int64_t lanes = kLanes<R>;
    if (channels < lanes) {
        const Tile<R, 1, true> tile{0, 0, 0, static_cast<int>(channels)};
        body(tile);
        return;
    }
    int64_t c = 0;
    for (; c + lanes <= channels; c += lanes) body(Tile<R, 1, false>{1, c, c, 0});
    if (c < channels) body(Tile<R, 1, false>{1, c, channels - lanes, 0});
}

// P_ij = sum over the channels of a_i b_j + c_i d_j (diagonal: i = j), and its transpose.
template <class R, int D, bool kDiagonal>
GK_INLINE void products(const Edges<R, D, kDiagonal>& edges, const R* a, const R* b, const R* c, const R* d,
                        Matrix<R, D, kDiagonal>& p, Matrix<R, D, kDiagonal>& transposed) {
    constexpr int rows = kDiagonal ? 1 : D, padded = 4 * quads_for(D);
    Vec<R> total[rows][D] = {};
    const int64_t channels = edges.channels;
    for_each_vector<R>(channels, [&](const auto& tile) GK_INLINE_LAMBDA {
        if constexpr (kDiagonal) {
            GK_UNROLL for (int i = 0; i < D; ++i) {
                const int64_t at = i * channels;
                total[0][i] += tile.fresh(0, tile.load(a + at, 0)) * tile.load(b + at, 0) +
                               tile.fresh(0, tile.load(c + at, 0)) * tile.load(d + at, 0);
            }
        } else {
            Vec<R> right[D], other[D];
            GK_UNROLL for (int j = 0; j < D; ++j) {
                right[j] = tile.load(b + j * channels, 0);
                other[j] = tile.load(d + j * channels, 0);
            }
            GK_UNROLL for (int i = 0; i < D; ++i) {
                const Vec<R> left = tile.fresh(0, tile.load(a + i * channels, 0));
                const Vec<R> second = tile.fresh(0, tile.load(c + i * channels, 0));
                GK_UNROLL for (int j = 0; j < D; ++j) total[i][j] += left * right[j] + second * other[j];
            }
        }
    });
    Quad<R> folded[padded][padded] = {};
    for (int i = 0; i < rows; ++i)
        GK_UNROLL for (int j = 0; j < D; ++j) fold<R>(total[i][j], folded[i][j]);
    for (int i = 0; i < rows; ++i)
        for (int q = 0; q < quads_for(D); ++q) {
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
    for (int i = 0; i < Matrix<R, D, kDiagonal>::rows; ++i) {
        Quad<R> row[quads_for(D)];
        for (int part = 0; part < quads_for(D); ++part) {
            if constexpr (kDiagonal) {
                Quad<R> own = {}, there = {};
                GK_UNROLL for (int j = 0; j < 4; ++j)
                    if (4 * part + j < D) {
                        own[j] = map[4 * part + j];
                        there[j] = other[4 * part + j];
                    }
                row[part] = own * q.quad[0][part] - there * m.quad[0][part];
            } else {
                row[part] = map[i * D] * q.quad[0][part] - other[i * D] * m.quad[0][part];
                GK_UNROLL for (int l = 1; l < D; ++l) {
                    row[part] += map[i * D + l] * q.quad[l][part];
                    row[part] -= other[i * D + l] * m.quad[l][part];
                }
            }
        }
        if (wanted)
            GK_UNROLL for (int j = 0; j < D; ++j) inner += map[i * D + j] * row[j / 4][j % 4];
        for (int part = 0; part < quads_for(D); ++part) {
            constexpr int left = D % 4 == 0 ? 4 : D % 4;
            row[part] *= w;
            std::memcpy(to + i * D + 4 * part, &row[part], (part + 1 < quads_for(D) ? 4 : left) * sizeof(R));
        }
    }
    return inner;
}

template <class R, int D, bool kDiagonal>
void map_gradient(const SheafArgs& args, const Edges<R, D, kDiagonal>& edges, int64_t offset) {
    using Block = Matrix<R, D, kDiagonal>;
    constexpr int entries = kDiagonal ? D : D * D;
    const Index ptr{args.ptr, args.wide_index != 0};
    const int64_t first = offset * args.channels;
    const R* x = static_cast<const R*>(args.x) + first;
    const R* grad = static_cast<const R*>(args.grad) + first;
    R* gmaps = static_cast<R*>(args.result1) + offset;
    R* gweight = static_cast<R*>(args.result2);

    Buffer<Block> table(args.nodes);
    parallel_ranges(args.nodes, entries * args.channels, args.threads, [&](int64_t begin, int64_t end) {
        for (int64_t node = begin; node < end; ++node) {
            const R *here = x + node * edges.node_stride, *g = grad + node * edges.node_stride;
            Block unused;
            products<R, D, kDiagonal>(edges, here, g, g, here, table[node], unused);
        }
    });

    const int64_t tasks = (args.edges + kSlots - 1) / kSlots;
    parallel_for(tasks, args.edges * args.channels, args.threads, [&](int64_t task) {
        const int64_t begin = task * kSlots, end = begin + kSlots < args.edges ? begin + kSlots : args.edges;
        // The row of a slot: the last whose first slot is not behind it.
        int64_t low = 0, high = args.nodes;
        while (low + 1 < high) {
            const int64_t middle = (low + high) / 2;
            if (ptr[middle] <= begin) low = middle; else high = middle;
        }
        int64_t row = low;
        for (int64_t k = begin; k < end; ++k) {
            while (ptr[row + 1] <= k) ++row;
            edges.prefetch_nodes(k, row, x, grad);
            const int64_t edge = edges.perm[k], reverse = edges.pair[k];
            if (!edges.counts(k)) {
                GK_UNROLL for (int i = 0; i < entries; ++i) gmaps[edge * edges.map_stride + i] = 0;
                if (gweight != nullptr) gweight[edge] = 0;
                continue;
            }
            const int64_t node = edges.index[k];
            if (node < row) continue;  // the slot of the reverse writes both
            const R *here = x + row * edges.node_stride, *there = x + node * edges.node_stride;
            const R *g_here = grad + row * edges.node_stride, *g_there = grad + node * edges.node_stride;
            Block m, turned;
            products<R, D, kDiagonal>(edges, there, g_here, g_there, here, m, turned);
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
        map_gradient(args, Edges<decltype(real), stalk(), diagonal()>(args, offset), offset);
    });
}

}  // namespace GK_ISA
}  // namespace graphkit
