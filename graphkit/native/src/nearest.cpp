// The k nearest points of each point, by squared distance, or by a cost, less Gumbel noise.  A cost is a sum over parts of
// the coordinates of functions that increase with the weighted squared distance in the part.
//
// Columns are taken in tiles: a vectorised pass gives a lower bound of the key of every column of the tile, and only
// those below the worst key kept so far get their key in double and a place in the heap.  The noise of a pair is a
// hash of (key, row, column): nothing of size rows x columns is written, and no result depends on the threads.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <utility>
#include <vector>

#include "draws.h"

#ifdef _OPENMP
#include <omp.h>
#endif

#define GK_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

constexpr int64_t kTile = 256, kGroup = 16;
constexpr uint64_t kGolden = 0x9E3779B97F4A7C15u;

struct NearestArgs {
    int64_t wide;  // 1: points are float64, 0: float32
    int64_t threads;
    int64_t queries;
    int64_t dim;
    int64_t stride;  // points, the length of a row of `columns`
    int64_t k;
    int64_t loop;   // a point is its own neighbour
    int64_t noisy;  // keys are cost_scale * cost - noise_scale * Gumbel(0, 1)
    int64_t parts;  // 0: the cost is the squared distance
    int64_t bins;
    uint64_t seed;
    const int64_t* part_dim;   // [parts], of `dim` in all
    const int64_t* first_bin;  // [parts]
    const float* table;   // [parts, bins] costs by the high bits of a weighted squared distance as a float, less first_bin;
                          // increasing
    const void* weight;   // [parts, points]: squared distances in a part are times those of both points; null: 1
    const void* columns;  // [dim, points]
    const int64_t* query;  // [queries], numbers of points
    const int64_t* begin;  // [queries], the range of points that are candidates
    const int64_t* end;
    int64_t* index;  // [queries, k], best first; -1 where there are fewer than k
    double* key;     // [queries, k]
    double cost_scale;
    double noise_scale;
};

using Entry = std::pair<double, int64_t>;  // of equal keys the smaller number is better

inline __attribute__((always_inline)) uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

int64_t thread_number() {
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}

inline uint64_t fold(uint64_t key, uint64_t n) { return mix(key + (n + 1) * kGolden); }

double gumbel(uint64_t bits) {
    const double uniform = (static_cast<double>(bits >> 11) + 0.5) * 0x1p-53;
    return -std::log(-std::log1p(-uniform));
}

template <class T>
inline __attribute__((always_inline)) void squares(const T* columns, int64_t stride, const T* point, int64_t dim,
                                                   int64_t n, T* __restrict out) {
    for (int64_t j = 0; j < n; ++j) out[j] = 0;
    int64_t c = 0;
    for (; c + 4 <= dim; c += 4) {
        const T *first = columns + c * stride, *second = first + stride, *third = second + stride;
        const T* fourth = third + stride;
        const T p = point[c], q = point[c + 1], r = point[c + 2], s = point[c + 3];
        for (int64_t j = 0; j < n; ++j) {
            const T a = first[j] - p, b = second[j] - q, e = third[j] - r, f = fourth[j] - s;
            out[j] += (a * a + b * b) + (e * e + f * f);
        }
    }
    for (; c < dim; ++c) {
        const T* column = columns + c * stride;
        for (int64_t j = 0; j < n; ++j) {
            const T a = column[j] - point[c];
            out[j] += a * a;
        }
    }
}

constexpr int kBinShift = 14;  // 9 bits of the mantissa: 512 bins from one power of two to the next

inline __attribute__((always_inline)) int32_t bin_of(float square) {
    int32_t bits;
    std::memcpy(&bits, &square, sizeof bits);
    return bits >> kBinShift;
}

// Adds the costs of the bins of squared distances, or of the bins just below: `shrink` is less than 1 by what the
// distances may be rounded up.
template <class T>
inline __attribute__((always_inline)) void look_up(const float* table, int32_t first_bin, int32_t last, float shrink,
                                                   const T* square, int64_t n, T* __restrict out) {
    for (int64_t j = 0; j < n; ++j) {
        int32_t bin = bin_of(static_cast<float>(square[j]) * shrink) - first_bin;
        bin = bin < 0 ? 0 : bin;
        bin = bin > last ? last : bin;
        out[j] += table[bin];
    }
}

template <class T>
inline __attribute__((always_inline)) void scale(const T* weight, T own, int64_t n, T* __restrict square) {
    for (int64_t j = 0; j < n; ++j) square[j] *= weight[j] * own;
}

// Replaces squared distances by lower bounds of the noisy keys.  The noise -log(-log(1 - u)) is at most -log(u), and
// log2(u) is at least what the bits of u as a float say when they are read as an integer.
template <class T>
inline __attribute__((always_inline)) void subtract_noise(uint64_t row_key, int64_t first, int64_t n, T cost_scale,
                                                          T noise_scale, T* __restrict out) {
    const T cost = cost_scale * T(1 - 1e-5), noise = noise_scale * T(0.6931471805599453 * (1 + 1e-5));
    int32_t high[kTile];
    for (int64_t j = 0; j < n; ++j)
        high[j] = static_cast<int32_t>(mix(row_key + static_cast<uint64_t>(first + j + 1) * kGolden) >> 33);
    for (int64_t j = 0; j < n; ++j) {
        const float value = static_cast<float>(high[j]);
        int32_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        out[j] = cost * out[j] - noise * T(158.00001f - static_cast<float>(bits) * 0x1p-23f);
    }
}

// The numbers of the entries that are at most `limit`.
template <class T> inline __attribute__((always_inline)) int64_t below(const T* value, int64_t n, T limit, int32_t* hit) {
    int64_t count = 0, j = 0;
    for (; j + kGroup <= n; j += kGroup) {
        int32_t any = 0;
        for (int64_t i = 0; i < kGroup; ++i) any |= value[j + i] <= limit;
        if (any == 0) continue;
        for (int64_t i = 0; i < kGroup; ++i) {
            hit[count] = static_cast<int32_t>(j + i);
            count += value[j + i] <= limit;
        }
    }
    for (; j < n; ++j) {
        hit[count] = static_cast<int32_t>(j);
        count += value[j] <= limit;
    }
    return count;
}

#define GK_TILE(T)                                                                                                    \
    GK_CLONES void tile_squares(const T* columns, int64_t stride, const T* point, int64_t dim, int64_t n, T* out) {   \
        squares<T>(columns, stride, point, dim, n, out);                                                              \
    }                                                                                                                 \
    GK_CLONES void tile_noise(uint64_t row_key, int64_t first, int64_t n, T cost, T noise, T* out) {                  \
        subtract_noise<T>(row_key, first, n, cost, noise, out);                                                       \
    }                                                                                                                 \
    GK_CLONES void tile_look_up(const float* table, int32_t first_bin, int32_t last, float shrink, const T* square,   \
                                int64_t n, T* out) {                                                                  \
        look_up<T>(table, first_bin, last, shrink, square, n, out);                                                   \
    }                                                                                                                 \
    GK_CLONES void tile_scale(const T* weight, T own, int64_t n, T* square) { scale<T>(weight, own, n, square); }     \
    GK_CLONES int64_t tile_below(const T* value, int64_t n, T limit, int32_t* hit) {                                  \
        return below<T>(value, n, limit, hit);                                                                        \
    }
GK_TILE(float)
GK_TILE(double)
#undef GK_TILE

// A bound in T that no entry whose key in double is at most `limit` exceeds.
template <class T> T widened(double limit, int64_t dim) {
    const double slack = static_cast<double>(dim + 4) * 2 * static_cast<double>(std::numeric_limits<T>::epsilon());
    const double bound = limit + std::abs(limit) * slack + static_cast<double>(std::numeric_limits<T>::min());
    return bound >= static_cast<double>(std::numeric_limits<T>::max()) ? std::numeric_limits<T>::infinity()
                                                                       : static_cast<T>(bound);
}

// The costs of a tile of columns from below.
template <class T>
void tile_costs(const NearestArgs& args, int64_t self, int64_t first, const T* point, int64_t n, T* out) {
    const T *columns = static_cast<const T*>(args.columns), *weight = static_cast<const T*>(args.weight);
    const float shrink = 1 - static_cast<float>(args.dim + 4) * 2 * std::numeric_limits<float>::epsilon();
    T squares[kTile];
    std::fill(out, out + n, T(0));
    for (int64_t part = 0, c = 0; part < args.parts; c += args.part_dim[part++]) {
        tile_squares(columns + c * args.stride + first, args.stride, point + c, args.part_dim[part], n, squares);
        if (weight != nullptr)
            tile_scale(weight + part * args.stride + first, weight[part * args.stride + self], n, squares);
        tile_look_up(args.table + part * args.bins, static_cast<int32_t>(args.first_bin[part]),
                     static_cast<int32_t>(args.bins) - 1, shrink, squares, n, out);
    }
}

// The cost of one pair, by the bins of its squared distances in double.
template <class T> double pair_cost(const NearestArgs& args, int64_t self, int64_t j, const T* point) {
    const T *columns = static_cast<const T*>(args.columns), *weight = static_cast<const T*>(args.weight);
    const auto square = [&](int64_t first, int64_t last) {
        double sum = 0;
        for (int64_t c = first; c < last; ++c) {
            const double a = static_cast<double>(columns[c * args.stride + j]) - static_cast<double>(point[c]);
            sum += a * a;
        }
        return sum;
    };
    if (args.parts == 0) return square(0, args.dim);
    double cost = 0;
    for (int64_t part = 0, c = 0; part < args.parts; c += args.part_dim[part++]) {
        double value = square(c, c + args.part_dim[part]);
        if (weight != nullptr)
            value *= static_cast<double>(weight[part * args.stride + j]) * weight[part * args.stride + self];
        const int64_t bin = bin_of(static_cast<float>(value)) - args.first_bin[part];
        cost += args.table[part * args.bins + std::max<int64_t>(0, std::min(bin, args.bins - 1))];
    }
    return cost;
}

template <class T> void search(const NearestArgs& args, int64_t q, std::vector<Entry>& heap, std::vector<T>& point) {
    const T* columns = static_cast<const T*>(args.columns);
    const int64_t self = args.query[q], dim = args.dim, stride = args.stride;
    const uint64_t row_key = fold(args.seed, static_cast<uint64_t>(self));
    for (int64_t c = 0; c < dim; ++c) point[static_cast<size_t>(c)] = columns[c * stride + self];
    heap.clear();
    const size_t k = static_cast<size_t>(args.k);
    T values[kTile], limit = std::numeric_limits<T>::infinity();
    int32_t hit[kTile + 1];
    for (int64_t first = args.begin[q]; first < args.end[q]; first += kTile) {
        const int64_t n = std::min(kTile, args.end[q] - first);
        if (args.parts == 0)
            tile_squares(columns + first, stride, point.data(), dim, n, values);
        else
            tile_costs<T>(args, self, first, point.data(), n, values);
        if (args.noisy != 0)
            tile_noise(row_key, first, n, static_cast<T>(args.cost_scale), static_cast<T>(args.noise_scale), values);
        const int64_t hits = tile_below(values, n, limit, hit);
        for (int64_t h = 0; h < hits; ++h) {
            const int64_t j = first + hit[h];
            if (values[hit[h]] > limit || (j == self && args.loop == 0)) continue;  // the limit falls on the way
            double key = pair_cost<T>(args, self, j, point.data());
            if (args.noisy != 0)
                key = args.cost_scale * key - args.noise_scale * gumbel(fold(row_key, static_cast<uint64_t>(j)));
            const Entry entry(key, j);
            if (heap.size() == k) {
                if (!(entry < heap.front())) continue;
                std::pop_heap(heap.begin(), heap.end());
                heap.back() = entry;
            } else {
                heap.push_back(entry);
            }
            std::push_heap(heap.begin(), heap.end());
            if (heap.size() == k) limit = widened<T>(heap.front().first, dim);
        }
    }
    std::sort_heap(heap.begin(), heap.end());
    for (size_t i = 0; i < k; ++i) {
        const bool there = i < heap.size();
        args.index[q * args.k + static_cast<int64_t>(i)] = there ? heap[i].second : -1;
        args.key[q * args.k + static_cast<int64_t>(i)] = there ? heap[i].first : std::numeric_limits<double>::infinity();
    }
}

template <class T> void run(const NearestArgs& args) {
    const int threads = static_cast<int>(std::max<int64_t>(1, args.threads));
    const size_t k = static_cast<size_t>(args.k), dim = static_cast<size_t>(args.dim);
    // Allocated here, where an exception can leave; nothing in the loop allocates.
    std::vector<std::vector<Entry>> heaps(static_cast<size_t>(threads));
    std::vector<std::vector<T>> points(static_cast<size_t>(threads), std::vector<T>(dim));
    for (auto& heap : heaps) heap.reserve(k);
#pragma omp parallel for schedule(dynamic, 16) num_threads(threads) if (threads > 1 && args.queries > 64)
    for (int64_t q = 0; q < args.queries; ++q) {
        const size_t t = static_cast<size_t>(thread_number());
        search<T>(args, q, heaps[t], points[t]);
    }
}

}  // namespace

// Returns 1 if there is no memory for the heaps.
GK_EXPORT int graphkit_nearest(const NearestArgs* args) {
    try {
        if (args->wide != 0)
            run<double>(*args);
        else
            run<float>(*args);
    } catch (const std::bad_alloc&) {
        return 1;
    }
    return 0;
}
