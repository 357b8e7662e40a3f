// Many steps of a GRU whose state is a matrix.
//
// The columns of the weight (rows here) do not meet: a block of them goes through all steps by itself, so that its
// state stays in the first cache, and threads change no bit.  The parameters are laid out so that every product
// [columns, k] x [k, size] reads them row by row; as many of its sums as there are registers are held in them.  The
// gradients of the parameters, products over all steps of what the backward pass writes, are left to the BLAS.
#include "matrix_gru.h"
#include "schedule.h"
#include "vmath.h"

namespace graphkit {
namespace GK_ISA {
namespace {

constexpr int64_t kColumns = 32;  // of a block
#if defined(__AVX512F__)
constexpr int kPanel = 4, kSums = 16;  // vectors of a row, and of sums, that are held in registers
#elif defined(__AVX2__)
constexpr int kPanel = 2, kSums = 12;
#else
constexpr int kPanel = 1, kSums = 8;
#endif

template <class Tile> constexpr int rows_at_once = kSums / Tile::vectors < 8 ? kSums / Tile::vectors : 8;

// Rows of a table, and how far each is from the one before.
template <class T> struct Rows {
    T* data;
    int64_t stride;
    GK_INLINE T* operator[](int64_t row) const { return data + row * stride; }
    GK_INLINE Rows from(int64_t row) const { return {data + row * stride, stride}; }
    GK_INLINE Rows column(int64_t number) const { return {data + number, stride}; }
    GK_INLINE operator Rows<const T>() const { return {data, stride}; }
};
template <class R> using In = Rows<const R>;

template <class R, int count, class Tile>
GK_INLINE void some_rows(In<R> x, int64_t depth, In<R> matrix, In<R> start, const Tile& tile, Rows<R> to) {
    Vec<R> sum[count][Tile::vectors];
    GK_UNROLL for (int r = 0; r < count; ++r)
        GK_UNROLL for (int v = 0; v < Tile::vectors; ++v) sum[r][v] = tile.load(start[r], v);
    for (int64_t k = 0; k < depth; ++k) {
        Vec<R> row[Tile::vectors];
        GK_UNROLL for (int v = 0; v < Tile::vectors; ++v) row[v] = tile.load(matrix[k], v);
        GK_UNROLL for (int r = 0; r < count; ++r)
            GK_UNROLL for (int v = 0; v < Tile::vectors; ++v) sum[r][v] += x[r][k] * row[v];
    }
    GK_UNROLL for (int r = 0; r < count; ++r)
        GK_UNROLL for (int v = 0; v < Tile::vectors; ++v) tile.store(to[r], v, sum[r][v]);
}

// to = start + x matrix.  Vectors of a row may overlap, so that no result may be an operand, here and below.
template <class R>
void product(In<R> x, int64_t rows, int64_t depth, In<R> matrix, int64_t width, In<R> start, Rows<R> to) {
    for_each_tile<R, kPanel, true>(width, [&](const auto& tile) {
        constexpr int count = rows_at_once<std::decay_t<decltype(tile)>>;
        int64_t row = 0;
        for (; row + count <= rows; row += count)
            some_rows<R, count>(x.from(row), depth, matrix, start.from(row), tile, to.from(row));
        for (; row < rows; ++row) some_rows<R, 1>(x.from(row), depth, matrix, start.from(row), tile, to.from(row));
    });
}

// body(tile, row): the vectors of some rows, one after the other.
template <class R, class Body> GK_INLINE void for_vectors(int64_t rows, int64_t width, const Body& body) {
    for (int64_t row = 0; row < rows; ++row)
        for_each_tile<R, 1>(width, [&](const auto& tile) GK_INLINE_LAMBDA { body(tile, row); });
}

template <class R> GK_INLINE Vec<R> sigmoid(Vec<R> x) { return R(1) / (R(1) + exp<R>(-x)); }

// The tables of a block of columns at a step.
template <class R> struct Block {
    const MatrixGRUArgs& args;
    int64_t size, first, count, rows;  // of columns: the first, and how many; rows of `args.first`

    Block(const MatrixGRUArgs& a, int64_t number)
        : args(a),
          size(a.size),
          first(number * kColumns),
          count(a.columns - first < kColumns ? a.columns - first : kColumns),
          rows((a.own != 0 ? 3 : 2) * a.size) {}

    template <class T> Rows<T> at(T* data, int64_t step, int64_t width) const {
        return {data + (step * args.columns + first) * width, width};
    }
    Rows<R> gates(int64_t step) const { return at(static_cast<R*>(args.gates), step, 3 * size); }
    Rows<R> opened(int64_t step) const { return at(static_cast<R*>(args.opened), step, size); }
    Rows<R> state(int64_t step) const { return at(static_cast<R*>(args.states), step, size); }
    Rows<R> to_gates(int64_t step) const { return at(static_cast<R*>(args.to_gates), step, 3 * size); }
    In<R> given(int64_t step) const {
        return at(static_cast<const R*>(args.given), args.apart != 0 ? step : 0, 3 * size);
    }
    In<R> grad(int64_t step) const { return at(static_cast<const R*>(args.grad), step, size); }
};

template <class R> void forward_block(const Block<R>& b, In<R> first, In<R> candidate, Rows<R> sums, Rows<R> rest) {
    const int64_t n = b.size;
    for (int64_t step = 0; step < b.args.steps; ++step) {
        const In<R> q = b.state(step), given = b.given(step);
        const Rows<R> gates = b.gates(step), opened = b.opened(step), next = b.state(step + 1);
        product<R>(q, b.count, n, first, n, given, sums);
        for_vectors<R>(b.count, n, [&](const auto& tile, int64_t row) GK_INLINE_LAMBDA {
            tile.store(gates[row], 0, sigmoid<R>(tile.load(sums[row], 0)));
        });
        product<R>(q, b.count, n, first.column(n), n, given.column(n), sums);
        for_vectors<R>(b.count, n, [&](const auto& tile, int64_t row) GK_INLINE_LAMBDA {
            const Vec<R> reset = sigmoid<R>(tile.load(sums[row], 0));
            tile.store(gates[row] + n, 0, reset);
            tile.store(opened[row], 0, reset * tile.load(q[row], 0));
        });
        const bool own = b.args.own != 0;
        if (own) product<R>(q, b.count, n, first.column(2 * n), n, given.column(2 * n), rest);
        product<R>(opened, b.count, n, candidate, n, own ? In<R>(rest) : given.column(2 * n), sums);
        for_vectors<R>(b.count, n, [&](const auto& tile, int64_t row) GK_INLINE_LAMBDA {
            const Vec<R> now = tanh<R>(tile.load(sums[row], 0)), before = tile.load(q[row], 0);
            tile.store(gates[row] + 2 * n, 0, now);
            tile.store(next[row], 0, before + tile.load(gates[row], 0) * (now - before));
        });
    }
}

template <class R>
void backward_block(const Block<R>& b, In<R> first, In<R> candidate, Rows<R> inner, Rows<R> rest, Rows<R> carried) {
    const int64_t n = b.size, steps = b.args.steps;
    R* const to_given = static_cast<R*>(b.args.to_given);
    Buffer<R> zeros(n);
    zeros.clear();
    for (int64_t step = steps - 1; step >= 0; --step) {
        const In<R> q = b.state(step), gates = b.gates(step);
        const Rows<R> to_gates = b.to_gates(step);
        // What arrives from the later steps, and from the output.
        const bool latest = step == steps - 1, both = !latest && b.args.last == 0;
        const In<R> out = b.grad(b.args.last != 0 ? 0 : step), later = latest ? out : In<R>(carried);
        for_vectors<R>(b.count, n, [&](const auto& tile, int64_t row) GK_INLINE_LAMBDA {
            const Vec<R> arrived = tile.load(later[row], 0);
            const Vec<R> g = both ? arrived + tile.load(out[row], 0) : arrived;
            const Vec<R> update = tile.load(gates[row], 0), now = tile.load(gates[row] + 2 * n, 0);
            tile.store(to_gates[row], 0, g * (now - tile.load(q[row], 0)) * update * (R(1) - update));
            tile.store(to_gates[row] + 2 * n, 0, g * update * (R(1) - now * now));
            tile.store(inner[row], 0, g * (R(1) - update));
        });
        product<R>(In<R>(to_gates).column(2 * n), b.count, n, candidate, n, In<R>{zeros.get(), 0}, carried);
        for_vectors<R>(b.count, n, [&](const auto& tile, int64_t row) GK_INLINE_LAMBDA {
            const Vec<R> reset = tile.load(gates[row] + n, 0), arrived = tile.load(carried[row], 0);
            tile.store(to_gates[row] + n, 0, arrived * tile.load(q[row], 0) * reset * (R(1) - reset));
            tile.store(rest[row], 0, tile.load(inner[row], 0) + arrived * reset);
        });
        const Rows<R> to = step > 0 ? carried : b.at(static_cast<R*>(b.args.to_state), 0, n);
        product<R>(to_gates, b.count, b.rows, first, n, rest, to);
        if (to_given == nullptr) continue;
        const Rows<R> sums = b.at(to_given, 0, 3 * n);
        for_vectors<R>(b.count, 3 * n, [&](const auto& tile, int64_t row) GK_INLINE_LAMBDA {
            const Vec<R> arrived = tile.load(to_gates[row], 0);
            // What two vectors share is added once.
            tile.store(sums[row], 0, latest ? arrived : tile.load(sums[row], 0) + tile.fresh(0, arrived));
        });
    }
}

// from [rows, width] -> [width, rows]
template <class R> void transpose(const R* from, int64_t rows, int64_t width, R* to) {
    for (int64_t k = 0; k < width; ++k)
        for (int64_t row = 0; row < rows; ++row) to[k * rows + row] = from[row * width + k];
}

template <class R> void run(const MatrixGRUArgs& args) {
    const int64_t n = args.size, rows = (args.own != 0 ? 3 : 2) * n, work = args.steps * args.columns * 3 * n;
    const R *first = static_cast<const R*>(args.first), *candidate = static_cast<const R*>(args.candidate);
    const bool forward = args.grad == nullptr;
    Buffer<R> turned(forward ? (rows + n) * n : 0);
    if (forward) {
        transpose(first, rows, n, turned.get());
        transpose(candidate, n, n, turned.get() + rows * n);
    }
    parallel_for((args.columns + kColumns - 1) / kColumns, work, args.threads, [&](int64_t number) {
        const Block<R> block(args, number);
        Buffer<R> buffer(3 * kColumns * n);
        const Rows<R> a{buffer.get(), n}, b{a[kColumns], n}, c{b[kColumns], n};
        if (forward)
            forward_block<R>(block, {turned.get(), rows}, {turned.get() + rows * n, n}, a, b);
        else
            backward_block<R>(block, {first, n}, {candidate, n}, a, b, c);
    });
}

int dispatch(const MatrixGRUArgs& args) {
    if (args.wide_float != 0) run<double>(args); else run<float>(args);
    return 0;
}

}  // namespace

extern const MatrixGRUKernel matrix_gru;
const MatrixGRUKernel matrix_gru = dispatch;

}  // namespace GK_ISA
}  // namespace graphkit
