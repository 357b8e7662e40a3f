// softmax_aggregate and its gradient.
#include "softmax.h"

namespace graphkit {
namespace GK_ISA {
namespace {

template <class T> struct SoftmaxResult {
    using R = Accumulator<T>;
    T* out;
    R* lse;
    int64_t channels;

    template <class Tile> GK_INLINE void empty(const Tile& tile, int64_t row) const {
        for (int v = 0; v < Tile::vectors; ++v) {
            tile.store(out + row * channels, v, Vec<R>{});
            tile.store(lse + row * channels, v, splat(-R(__builtin_inf())));
        }
    }
    // `lanes` not selected keep what is there.
    template <class Tile>
    GK_INLINE void write(const Tile& tile, int64_t row, int v, int64_t, Vec<R> mean, Vec<R> lse_value,
                         IntVec<R> lanes) const {
        T* out_row = out + row * channels;
        R* lse_row = lse + row * channels;
        if (any<R>(tile.valid() & ~lanes)) {
            mean = lanes ? mean : tile.load(out_row, v);
            lse_value = lanes ? lse_value : tile.load(lse_row, v);
        }
        tile.store(out_row, v, mean);
        tile.store(lse_row, v, lse_value);
    }
};

// One pass over a source's out-edges: w = exp(t m - lse_i), dm = g_i w (1 + t (m - out_i)).
constexpr int64_t kTableDegree = 4;  // edges per target below which the table of targets does not pay

// What a message needs of its target, `stride` apart from one target to the next.
template <class R> struct Targets {
    const R* lse;
    const R* out;
    const R* grad;
    int64_t stride;
};

template <class T, Kind kKind> struct EdgeBackward {
    using R = Accumulator<T>;
    using Real = R;
    template <class Tile> struct State {
        Vec<R> gx[Tile::vectors];
        Vec<R> gt[Tile::vectors];
    };
    Messages<T, kKind> messages;
    Targets<R> targets;
    const R* t;
    T* gx;
    EdgeGradient<T> edge_gradient;
    bool semi;

    template <class Tile>
    GK_NOINLINE void accumulate(State<Tile>& state, const Tile& tile, int64_t row, int64_t begin, int64_t end,
                              const Local<R>& local) const {
        constexpr int V = Tile::vectors;
        Vec<R> x[V], tv[V], total[V] = {}, gt[V] = {};
        GK_UNROLL for (int v = 0; v < V; ++v) {
            x[v] = tile.load(messages.x + row * messages.channels, v);
            tv[v] = tile.load(t, v);
        }
        for (int64_t k = begin; k < end; ++k) {
            const int64_t target = messages.index[k] * targets.stride;
            const int64_t position = uses_edge(kKind) ? messages.perm[k] : 0;
            if (k + kPrefetch < messages.edges) {
                const int64_t ahead = messages.index[k + kPrefetch] * targets.stride;
                prefetch_row(tile, targets.lse + ahead);
                prefetch_row(tile, targets.out + ahead);
                prefetch_row(tile, targets.grad + ahead);
                messages.prefetch_edge(tile, k);
            }
            Vec<R> u[V];
            GK_UNROLL for (int v = 0; v < V; ++v) u[v] = x[v];
            if constexpr (uses_edge(kKind)) messages.with_edge(tile, position, u);
            GK_UNROLL for (int v = 0; v < V; ++v) {
                const Vec<R> m = messages.lift(u[v]);
                const Vec<R> weight = exp<R>(tv[v] * m - tile.load(targets.lse + target, v));
                const Vec<R> weighted = weight * tile.load(targets.grad + target, v);
                const Vec<R> excess = weighted * (m - tile.load(targets.out + target, v));
                gt[v] += excess * m;
                const Vec<R> dm = semi ? weighted : weighted + tv[v] * excess;
                u[v] = messages.pull(u[v], dm);
                total[v] += u[v];
            }
            if constexpr (uses_edge(kKind)) edge_gradient.write(tile, k, position, u, local);
        }
        GK_UNROLL for (int v = 0; v < V; ++v) {
            state.gx[v] = total[v];
            state.gt[v] = gt[v];
        }
    }
    template <class Tile> GK_NOINLINE void combine(State<Tile>& state, const State<Tile>& other, const Tile&) const {
        for (int v = 0; v < Tile::vectors; ++v) {
            state.gx[v] += other.gx[v];
            state.gt[v] += other.gt[v];
        }
    }
    template <class Tile>
    GK_NOINLINE void finish(const State<Tile>& state, const Tile& tile, int64_t row, int64_t, int64_t,
                          const Local<R>& local) const {
        for (int v = 0; v < Tile::vectors; ++v) {
            tile.store(gx + row * messages.channels, v, state.gx[v]);
            R* sums = local.sums + tile.lane(v);
            store(sums, load(sums) + state.gt[v]);
        }
    }
    void finish_edges(int64_t begin, int64_t end, const Local<R>& local) const {
        edge_gradient.finish(begin, end, local);
    }
};

// Without edge data, with P = exp(t (m - extreme)), den_i = exp(lse_i - t extreme):
// A = sum_i g_i / den_i, B = sum_i g_i out_i / den_i, dm = P (A + t (m A - B)), gt = sum_j P m (m A - B).
// Channels of targets whose den underflows are left out of A and B and treated edge by edge.
template <class T> struct NodeBackward {
    using R = Accumulator<T>;
    using Real = R;
    template <class Tile> struct State {
        Vec<R> a[Tile::vectors], b[Tile::vectors];
        Vec<R> dm[Tile::vectors], gt[Tile::vectors];  // from the underflowing targets
    };
    Messages<T, Kind::floor> messages;
    const R* table;          // per target: [g / den | g out / den]
    const uint8_t* flagged;  // per target; nullptr: no target is
    const R* t;
    const R* extreme;
    const R* lse;
    const T* out;
    const T* grad;
    T* gx;
    bool semi;

    template <class Tile>
    GK_NOINLINE void accumulate(State<Tile>& state, const Tile& tile, int64_t row, int64_t begin, int64_t end,
                              const Local<R>&) const {
        constexpr int V = Tile::vectors;
        const int64_t channels = messages.channels;
        Vec<R> a[V] = {}, b[V] = {};
        for (int64_t k = begin; k < end; ++k) {
            if (k + kPrefetch < messages.edges) {
                const R* ahead = table + messages.index[k + kPrefetch] * 2 * channels;
                prefetch_row(tile, ahead);
                prefetch_row(tile, ahead + channels);
            }
            const R* target = table + messages.index[k] * 2 * channels;
            GK_UNROLL for (int v = 0; v < V; ++v) {
                a[v] += tile.load(target, v);
                b[v] += tile.load(target + channels, v);
            }
        }
        GK_UNROLL for (int v = 0; v < V; ++v) {
            state.a[v] = a[v];
            state.b[v] = b[v];
            state.dm[v] = state.gt[v] = Vec<R>{};
        }
        if (flagged == nullptr) return;
        for (int64_t k = begin; k < end; ++k)
            if (flagged[messages.index[k]] != 0) exact(state, tile, row, messages.index[k]);
    }
    template <class Tile>
    GK_NOINLINE void exact(State<Tile>& state, const Tile& tile, int64_t row,
                                         int64_t target) const {
        const int64_t at = target * messages.channels;
        for (int v = 0; v < Tile::vectors; ++v) {
            const Vec<R> tv = tile.load(t, v), lse_value = tile.load(lse + at, v);
            const IntVec<R> low = lse_value - tv * tile.load(extreme, v) < kLogUnderflow<R>;
            const Vec<R> m = messages.lift(tile.load(messages.x + row * messages.channels, v));
            const Vec<R> weighted = exp<R>(tv * m - lse_value) * tile.load(grad + at, v);
            const Vec<R> excess = weighted * (m - tile.load(out + at, v));
            state.dm[v] += low ? (semi ? weighted : weighted + tv * excess) : Vec<R>{};
            state.gt[v] += low ? excess * m : Vec<R>{};
        }
    }
    template <class Tile> GK_NOINLINE void combine(State<Tile>& state, const State<Tile>& other, const Tile&) const {
        for (int v = 0; v < Tile::vectors; ++v) {
            state.a[v] += other.a[v];
            state.b[v] += other.b[v];
            state.dm[v] += other.dm[v];
            state.gt[v] += other.gt[v];
        }
    }
    template <class Tile>
    GK_NOINLINE void finish(const State<Tile>& state, const Tile& tile, int64_t row, int64_t begin, int64_t end,
                          const Local<R>& local) const {
        for (int v = 0; v < Tile::vectors; ++v) {
            T* gx_row = gx + row * messages.channels;
            if (begin == end) {
                tile.store(gx_row, v, Vec<R>{});
                continue;
            }
            const Vec<R> tv = tile.load(t, v);
            const Vec<R> u = tile.load(messages.x + row * messages.channels, v);
            const Vec<R> m = messages.lift(u);
            const Vec<R> p = exp<R>(tv * (m - tile.load(extreme, v)));
            const Vec<R> excess = m * state.a[v] - state.b[v];
            const Vec<R> dm = p * (semi ? state.a[v] : state.a[v] + tv * excess) + state.dm[v];
            tile.store(gx_row, v, messages.pull(u, dm));
            R* sums = local.sums + tile.lane(v);
            store(sums, load(sums) + (p * m * excess + state.gt[v]));
        }
    }
};

template <class T, Kind kKind> void forward(const Args& args) {
    using R = Accumulator<T>;
    using Source = Messages<T, kKind>;
    const Source source = make_messages<T, kKind>(args);
    const R* t = static_cast<const R*>(args.exponent);
    const SoftmaxResult<T> result{static_cast<T*>(args.result0), static_cast<R*>(args.result1), args.channels};
    const OnlineSoftmax<Source, SoftmaxResult<T>> online{source, t, result};
    if constexpr (kKind == Kind::floor) {
        if (per_node(args, args.nodes)) {
            const Buffer<R> extreme(args.channels), table(args.nodes * args.channels * 2);
            const auto message = [&](const auto& tile, int64_t row, int v) GK_INLINE_LAMBDA {
                return source.lift(tile.load(source.x + row * args.channels, v));
            };
            column_extreme<R>(args, args.nodes, t, extreme.get(), message);
            fill_table<R>(args.nodes, args.channels, 2, args.threads, table.get(),
                          [&](const auto& tile, int64_t row, auto store) GK_INLINE_LAMBDA {
                              constexpr int V = std::decay_t<decltype(tile)>::vectors;
                              GK_UNROLL for (int v = 0; v < V; ++v) {
                                  const Vec<R> m = message(tile, row, v);
                                  const Vec<R> p = exp<R>(tile.load(t, v) * (m - tile.load(extreme.get(), v)));
                                  store(0, v, p);
                                  store(1, v, p * m);
                              }
                          });
            run_rows(NodeSoftmax<Source, SoftmaxResult<T>>{table.get(), extreme.get(), online}, args,
                     static_cast<R*>(nullptr));
            return;
        }
    }
    run_rows(online, args, static_cast<R*>(nullptr));
}

template <class T> void node_backward(const Args& args) {
    using R = Accumulator<T>;
    const Messages<T, Kind::floor> messages = make_messages<T, Kind::floor>(args);
    const int64_t channels = args.channels;
    const R* t = static_cast<const R*>(args.exponent);
    const R* lse = static_cast<const R*>(args.aux);
    const T* out = static_cast<const T*>(args.out);
    const T* grad = static_cast<const T*>(args.grad);
    const Buffer<R> extreme(channels), table(args.nodes * channels * 2);
    const Buffer<uint8_t> flagged(args.nodes);
    flagged.clear();
    column_extreme<R>(args, args.rows, t, extreme.get(), [&](const auto& tile, int64_t row, int v) {
        return messages.lift(tile.load(messages.x + row * channels, v));
    });
    int any_flagged = 0;
    fill_table<R>(args.nodes, channels, 2, args.threads, table.get(),
                  [&](const auto& tile, int64_t row, auto store) GK_INLINE_LAMBDA {
                      constexpr int V = std::decay_t<decltype(tile)>::vectors;
                      IntVec<R> underflow = {};
                      GK_UNROLL for (int v = 0; v < V; ++v) {
                          const Vec<R> lse_value = tile.load(lse + row * channels, v);
                          const Vec<R> exponent = lse_value - tile.load(t, v) * tile.load(extreme.get(), v);
                          const IntVec<R> low = exponent < kLogUnderflow<R>;
                          underflow |= low & (lse_value >= -Constants<R>::largest);  // empty: -inf
                          const Vec<R> inverse = low ? Vec<R>{} : exp<R>(-exponent);
                          const Vec<R> a = tile.load(grad + row * channels, v) * inverse;
                          store(0, v, a);
                          store(1, v, a * tile.load(out + row * channels, v));
                      }
                      if (any<R>(underflow)) {
                          flagged[row] = 1;
                          __atomic_store_n(&any_flagged, 1, __ATOMIC_RELAXED);
                      }
                  });
    run_rows(NodeBackward<T>{messages, table.get(), any_flagged != 0 ? flagged.get() : nullptr, t, extreme.get(),
                             lse, out, grad, static_cast<T*>(args.result0), args.semi_grad != 0},
             args, static_cast<R*>(args.result2));
}

template <class T, Kind kKind> void backward(const Args& args) {
    using R = Accumulator<T>;
    if constexpr (kKind == Kind::floor)
        if (per_node(args, args.rows)) return node_backward<T>(args);
    const int64_t channels = args.channels;
    const R* lse = static_cast<const R*>(args.aux);
    const T* out = static_cast<const T*>(args.out);
    const T* grad = static_cast<const T*>(args.grad);
    const auto run = [&](const Targets<R>& targets) {
        run_rows(EdgeBackward<T, kKind>{make_messages<T, kKind>(args), targets, static_cast<const R*>(args.exponent),
                                        static_cast<T*>(args.result0), make_edge_gradient<T>(args),
                                        args.semi_grad != 0},
                 args, static_cast<R*>(args.result2));
    };
    // Side by side in a table, a target's three rows are in one place of memory; with few edges per target, writing
    // the table costs more than that.
    if constexpr (std::is_same<T, R>::value)
        if (args.edges < kTableDegree * args.nodes) return run({lse, out, grad, channels});
    const Buffer<R> table(args.nodes * channels * 3);
    fill_table<R>(args.nodes, channels, 3, args.threads, table.get(),
                  [&](const auto& tile, int64_t row, auto store) GK_INLINE_LAMBDA {
                      constexpr int V = std::decay_t<decltype(tile)>::vectors;
                      GK_UNROLL for (int v = 0; v < V; ++v) {
                          store(0, v, tile.load(lse + row * channels, v));
                          store(1, v, tile.load(out + row * channels, v));
                          store(2, v, tile.load(grad + row * channels, v));
                      }
                  });
    run({table.get(), table.get() + channels, table.get() + 2 * channels, 3 * channels});
}

}  // namespace

int softmax(const Args& args) {
    for_dtype(args, [&](auto dtype) {
        using T = decltype(dtype);
        return args.edge_width == 0 ? forward<T, Kind::floor>(args) : forward<T, Kind::add_floor>(args);
    });
    return Status::ok;
}

int softmax_backward(const Args& args) {
    for_dtype(args, [&](auto dtype) {
        using T = decltype(dtype);
        return args.edge_width == 0 ? backward<T, Kind::floor>(args) : backward<T, Kind::add_floor>(args);
    });
    return Status::ok;
}

}  // namespace GK_ISA
}  // namespace graphkit
