// powermean_aggregate, in log space.
//
// |p| >= 1/2: the online softmax of l = log m with temperature p gives logsumexp(p l) and the weighted mean of l:
//     log out = (logsumexp(p l) - log n) / p,   d log out / d p = (sum w l - log out) / p.
// |p| < 1/2: around the mean mu of l, with d = l - mu, phi1(x) = (e^x - 1) / x, phi2(x) = (e^x - 1 - x) / x^2,
//     S = p^2 mean(d^2 phi2(p d)) = mean(e^(p d)) - 1,
//     log out = mu + p mean(d^2 phi2(p d)) log1p(S) / S,
//     d log out / d p = mean(d^2 phi1(p d)) / (1 + S) - mean(d^2 phi2(p d)) log1p(S) / S,
// which has no pole and no cancellation at p = 0: 0 gives the geometric mean and half the variance of l.
#include "softmax.h"

namespace graphkit {
namespace GK_ISA {
namespace {

constexpr double kCentred = 0.5;  // below: |p d| < 0.5 log(largest / smallest) cannot overflow
constexpr int kBlock = 32;        // edges whose logarithms are kept: 32 x 64 floats = 8 KiB

template <class R> GK_INLINE IntVec<R> centred_lanes(Vec<R> p) {
    return (p < R(kCentred)) & (p > R(-kCentred));
}

template <class T> struct PowerMeanResult {
    using R = Accumulator<T>;
    T* out;
    R* slope;  // d log out / d p
    const R* p;
    int64_t channels;
    bool centred;         // which lanes this kernel owns
    const uint8_t* uses;  // per vector: it has such lanes

    template <class Tile> GK_INLINE bool wants(const Tile& tile) const {
        for (int v = 0; v < Tile::vectors; ++v)
            if (uses[tile.vector + v] != 0) return true;
        return false;
    }
    template <class Tile> GK_INLINE void empty(const Tile& tile, int64_t row) const {
        for (int v = 0; v < Tile::vectors; ++v) {
            tile.store(out + row * channels, v, Vec<R>{});
            tile.store(slope + row * channels, v, Vec<R>{});
        }
    }
    template <class Tile>
    GK_INLINE void put(const Tile& tile, int64_t row, int v, Vec<R> log_out, Vec<R> derivative,
                       IntVec<R> lanes) const {
        const IntVec<R> small = centred_lanes<R>(tile.load(p, v));
        lanes &= centred ? small : ~small;
        Vec<R> value = exp<R>(log_out);
        T* out_row = out + row * channels;
        R* slope_row = slope + row * channels;
        if (any<R>(tile.valid() & ~lanes)) {
            value = lanes ? value : tile.load(out_row, v);
            derivative = lanes ? derivative : tile.load(slope_row, v);
        }
        tile.store(out_row, v, value);
        tile.store(slope_row, v, derivative);
    }
    // From the softmax of l: weighted mean of l and logsumexp(p l).
    template <class Tile>
    GK_INLINE void write(const Tile& tile, int64_t row, int v, int64_t degree, Vec<R> mean, Vec<R> lse,
                         IntVec<R> lanes) const {
        const Vec<R> pv = tile.load(p, v);
        const Vec<R> log_out = (lse - log<R>(splat(R(degree)))) / pv;
        put(tile, row, v, log_out, (mean - log_out) / pv, lanes);
    }
};

// Small |p|.  Rows are joined by shifting both parts to the common mean.
template <class Source, class T> struct CentredMean {
    using R = typename Source::R;
    using Real = R;
    template <class Tile> struct State {
        R count;
        Vec<R> mean[Tile::vectors];
        Vec<R> second[Tile::vectors];  // sum of d^2 phi2(p d)
        Vec<R> first[Tile::vectors];   // sum of d^2 phi1(p d)
    };
    Source source;
    const R* p;
    PowerMeanResult<T> writer;

    template <class Tile> GK_INLINE bool wants(const Tile& tile) const { return writer.wants(tile); }
    static GK_INLINE void shift(Vec<R> p, R count, Vec<R> delta, Vec<R>& second, Vec<R>& first) {
        Vec<R> phi1, phi2;
        phi<R>(p * delta, phi1, phi2);
        const Vec<R> growth = exp<R>(p * delta);
        first = growth * (first + delta * p * second) + count * delta * delta * phi1;
        second = growth * second + count * delta * delta * phi2;
    }
    static GK_NOINLINE void join(Vec<R> p, R count, R other_count, Vec<R>& mean, Vec<R>& second, Vec<R>& first,
                               Vec<R> other_mean, Vec<R> other_second, Vec<R> other_first) {
        const Vec<R> joint = mean + (other_mean - mean) * (other_count / (count + other_count));
        shift(p, count, mean - joint, second, first);
        shift(p, other_count, other_mean - joint, other_second, other_first);
        mean = joint;
        second += other_second;
        first += other_first;
    }

    template <class Tile>
    GK_NOINLINE void accumulate(State<Tile>& state, const Tile& tile, int64_t, int64_t begin, int64_t end,
                              const Local<R>&) const {
        constexpr int V = Tile::vectors;
        Vec<R> block[kBlock][V];
        state.count = 0;
        for (int64_t start = begin; start < end; start += kBlock) {
            const int count = static_cast<int>(end - start < kBlock ? end - start : kBlock);
            Vec<R> mean[V] = {};
            for (int i = 0; i < count; ++i) {
                source.prefetch(tile, start + i);
                source.message(tile, start + i, block[i]);
                GK_UNROLL for (int v = 0; v < V; ++v) mean[v] += block[i][v];
            }
            for (int v = 0; v < V; ++v) {
                mean[v] = mean[v] / R(count);
                const Vec<R> pv = tile.load(p, v);
                const Vec<R> exponent = centred_lanes<R>(pv) ? pv : Vec<R>{};
                Vec<R> second = {}, first = {};
                for (int i = 0; i < count; ++i) {
                    const Vec<R> d = block[i][v] - mean[v];
                    Vec<R> phi1, phi2;
                    phi<R>(exponent * d, phi1, phi2);
                    second += d * d * phi2;
                    first += d * d * phi1;
                }
                if (start == begin) {
                    state.mean[v] = mean[v];
                    state.second[v] = second;
                    state.first[v] = first;
                } else {
                    join(exponent, state.count, R(count), state.mean[v], state.second[v], state.first[v], mean[v],
                         second, first);
                }
            }
            state.count += R(count);
        }
    }
    template <class Tile> GK_NOINLINE void combine(State<Tile>& state, const State<Tile>& other, const Tile& tile) const {
        for (int v = 0; v < Tile::vectors; ++v) {
            const Vec<R> pv = tile.load(p, v);
            join(centred_lanes<R>(pv) ? pv : Vec<R>{}, state.count, other.count, state.mean[v], state.second[v],
                 state.first[v], other.mean[v], other.second[v], other.first[v]);
        }
        state.count += other.count;
    }
    template <class Tile>
    GK_NOINLINE void finish(const State<Tile>& state, const Tile& tile, int64_t row, int64_t begin, int64_t end,
                          const Local<R>&) const {
        if (begin == end) return writer.empty(tile, row);
        const R inverse = R(1) / R(end - begin);
        for (int v = 0; v < Tile::vectors; ++v) {
            const Vec<R> pv = tile.load(p, v);
            const Vec<R> second = state.second[v] * inverse;
            const Vec<R> s = pv * pv * second;
            const Vec<R> part = second * log1p_ratio<R>(s);
            writer.put(tile, row, v, state.mean[v] + pv * part, state.first[v] * inverse / (R(1) + s) - part,
                       tile.valid());
        }
    }
};

// Which vectors have lanes with small |p|, and which have others.
template <class R> struct Modes {
    Buffer<uint8_t> centred, steep;
    bool any_centred = false, any_steep = false;

    Modes(const R* p, int64_t channels)
        : centred(vector_count<R>(channels)), steep(vector_count<R>(channels)) {
        for (int64_t v = 0; v < vector_count<R>(channels); ++v) centred[v] = steep[v] = 0;
        for_each_tile<R>(channels, [&](const auto& tile) {
            for (int v = 0; v < std::decay_t<decltype(tile)>::vectors; ++v) {
                const Vec<R> values = tile.load(p, v);
                const int width = tile.width > 0 ? tile.width : kLanes<R>;
                for (int i = 0; i < width; ++i) {
                    const bool small = values[i] < R(kCentred) && values[i] > R(-kCentred);
                    (small ? centred : steep)[tile.vector + v] = 1;
                    (small ? any_centred : any_steep) = true;
                }
            }
        });
    }
};

template <class R, class T, class Source>
void forward_per_edge(const Args& args, const Source& source, const PowerMeanResult<T>& result,
                      const Modes<R>& modes, bool steep) {
    PowerMeanResult<T> writer = result;
    if (steep && modes.any_steep) {
        writer.uses = modes.steep.get();
        run_rows(OnlineSoftmax<Source, PowerMeanResult<T>>{source, result.p, writer}, args,
                 static_cast<R*>(nullptr));
    }
    if (modes.any_centred) {
        writer.centred = true;
        writer.uses = modes.centred.get();
        run_rows(CentredMean<Source, T>{source, result.p, writer}, args, static_cast<R*>(nullptr));
    }
}

template <class T, Kind kKind> void forward(const Args& args) {
    using R = Accumulator<T>;
    using Source = LogMessages<T, kKind>;
    const Source source{make_messages<T, kKind>(args, true)};
    const R* p = static_cast<const R*>(args.exponent);
    const Modes<R> modes(p, args.channels);
    const PowerMeanResult<T> result{static_cast<T*>(args.result0), static_cast<R*>(args.result1), p,
                                    args.channels, false, modes.steep.get()};
    if constexpr (kKind == Kind::floor) {
        if (per_node(args, args.nodes)) {
            // Logarithms once per node; the edge kernels read them as messages.
            const int64_t channels = args.channels;
            const Buffer<R> logs(args.nodes * channels);
            fill_table<R>(args.nodes, channels, 1, args.threads, logs.get(),
                          [&](const auto& tile, int64_t row, auto store) GK_INLINE_LAMBDA {
                              constexpr int V = std::decay_t<decltype(tile)>::vectors;
                              GK_UNROLL for (int v = 0; v < V; ++v)
                                  store(0, v, log<R>(source.lift(tile.load(source.x + row * channels, v))));
                          });
            const auto log_message = [&](const auto& tile, int64_t row, int v) GK_INLINE_LAMBDA {
                return tile.load(logs.get() + row * channels, v);
            };
            using LogSource = Messages<R, Kind::copy>;
            const LogSource log_source{logs.get(), nullptr, source.index, source.perm, channels, args.edges,
                                       false, R(0), R(0)};
            forward_per_edge<R, T>(args, log_source, result, modes, false);
            if (!modes.any_steep) return;
            const Buffer<R> extreme(channels), table(args.nodes * channels * 2);
            column_extreme<R>(args, args.nodes, p, extreme.get(), log_message);
            fill_table<R>(args.nodes, channels, 2, args.threads, table.get(),
                          [&](const auto& tile, int64_t row, auto store) GK_INLINE_LAMBDA {
                              constexpr int V = std::decay_t<decltype(tile)>::vectors;
                              GK_UNROLL for (int v = 0; v < V; ++v) {
                                  const Vec<R> l = log_message(tile, row, v);
                                  const Vec<R> w = exp<R>(tile.load(p, v) * (l - tile.load(extreme.get(), v)));
                                  store(0, v, w);
                                  store(1, v, w * l);
                              }
                          });
            const OnlineSoftmax<LogSource, PowerMeanResult<T>> online{log_source, p, result};
            run_rows(NodeSoftmax<LogSource, PowerMeanResult<T>>{table.get(), extreme.get(), online}, args,
                     static_cast<R*>(nullptr));
            return;
        }
    }
    forward_per_edge<R, T>(args, source, result, modes, true);
}

}  // namespace

int powermean(const Args& args) {
    for_dtype(args, [&](auto dtype) {
        using T = decltype(dtype);
        return args.edge_width == 0 ? forward<T, Kind::floor>(args) : forward<T, Kind::add_floor>(args);
    });
    return Status::ok;
}

}  // namespace GK_ISA
}  // namespace graphkit
