// Dropout, with the rectifier before it if asked for, in one pass and without a mask in memory.
#include "draws.h"

#define GK_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

using graphkit::kEntries;

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
    uint16_t levels[kEntries];
    graphkit::draw(args.seed, begin, levels);
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
