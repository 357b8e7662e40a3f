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
#include <utility>

#include "sheaf_apply.h"

namespace graphkit {
namespace GK_ISA {
namespace {

// A shuffle of two vectors within groups of four lanes: 0 to 3 are those of the first, 4 to 7 of the second.
template <int a, int b, int c, int d, class V, size_t... lane>
GK_INLINE V shuffle_groups(const V& first, const V& second, std::index_sequence<lane...>) {
    constexpr int from[4] = {a, b, c, d}, lanes = sizeof...(lane);
    using Number = std::conditional_t<sizeof(first[0]) == 4, int32_t, int64_t>;
    typedef Number Order __attribute__((vector_size(sizeof(V))));
    const Order order = {Number(int(lane) / 4 * 4 + from[lane % 4] % 4 + (from[lane % 4] < 4 ? 0 : lanes))...};
    return __builtin_shuffle(first, second, order);
}
template <int a, int b, int c, int d, class V> GK_INLINE V shuffle_groups(const V& first, const V& second) {
    return shuffle_groups<a, b, c, d>(first, second, std::make_index_sequence<sizeof(V) / sizeof(first[0])>{});
}

// The sums of four vectors, in every group of four lanes of a small row.
template <class R, class Row>
GK_INLINE void sum_four(const Vec<R>& a, const Vec<R>& b, const Vec<R>& c, const Vec<R>& d, Row& sum) {
    constexpr int lanes = kLanes<R>, wanted = sizeof(Row) / sizeof(R);
    if constexpr (lanes < 4) {
        R sums[wanted] = {};
        for (int i = 0; i < wanted; ++i)
            for (int l = 0; l < lanes; ++l) sums[i] += i % 4 == 0 ? a[l] : i % 4 == 1 ? b[l] : i % 4 == 2 ? c[l] : d[l];
        std::memcpy(&sum, sums, sizeof(sum));
    } else {
        const Vec<R> ab = shuffle_groups<0, 4, 1, 5>(a, b) + shuffle_groups<2, 6, 3, 7>(a, b);
        const Vec<R> cd = shuffle_groups<0, 4, 1, 5>(c, d) + shuffle_groups<2, 6, 3, 7>(c, d);
        const Vec<R> groups = shuffle_groups<0, 1, 4, 5>(ab, cd) + shuffle_groups<2, 3, 6, 7>(ab, cd);
        if constexpr (lanes < wanted) {
            const Vec<R> twice[2] = {groups, groups};
            std::memcpy(&sum, twice, sizeof(sum));
        } else {
            Row pieces[lanes / wanted];
            std::memcpy(pieces, &groups, sizeof(pieces));
            sum = pieces[0];
            for (int i = 1; i < lanes / wanted; ++i) sum += pieces[i];
            if constexpr (wanted > 4)
                sum += __builtin_shuffle(sum, typename SmallOf<R, wanted>::order{4, 5, 6, 7, 0, 1, 2, 3});
        }
    }
}

// Puts lane `lane` of another row behind lanes 0 to 3 of this one.
template <int lane, class R> GK_INLINE void append(const SmallRow<R, 5>& other, SmallRow<R, 5>& row, R) {
    using Order = typename SmallOf<R, 8>::order;
    row = __builtin_shuffle(row, other, Order{0, 1, 2, 3, 8 + lane, 8 + lane, 8 + lane, 8 + lane});
}

// A matrix by rows or, of diagonal maps, its diagonal; what is in the lanes behind D is of no account.
template <class R, int D, bool kDiagonal> struct Matrix {
    SmallRow<R, D> row[kDiagonal ? 1 : D];
};

// Vector `v` of a row of channels, as a tile of its own.
template <class R, bool narrow> GK_INLINE Tile<R, 1, narrow> vector_tile(int64_t v, int64_t channels) {
    constexpr int64_t lanes = kLanes<R>;
    if constexpr (narrow) return {0, 0, 0, static_cast<int>(channels)};
    const int64_t start = v * lanes;
    return {v, start, start + lanes <= channels ? start : channels - lanes, 0};
}

// The stalks of a node in both tables.
template <class R> struct Stalks {
    const R *x, *grad;
};

// sum[i][j] += x_i G'_j + G_i x'_j for `columns` columns from `first` on (diagonal: sum[0][j], i = j); x' and G' are
// `here`.
template <class R, int D, bool kDiagonal, int first, int columns, class Tile, class V>
GK_INLINE void add_products(const Tile& tile, int64_t channels, const Stalks<R>& there, const Stalks<R>& here,
                            V (&sum)[kDiagonal ? 1 : D][4]) {
    V x[columns], grad[columns];
    GK_UNROLL for (int j = 0; j < columns; ++j) {
        x[j] = tile.fresh(0, tile.load(here.x + (first + j) * channels, 0));
        grad[j] = tile.fresh(0, tile.load(here.grad + (first + j) * channels, 0));
    }
    if constexpr (kDiagonal) {
        GK_UNROLL for (int j = 0; j < columns; ++j) {
            sum[0][j] += tile.load(there.x + (first + j) * channels, 0) * grad[j];
            sum[0][j] += tile.load(there.grad + (first + j) * channels, 0) * x[j];
        }
    } else {
        GK_UNROLL for (int i = 0; i < D; ++i) {
            const V left = tile.load(there.x + i * channels, 0), right = tile.load(there.grad + i * channels, 0);
            GK_UNROLL for (int j = 0; j < columns; ++j) {
                sum[i][j] += left * grad[j];
                sum[i][j] += right * x[j];
            }
        }
    }
}

// How a row of channels goes into vectors: less than one; the last one overlapping; whole ones and a tail; or one and a
// tail.
enum class Split { narrow, vectors, tail, one_and_tail };

template <Split split> using SplitOf = std::integral_constant<Split, split>;
template <class R, class Body> GK_INLINE void with_split(int64_t channels, const Body& body) {
    if (channels < kLanes<R>) return body(SplitOf<Split::narrow>{});
    if constexpr (Tail<R>::exists)
        if (Tail<R>{channels}.pays())
            return channels < 2 * kLanes<R> ? body(SplitOf<Split::one_and_tail>{}) : body(SplitOf<Split::tail>{});
    body(SplitOf<Split::vectors>{});
}

// The same over all channels; the tail's sums are the first lanes of what the vectors add to.
template <class R, int D, bool kDiagonal, Split split, int first, int columns>
GK_INLINE void add_all_products(int64_t channels, const Stalks<R>& there, const Stalks<R>& here,
                                Vec<R> (&sum)[kDiagonal ? 1 : D][4]) {
    constexpr bool tailed = split == Split::tail || split == Split::one_and_tail;
    if constexpr (tailed) {
        typename Tail<R>::Value part[kDiagonal ? 1 : D][4] = {};
        add_products<R, D, kDiagonal, first, columns>(Tail<R>{channels}, channels, there, here, part);
        GK_UNROLL for (int i = 0; i < (kDiagonal ? 1 : D); ++i)
            GK_UNROLL for (int j = 0; j < columns; ++j) sum[i][j] = Tail<R>::widen(part[i][j]);
    }
    const int64_t count = split == Split::one_and_tail ? 1 : tailed ? channels / kLanes<R> : vector_count<R>(channels);
    for (int64_t v = 0; v < count; ++v) {
        const auto tile = vector_tile<R, split == Split::narrow>(v, channels);
        add_products<R, D, kDiagonal, first, columns>(tile, channels, there, here, sum);
    }
}

// P_ij = sum over the channels of x_i G'_j + G_i x'_j; four columns at a time, whose sums stay in registers.
template <class R, int D, bool kDiagonal, Split split>
GK_INLINE void products(int64_t channels, const Stalks<R>& there, const Stalks<R>& here, Matrix<R, D, kDiagonal>& p) {
    constexpr int rows = kDiagonal ? 1 : D, columns = D < 4 ? D : 4;
    Vec<R> sum[rows][4] = {};
    add_all_products<R, D, kDiagonal, split, 0, columns>(channels, there, here, sum);
    GK_UNROLL for (int i = 0; i < rows; ++i) sum_four<R>(sum[i][0], sum[i][1], sum[i][2], sum[i][3], p.row[i]);
    if constexpr (D == 5) {
        Vec<R> last[rows][4] = {};
        add_all_products<R, D, kDiagonal, split, 4, 1>(channels, there, here, last);
        const Vec<R> none = {};
        SmallRow<R, D> column, end;
        sum_four<R>(last[rows - 1][0], none, none, none, end);
        append<0>(end, p.row[rows - 1], R(0));
        if constexpr (!kDiagonal) {
            sum_four<R>(last[0][0], last[1][0], last[2][0], last[3][0], column);
            append<0>(column, p.row[0], R(0));
            append<1>(column, p.row[1], R(0));
            append<2>(column, p.row[2], R(0));
            append<3>(column, p.row[3], R(0));
        }
    }
}

// A node's stalks, to be multiplied by those of its neighbours.
template <class R, int D, bool kDiagonal, Split split> struct Here {
    Stalks<R> here;
    int64_t channels;
    GK_INLINE Here(const Stalks<R>& stalks, int64_t channels) : here(stalks), channels(channels) {}
    GK_INLINE void multiply(const Stalks<R>& there, Matrix<R, D, kDiagonal>& p) const {
        products<R, D, kDiagonal, split>(channels, there, here, p);
    }
};
// Of diagonal maps and one vector of channels they stay in registers: the neighbours' stalks are used once, and reading
// both was half of the work.
template <class R, int D, Split split> struct HeldHere {
    static constexpr bool tailed = split == Split::one_and_tail;
    using Short = typename Tail<R>::Value;
    Tile<R, 1, split == Split::narrow> tile;
    Tail<R> tail;
    Vec<R> x[D], grad[D];
    Short tail_x[D], tail_grad[D];
    GK_INLINE HeldHere(const Stalks<R>& here, int64_t channels)
        : tile(vector_tile<R, split == Split::narrow>(0, channels)), tail{channels} {
        GK_UNROLL for (int j = 0; j < D; ++j) {
            x[j] = tile.load(here.x + j * channels, 0);
            grad[j] = tile.load(here.grad + j * channels, 0);
            if constexpr (tailed) {
                tail_x[j] = tail.fresh(0, tail.load(here.x + j * channels, 0));
                tail_grad[j] = tail.fresh(0, tail.load(here.grad + j * channels, 0));
            }
        }
    }
    GK_INLINE void multiply(const Stalks<R>& there, Matrix<R, D, true>& p) const {
        const Vec<R> none = {};
        Vec<R> sum[D < 4 ? 4 : D] = {};
        GK_UNROLL for (int j = 0; j < D; ++j) {
            const R *left = there.x + j * tail.channels, *right = there.grad + j * tail.channels;
            if constexpr (tailed)
                sum[j] = Tail<R>::widen(tail.load(left, 0) * tail_grad[j] + tail.load(right, 0) * tail_x[j]);
            sum[j] += tile.load(left, 0) * grad[j];
            sum[j] += tile.load(right, 0) * x[j];
        }
        sum_four<R>(sum[0], sum[1], sum[2], sum[3], p.row[0]);
        if constexpr (D == 5) {
            SmallRow<R, D> end;
            sum_four<R>(sum[4], none, none, none, end);
            append<0>(end, p.row[0], R(0));
        }
    }
};
template <class R, int D> struct Here<R, D, true, Split::narrow> : HeldHere<R, D, Split::narrow> {
    using HeldHere<R, D, Split::narrow>::HeldHere;
};
template <class R, int D> struct Here<R, D, true, Split::one_and_tail> : HeldHere<R, D, Split::one_and_tail> {
    using HeldHere<R, D, Split::one_and_tail>::HeldHere;
};

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
