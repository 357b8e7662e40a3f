// What the gradients of maps are made of: the products of two nodes' stalks, summed over the channels.
#pragma once

#include <utility>

#include "sheaf_apply.h"

namespace graphkit {
namespace GK_ISA {

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
// Of diagonal maps and one vector of channels they stay in registers, not read again at every edge: 10 to 25 % less time.
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

}  // namespace GK_ISA
}  // namespace graphkit
