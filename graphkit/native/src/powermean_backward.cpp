// The gradient of powermean_aggregate, in log space.
#include "softmax.h"

namespace graphkit {
namespace GK_ISA {
namespace {

// Above, node-wise exponents (1 - p) log out lose too many digits.
template <class R> bool any_steep(const R* p, int64_t channels) {
    constexpr R limit = R(64);
    for (int64_t c = 0; c < channels; ++c)
        if (!(p[c] <= limit && p[c] >= -limit)) return true;
    return false;
}

// dm = g_i (out_i / m)^(1 - p) = g_i exp((p - 1) log(m / out_i)), edge by edge.
template <class T, Kind kKind> struct EdgeBackward {
    using R = Accumulator<T>;
    using Real = R;
    template <class Tile> struct State {
        Vec<R> gx[Tile::vectors];
    };
    Messages<T, kKind> messages;
    const R* table;  // per target: [grad | 1 / out]
    const R* p;
    T* gx;
    EdgeGradient<T> edge_gradient;

    template <class Tile>
    GK_NOINLINE void accumulate(State<Tile>& state, const Tile& tile, int64_t row, int64_t begin, int64_t end,
                              const Local<R>& local) const {
        constexpr int V = Tile::vectors;
        const int64_t channels = messages.channels;
        Vec<R> x[V], power[V], total[V] = {};
        GK_UNROLL for (int v = 0; v < V; ++v) {
            x[v] = tile.load(messages.x + row * channels, v);
            power[v] = tile.load(p, v) - R(1);
        }
        for (int64_t k = begin; k < end; ++k) {
            const R* target = table + messages.index[k] * 2 * channels;
            const int64_t position = uses_edge(kKind) ? messages.perm[k] : 0;
            if (k + kPrefetch < messages.edges) {
                const R* ahead = table + messages.index[k + kPrefetch] * 2 * channels;
                prefetch_row(tile, ahead);
                prefetch_row(tile, ahead + channels);
                messages.prefetch_edge(tile, k);
            }
            Vec<R> u[V];
            GK_UNROLL for (int v = 0; v < V; ++v) u[v] = x[v];
            if constexpr (uses_edge(kKind)) messages.with_edge(tile, position, u);
            GK_UNROLL for (int v = 0; v < V; ++v) {
                const Vec<R> ratio = messages.lift(u[v]) * tile.load(target + channels, v);
                u[v] = messages.pull(u[v], tile.load(target, v) * exp<R>(power[v] * log<R>(ratio)));
                total[v] += u[v];
            }
            if constexpr (uses_edge(kKind)) edge_gradient.write(tile, k, position, u, local);
        }
        GK_UNROLL for (int v = 0; v < V; ++v) state.gx[v] = total[v];
    }
    template <class Tile> GK_NOINLINE void combine(State<Tile>& state, const State<Tile>& other, const Tile&) const {
        for (int v = 0; v < Tile::vectors; ++v) state.gx[v] += other.gx[v];
    }
    template <class Tile>
    GK_NOINLINE void finish(const State<Tile>& state, const Tile& tile, int64_t row, int64_t, int64_t,
                          const Local<R>&) const {
        for (int v = 0; v < Tile::vectors; ++v)
            tile.store(gx + row * messages.channels, v, state.gx[v]);
    }
    void finish_edges(int64_t begin, int64_t end, const Local<R>& local) const {
        edge_gradient.finish(begin, end, local);
    }
};

// Without edge data: dm = exp((1 - p)(c - l_j)) sum_i g_i exp((1 - p)(log out_i - c)), with c per channel such
// that the exponents under the sum are at most 0.  Channels of targets whose exponent underflows are left out of
// the sum and treated edge by edge, as are all edges of a source whose outer exponent is large.
template <class T> struct NodeBackward {
    using R = Accumulator<T>;
    using Real = R;
    template <class Tile> struct State {
        Vec<R> sum[Tile::vectors];
        Vec<R> exact[Tile::vectors];
    };
    static constexpr R kLargeExponent = R(40);
    Messages<T, Kind::floor> messages;
    const R* table;          // per target: g exp((1 - p)(log out - c))
    const uint8_t* flagged;  // per target; nullptr: no target is
    const R* p;
    const R* extreme;  // c
    const T* out;
    const T* grad;
    T* gx;

    template <class Tile> GK_INLINE Vec<R> outer(const Tile& tile, int64_t row, int v) const {
        const Vec<R> m = messages.lift(tile.load(messages.x + row * messages.channels, v));
        return (R(1) - tile.load(p, v)) * (tile.load(extreme, v) - log<R>(m));
    }
    template <class Tile>
    GK_NOINLINE void accumulate(State<Tile>& state, const Tile& tile, int64_t row, int64_t begin, int64_t end,
                              const Local<R>&) const {
        constexpr int V = Tile::vectors;
        const int64_t channels = messages.channels;
        Vec<R> sum[V] = {};
        for (int64_t k = begin; k < end; ++k) {
            if (k + kPrefetch < messages.edges)
                prefetch_row(tile, table + messages.index[k + kPrefetch] * channels);
            const R* target = table + messages.index[k] * channels;
            GK_UNROLL for (int v = 0; v < V; ++v) sum[v] += tile.load(target, v);
        }
        IntVec<R> unsafe = {};
        GK_UNROLL for (int v = 0; v < V; ++v) {
            state.sum[v] = sum[v];
            state.exact[v] = Vec<R>{};
            unsafe |= (outer(tile, row, v) > kLargeExponent) & tile.valid();
        }
        const bool all = any<R>(unsafe);
        if (!all && flagged == nullptr) return;
        for (int64_t k = begin; k < end; ++k)
            if (all || flagged[messages.index[k]] != 0) exact(state, tile, row, messages.index[k]);
    }
    template <class Tile>
    GK_NOINLINE void exact(State<Tile>& state, const Tile& tile, int64_t row,
                                         int64_t target) const {
        const int64_t at = target * messages.channels;
        for (int v = 0; v < Tile::vectors; ++v) {
            const Vec<R> power = tile.load(p, v) - R(1);
            const Vec<R> out_value = tile.load(out + at, v);
            const IntVec<R> low = -power * (log<R>(out_value) - tile.load(extreme, v)) < kLogUnderflow<R>;
            const IntVec<R> lanes = low | (outer(tile, row, v) > kLargeExponent);
            const Vec<R> m = messages.lift(tile.load(messages.x + row * messages.channels, v));
            const Vec<R> dm = tile.load(grad + at, v) * exp<R>(power * log<R>(m / out_value));
            state.exact[v] += lanes ? dm : Vec<R>{};
        }
    }
    template <class Tile> GK_NOINLINE void combine(State<Tile>& state, const State<Tile>& other, const Tile&) const {
        for (int v = 0; v < Tile::vectors; ++v) {
            state.sum[v] += other.sum[v];
            state.exact[v] += other.exact[v];
        }
    }
    template <class Tile>
    GK_NOINLINE void finish(const State<Tile>& state, const Tile& tile, int64_t row, int64_t, int64_t,
                          const Local<R>&) const {
        for (int v = 0; v < Tile::vectors; ++v) {
            const Vec<R> exponent = outer(tile, row, v);
            const Vec<R> factor = exponent > kLargeExponent ? Vec<R>{} : exp<R>(exponent);
            const Vec<R> sum = exponent > kLargeExponent ? Vec<R>{} : state.sum[v];
            const Vec<R> u = tile.load(messages.x + row * messages.channels, v);
            tile.store(gx + row * messages.channels, v, messages.pull(u, factor * sum + state.exact[v]));
        }
    }
};

template <class T> void node_backward(const Args& args) {
    using R = Accumulator<T>;
    const Messages<T, Kind::floor> messages = make_messages<T, Kind::floor>(args, true);
    const int64_t channels = args.channels;
    const R* p = static_cast<const R*>(args.exponent);
    const T* out = static_cast<const T*>(args.out);
    const T* grad = static_cast<const T*>(args.grad);
    const Buffer<R> extreme(channels), table(args.nodes * channels), power(channels);
    const Buffer<uint8_t> flagged(args.nodes);
    flagged.clear();
    for (int64_t c = 0; c < channels; ++c) power[c] = R(1) - p[c];
    // Targets without edges have out = 0: they must neither set the extreme nor be flagged.
    column_extreme<R>(args, args.nodes, power.get(), extreme.get(),
                      [&](const auto& tile, int64_t row, int v) GK_INLINE_LAMBDA {
                          const Vec<R> value = tile.load(out + row * channels, v);
                          return value > Vec<R>{} ? log<R>(value) : splat(R(__builtin_nan("")));
                      });
    int any_flagged = 0;
    fill_table<R>(args.nodes, channels, 1, args.threads, table.get(),
                  [&](const auto& tile, int64_t row, auto store) GK_INLINE_LAMBDA {
                      constexpr int V = std::decay_t<decltype(tile)>::vectors;
                      IntVec<R> underflow = {};
                      GK_UNROLL for (int v = 0; v < V; ++v) {
                          const Vec<R> value = tile.load(out + row * channels, v);
                          const Vec<R> exponent =
                              tile.load(power.get(), v) * (log<R>(value) - tile.load(extreme.get(), v));
                          const IntVec<R> low = exponent < kLogUnderflow<R>;
                          underflow |= low & (value > Vec<R>{});
                          const Vec<R> g = tile.load(grad + row * channels, v);
                          store(0, v, low ? Vec<R>{} : g * exp<R>(exponent));
                      }
                      if (any<R>(underflow)) {
                          flagged[row] = 1;
                          __atomic_store_n(&any_flagged, 1, __ATOMIC_RELAXED);
                      }
                  });
    run_rows(NodeBackward<T>{messages, table.get(), any_flagged != 0 ? flagged.get() : nullptr, p, extreme.get(),
                             out, grad, static_cast<T*>(args.result0)},
             args, static_cast<R*>(nullptr));
}

template <class T, Kind kKind> void backward(const Args& args) {
    using R = Accumulator<T>;
    const int64_t channels = args.channels;
    const R* p = static_cast<const R*>(args.exponent);
    if constexpr (kKind == Kind::floor)
        if (per_node(args, args.rows) && !any_steep(p, channels)) return node_backward<T>(args);
    const T* out = static_cast<const T*>(args.out);
    const T* grad = static_cast<const T*>(args.grad);
    const Buffer<R> table(args.nodes * channels * 2);
    fill_table<R>(args.nodes, channels, 2, args.threads, table.get(),
                  [&](const auto& tile, int64_t row, auto store) GK_INLINE_LAMBDA {
                      constexpr int V = std::decay_t<decltype(tile)>::vectors;
                      GK_UNROLL for (int v = 0; v < V; ++v) {
                          const Vec<R> value = tile.load(out + row * channels, v);
                          store(0, v, tile.load(grad + row * channels, v));
                          store(1, v, R(1) / at_least<R>(value, splat(R(2) * Constants<R>::smallest)));
                      }
                  });
    run_rows(EdgeBackward<T, kKind>{make_messages<T, kKind>(args, true), table.get(), p,
                                    static_cast<T*>(args.result0), make_edge_gradient<T>(args)},
             args, static_cast<R*>(nullptr));
}

}  // namespace

int powermean_backward(const Args& args) {
    for_dtype(args, [&](auto dtype) {
        using T = decltype(dtype);
        return args.edge_width == 0 ? backward<T, Kind::floor>(args) : backward<T, Kind::add_floor>(args);
    });
    return Status::ok;
}

}  // namespace GK_ISA
}  // namespace graphkit
