// The softmax-weighted sum of a row's values in one pass: out = sum w u, w = softmax(t u).
//
// Exponents are taken relative to one of the row's own values, t (u - reference), which is exact where it matters
// even when |t u| is 10^4.  The reference starts as the first value; whenever an exponent exceeds a small limit,
// that value becomes the reference and the sums are scaled down (the online softmax of Milakov and Gimelshein,
// "Online normalizer calculation for softmax", 2018, with rare instead of constant rescaling).  The sum of
// exponentials always contains the reference's 1, so it neither underflows nor overflows.
//
// powermean uses the same kernel on logarithms of messages.
#pragma once

#include "message.h"
#include "table.h"

namespace graphkit {
namespace GK_ISA {

// Exponents beyond the limit would cost accuracy (their rounding error grows with their size).
constexpr int kExponentLimit = 8;

template <class Source, class Finish> struct OnlineSoftmax {
    using R = typename Source::R;
    using Real = R;
    template <class Tile> struct State {
        Vec<R> reference[Tile::vectors];
        Vec<R> den[Tile::vectors];  // sum of exp(t (u - reference))
        Vec<R> num[Tile::vectors];  // the same, times u
    };
    Source source;
    const R* t;
    Finish writer;

    template <class Tile> GK_INLINE bool wants(const Tile& tile) const { return GK_ISA::wants(writer, tile, 0); }

    template <class Tile>
    GK_NOINLINE void accumulate(State<Tile>& state, const Tile& tile, int64_t, int64_t begin, int64_t end,
                                const Local<R>&) const {
        constexpr int V = Tile::vectors;
        const Vec<R> limit = splat(R(kExponentLimit));
        Vec<R> reference[V] = {}, den[V] = {}, num[V] = {}, tv[V];
        GK_UNROLL for (int v = 0; v < V; ++v) tv[v] = tile.load(t, v);
        if (begin < end) {
            source.prefetch(tile, begin);
            source.message(tile, begin, num);
            GK_UNROLL for (int v = 0; v < V; ++v) {
                reference[v] = num[v];
                den[v] = R(1) + (num[v] - num[v]);  // NaN for a message that is not finite
            }
        }
        for (int64_t k = begin + 1; k < end; ++k) {
            source.prefetch(tile, k);
            Vec<R> u[V], exponent[V], peak = limit;
            source.message(tile, k, u);
            GK_UNROLL for (int v = 0; v < V; ++v) {
                exponent[v] = tv[v] * (u[v] - reference[v]);
                peak = larger<R>(peak, exponent[v]);
            }
            if (__builtin_expect(any<R>(peak > limit), 0)) {
                GK_UNROLL for (int v = 0; v < V; ++v) {
                    const IntVec<R> beyond = exponent[v] > limit;
                    const Vec<R> scale = beyond ? exp<R>(-exponent[v]) : splat(R(1));
                    den[v] *= scale;
                    num[v] *= scale;
                    reference[v] = beyond ? u[v] : reference[v];
                    exponent[v] = tv[v] * (u[v] - reference[v]);
                }
            }
            GK_UNROLL for (int v = 0; v < V; ++v) {
                const Vec<R> w = exp<R>(exponent[v]);
                den[v] += w;
                num[v] += w * u[v];
            }
        }
        GK_UNROLL for (int v = 0; v < V; ++v) {
            state.reference[v] = reference[v];
            state.den[v] = den[v];
            state.num[v] = num[v];
        }
    }

    template <class Tile>
    GK_NOINLINE void combine(State<Tile>& state, const State<Tile>& other, const Tile& tile) const {
        for (int v = 0; v < Tile::vectors; ++v) {
            const Vec<R> gap = tile.load(t, v) * (other.reference[v] - state.reference[v]);
            const IntVec<R> beyond = gap > Vec<R>{};
            const Vec<R> scale = exp<R>(beyond ? -gap : gap);
            const Vec<R> left = beyond ? scale : splat(R(1)), right = beyond ? splat(R(1)) : scale;
            state.den[v] = state.den[v] * left + other.den[v] * right;
            state.num[v] = state.num[v] * left + other.num[v] * right;
            state.reference[v] = beyond ? other.reference[v] : state.reference[v];
        }
    }

    template <class Tile>
    GK_NOINLINE void finish(const State<Tile>& state, const Tile& tile, int64_t row, int64_t begin, int64_t end,
                            const Local<R>&) const {
        if (begin == end) return writer.empty(tile, row);
        for (int v = 0; v < Tile::vectors; ++v) write(state, tile, row, v, end - begin, tile.valid());
    }
    template <class Tile>
    GK_INLINE void write(const State<Tile>& state, const Tile& tile, int64_t row, int v, int64_t degree,
                         IntVec<R> lanes) const {
        const Vec<R> lse = tile.load(t, v) * state.reference[v] + log<R>(state.den[v]);
        writer.write(tile, row, v, degree, state.num[v] / state.den[v], lse, lanes);
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
        for (int v = 0; v < Tile::vectors; ++v)
            exact.write(state, tile, row, v, end - begin, (sums.den[v] < kUnderflow<R>) & tile.valid());
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
