// Both weights of a sheaf layer at once: out_n = W1 x_n W2^T for stalks x_n of d rows and f channels.
//
// A block of nodes is multiplied by the small weight into a buffer and by the large one out of it, so that each table is
// read or written once.  Backward, with u = G W2 and z = W1 x:  gx = W1^T u,  gW1 = sum u x^T,  gW2 = sum G^T z.
// Sums over nodes are taken per task, of which there are at most kTasks, and then in order: threads change no bit.
#include "schedule.h"
#include "sheaf.h"

namespace graphkit {
namespace GK_ISA {
namespace {

constexpr int64_t kBlock = 32;  // nodes whose stalks stay in the cache
constexpr int64_t kTasks = 64;
#if defined(__AVX512F__)
constexpr int kSums = 16;  // vectors of sums in registers
#else
constexpr int kSums = 8;
#endif

// So many rows that their sums stay in registers; what is unrolled is at most 8.
template <class Tile> constexpr int rows_at_once = kSums / Tile::vectors < 8 ? kSums / Tile::vectors : 8;

template <class R> struct Mixing {
    int64_t nodes, d, channels, width;  // width: of a stalk
    const R *left, *right;              // null: the identity

    explicit Mixing(const SheafArgs& args)
        : nodes(args.nodes),
          d(args.stalk),
          channels(args.channels),
          width(args.stalk * args.channels),
          left(static_cast<const R*>(args.maps)),
          right(static_cast<const R*>(args.weight)) {}

    int64_t task() const {
        const int64_t share = (nodes + kTasks - 1) / kTasks;
        return (share + kBlock - 1) / kBlock * kBlock;
    }
};

// A matrix m x m by columns.
template <class R> void transpose(const R* from, int64_t m, R* to) {
    for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < m; ++j) to[j * m + i] = from[i * m + j];
}

template <int n> using Size = std::integral_constant<int, n>;

// body(size): the number of rows of a stalk, known to the compiler where a sheaf of few dimensions has it, else 0.
template <class Body> void for_rows(int64_t d, const Body& body) {
    switch (d) {
        case 1: return body(Size<1>{});
        case 2: return body(Size<2>{});
        case 3: return body(Size<3>{});
        case 4: return body(Size<4>{});
        case 5: return body(Size<5>{});
        default: return body(Size<0>{});
    }
}

// to = small x, of every node: `small` d x d by rows.
template <int known, class R>
void times_left(const Mixing<R>& m, const R* small, const R* x, int64_t nodes, R* to) {
    for_each_tile<R, 1>(m.channels, [&](const auto& tile) {
        for (int64_t node = 0; node < nodes; ++node) {
            const R* from = x + node * m.width;
            R* row = to + node * m.width;
            if constexpr (known > 0) {
                Vec<R> value[known];
                GK_UNROLL for (int j = 0; j < known; ++j) value[j] = tile.load(from + j * m.channels, 0);
                GK_UNROLL for (int i = 0; i < known; ++i) {
                    Vec<R> sum = small[i * known] * value[0];
                    GK_UNROLL for (int j = 1; j < known; ++j) sum += small[i * known + j] * value[j];
                    tile.store(row + i * m.channels, 0, sum);
                }
            } else {
                for (int64_t i = 0; i < m.d; ++i) {
                    Vec<R> sum = small[i * m.d] * tile.load(from, 0);
                    for (int64_t j = 1; j < m.d; ++j) sum += small[i * m.d + j] * tile.load(from + j * m.channels, 0);
                    tile.store(row + i * m.channels, 0, sum);
                }
            }
        }
    });
}
template <class R> void times_left(const Mixing<R>& m, const R* small, const R* x, int64_t nodes, R* to) {
    for_rows(m.d, [&](auto known) { times_left<known()>(m, small, x, nodes, to); });
}

template <class R, int count, class Tile>
GK_INLINE void some_rows(const R* x, const R* matrix, int64_t channels, const Tile& tile, R* to) {
    Vec<R> sum[count][Tile::vectors] = {};
    for (int64_t k = 0; k < channels; ++k) {
        Vec<R> row[Tile::vectors];
        GK_UNROLL for (int v = 0; v < Tile::vectors; ++v) row[v] = tile.load(matrix + k * channels, v);
        GK_UNROLL for (int r = 0; r < count; ++r)
            GK_UNROLL for (int v = 0; v < Tile::vectors; ++v) sum[r][v] += x[r * channels + k] * row[v];
    }
    GK_UNROLL for (int r = 0; r < count; ++r)
        GK_UNROLL for (int v = 0; v < Tile::vectors; ++v) tile.store(to + r * channels, v, sum[r][v]);
}

// to = x matrix, of rows of `channels` numbers.
template <class R> void times_right(const R* x, int64_t rows, const R* matrix, int64_t channels, R* to) {
    for_each_tile<R, kTileVectors, true>(channels, [&](const auto& tile) {
        constexpr int count = rows_at_once<std::decay_t<decltype(tile)>>;
        int64_t row = 0;
        for (; row + count <= rows; row += count)
            some_rows<R, count>(x + row * channels, matrix, channels, tile, to + row * channels);
        for (; row < rows; ++row) some_rows<R, 1>(x + row * channels, matrix, channels, tile, to + row * channels);
    });
}

template <class R, int count, class Tile>
GK_INLINE void some_products(const R* a, const R* b, int64_t rows, int64_t channels, const Tile& tile, int64_t stride,
                             R* sums) {
    Vec<R> sum[count][Tile::vectors];
    GK_UNROLL for (int r = 0; r < count; ++r)
        GK_UNROLL for (int v = 0; v < Tile::vectors; ++v) sum[r][v] = load(sums + r * stride + tile.lane(v));
    for (int64_t row = 0; row < rows; ++row) {
        Vec<R> values[Tile::vectors];
        GK_UNROLL for (int v = 0; v < Tile::vectors; ++v) values[v] = tile.load(b + row * channels, v);
        GK_UNROLL for (int r = 0; r < count; ++r)
            GK_UNROLL for (int v = 0; v < Tile::vectors; ++v) sum[r][v] += a[row * channels + r] * values[v];
    }
    GK_UNROLL for (int r = 0; r < count; ++r)
        GK_UNROLL for (int v = 0; v < Tile::vectors; ++v) store(sums + r * stride + tile.lane(v), sum[r][v]);
}

// sums += a^T b over rows; the columns of `sums` are lanes.
template <class R> void add_products(const R* a, const R* b, int64_t rows, int64_t channels, int64_t stride, R* sums) {
    for_each_tile<R, kTileVectors, true>(channels, [&](const auto& tile) {
        constexpr int count = rows_at_once<std::decay_t<decltype(tile)>>;
        int64_t i = 0;
        for (; i + count <= channels; i += count)
            some_products<R, count>(a + i, b, rows, channels, tile, stride, sums + i * stride);
        // One by one, sums wait for each other.
        if constexpr (count > 4)
            for (; i + 4 <= channels; i += 4)
                some_products<R, 4>(a + i, b, rows, channels, tile, stride, sums + i * stride);
        for (; i < channels; ++i) some_products<R, 1>(a + i, b, rows, channels, tile, stride, sums + i * stride);
    });
}

// sums[i, j] += <u_i, x_j> of every node, in vectors.
template <int known, class R>
void add_left_products(const Mixing<R>& m, const R* u, const R* x, int64_t nodes, Vec<R>* sums) {
    for_each_tile<R, 1>(m.channels, [&](const auto& tile) {
        if constexpr (known > 0) {
            Vec<R> sum[known * known];
            GK_UNROLL for (int e = 0; e < known * known; ++e) sum[e] = sums[e];
            for (int64_t node = 0; node < nodes; ++node) {
                Vec<R> value[known];
                GK_UNROLL for (int j = 0; j < known; ++j) value[j] = tile.load(x + node * m.width + j * m.channels, 0);
                GK_UNROLL for (int i = 0; i < known; ++i) {
                    const Vec<R> first = tile.fresh(0, tile.load(u + node * m.width + i * m.channels, 0));
                    GK_UNROLL for (int j = 0; j < known; ++j) sum[i * known + j] += first * value[j];
                }
            }
            GK_UNROLL for (int e = 0; e < known * known; ++e) sums[e] = sum[e];
        } else {
            for (int64_t node = 0; node < nodes; ++node)
                for (int64_t i = 0; i < m.d; ++i) {
                    const Vec<R> first = tile.fresh(0, tile.load(u + node * m.width + i * m.channels, 0));
                    for (int64_t j = 0; j < m.d; ++j)
                        sums[i * m.d + j] += first * tile.load(x + node * m.width + j * m.channels, 0);
                }
        }
    });
}
template <class R> void add_left_products(const Mixing<R>& m, const R* u, const R* x, int64_t nodes, Vec<R>* sums) {
    for_rows(m.d, [&](auto known) { add_left_products<known()>(m, u, x, nodes, sums); });
}

template <class R> void mix(const SheafArgs& args) {
    const Mixing<R> m(args);
    const R* x = static_cast<const R*>(args.x);
    R* out = static_cast<R*>(args.result0);
    advise_huge_pages(out, m.nodes * m.width * int64_t(sizeof(R)));
    Buffer<R> turned(m.right == nullptr ? 0 : m.channels * m.channels);
    if (m.right != nullptr) transpose(m.right, m.channels, turned.get());
    const int64_t step = m.task();
    parallel_for((m.nodes + step - 1) / step, m.nodes * m.width, args.threads, [&](int64_t task) {
        const int64_t end = (task + 1) * step < m.nodes ? (task + 1) * step : m.nodes;
        Buffer<R> buffer(kBlock * m.width);
        for (int64_t node = task * step; node < end; node += kBlock) {
            const int64_t nodes = node + kBlock < end ? kBlock : end - node;
            const R* z = x + node * m.width;
            R* to = out + node * m.width;
            if (m.left != nullptr) {
                R* between = m.right == nullptr ? to : buffer.get();
                times_left(m, m.left, z, nodes, between);
                z = between;
            }
            if (m.right != nullptr) times_right(z, nodes * m.d, turned.get(), m.channels, to);
        }
    });
}

template <class R> void mix_backward(const SheafArgs& args) {
    const Mixing<R> m(args);
    const R *x = static_cast<const R*>(args.x), *grad = static_cast<const R*>(args.grad);
    R *gx = static_cast<R*>(args.result0), *gleft = static_cast<R*>(args.result1), *gright = static_cast<R*>(args.result2);
    advise_huge_pages(gx, m.nodes * m.width * int64_t(sizeof(R)));
    Buffer<R> turned(m.left == nullptr ? 0 : m.d * m.d);
    if (m.left != nullptr) transpose(m.left, m.d, turned.get());
    const int64_t step = m.task(), tasks = (m.nodes + step - 1) / step, stride = vector_count<R>(m.channels) * kLanes<R>;
    Buffer<R> right_sums(gright == nullptr ? 0 : tasks * m.channels * stride);
    Buffer<Vec<R>> left_sums(gleft == nullptr ? 0 : tasks * m.d * m.d);
    right_sums.clear();
    left_sums.clear();
    parallel_for(tasks, m.nodes * m.width, args.threads, [&](int64_t task) {
        const int64_t end = (task + 1) * step < m.nodes ? (task + 1) * step : m.nodes;
        Buffer<R> buffer(kBlock * m.width);
        for (int64_t node = task * step; node < end; node += kBlock) {
            const int64_t nodes = node + kBlock < end ? kBlock : end - node;
            const R *here = x + node * m.width, *g = grad + node * m.width, *u = g, *z = here;
            R* to = gx + node * m.width;
            if (m.right != nullptr) {
                R* between = m.left == nullptr ? to : buffer.get();
                times_right(g, nodes * m.d, m.right, m.channels, between);
                u = between;
            }
            if (m.left != nullptr) {
                times_left(m, turned.get(), u, nodes, to);
                add_left_products(m, u, here, nodes, left_sums.get() + task * m.d * m.d);
            }
            if (m.right == nullptr) continue;
            if (m.left != nullptr) {
                times_left(m, m.left, here, nodes, buffer.get());
                z = buffer.get();
            }
            add_products(g, z, nodes * m.d, m.channels, stride, right_sums.get() + task * m.channels * stride);
        }
    });
    for (int64_t e = 0; gleft != nullptr && e < m.d * m.d; ++e) {
        Vec<R> sum = {};
        for (int64_t task = 0; task < tasks; ++task) sum += left_sums[task * m.d * m.d + e];
        gleft[e] = sum_lanes<R>(sum);
    }
    for (int64_t i = 0; gright != nullptr && i < m.channels; ++i)
        for (int64_t c = 0; c < m.channels; ++c) {
            const R* at = right_sums.get() + i * stride + lane_of_channel<R>(c, m.channels);
            R sum = 0;
            for (int64_t task = 0; task < tasks; ++task) sum += at[task * m.channels * stride];
            gright[i * m.channels + c] = sum;
        }
}

}  // namespace

int sheaf_mix(const SheafArgs& args) {
    if (args.wide_float != 0) mix<double>(args); else mix<float>(args);
    return Status::ok;
}
int sheaf_mix_backward(const SheafArgs& args) {
    if (args.wide_float != 0) mix_backward<double>(args); else mix_backward<float>(args);
    return Status::ok;
}

}  // namespace GK_ISA
}  // namespace graphkit
