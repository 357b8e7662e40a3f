// Vectors of the width of the instruction set this file is compiled for.
//
// GCC vector extensions give arithmetic, comparison and selection; the few intrinsics below are conversions
// and partial loads for which the extensions generate poor code.  Everything lives in a namespace named after
// the instruction set, so that the linker never mixes code of one set into another.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define GK_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define GK_VECTOR_BYTES 32
#else
#define GK_VECTOR_BYTES 16
#endif

#define GK_INLINE inline __attribute__((always_inline))
#define GK_NOINLINE __attribute__((noinline))
#define GK_INLINE_LAMBDA __attribute__((always_inline))
#define GK_UNROLL _Pragma("GCC unroll 8")

namespace graphkit {
namespace GK_ISA {

struct BFloat16 {
    uint16_t bits;
};
struct Float16 {
    uint16_t bits;
};

template <class T> struct AccumulatorOf { using type = float; };
template <> struct AccumulatorOf<double> { using type = double; };
template <class T> using Accumulator = typename AccumulatorOf<T>::type;

template <class R> struct VectorOf;
template <> struct VectorOf<float> {
    typedef float Real __attribute__((vector_size(GK_VECTOR_BYTES)));
    typedef int32_t Int __attribute__((vector_size(GK_VECTOR_BYTES)));
    typedef uint32_t Bits __attribute__((vector_size(GK_VECTOR_BYTES)));
    typedef uint16_t Half __attribute__((vector_size(GK_VECTOR_BYTES / 2)));
    typedef int32_t Count __attribute__((vector_size(GK_VECTOR_BYTES)));
};
template <> struct VectorOf<double> {
    typedef double Real __attribute__((vector_size(GK_VECTOR_BYTES)));
    typedef int64_t Int __attribute__((vector_size(GK_VECTOR_BYTES)));
    typedef uint64_t Bits __attribute__((vector_size(GK_VECTOR_BYTES)));
    typedef int32_t Count __attribute__((vector_size(GK_VECTOR_BYTES / 2)));
};
template <class R> using Vec = typename VectorOf<R>::Real;
template <class R> using IntVec = typename VectorOf<R>::Int;
template <class R> using BitVec = typename VectorOf<R>::Bits;
template <class R> constexpr int kLanes = GK_VECTOR_BYTES / int(sizeof(R));

template <class To, class From> GK_INLINE To bit_cast(const From& from) {
    static_assert(sizeof(To) == sizeof(From), "bit_cast keeps the size");
    To to;
    std::memcpy(&to, &from, sizeof(To));
    return to;
}

template <class R> GK_INLINE Vec<R> splat(R value) { return value - Vec<R>{}; }

template <class R> GK_INLINE R sum_lanes(Vec<R> v) {
    R parts[kLanes<R>];
    std::memcpy(parts, &v, sizeof(v));
    for (int width = kLanes<R> / 2; width > 0; width /= 2)
        for (int i = 0; i < width; ++i) parts[i] += parts[i + width];
    return parts[0];
}

template <class R> GK_INLINE bool any(IntVec<R> mask) {
#if defined(__AVX512F__)
    return _mm512_test_epi64_mask(bit_cast<__m512i>(mask), bit_cast<__m512i>(mask)) != 0;
#elif defined(__AVX2__)
    return _mm256_testz_si256(bit_cast<__m256i>(mask), bit_cast<__m256i>(mask)) == 0;
#else
    const BitVec<double> words = bit_cast<BitVec<double>>(mask);
    return (words[0] | words[1]) != 0;
#endif
}

// --- 16-bit floats -----------------------------------------------------------------------------------------

using HalfVec = VectorOf<float>::Half;

GK_INLINE Vec<float> widen(HalfVec raw, BFloat16) {
    return bit_cast<Vec<float>>(__builtin_convertvector(raw, BitVec<float>) << 16);
}

GK_INLINE Vec<float> widen(HalfVec raw, Float16) {
#if defined(__AVX512F__)
    return bit_cast<Vec<float>>(_mm512_cvtph_ps(bit_cast<__m256i>(raw)));
#elif defined(__F16C__)
    return bit_cast<Vec<float>>(_mm256_cvtph_ps(bit_cast<__m128i>(raw)));
#else
    const BitVec<float> half = __builtin_convertvector(raw, BitVec<float>);
    const BitVec<float> magnitude = half & 0x7fffu;
    // 2^112 moves the exponent from half's bias to float's and normalises half's subnormal numbers.
    const Vec<float> scale = bit_cast<Vec<float>>(BitVec<float>{} + 0x77800000u);
    BitVec<float> bits = bit_cast<BitVec<float>>(bit_cast<Vec<float>>(magnitude << 13) * scale);
    bits = magnitude >= 0x7c00u ? (magnitude << 13) | 0x7f800000u : bits;
    return bit_cast<Vec<float>>(bits | ((half & 0x8000u) << 16));
#endif
}

GK_INLINE HalfVec narrow(Vec<float> value, BFloat16) {
    const BitVec<float> bits = bit_cast<BitVec<float>>(value);
    const BitVec<float> rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const BitVec<float> quiet_nan = (bits >> 16) | 0x40u;
    return __builtin_convertvector(value != value ? quiet_nan : rounded, HalfVec);
}

GK_INLINE HalfVec narrow(Vec<float> value, Float16) {
#if defined(__AVX512F__)
    return bit_cast<HalfVec>(_mm512_cvtps_ph(bit_cast<__m512>(value), _MM_FROUND_TO_NEAREST_INT));
#elif defined(__F16C__)
    return bit_cast<HalfVec>(_mm256_cvtps_ph(bit_cast<__m256>(value), _MM_FROUND_TO_NEAREST_INT));
#else
    const BitVec<float> bits = bit_cast<BitVec<float>>(value);
    const BitVec<float> magnitude = bits & 0x7fffffffu;
    const BitVec<float> normal = (magnitude - (112u << 23) + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
    // Adding one half shifts a subnormal result into the low mantissa bits, rounded by the adder.
    const Vec<float> shifted = bit_cast<Vec<float>>(magnitude) + 0.5f;
    const BitVec<float> subnormal = bit_cast<BitVec<float>>(shifted) - 0x3f000000u;
    BitVec<float> half = magnitude < 0x38800000u ? subnormal : normal;
    half = magnitude >= 0x477ff000u ? BitVec<float>{} + 0x7c00u : half;
    half = magnitude > 0x7f800000u ? BitVec<float>{} + 0x7e00u : half;
    return __builtin_convertvector(half | ((bits >> 16) & 0x8000u), HalfVec);
#endif
}

// --- loads and stores, with conversion ---------------------------------------------------------------------

template <class T> GK_INLINE Vec<Accumulator<T>> load(const T* from) {
    if constexpr (sizeof(T) == 2) {
        HalfVec raw;
        std::memcpy(&raw, from, sizeof(raw));
        return widen(raw, T{});
    } else {
        Vec<T> value;
        std::memcpy(&value, from, sizeof(value));
        return value;
    }
}

template <class T> GK_INLINE void store(T* to, Vec<Accumulator<T>> value) {
    if constexpr (sizeof(T) == 2) {
        const HalfVec raw = narrow(value, T{});
        std::memcpy(to, &raw, sizeof(raw));
    } else {
        std::memcpy(to, &value, sizeof(value));
    }
}

// Past the caches, for results that are larger than they are: a plain store would first read what it overwrites.
// `to` is aligned to the vector.  stream_fence comes before another thread reads.
template <class T> GK_INLINE void stream(T* to, Vec<Accumulator<T>> value) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) > 2) return _mm512_stream_si512(reinterpret_cast<__m512i*>(to), bit_cast<__m512i>(value));
#elif defined(__AVX2__)
    if constexpr (sizeof(T) > 2) return _mm256_stream_si256(reinterpret_cast<__m256i*>(to), bit_cast<__m256i>(value));
#endif
    store(to, value);
}
GK_INLINE void stream_fence() {
#if defined(__AVX2__)
    _mm_sfence();
#endif
}

// The first `count` lanes, zeros behind them.
template <class T> GK_INLINE Vec<Accumulator<T>> load_some(const T* from, int count) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4)
        return bit_cast<Vec<T>>(_mm512_maskz_loadu_ps(__mmask16((1u << count) - 1u), from));
    if constexpr (sizeof(T) == 8)
        return bit_cast<Vec<T>>(_mm512_maskz_loadu_pd(__mmask8((1u << count) - 1u), from));
#endif
    T buffer[kLanes<Accumulator<T>>] = {};
    for (int i = 0; i < count; ++i) buffer[i] = from[i];
    return load(buffer);
}

template <class T> GK_INLINE void store_some(T* to, Vec<Accumulator<T>> value, int count) {
    T buffer[kLanes<Accumulator<T>>];
    store(buffer, value);
    for (int i = 0; i < count; ++i) to[i] = buffer[i];
}

template <class T> GK_INLINE Accumulator<T> load_one(const T* from) {
    if constexpr (sizeof(T) == 2) {
        HalfVec raw = {from->bits};
        return widen(raw, T{})[0];
    } else {
        return *from;
    }
}

template <class T> GK_INLINE void store_one(T* to, Accumulator<T> value) {
    if constexpr (sizeof(T) == 2) {
        to->bits = narrow(splat<float>(value), T{})[0];
    } else {
        *to = value;
    }
}

// A value as it will be read back from storage.
template <class T> GK_INLINE Vec<Accumulator<T>> round_to(Vec<Accumulator<T>> value) {
    if constexpr (sizeof(T) == 2) return widen(narrow(value, T{}), T{});
    return value;
}

}  // namespace GK_ISA
}  // namespace graphkit
