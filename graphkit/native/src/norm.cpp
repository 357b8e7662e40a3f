// Batch normalisation, rectifier and dropout of [rows, channels] features in training, without what lies between.
//
// Rows are taken in blocks of kRows.  A block's mean and sum of squares about it are joined with the others' in order
// (Chan, Golub and LeVeque), in double: the result does not depend on the number of threads.
#include "draws.h"

#ifdef _OPENMP
#include <omp.h>
#endif

#define GK_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

constexpr int64_t kRows = 64, kChunk = 64;  // a block's entries are a multiple of graphkit::kEntries

struct NormArgs {
    int64_t wide;  // 1: float64, 0: float32
    int64_t rows;
    int64_t channels;
    int64_t threads;
    int64_t relu;
    int64_t dropped;  // entries whose 16 bits are below this are dropped
    uint64_t seed;
    const void* x;
    const void* weight;
    const void* bias;
    const void* grad;  // null in a forward call
    void* out;         // the result | the gradient to x
    double* mean;      // [channels]
    double* variance;  // [channels], biased
    double* first;     // [channels], the gradient to the bias
    double* second;    // [channels], the gradient to the weight
    double* partial;   // [blocks, 2, channels]
    uint16_t* levels;  // [threads, kRows * channels]
    void* running_mean;  // [channels], or null: not to be updated
    void* running_variance;
    double eps;
    double scale;     // of the entries that stay
    double momentum;  // share of this batch in the running statistics
};

int64_t blocks_of(const NormArgs& args) { return (args.rows + kRows - 1) / kRows; }
int64_t width(int64_t channels, int64_t c) { return channels - c < kChunk ? channels - c : kChunk; }

int64_t thread_number() {
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}

// body(block, first row, rows, draws of the block)
template <class Body> void for_blocks(const NormArgs& args, const Body& body) {
    const int64_t blocks = blocks_of(args);
    const int threads = static_cast<int>(args.threads);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1 && args.rows * args.channels > 32768)
    for (int64_t b = 0; b < blocks; ++b) {
        const int64_t begin = b * kRows, left = args.rows - begin;
        body(b, begin, left < kRows ? left : kRows, args.levels + thread_number() * kRows * args.channels);
    }
}

GK_CLONES void draw_block(const NormArgs& args, int64_t begin, int64_t rows, uint16_t* levels) {
    const int64_t first = begin * args.channels, count = rows * args.channels;
    for (int64_t k = 0; k < count; k += graphkit::kEntries) graphkit::draw(args.seed, first + k, levels + k);
}

template <class T> GK_CLONES void moments(const NormArgs& args, int64_t b, int64_t begin, int64_t rows) {
    const int64_t channels = args.channels;
    double* mean = args.partial + b * 2 * channels;
    for (int64_t c = 0; c < channels; c += kChunk) {
        const int64_t count = width(channels, c);
        const T* __restrict__ x = static_cast<const T*>(args.x) + begin * channels + c;
        T sum[kChunk] = {}, square[kChunk] = {};
        for (int64_t r = 0; r < rows; ++r)
            for (int64_t i = 0; i < count; ++i) sum[i] += x[r * channels + i];
        for (int64_t i = 0; i < count; ++i) sum[i] /= static_cast<T>(rows);
        for (int64_t r = 0; r < rows; ++r)
            for (int64_t i = 0; i < count; ++i) {
                const T away = x[r * channels + i] - sum[i];
                square[i] += away * away;
            }
        for (int64_t i = 0; i < count; ++i) {
            mean[c + i] = sum[i];
            mean[channels + c + i] = square[i];
        }
    }
}

GK_CLONES void join_moments(const NormArgs& args) {
    const int64_t channels = args.channels, blocks = blocks_of(args);
    for (int64_t c = 0; c < channels; ++c) args.mean[c] = args.variance[c] = 0;
    double count = 0;
    for (int64_t b = 0; b < blocks; ++b) {
        const double* mean = args.partial + b * 2 * channels;
        const double rows = static_cast<double>(b + 1 < blocks ? kRows : args.rows - b * kRows);
        const double share = rows / (count + rows);
        for (int64_t c = 0; c < channels; ++c) {
            const double gap = mean[c] - args.mean[c];
            args.mean[c] += gap * share;
            args.variance[c] += mean[channels + c] + gap * gap * count * share;
        }
        count += rows;
    }
    for (int64_t c = 0; c < channels; ++c) args.variance[c] /= count;
}

template <class T> void track(const NormArgs& args) {
    T* mean = static_cast<T*>(args.running_mean);
    T* variance = static_cast<T*>(args.running_variance);
    if (mean == nullptr) return;
    const double unbiased = static_cast<double>(args.rows) / static_cast<double>(args.rows - 1);
    for (int64_t c = 0; c < args.channels; ++c) {
        mean[c] = static_cast<T>(mean[c] + args.momentum * (args.mean[c] - mean[c]));
        variance[c] = static_cast<T>(variance[c] + args.momentum * (args.variance[c] * unbiased - variance[c]));
    }
}

// Statistics and parameters of a chunk of channels, in the type of the features.
template <class T> struct Chunk {
    T mean[kChunk], inverse[kChunk], weight[kChunk], bias[kChunk];

    inline __attribute__((always_inline)) Chunk(const NormArgs& args, int64_t c, int64_t count) {
        for (int64_t i = 0; i < count; ++i) {
            mean[i] = static_cast<T>(args.mean[c + i]);
            inverse[i] = static_cast<T>(1 / __builtin_sqrt(args.variance[c + i] + args.eps));
            weight[i] = static_cast<const T*>(args.weight)[c + i];
            bias[i] = static_cast<const T*>(args.bias)[c + i];
        }
    }
};

template <class T, bool kRelu, bool kDrop>
GK_CLONES void apply(const NormArgs& args, int64_t begin, int64_t rows, const uint16_t* levels) {
    const int64_t channels = args.channels;
    const T scale = static_cast<T>(args.scale);
    const uint16_t dropped = static_cast<uint16_t>(args.dropped);
    for (int64_t c = 0; c < channels; c += kChunk) {
        const int64_t count = width(channels, c);
        const Chunk<T> of(args, c, count);
        for (int64_t r = 0; r < rows; ++r) {
            const T* __restrict__ x = static_cast<const T*>(args.x) + (begin + r) * channels + c;
            T* __restrict__ out = static_cast<T*>(args.out) + (begin + r) * channels + c;
            const uint16_t* __restrict__ level = levels + r * channels + c;
            for (int64_t i = 0; i < count; ++i) {
                const T y = (x[i] - of.mean[i]) * of.inverse[i] * of.weight[i] + of.bias[i];
                // NaN passes, as through torch's relu.
                const bool keep = (!kDrop || level[i] >= dropped) & (!kRelu || !(y <= T(0)));
                out[i] = keep ? y * scale : T(0);
            }
        }
    }
}

// The gradient to the normalised features, written to `out`, and its two sums per channel.
template <class T, bool kRelu, bool kDrop>
GK_CLONES void pull(const NormArgs& args, int64_t b, int64_t begin, int64_t rows, const uint16_t* levels) {
    const int64_t channels = args.channels;
    const T scale = static_cast<T>(args.scale);
    const uint16_t dropped = static_cast<uint16_t>(args.dropped);
    double* partial = args.partial + b * 2 * channels;
    for (int64_t c = 0; c < channels; c += kChunk) {
        const int64_t count = width(channels, c);
        const Chunk<T> of(args, c, count);
        T first[kChunk] = {}, second[kChunk] = {};
        for (int64_t r = 0; r < rows; ++r) {
            const T* __restrict__ x = static_cast<const T*>(args.x) + (begin + r) * channels + c;
            const T* __restrict__ grad = static_cast<const T*>(args.grad) + (begin + r) * channels + c;
            T* __restrict__ out = static_cast<T*>(args.out) + (begin + r) * channels + c;
            const uint16_t* __restrict__ level = levels + r * channels + c;
            for (int64_t i = 0; i < count; ++i) {
                const T unit = (x[i] - of.mean[i]) * of.inverse[i];
                const T y = unit * of.weight[i] + of.bias[i];
                const bool keep = (!kDrop || level[i] >= dropped) & (!kRelu || !(y <= T(0)));
                const T g = keep ? grad[i] * scale : T(0);
                out[i] = g;
                first[i] += g;
                second[i] += g * unit;
            }
        }
        for (int64_t i = 0; i < count; ++i) {
            partial[c + i] = first[i];
            partial[channels + c + i] = second[i];
        }
    }
}

GK_CLONES void join_sums(const NormArgs& args) {
    const int64_t channels = args.channels, blocks = blocks_of(args);
    for (int64_t c = 0; c < channels; ++c) args.first[c] = args.second[c] = 0;
    for (int64_t b = 0; b < blocks; ++b)
        for (int64_t c = 0; c < channels; ++c) {
            args.first[c] += args.partial[b * 2 * channels + c];
            args.second[c] += args.partial[(b * 2 + 1) * channels + c];
        }
}

template <class T> GK_CLONES void centre(const NormArgs& args, int64_t begin, int64_t rows) {
    const int64_t channels = args.channels;
    for (int64_t c = 0; c < channels; c += kChunk) {
        const int64_t count = width(channels, c);
        const Chunk<T> of(args, c, count);
        T first[kChunk] = {}, second[kChunk] = {};
        for (int64_t i = 0; i < count; ++i) {
            first[i] = static_cast<T>(args.first[c + i] / static_cast<double>(args.rows));
            second[i] = static_cast<T>(args.second[c + i] / static_cast<double>(args.rows));
        }
        for (int64_t r = 0; r < rows; ++r) {
            const T* __restrict__ x = static_cast<const T*>(args.x) + (begin + r) * channels + c;
            T* __restrict__ out = static_cast<T*>(args.out) + (begin + r) * channels + c;
            for (int64_t i = 0; i < count; ++i) {
                const T unit = (x[i] - of.mean[i]) * of.inverse[i];
                out[i] = of.weight[i] * of.inverse[i] * (out[i] - first[i] - unit * second[i]);
            }
        }
    }
}

template <class T, bool kRelu, bool kDrop> void run(const NormArgs& args) {
    if (args.grad == nullptr) {
        for_blocks(args, [&](int64_t b, int64_t begin, int64_t rows, uint16_t*) { moments<T>(args, b, begin, rows); });
        join_moments(args);
        track<T>(args);
        for_blocks(args, [&](int64_t, int64_t begin, int64_t rows, uint16_t* levels) {
            if (kDrop) draw_block(args, begin, rows, levels);
            apply<T, kRelu, kDrop>(args, begin, rows, levels);
        });
        return;
    }
    for_blocks(args, [&](int64_t b, int64_t begin, int64_t rows, uint16_t* levels) {
        if (kDrop) draw_block(args, begin, rows, levels);
        pull<T, kRelu, kDrop>(args, b, begin, rows, levels);
    });
    join_sums(args);
    for_blocks(args, [&](int64_t, int64_t begin, int64_t rows, uint16_t*) { centre<T>(args, begin, rows); });
}

template <class T> void choose(const NormArgs& args) {
    const bool drop = args.dropped > 0;
    if (args.relu != 0) return drop ? run<T, true, true>(args) : run<T, true, false>(args);
    return drop ? run<T, false, true>(args) : run<T, false, false>(args);
}

}  // namespace

GK_EXPORT void graphkit_norm(const NormArgs* args) {
    if (args->wide != 0)
        choose<double>(*args);
    else
        choose<float>(*args);
}
