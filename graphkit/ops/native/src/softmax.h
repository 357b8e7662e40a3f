// The softmax-weighted sum of a row's values in one pass: out = sum w u, w = softmax(t u).
//
// Edges go through a block that stays in the first-level cache: values and their maximum first, then one
// rescaling of the state and the exponentials (Milakov and Gimelshein, "Online normalizer calculation for
// softmax", 2018).  Values are kept as sign(t) u, so that the extreme value is the largest; exponents are
// t (u - extreme), which is exact where it matters even when |t u| is 10^4.
//
// powermean uses the same kernel on logarithms of messages.
#pragma once

#include "message.h"
#include "table.h"

namespace graphkit {
namespace GK_ISA {

constexpr int kBlock = 32;  // edges; 32 x 64 floats = 8 KiB

template <class Source, class Finish> struct OnlineSoftmax {
    using R = typename Source::R;
    using Real = R;
    template <class Tile> struct State {
        Vec<R> top[Tile::vectors];  // largest sign(t) u
        Vec<R> den[Tile::vectors];  // sum of exp(t (u - extreme))
        Vec<R> num[Tile::vectors];  // the same, times sign(t) u
    };
    Source source;
    const R* t;
    Finish writer;

    template <class Tile> GK_INLINE bool wants(const Tile& tile) const { return GK_ISA::wants(writer, tile, 0); }
    static GK_INLINE Vec<R> sign(Vec<R> t) { return t < Vec<R>{} ? splat(R(-1)) : splat(R(1)); }

    template <class Tile>
    GK_NOINLINE void accumulate(State<Tile>& state, const Tile& tile, int64_t, int64_t begin, int64_t end,
                              const Local<R>&) const {
        constexpr int V = Tile::vectors;
        Vec<R> block[kBlock][V];
        Vec<R> top[V], den[V], num[V], signs[V], slope[V];
        GK_UNROLL for (int v = 0; v < V; ++v) {
            const Vec<R> tv = tile.load(t, v);
            signs[v] = sign(tv);
            slope[v] = tv * signs[v];
            top[v] = splat(-R(__builtin_inf()));
            den[v] = num[v] = Vec<R>{};
        }
        for (int64_t start = begin; start < end; start += kBlock) {
            const int count = static_cast<int>(end - start < kBlock ? end - start : kBlock);
            Vec<R> peak[V];
            GK_UNROLL for (int v = 0; v < V; ++v) peak[v] = top[v];
            for (int i = 0; i < count; ++i) {
                source.prefetch(tile, start + i);
                Vec<R> u[V];
                source.message(tile, start + i, u);
                GK_UNROLL for (int v = 0; v < V; ++v) {
                    block[i][v] = u[v] * signs[v];
                    peak[v] = larger<R>(block[i][v], peak[v]);
                }
            }
            GK_UNROLL for (int v = 0; v < V; ++v) {
                if (start > begin) {
                    const Vec<R> scale = exp<R>(slope[v] * (top[v] - peak[v]));
                    den[v] *= scale;
                    num[v] *= scale;
                }
                top[v] = peak[v];
            }
            for (int i = 0; i < count; ++i) {
                GK_UNROLL for (int v = 0; v < V; ++v) {
                    const Vec<R> w = exp<R>(slope[v] * (block[i][v] - top[v]));
                    den[v] += w;
                    num[v] += w * block[i][v];
                }
            }
        }
        GK_UNROLL for (int v = 0; v < V; ++v) {
            state.top[v] = top[v];
            state.den[v] = den[v];
            state.num[v] = num[v];
        }
    }

    template <class Tile> GK_NOINLINE void combine(State<Tile>& state, const State<Tile>& other, const Tile& tile) const {
        for (int v = 0; v < Tile::vectors; ++v) {
            const Vec<R> tv = tile.load(t, v);
            const Vec<R> slope = tv * sign(tv);
            const Vec<R> top = larger<R>(state.top[v], other.top[v]);
            const Vec<R> left = exp<R>(slope * (state.top[v] - top));
            const Vec<R> right = exp<R>(slope * (other.top[v] - top));
            state.den[v] = state.den[v] * left + other.den[v] * right;
            state.num[v] = state.num[v] * left + other.num[v] * right;
            state.top[v] = top;
        }
    }

    template <class Tile>
    GK_NOINLINE void finish(const State<Tile>& state, const Tile& tile, int64_t row, int64_t begin, int64_t end,
                          const Local<R>&) const {
        if (begin == end) return writer.empty(tile, row);
        for (int v = 0; v < Tile::vectors; ++v) {
            const Vec<R> tv = tile.load(t, v);
            const Vec<R> mean = sign(tv) * state.num[v] / state.den[v];
            const Vec<R> lse = tv * sign(tv) * state.top[v] + log<R>(state.den[v]);
            writer.write(tile, row, v, end - begin, mean, lse, tile.valid());
        }
    }
};

// A sum of exponentials below this is too inaccurate to use: the row is redone with its own maximum.
template <class R> constexpr R kUnderflow = R(sizeof(R) == 4 ? 1e-20 : 1e-280);
template <class R> constexpr R kLogUnderflow = R(sizeof(R) == 4 ? -46.0517 : -644.7238);

// The same where the values belong to nodes: exponentials once per node, relative to one extreme per channel,
// then two sums per row.  table rows: [exp(t (u - extreme)) | the same, times u].
template <class Source, class Finish> struct NodeSoftmax {
    using R = typename Source::R;
    using Real = R;
    template <class Tile> struct State {
        Vec<R> den[Tile::vectors];
        Vec<R> num[Tile::vectors];
    };
    const R* table;
    const R* extreme;  // per channel, of u
    OnlineSoftmax<Source, Finish> exact;

    template <class Tile> GK_INLINE bool wants(const Tile& tile) const { return exact.wants(tile); }

    template <class Tile>
    GK_NOINLINE void accumulate(State<Tile>& state, const Tile& tile, int64_t, int64_t begin, int64_t end,
                              const Local<R>&) const {
        constexpr int V = Tile::vectors;
        const Source& source = exact.source;
        const int64_t channels = source.channels;
        Vec<R> den[V] = {}, num[V] = {};
        for (int64_t k = begin; k < end; ++k) {
            if (k + kPrefetch < source.edges) {
                const R* ahead = table + source.index[k + kPrefetch] * 2 * channels;
                prefetch_row(tile, ahead);
                prefetch_row(tile, ahead + channels);
            }
            const R* from = table + source.index[k] * 2 * channels;
            GK_UNROLL for (int v = 0; v < V; ++v) {
                den[v] += tile.load(from, v);
                num[v] += tile.load(from + channels, v);
            }
        }
        GK_UNROLL for (int v = 0; v < V; ++v) {
            state.den[v] = den[v];
            state.num[v] = num[v];
        }
    }
    template <class Tile> GK_NOINLINE void combine(State<Tile>& state, const State<Tile>& other, const Tile&) const {
        for (int v = 0; v < Tile::vectors; ++v) {
            state.den[v] += other.den[v];
            state.num[v] += other.num[v];
        }
    }
    template <class Tile>
    GK_NOINLINE void finish(const State<Tile>& state, const Tile& tile, int64_t row, int64_t begin, int64_t end,
                          const Local<R>& local) const {
        const Finish& writer = exact.writer;
        if (begin == end) return writer.empty(tile, row);
        IntVec<R> underflow = {};
        for (int v = 0; v < Tile::vectors; ++v) {
            const Vec<R> shift = tile.load(exact.t, v) * tile.load(extreme, v);
            const IntVec<R> low = (state.den[v] < kUnderflow<R>) & tile.valid();
            writer.write(tile, row, v, end - begin, state.num[v] / state.den[v],
                         shift + log<R>(state.den[v]), tile.valid() & ~low);
            underflow |= low;
        }
        if (any<R>(underflow)) redo(state, tile, row, begin, end, local);
    }
    template <class Tile>
    GK_NOINLINE void redo(const State<Tile>& sums, const Tile& tile, int64_t row, int64_t begin,
                                        int64_t end, const Local<R>& local) const {
        typename OnlineSoftmax<Source, Finish>::template State<Tile> state;
        exact.accumulate(state, tile, row, begin, end, local);
        for (int v = 0; v < Tile::vectors; ++v) {
            const Vec<R> tv = tile.load(exact.t, v);
            const Vec<R> sign = exact.sign(tv);
            exact.writer.write(tile, row, v, end - begin, sign * state.num[v] / state.den[v],
                               tv * sign * state.top[v] + log<R>(state.den[v]), (sums.den[v] < kUnderflow<R>) & tile.valid());
        }
    }
};

// Per channel, the value u whose t u is the largest; value(tile, row, v) gives u.
template <class R, class Value>
void column_extreme(const Args& args, int64_t rows, const R* t, R* result, const Value& value) {
    column_maximum<R>(rows, args.channels, args.threads, result,
                      [&](const auto& tile, int64_t row, int v) GK_INLINE_LAMBDA {
                          const Vec<R> tv = tile.load(t, v);
                          return value(tile, row, v) * (tv < Vec<R>{} ? splat(R(-1)) : splat(R(1)));
                      });
    for (int64_t c = 0; c < args.channels; ++c) result[c] = t[c] < 0 ? -result[c] : result[c];
}

}  // namespace GK_ISA
}  // namespace graphkit
