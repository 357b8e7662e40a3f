// One small matrix per node: multiplying by it, and inverse square roots of symmetric ones.
#include <cmath>

#include "lanes.h"
#include "sheaf_edges.h"

namespace graphkit {
namespace GK_ISA {
namespace {

template <class R, int D> void apply(const SheafArgs& args) {
    const R* blocks = static_cast<const R*>(args.maps);
    const R* x = static_cast<const R*>(args.x);
    R* out = static_cast<R*>(args.result0);
    const int64_t channels = args.channels;
    const bool transpose = args.mode != 0;
    parallel_ranges(args.nodes, D * D * channels, args.threads, [&](int64_t begin, int64_t end) {
        for_each_tile<R>(channels, [&](const auto& tile) {
            constexpr int vectors = std::decay_t<decltype(tile)>::vectors;
            for (int64_t node = begin; node < end; ++node) {
                const R* block = blocks + node * D * D;
                for (int v = 0; v < vectors; ++v) {
                    Vec<R> from[D];
                    GK_UNROLL for (int j = 0; j < D; ++j) from[j] = tile.load(x + (node * D + j) * channels, v);
                    GK_UNROLL for (int i = 0; i < D; ++i) {
                        Vec<R> sum = {};
                        GK_UNROLL for (int j = 0; j < D; ++j)
                            sum += (transpose ? block[j * D + i] : block[i * D + j]) * from[j];
                        tile.store(out + (node * D + i) * channels, v, sum);
                    }
                }
            }
        });
    });
}

template <class R, int D> void outer(const SheafArgs& args) {
    const R* a = static_cast<const R*>(args.grad);
    const R* b = static_cast<const R*>(args.x);
    R* out = static_cast<R*>(args.result0);
    const int64_t channels = args.channels;
    parallel_ranges(args.nodes, D * D * channels, args.threads, [&](int64_t begin, int64_t end) {
        for (int64_t node = begin; node < end; ++node) {
            Vec<R> sum[D * D] = {};
            for_each_tile<R>(channels, [&](const auto& tile) GK_INLINE_LAMBDA {
                constexpr int vectors = std::decay_t<decltype(tile)>::vectors;
                for (int v = 0; v < vectors; ++v) {
                    Vec<R> right[D];
                    GK_UNROLL for (int j = 0; j < D; ++j) right[j] = tile.load(b + (node * D + j) * channels, v);
                    GK_UNROLL for (int i = 0; i < D; ++i) {
                        const Vec<R> left = tile.fresh(v, tile.load(a + (node * D + i) * channels, v));
                        GK_UNROLL for (int j = 0; j < D; ++j) sum[i * D + j] += left * right[j];
                    }
                }
            });
            GK_UNROLL for (int i = 0; i < D * D; ++i) out[node * D * D + i] = sum_lanes<R>(sum[i]);
        }
    });
}

template <class R> GK_INLINE Vec<R> square_root(Vec<R> x) {
    for (int i = 0; i < kLanes<R>; ++i) x[i] = std::sqrt(x[i]);
    return x;
}
template <class R> GK_INLINE Vec<R> magnitude(Vec<R> x) { return x < Vec<R>{} ? -x : x; }

// Jacobi's rotations: a becomes diagonal, vectors its eigenvectors by column.  Quadratic convergence; a rotation of
// an entry that is already negligible against its diagonal entries is the identity.
template <class R, int D> GK_INLINE void diagonalise(Vec<R> (&a)[D * D], Vec<R> (&vectors)[D * D]) {
    const Vec<R> one = splat(R(1));
    GK_UNROLL for (int i = 0; i < D * D; ++i) vectors[i] = i % (D + 1) == 0 ? one : Vec<R>{};
    const R eps = sizeof(R) == 4 ? R(5.9604645e-8) : R(1.1102230246251565e-16);
    for (int sweep = 0; sweep < 16; ++sweep) {
        IntVec<R> rotated = {};
        for (int p = 0; p < D; ++p)
            for (int q = p + 1; q < D; ++q) {
                const Vec<R> off = a[p * D + q], pp = a[p * D + p], qq = a[q * D + q];
                const Vec<R> bound = eps * (magnitude<R>(pp) + magnitude<R>(qq));
                const IntVec<R> turn = magnitude<R>(off) > bound;
                rotated |= turn;
                const Vec<R> theta = (qq - pp) / (R(2) * (turn ? off : one));
                const Vec<R> tangent =
                    (theta < Vec<R>{} ? -one : one) / (magnitude<R>(theta) + square_root<R>(theta * theta + R(1)));
                const Vec<R> t = turn ? tangent : Vec<R>{};
                const Vec<R> c = one / square_root<R>(t * t + R(1)), s = t * c;
                a[p * D + p] = pp - t * off;
                a[q * D + q] = qq + t * off;
                // An entry below the bound is dropped: its square is below the rounding of the eigenvalues.
                a[p * D + q] = a[q * D + p] = Vec<R>{};
                for (int i = 0; i < D; ++i) {
                    if (i != p && i != q) {
                        const Vec<R> ip = a[i * D + p], iq = a[i * D + q];
                        a[i * D + p] = a[p * D + i] = c * ip - s * iq;
                        a[i * D + q] = a[q * D + i] = s * ip + c * iq;
                    }
                    const Vec<R> vp = vectors[i * D + p], vq = vectors[i * D + q];
                    vectors[i * D + p] = c * vp - s * vq;
                    vectors[i * D + q] = s * vp + c * vq;
                }
            }
        if (!any<R>(rotated)) return;
    }
}

template <class R, int D> void roots(const SheafArgs& args) {
    const R* blocks = static_cast<const R*>(args.maps);
    const R cut = D * (sizeof(R) == 4 ? R(1.1920929e-7) : R(2.220446049250313e-16));
    for_lanes<R>(args.nodes, 64 * D * D, args.threads, [&](int64_t first, int count) {
        const Lanes<R, D * D> lanes{first, count};
        Vec<R> a[D * D], vectors[D * D], s[D * D] = {}, root[D], inverse[D];
        lanes.load(blocks, a);
        GK_UNROLL for (int i = 0; i < D; ++i)
            GK_UNROLL for (int j = 0; j < i; ++j) a[i * D + j] = a[j * D + i] = (a[i * D + j] + a[j * D + i]) / R(2);
        diagonalise<R, D>(a, vectors);
        Vec<R> largest = {};
        GK_UNROLL for (int i = 0; i < D; ++i) {
            const Vec<R> size = magnitude<R>(a[i * D + i]);
            largest = size > largest ? size : largest;
        }
        GK_UNROLL for (int i = 0; i < D; ++i) {
            const Vec<R> value = a[i * D + i];
            const IntVec<R> kept = value > cut * largest;
            root[i] = square_root<R>(kept ? value : Vec<R>{});
            inverse[i] = kept ? R(1) / (kept ? root[i] : splat(R(1))) : Vec<R>{};
        }
        GK_UNROLL for (int i = 0; i < D; ++i)
            GK_UNROLL for (int j = 0; j < D; ++j)
                GK_UNROLL for (int l = 0; l < D; ++l)
                    s[i * D + j] += vectors[i * D + l] * inverse[l] * vectors[j * D + l];
        lanes.store(static_cast<R*>(args.result0), s);
        lanes.store(static_cast<R*>(args.result1), vectors);
        Lanes<R, D>{first, count}.store(static_cast<R*>(args.result2), root);
    });
}

// dA = U (M * (U^T G U)) U^T with M_ij = -1 / (r_i r_j (r_i + r_j)); r_i^-3 where only r_i is not 0, 0 where both are.
template <class R, int D> void roots_backward(const SheafArgs& args) {
    for_lanes<R>(args.nodes, 8 * D * D * D, args.threads, [&](int64_t first, int count) {
        const Lanes<R, D * D> lanes{first, count};
        Vec<R> u[D * D], g[D * D], root[D], half[D * D] = {}, inner[D * D] = {}, out[D * D] = {};
        lanes.load(static_cast<const R*>(args.maps), u);
        lanes.load(static_cast<const R*>(args.grad), g);
        Lanes<R, D>{first, count}.load(static_cast<const R*>(args.weight), root);
        const auto entry = [](int i, int j) { return i * D + j; };
        for (int i = 0; i < D; ++i)
            for (int j = 0; j < D; ++j)
                GK_UNROLL for (int l = 0; l < D; ++l)
                    half[entry(i, j)] += (g[entry(i, l)] + g[entry(l, i)]) / R(2) * u[entry(l, j)];
        for (int i = 0; i < D; ++i)
            for (int j = 0; j < D; ++j) {
                GK_UNROLL for (int l = 0; l < D; ++l) inner[entry(i, j)] += u[entry(l, i)] * half[entry(l, j)];
                const Vec<R> a = root[i], b = root[j], zero = {};
                const Vec<R> larger = a > b ? a : b;
                const Vec<R> both = -(a * b * (a + b)), one = larger * larger * larger;
                const Vec<R> divisor = (a > zero) & (b > zero) ? both : one;
                const IntVec<R> some = larger > zero;
                inner[entry(i, j)] = some ? inner[entry(i, j)] / (some ? divisor : splat(R(1))) : zero;
            }
        for (int i = 0; i < D; ++i)
            for (int j = 0; j < D; ++j) {
                Vec<R> sum = {};
                GK_UNROLL for (int l = 0; l < D; ++l) sum += u[entry(i, l)] * inner[entry(l, j)];
                half[entry(i, j)] = sum;
            }
        for (int i = 0; i < D; ++i)
            for (int j = 0; j < D; ++j)
                GK_UNROLL for (int l = 0; l < D; ++l) out[entry(i, j)] += half[entry(i, l)] * u[entry(j, l)];
        lanes.store(static_cast<R*>(args.result0), out);
    });
}

}  // namespace

int block_apply(const SheafArgs& args) {
    for_stalk(args, [&](auto real, auto size, auto, int64_t) { apply<decltype(real), size()>(args); });
    return Status::ok;
}

int block_outer(const SheafArgs& args) {
    for_stalk(args, [&](auto real, auto size, auto, int64_t) { outer<decltype(real), size()>(args); });
    return Status::ok;
}

int inverse_sqrt(const SheafArgs& args) {
    for_stalk(args, [&](auto real, auto size, auto, int64_t) { roots<decltype(real), size()>(args); });
    return Status::ok;
}

int inverse_sqrt_backward(const SheafArgs& args) {
    for_stalk(args, [&](auto real, auto size, auto, int64_t) { roots_backward<decltype(real), size()>(args); });
    return Status::ok;
}

}  // namespace GK_ISA
}  // namespace graphkit
