// Dropout, with the rectifier before it if asked for, in one pass and without a mask in memory.
//
// The mask is a function of (seed, position): word j of the splitmix64 sequence of the seed decides the entries 4 j to
// 4 j + 3, 16 bits each.  So the backward pass draws it again, and nothing depends on the number of threads.
#include <cstdint>
#include <cstring>

#define GK_EXPORT extern "C" __attribute__((visibility("default")))

#if defined(GRAPHKIT_X86) && defined(__gnu_linux__) && !defined(__clang__)
#define GK_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define GK_CLONES
#endif

namespace {

constexpr int64_t kWords = 16, kEntries = 4 * kWords;

struct DropoutArgs {
    int64_t wide;  // 1: float64, 0: float32
    int64_t size;
    int64_t threads;
    uint64_t seed;
    int64_t dropped;  // entries whose 16 bits are below this are dropped
    const void* value;
    const void* gate;  // null, or entries that must not be <= 0 to pass
    void* out;
    double scale;
};

template <class T>
GK_CLONES void block(const DropoutArgs& args, int64_t begin, int64_t count) {
    uint64_t words[kWords];
    uint16_t levels[kEntries];
    for (int64_t j = 0; j < kWords; ++j) {
        uint64_t z = args.seed + (static_cast<uint64_t>(begin / 4 + j) + 1) * 0x9E3779B97F4A7C15u;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        words[j] = z ^ (z >> 31);
    }
    std::memcpy(levels, words, sizeof words);  // low bits first, as on all the machines we build for
    const T* value = static_cast<const T*>(args.value) + begin;
    const T* gate = args.gate == nullptr ? nullptr : static_cast<const T*>(args.gate) + begin;
    T* out = static_cast<T*>(args.out) + begin;
    const T scale = static_cast<T>(args.scale);
    const uint16_t dropped = static_cast<uint16_t>(args.dropped);
    if (gate == nullptr) {
        for (int64_t i = 0; i < count; ++i) out[i] = levels[i] >= dropped ? value[i] * scale : T(0);
    } else {  // NaN passes, as through torch's relu
        for (int64_t i = 0; i < count; ++i)
            out[i] = (levels[i] >= dropped) & !(gate[i] <= T(0)) ? value[i] * scale : T(0);
    }
}

template <class T> void run(const DropoutArgs& args) {
    const int64_t blocks = (args.size + kEntries - 1) / kEntries;
    const int threads = static_cast<int>(args.threads);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1 && args.size > 32768)
    for (int64_t b = 0; b < blocks; ++b) {
        const int64_t begin = b * kEntries;
        const int64_t left = args.size - begin;
        block<T>(args, begin, left < kEntries ? left : kEntries);
    }
}

}  // namespace

GK_EXPORT void graphkit_dropout(const DropoutArgs* args) {
    if (args->wide != 0)
        run<double>(*args);
    else
        run<float>(*args);
}
