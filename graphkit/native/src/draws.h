// The draws of dropout: 16 bits per entry as a function of (seed, position).
//
// Word j of the splitmix64 sequence of the seed decides the entries 4 j to 4 j + 3.  So a backward pass draws the mask
// again, and nothing depends on the number of threads.
#pragma once

#include <cstdint>
#include <cstring>

// These kernels are plain loops: the compiler makes one version for each instruction set.
#if defined(GRAPHKIT_X86) && defined(__gnu_linux__) && !defined(__clang__) && __GNUC__ >= 12
#define GK_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#elif defined(GRAPHKIT_X86) && defined(__gnu_linux__) && !defined(__clang__)
#define GK_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define GK_CLONES
#endif

namespace graphkit {

constexpr int64_t kWords = 16, kEntries = 4 * kWords;  // entries that are drawn at a time

// The draws of the kEntries entries from `begin`, a multiple of 4.
inline __attribute__((always_inline)) void draw(uint64_t seed, int64_t begin, uint16_t* levels) {
    uint64_t words[kWords];
    for (int64_t j = 0; j < kWords; ++j) {
        uint64_t z = seed + (static_cast<uint64_t>(begin / 4 + j) + 1) * 0x9E3779B97F4A7C15u;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        words[j] = z ^ (z >> 31);
    }
    std::memcpy(levels, words, sizeof words);  // low bits first, as on all the machines we build for
}

}  // namespace graphkit
