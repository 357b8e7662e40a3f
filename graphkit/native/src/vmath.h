// exp, log and two relatives on vectors, 1 to 2 units in the last place, in float and double.
//
// Outside the normal range: exp flushes results below the smallest normal number to 0 (AVX-512 keeps them),
// exp(-inf) = 0, exp(large) = inf; log takes its argument as at least the smallest normal number (so log 0 is
// finite: -87.3 in float); NaN stays NaN everywhere.
#pragma once

#include "simd.h"

namespace graphkit {
namespace GK_ISA {

template <class R> struct Constants;
template <> struct Constants<float> {
    static constexpr float exp_low = -87.33654f, exp_high = 88.72284f;
    static constexpr float log2_e = 1.44269504088896341f, ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
    static constexpr float round_magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
    static constexpr float smallest = 1.17549435e-38f, largest = 3.40282347e+38f;
    static constexpr uint32_t one_bits = 0x3f800000u, sqrt_half_bits = 0x3f3504f3u;
    static constexpr int mantissa_bits = 23;
};
template <> struct Constants<double> {
    static constexpr double exp_low = -708.39641853226408, exp_high = 709.78271289338397;
    static constexpr double log2_e = 1.44269504088896340736;
    static constexpr double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
    static constexpr double round_magic = 6755399441055744.0;  // 1.5 * 2^52
    static constexpr double smallest = 2.2250738585072014e-308, largest = 1.7976931348623157e+308;
    static constexpr uint64_t one_bits = 0x3ff0000000000000ull, sqrt_half_bits = 0x3fe6a09e667f3bcdull;
    static constexpr int mantissa_bits = 52;
};

// The larger of x and low; NaN in x stays.
template <class R> GK_INLINE Vec<R> at_least(Vec<R> x, Vec<R> low) {
#if defined(__AVX512F__)  // the intrinsics return the second operand when either is NaN
    if constexpr (sizeof(R) == 4)
        return bit_cast<Vec<R>>(_mm512_max_ps(bit_cast<__m512>(low), bit_cast<__m512>(x)));
    else
        return bit_cast<Vec<R>>(_mm512_max_pd(bit_cast<__m512d>(low), bit_cast<__m512d>(x)));
#else
    return x < low ? low : x;
#endif
}

// The larger of a and b; where b is NaN, a.
template <class R> GK_INLINE Vec<R> larger(Vec<R> a, Vec<R> b) {
#if defined(__AVX512F__)
    return at_least<R>(a, b);
#else
    return b > a ? b : a;
#endif
}

GK_INLINE Vec<float> exp_polynomial(Vec<float> r) {
    Vec<float> p = splat(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    return p * (r * r) + r + 1.0f;
}

// 1 / (k + first)! for k = 0 .. terms - 1.
template <int first, int terms> struct InverseFactorials {
    double value[terms];
    constexpr InverseFactorials() : value() {
        double factorial = 1.0;
        for (int k = 1; k <= first; ++k) factorial *= k;
        for (int k = 0; k < terms; ++k) {
            value[k] = 1.0 / factorial;
            factorial *= first + k + 1;
        }
    }
};

// sum over k of r^k / (k + first)!, up to `terms` terms: Taylor's series of exp and of the phi functions.
template <class R, int first, int terms> GK_INLINE Vec<R> factorial_series(Vec<R> r) {
    constexpr InverseFactorials<first, terms> inverse;
    Vec<R> sum = splat(R(inverse.value[terms - 1]));
    _Pragma("GCC unroll 20") for (int k = terms - 2; k >= 0; --k) sum = sum * r + R(inverse.value[k]);
    return sum;
}

GK_INLINE Vec<double> exp_polynomial(Vec<double> r) { return factorial_series<double, 0, 14>(r); }

template <class R> GK_INLINE Vec<R> exp(Vec<R> x) {
    using C = Constants<R>;
#if defined(__AVX512F__)
    // 1 beyond the range on both sides: scalef makes the infinity, the subnormal numbers and the zero.
    const Vec<R> high = splat(C::exp_high + R(1));
    Vec<R> y = at_least<R>(x, splat(C::exp_low - R(sizeof(R) == 4 ? 20 : 40)));
    if constexpr (sizeof(R) == 4)
        y = bit_cast<Vec<R>>(_mm512_min_ps(bit_cast<__m512>(high), bit_cast<__m512>(y)));
    else
        y = bit_cast<Vec<R>>(_mm512_min_pd(bit_cast<__m512d>(high), bit_cast<__m512d>(y)));
#else
    const Vec<R> y = x;
#endif
    const Vec<R> shifted = y * C::log2_e + C::round_magic;
    const Vec<R> n = shifted - C::round_magic;
    const Vec<R> p = exp_polynomial((y - n * C::ln2_high) - n * C::ln2_low);
#if defined(__AVX512F__)
    if constexpr (sizeof(R) == 4)
        return bit_cast<Vec<R>>(_mm512_scalef_ps(bit_cast<__m512>(p), bit_cast<__m512>(n)));
    else
        return bit_cast<Vec<R>>(_mm512_scalef_pd(bit_cast<__m512d>(p), bit_cast<__m512d>(n)));
#else
    // The low bits of `shifted` hold n: moved to the exponent field they multiply by 2^n.
    const Vec<R> scaled =
        bit_cast<Vec<R>>(bit_cast<BitVec<R>>(p) + (bit_cast<BitVec<R>>(shifted) << C::mantissa_bits));
    const Vec<R> infinity = splat(R(__builtin_inf()));
    const Vec<R> outside = x < C::exp_low ? Vec<R>{} : x + infinity;  // NaN + inf = NaN
    return (x >= C::exp_low) & (x <= C::exp_high) ? scaled : outside;
#endif
}

GK_INLINE Vec<float> log_mantissa(Vec<float> f, Vec<float> e) {
    Vec<float> p = splat(7.0376836292e-2f);
    p = p * f - 1.1514610310e-1f;
    p = p * f + 1.1676998740e-1f;
    p = p * f - 1.2420140846e-1f;
    p = p * f + 1.4249322787e-1f;
    p = p * f - 1.6668057665e-1f;
    p = p * f + 2.0000714765e-1f;
    p = p * f - 2.4999993993e-1f;
    p = p * f + 3.3333331174e-1f;
    const Vec<float> f2 = f * f;
    const Vec<float> tail = p * (f * f2) + e * Constants<float>::ln2_low - 0.5f * f2;
    return (f + tail) + e * Constants<float>::ln2_high;
}

GK_INLINE Vec<double> log_mantissa(Vec<double> f, Vec<double> e) {
    const Vec<double> s = f / (2.0 + f);
    const Vec<double> z = s * s;
    Vec<double> p = splat(1.479819860511658591e-01);
    p = p * z + 1.531383769920937332e-01;
    p = p * z + 1.818357216161805012e-01;
    p = p * z + 2.222219843214978396e-01;
    p = p * z + 2.857142874366239149e-01;
    p = p * z + 3.999999999940941908e-01;
    p = p * z + 6.666666666666735130e-01;
    const Vec<double> half_square = 0.5 * f * f;
    const Vec<double> tail = s * (half_square + p * z) + e * Constants<double>::ln2_low;
    return e * Constants<double>::ln2_high - ((half_square - tail) - f);
}

template <class R> GK_INLINE Vec<R> log(Vec<R> x) {
    using C = Constants<R>;
    const Vec<R> y = at_least<R>(x, splat(C::smallest));
    const BitVec<R> bits = bit_cast<BitVec<R>>(y);
    // Biased exponent of y, counted so that the mantissa lies in [sqrt(1/2), sqrt(2)).
    const BitVec<R> biased = (bits - C::sqrt_half_bits + C::one_bits) >> C::mantissa_bits;
    const BitVec<R> bias = BitVec<R>{} + (C::one_bits >> C::mantissa_bits);
    const Vec<R> mantissa = bit_cast<Vec<R>>(bits - ((biased - bias) << C::mantissa_bits));
    const BitVec<R> magic = bit_cast<BitVec<R>>(splat(C::round_magic));
    const Vec<R> exponent = bit_cast<Vec<R>>(magic + biased - bias) - C::round_magic;
    const Vec<R> result = log_mantissa(mantissa - R(1), exponent);
    return y <= C::largest ? result : y;
}

// log(1 + s) / s for s >= 0.
template <class R> GK_INLINE Vec<R> log1p_ratio(Vec<R> s) {
    const Vec<R> u = R(1) + s;
    const Vec<R> rounded = u - R(1);  // the part of s that survived the addition (Kahan)
    return rounded == R(0) ? splat(R(1)) : log<R>(u) / (rounded == R(0) ? splat(R(1)) : rounded);
}

// phi1(x) = (e^x - 1) / x and phi2(x) = (e^x - 1 - x) / x^2, without cancellation near 0.
template <class R> GK_INLINE void phi(Vec<R> x, Vec<R>& phi1, Vec<R>& phi2) {
    const Vec<R> series = factorial_series<R, 2, (sizeof(R) == 4 ? 10 : 17)>(x);
    const Vec<R> magnitude = x < R(0) ? -x : x;
    const Vec<R> inverse = R(1) / (magnitude < R(1) ? splat(R(1)) : x);
    const Vec<R> far1 = (exp<R>(x) - R(1)) * inverse;
    phi1 = magnitude < R(1) ? R(1) + x * series : far1;
    phi2 = magnitude < R(1) ? series : (far1 - R(1)) * inverse;
}

// e^x - 1, without cancellation near 0.
template <class R> GK_INLINE Vec<R> expm1(Vec<R> x) {
    const Vec<R> near = x + x * x * factorial_series<R, 2, (sizeof(R) == 4 ? 8 : 15)>(x);
    const Vec<R> magnitude = x < Vec<R>{} ? -x : x;
    return magnitude < R(0.5) ? near : exp<R>(x) - R(1);
}

template <class R> GK_INLINE Vec<R> tanh(Vec<R> x) {
    const IntVec<R> negative = x < Vec<R>{};
    const Vec<R> t = expm1<R>(R(2) * (negative ? x : -x)), value = -t / (t + R(2));
    return negative ? -value : value;
}

}  // namespace GK_ISA
}  // namespace graphkit
