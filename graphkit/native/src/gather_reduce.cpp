// gather_reduce and its gradient: sum, mean, min, max of messages, per target.
#include "message.h"
#include "table.h"

namespace graphkit {
namespace GK_ISA {
namespace {

template <class T, Kind kKind> struct Sum {
    using R = Accumulator<T>;
    using Real = R;
    template <class Tile> struct State {
        Vec<R> total[Tile::vectors];
    };
    Messages<T, kKind> messages;
    T* out;
    bool mean;

    template <class Tile>
    GK_NOINLINE void accumulate(State<Tile>& state, const Tile& tile, int64_t, int64_t begin, int64_t end,
                              const Local<R>&) const {
        Vec<R> total[Tile::vectors] = {};
        for (int64_t k = begin; k < end; ++k) {
            messages.prefetch(tile, k);
            Vec<R> m[Tile::vectors];
            messages.message(tile, k, m);
            GK_UNROLL for (int v = 0; v < Tile::vectors; ++v) total[v] += m[v];
        }
        GK_UNROLL for (int v = 0; v < Tile::vectors; ++v) state.total[v] = total[v];
    }
    template <class Tile> GK_NOINLINE void combine(State<Tile>& state, const State<Tile>& other, const Tile&) const {
        for (int v = 0; v < Tile::vectors; ++v) state.total[v] += other.total[v];
    }
    template <class Tile>
    GK_NOINLINE void finish(const State<Tile>& state, const Tile& tile, int64_t row, int64_t begin, int64_t end,
                          const Local<R>&) const {
        const R divisor = mean && end > begin ? R(end - begin) : R(1);
        for (int v = 0; v < Tile::vectors; ++v)
            tile.store(out + row * messages.channels, v, mean ? state.total[v] / divisor : state.total[v]);
    }
};

// The largest message (the smallest as the largest of the negatives) and how many edges attain it.
template <class T, Kind kKind> struct Extremum {
    using R = Accumulator<T>;
    using Real = R;
    template <class Tile> struct State {
        Vec<R> top[Tile::vectors];
        IntVec<R> ties[Tile::vectors];
    };
    Messages<T, kKind> messages;
    T* out;
    int32_t* ties;
    R sign;

    static GK_INLINE void join(Vec<R>& top, IntVec<R>& ties, Vec<R> value, IntVec<R> count) {
        const IntVec<R> better = (value > top) | (value != value);
        ties = better ? count : (value == top ? ties + count : ties);
        top = better ? value : top;
    }
    template <class Tile>
    GK_NOINLINE void accumulate(State<Tile>& state, const Tile& tile, int64_t, int64_t begin, int64_t end,
                              const Local<R>&) const {
        Vec<R> top[Tile::vectors];
        IntVec<R> count[Tile::vectors];
        GK_UNROLL for (int v = 0; v < Tile::vectors; ++v) {
            top[v] = splat(-R(__builtin_inf()));
            count[v] = IntVec<R>{};
        }
        for (int64_t k = begin; k < end; ++k) {
            messages.prefetch(tile, k);
            Vec<R> m[Tile::vectors];
            messages.message(tile, k, m);
            GK_UNROLL for (int v = 0; v < Tile::vectors; ++v)
                join(top[v], count[v], sign * round_to<T>(m[v]), IntVec<R>{} + 1);
        }
        GK_UNROLL for (int v = 0; v < Tile::vectors; ++v) {
            state.top[v] = top[v];
            state.ties[v] = count[v];
        }
    }
    template <class Tile> GK_NOINLINE void combine(State<Tile>& state, const State<Tile>& other, const Tile&) const {
        for (int v = 0; v < Tile::vectors; ++v) join(state.top[v], state.ties[v], other.top[v], other.ties[v]);
    }
    template <class Tile>
    GK_NOINLINE void finish(const State<Tile>& state, const Tile& tile, int64_t row, int64_t begin, int64_t end,
                          const Local<R>&) const {
        for (int v = 0; v < Tile::vectors; ++v) {
            tile.store(out + row * messages.channels, v, end > begin ? sign * state.top[v] : Vec<R>{});
            int32_t* to = ties + row * messages.channels + tile.at(v);
            const int width = tile.width > 0 ? tile.width : kLanes<R>;
            for (int i = 0; i < width; ++i) to[i] = static_cast<int32_t>(state.ties[v][i]);
        }
    }
};

// Per source: sum of the gradients that its messages receive.  `selective`: only the edges that attain the
// target's extremum receive any, grad is then already divided by the number of ties.
template <class T, Kind kKind, bool selective> struct Backward {
    using R = Accumulator<T>;
    using Real = R;
    template <class Tile> struct State {
        Vec<R> gx[Tile::vectors];
    };
    Messages<T, kKind> messages;
    const T* grad;      // !selective
    const R* pairs;     // selective: rows of [grad / ties | out]
    T* gx;
    EdgeGradient<T> edge_gradient;

    template <class Tile>
    GK_NOINLINE void accumulate(State<Tile>& state, const Tile& tile, int64_t row, int64_t begin, int64_t end,
                              const Local<R>& local) const {
        const int64_t channels = messages.channels;
        const T* x_row = messages.x + row * channels;
        Vec<R> x[Tile::vectors], total[Tile::vectors];
        GK_UNROLL for (int v = 0; v < Tile::vectors; ++v) {
            x[v] = kKind == Kind::copy && !selective ? Vec<R>{} : tile.load(x_row, v);
            total[v] = Vec<R>{};
        }
        for (int64_t k = begin; k < end; ++k) {
            const int64_t target = messages.index[k];
            const int64_t position = uses_edge(kKind) ? messages.perm[k] : 0;
            if (k + kPrefetch < messages.edges) {
                const int64_t ahead = messages.index[k + kPrefetch];
                if constexpr (selective) {
                    prefetch_row(tile, pairs + ahead * 2 * channels);
                    prefetch_row(tile, pairs + (ahead * 2 + 1) * channels);
                } else {
                    prefetch_row(tile, grad + ahead * channels);
                }
                messages.prefetch_edge(tile, k);
            }
            Vec<R> u[Tile::vectors], dm[Tile::vectors];
            GK_UNROLL for (int v = 0; v < Tile::vectors; ++v) {
                u[v] = x[v];
                dm[v] = selective ? tile.load(pairs + target * 2 * channels, v) : Vec<R>{};
                if constexpr (!selective) dm[v] = tile.load(grad + target * channels, v);
            }
            if constexpr (uses_edge(kKind)) messages.with_edge(tile, position, u);
            GK_UNROLL for (int v = 0; v < Tile::vectors; ++v) {
                if constexpr (selective) {
                    const Vec<R> best = tile.load(pairs + (target * 2 + 1) * channels, v);
                    dm[v] = round_to<T>(messages.lift(u[v])) == best ? dm[v] : Vec<R>{};
                }
                dm[v] = messages.pull(u[v], dm[v]);
            }
            if constexpr (kKind == Kind::mul) {
                Vec<R> dx[Tile::vectors];
                GK_UNROLL for (int v = 0; v < Tile::vectors; ++v) {
                    dx[v] = dm[v];
                    dm[v] = dm[v] * x[v];
                }
                messages.with_edge(tile, position, dx);
                GK_UNROLL for (int v = 0; v < Tile::vectors; ++v) total[v] += dx[v];
            } else {
                GK_UNROLL for (int v = 0; v < Tile::vectors; ++v) total[v] += dm[v];
            }
            if constexpr (uses_edge(kKind)) edge_gradient.write(tile, k, position, dm, local);
        }
        GK_UNROLL for (int v = 0; v < Tile::vectors; ++v) state.gx[v] = total[v];
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

template <class T, Kind kKind> void forward(const Args& args) {
    using R = Accumulator<T>;
    const Messages<T, kKind> messages = make_messages<T, kKind>(args);
    T* out = static_cast<T*>(args.result0);
    const Reduce reduce = static_cast<Reduce>(args.reduce);
    if (reduce == Reduce::sum || reduce == Reduce::mean)
        run_rows(Sum<T, kKind>{messages, out, reduce == Reduce::mean}, args, static_cast<R*>(nullptr));
    else
        run_rows(Extremum<T, kKind>{messages, out, static_cast<int32_t*>(args.result1),
                                    reduce == Reduce::min ? R(-1) : R(1)},
                 args, static_cast<R*>(nullptr));
}

template <class T, Kind kKind> void backward(const Args& args) {
    using R = Accumulator<T>;
    const Messages<T, kKind> messages = make_messages<T, kKind>(args);
    const EdgeGradient<T> edge_gradient = make_edge_gradient<T>(args);
    const T* grad = static_cast<const T*>(args.grad);
    T* gx = static_cast<T*>(args.result0);
    const Reduce reduce = static_cast<Reduce>(args.reduce);
    if (reduce == Reduce::sum || reduce == Reduce::mean) {
        run_rows(Backward<T, kKind, false>{messages, grad, nullptr, gx, edge_gradient}, args,
                 static_cast<R*>(nullptr));
        return;
    }
    const T* out = static_cast<const T*>(args.out);
    const int32_t* ties = static_cast<const int32_t*>(args.aux);
    const Buffer<R> pairs(args.nodes * args.channels * 2);
    fill_table<R>(args.nodes, args.channels, 2, args.threads, pairs.get(),
                  [&](const auto& tile, int64_t row, auto store) {
                      for (int v = 0; v < std::decay_t<decltype(tile)>::vectors; ++v) {
                          const int64_t at = row * args.channels;
                          const int width = tile.width > 0 ? tile.width : kLanes<R>;
                          Vec<R> count = splat(R(1));
                          for (int i = 0; i < width; ++i) {
                              const int32_t n = ties[at + tile.at(v) + i];
                              count[i] = n > 0 ? R(n) : R(1);
                          }
                          store(0, v, tile.load(grad + at, v) / count);
                          store(1, v, tile.load(out + at, v));
                      }
                  });
    run_rows(Backward<T, kKind, true>{messages, nullptr, pairs.get(), gx, edge_gradient}, args,
             static_cast<R*>(nullptr));
}

template <class Body> void for_kind(const Args& args, const Body& body) {
    switch (static_cast<Message>(args.message)) {
        case Message::copy: return body(std::integral_constant<Kind, Kind::copy>{});
        case Message::mul: return body(std::integral_constant<Kind, Kind::mul>{});
        case Message::add_relu:
            if (args.edge_width == 0) return body(std::integral_constant<Kind, Kind::floor>{});
            return body(std::integral_constant<Kind, Kind::add_floor>{});
    }
}

}  // namespace

int gather_reduce(const Args& args) {
    for_dtype(args, [&](auto dtype) {
        for_kind(args, [&](auto kind) { forward<decltype(dtype), decltype(kind)::value>(args); });
    });
    return Status::ok;
}

int gather_reduce_backward(const Args& args) {
    for_dtype(args, [&](auto dtype) {
        for_kind(args, [&](auto kind) { backward<decltype(dtype), decltype(kind)::value>(args); });
    });
    return Status::ok;
}

}  // namespace GK_ISA
}  // namespace graphkit
