// The message of an edge, recomputed wherever it is needed so that no tensor of edges times channels exists.
#pragma once

#include "schedule.h"
#include "vmath.h"

namespace graphkit {
namespace GK_ISA {

// copy: x_j | mul: x_j * e | floor: max(x_j, low) + add | add_floor: max(x_j + e, low) + add
enum class Kind { copy, mul, floor, add_floor };

constexpr bool uses_edge(Kind kind) { return kind == Kind::mul || kind == Kind::add_floor; }

constexpr int kPrefetch = 8;  // edges ahead

template <class T, Kind kKind> struct Messages {
    using R = Accumulator<T>;
    const T* x;
    const T* edge;
    Index index, perm;
    int64_t channels, edges;
    bool scalar_edge;  // one value per edge instead of one per channel
    R low, add;

    // What the floor is applied to: x_j, x_j + e or x_j * e.
    template <class Tile>
    GK_INLINE void raw(const Tile& tile, const T* row, int64_t position, Vec<R> (&u)[Tile::vectors]) const {
        GK_UNROLL for (int v = 0; v < Tile::vectors; ++v) u[v] = tile.load(row, v);
        if constexpr (uses_edge(kKind)) with_edge(tile, position, u);
    }

    template <class Tile>
    GK_INLINE void with_edge(const Tile& tile, int64_t position, Vec<R> (&u)[Tile::vectors]) const {
        if (scalar_edge) {
            const Vec<R> value = splat<R>(load_one(edge + position));
            GK_UNROLL for (int v = 0; v < Tile::vectors; ++v)
                u[v] = kKind == Kind::mul ? u[v] * value : u[v] + value;
        } else {
            const T* edge_row = edge + position * channels;
            GK_UNROLL for (int v = 0; v < Tile::vectors; ++v) {
                const Vec<R> value = tile.load(edge_row, v);
                u[v] = kKind == Kind::mul ? u[v] * value : u[v] + value;
            }
        }
    }

    GK_INLINE Vec<R> lift(Vec<R> u) const {
        if constexpr (kKind == Kind::floor || kKind == Kind::add_floor) return at_least<R>(u, splat(low)) + add;
        return u;
    }

    // d loss / d u from d loss / d message; zero where the floor binds.
    GK_INLINE Vec<R> pull(Vec<R> u, Vec<R> gradient) const {
        if constexpr (kKind == Kind::floor || kKind == Kind::add_floor)
            return u <= splat(low) ? Vec<R>{} : gradient;
        return gradient;
    }

    template <class Tile>
    GK_INLINE void message(const Tile& tile, int64_t k, Vec<R> (&m)[Tile::vectors]) const {
        raw(tile, x + index[k] * channels, uses_edge(kKind) ? perm[k] : 0, m);
        GK_UNROLL for (int v = 0; v < Tile::vectors; ++v) m[v] = lift(m[v]);
    }

    template <class Tile> GK_INLINE void prefetch(const Tile& tile, int64_t k) const {
        if (k + kPrefetch >= edges) return;
        prefetch_row(tile, x + index[k + kPrefetch] * channels);
        prefetch_edge(tile, k);
    }
    template <class Tile> GK_INLINE void prefetch_edge(const Tile& tile, int64_t k) const {
        if constexpr (uses_edge(kKind)) {
            const int64_t ahead = perm[k + kPrefetch < edges ? k + kPrefetch : k];
            if (scalar_edge)
                __builtin_prefetch(edge + ahead);
            else
                prefetch_row(tile, edge + ahead * channels);
        }
    }
};

template <class Tile, class T> GK_INLINE void prefetch_row(const Tile& tile, const T* row) {
    constexpr int step = 64 / int(sizeof(T));  // channels in a cache line
    const T* first = row + tile.at(0);
    GK_UNROLL for (int c = 0; c < Tile::vectors * kLanes<typename Tile::Real>; c += step)
        __builtin_prefetch(first + c);
}

// Logarithms of messages, with the same interface.
template <class T, Kind kKind> struct LogMessages : Messages<T, kKind> {
    using R = Accumulator<T>;
    template <class Tile>
    GK_INLINE void message(const Tile& tile, int64_t k, Vec<R> (&m)[Tile::vectors]) const {
        Messages<T, kKind>::message(tile, k, m);
        GK_UNROLL for (int v = 0; v < Tile::vectors; ++v) m[v] = log<R>(m[v]);
    }
};

// The messages a call asks for.  "copy" is floored at eps where a logarithm follows (positive_copy).
template <class T, Kind kKind> Messages<T, kKind> make_messages(const Args& args, bool positive_copy = false) {
    using R = Accumulator<T>;
    const bool relu = static_cast<Message>(args.message) == Message::add_relu;
    const R none = -R(__builtin_inf());
    const bool wide = args.wide_index != 0;
    return {static_cast<const T*>(args.x),
            static_cast<const T*>(args.edge),
            Index{args.index, wide},
            Index{args.perm, wide},
            args.channels,
            args.edges,
            args.edge_width == 1,
            relu ? R(0) : positive_copy ? R(args.eps) : none,
            relu ? R(args.eps) : R(0)};
}

constexpr int64_t kStreamBytes = int64_t(1) << 24;

// Writes d loss / d edge: rows of channels, or one number per edge, which is collected over the tiles of the
// row and stored by finish.
template <class T> struct EdgeGradient {
    using R = Accumulator<T>;
    T* result;  // nullptr: not wanted
    Index perm;
    int64_t channels;
    bool scalar;
    bool large;  // rows are whole cache lines and all of them exceed the caches

    template <class Tile>
    GK_INLINE void write(const Tile& tile, int64_t k, int64_t position, const Vec<R> (&gradient)[Tile::vectors],
                         const Local<R>& local) const {
        if (result == nullptr) return;
        if (!scalar) {
            T* row = result + position * channels;
            if (large) {
                GK_UNROLL for (int v = 0; v < Tile::vectors; ++v) stream(row + tile.at(v), gradient[v]);
            } else {
                GK_UNROLL for (int v = 0; v < Tile::vectors; ++v) tile.store(row, v, gradient[v]);
            }
            return;
        }
        Vec<R> sum = tile.fresh(0, gradient[0]);
        GK_UNROLL for (int v = 1; v < Tile::vectors; ++v) sum += tile.fresh(v, gradient[v]);
        R& value = local.edge_values[k - local.edge_base];
        value = (tile.first_of_row() ? R(0) : value) + sum_lanes<R>(sum);
    }
    GK_NOINLINE void finish(int64_t begin, int64_t end, const Local<R>& local) const {
        if (large) stream_fence();
        if (result == nullptr || !scalar) return;
        for (int64_t k = begin; k < end; ++k) store_one(result + perm[k], local.edge_values[k - local.edge_base]);
    }
};

template <class T> EdgeGradient<T> make_edge_gradient(const Args& args) {
    T* result = args.need_edge != 0 ? static_cast<T*>(args.result1) : nullptr;
    const int64_t bytes = args.edges * args.edge_width * int64_t(sizeof(T));
    if (result != nullptr) advise_huge_pages(result, bytes);
    const bool aligned = (reinterpret_cast<uintptr_t>(result) | uintptr_t(args.channels * sizeof(T))) % 64 == 0;
    return {result,
            Index{args.perm, args.wide_index != 0},
            args.channels,
            args.edge_width == 1,
            result != nullptr && aligned && args.edge_width > 1 && bytes > kStreamBytes};
}

// Calls body(T{}) with the storage type.
template <class Body> void for_dtype(const Args& args, const Body& body) {
    switch (static_cast<DType>(args.dtype)) {
        case DType::float32: return body(float{});
        case DType::float64: return body(double{});
        case DType::bfloat16: return body(BFloat16{});
        case DType::float16: return body(Float16{});
    }
}

}  // namespace GK_ISA
}  // namespace graphkit
