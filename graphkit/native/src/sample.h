// What the samplers share: a counter-based random generator and a loop over ranges.
//
// A draw is a hash of where it is used (batch, edge type, node, number of the draw), never of what was drawn before,
// so results do not depend on the number of threads or processes.  graphkit/graph/sampling/random.py says the same
// in numpy; both give the same numbers.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <new>

namespace graphkit {

// The n-th child of a key: one step of the splitmix64 generator (Steele, Lea and Flood 2014) from state key + n.
inline uint64_t fold(uint64_t key, uint64_t n) {
    uint64_t z = key + (n + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

// floor(bits * limit / 2^64) for limit < 2^32: uniform in [0, limit) up to 2^-32.
inline int64_t bounded(uint64_t bits, uint64_t limit) {
    return static_cast<int64_t>(((bits >> 32) * limit + (((bits & 0xFFFFFFFFu) * limit) >> 32)) >> 32);
}

constexpr int64_t kSerialElements = 32768;  // below this a second thread costs more than it gives

// body(begin, end) over ranges of `step`, where all of them touch about `elements` places.  One thread never enters
// an OpenMP region: worker processes made by fork have no OpenMP threads, and waiting for them would hang.
template <class Body>
void for_ranges(int64_t count, int64_t step, int64_t elements, int64_t threads, const Body& body) {
    if (count <= 0) return;
    const int64_t ranges = (count + step - 1) / step;
    if (threads <= 1 || ranges <= 1 || elements < kSerialElements) {
        for (int64_t r = 0; r < ranges; ++r) body(r * step, (r + 1) * step < count ? (r + 1) * step : count);
        return;
    }
#pragma omp parallel for schedule(dynamic) num_threads(static_cast<int>(threads))
    for (int64_t r = 0; r < ranges; ++r) body(r * step, (r + 1) * step < count ? (r + 1) * step : count);
}

// counts[0:n] become offsets[0:n + 1] in place; returns the total.
inline int64_t counts_to_offsets(int64_t* counts, int64_t n) {
    int64_t total = 0;
    for (int64_t i = 0; i < n; ++i) {
        const int64_t count = counts[i];
        counts[i] = total;
        total += count;
    }
    counts[n] = total;
    return total;
}

}  // namespace graphkit
