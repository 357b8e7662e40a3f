// What a layer of neural sheaf diffusion does besides the Laplacian: learning maps from both ends of an edge, scaling
// diagonal maps by the degree, orthogonal matrices from parameters, and the step at the end.
#include <cmath>

#include "lanes.h"
#include "sheaf_edges.h"
#include "vmath.h"

namespace graphkit {
namespace GK_ISA {
namespace {

enum class Act : int64_t { identity = 0, tanh = 1, sigmoid = 2, elu = 3 };

template <class R> GK_INLINE Vec<R> activate(Act act, Vec<R> x) {
    switch (act) {
        case Act::tanh: return tanh<R>(x);
        case Act::sigmoid: return R(1) / (R(1) + exp<R>(-x));
        case Act::elu: return x > Vec<R>{} ? x : expm1<R>(x);
        default: return x;
    }
}

// The derivative of an activation where it has this value.
template <class R> GK_INLINE Vec<R> slope(Act act, Vec<R> value) {
    const Vec<R> one = splat(R(1));
    switch (act) {
        case Act::tanh: return one - value * value;
        case Act::sigmoid: return value * (one - value);
        case Act::elu: return value > Vec<R>{} ? one : value + one;
        default: return one;
    }
}

template <class Body> int for_real(const SheafArgs& args, const Body& body) {
    if (args.wide_float != 0)
        body(double(0));
    else
        body(float(0));
    return Status::ok;
}

// The numbers per edge: known to the compiler where a sheaf of few dimensions has them, else 0 and read from `args`.
template <class Body> void for_width(int64_t width, const Body& body) {
    switch (width) {
        case 1: return body(Size<1>{});
        case 2: return body(Size<2>{});
        case 3: return body(Size<3>{});
        case 4: return body(Size<4>{});
        case 5: return body(Size<5>{});
        case 6: return body(Size<6>{});
        case 9: return body(Size<9>{});
        case 16: return body(Size<16>{});
        default: return body(Size<0>{});
    }
}

template <class I> const I* index_array(const void* data) { return static_cast<const I*>(data); }

// body(real, index) with numbers of these types.
template <class Body> int for_types(const SheafArgs& args, const Body& body) {
    return for_real(args, [&](auto real) {
        if (args.wide_index != 0)
            body(real, int64_t(0));
        else
            body(real, int32_t(0));
    });
}

// --- maps from nodes: out_e = act(a_u + b_v), x = [a | b] -----------------------------------------------------------

constexpr int64_t kNumbers = 4096;  // of a task: they stay in the cache until their activation

template <class R, class I, int known> void ends(const SheafArgs& args) {
    const int64_t width = known > 0 ? known : args.stalk;
    const I *index = index_array<I>(args.index), *perm = index_array<I>(args.perm);
    const Index ptr{args.ptr, args.wide_index != 0};
    const R* x = static_cast<const R*>(args.x);
    R* out = static_cast<R*>(args.result0);
    advise_huge_pages(out, args.edges * width * int64_t(sizeof(R)));
    const int64_t slots = width < kNumbers ? kNumbers / width : 1;
    parallel_for((args.edges + slots - 1) / slots, args.edges * width, args.threads, [&](int64_t task) {
        const int64_t begin = task * slots, end = begin + slots < args.edges ? begin + slots : args.edges;
        R numbers[kNumbers];
        for (int64_t first = 0; first < width; first += kNumbers) {
            const int64_t count = known > 0 ? known : width - first < kNumbers ? width - first : kNumbers;
            int64_t row = row_of_slot(ptr, args.nodes, begin);
            R* to = numbers;
            for (int64_t k = begin; k < end; ++k) {
                while (ptr[row + 1] <= k) ++row;
                if (k + kMapPrefetch < args.edges)
                    __builtin_prefetch(x + (2 * index[k + kMapPrefetch] + 1) * width + first);
                const R *own = x + 2 * row * width + first, *other = x + (2 * index[k] + 1) * width + first;
                GK_UNROLL for (int64_t i = 0; i < count; ++i) to[i] = own[i] + other[i];
                to += count;
            }
            const Act act = static_cast<Act>(args.mode);
            const int64_t total = to - numbers;
            for (int64_t at = 0; act != Act::identity && at < total; at += kLanes<R>) {
                const int some = static_cast<int>(total - at < kLanes<R> ? total - at : kLanes<R>);
                if (some == kLanes<R>)
                    store(numbers + at, activate<R>(act, load(numbers + at)));
                else
                    store_some(numbers + at, activate<R>(act, load_some(numbers + at, some)), some);
            }
            for (int64_t k = begin; k < end; ++k)
                GK_UNROLL for (int64_t i = 0; i < count; ++i)
                    out[perm[k] * width + first + i] = numbers[(k - begin) * count + i];
        }
    });
}

// Of a node: the gradients of its own edges go to its first half, those of their reverses to its second.
template <class R, class I, int known> void ends_backward(const SheafArgs& args) {
    const int64_t width = known > 0 ? known : args.stalk, numbers = args.edges * width;
    const I *ptr = index_array<I>(args.ptr), *perm = index_array<I>(args.perm), *pair = index_array<I>(args.pair);
    const R *value = static_cast<const R*>(args.maps), *grad = static_cast<const R*>(args.grad);
    R* out = static_cast<R*>(args.result0);
    const Act act = static_cast<Act>(args.mode);
    Buffer<R> pulled(act == Act::identity ? 0 : numbers);  // back through the activation, in whole vectors
    if (act != Act::identity) {
        parallel_for((numbers + kNumbers - 1) / kNumbers, numbers, args.threads, [&](int64_t task) {
            const int64_t end = (task + 1) * kNumbers < numbers ? (task + 1) * kNumbers : numbers;
            for (int64_t at = task * kNumbers; at < end; at += kLanes<R>) {
                const int some = static_cast<int>(end - at < kLanes<R> ? end - at : kLanes<R>);
                if (some == kLanes<R>)
                    store(pulled.get() + at, load(grad + at) * slope<R>(act, load(value + at)));
                else
                    store_some(pulled.get() + at, load_some(grad + at, some) * slope<R>(act, load_some(value + at, some)),
                               some);
            }
        });
        grad = pulled.get();
    }
    const int64_t work = width * (1 + args.edges / (args.nodes > 0 ? args.nodes : 1));
    parallel_ranges(args.nodes, work, args.threads, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) {
            R* to = out + 2 * row * width;
            if constexpr (known > 0) {
                R first[known] = {}, second[known] = {};
                for (int64_t k = ptr[row]; k < ptr[row + 1]; ++k) {
                    if (k + kMapPrefetch < args.edges && pair[k + kMapPrefetch] >= 0)
                        __builtin_prefetch(grad + pair[k + kMapPrefetch] * width);
                    const R* own = grad + perm[k] * width;
                    GK_UNROLL for (int i = 0; i < known; ++i) first[i] += own[i];
                    if (pair[k] < 0) continue;
                    const R* reverse = grad + pair[k] * width;
                    GK_UNROLL for (int i = 0; i < known; ++i) second[i] += reverse[i];
                }
                std::memcpy(to, first, sizeof(first));
                std::memcpy(to + width, second, sizeof(second));
            } else {
                for_each_tile<R, 1>(width, [&](const auto& tile) {
                    Vec<R> first = {}, second = {};
                    for (int64_t k = ptr[row]; k < ptr[row + 1]; ++k) {
                        first += tile.load(grad + perm[k] * width, 0);
                        if (pair[k] >= 0) second += tile.load(grad + pair[k] * width, 0);
                    }
                    tile.store(to, 0, first);
                    tile.store(to + width, 0, second);
                });
            }
        }
    });
}

// --- diagonal maps times the inverse root of the degree: F_e s_u, s_u = (sum F^2 + 1)^(-1/2) -------------------------

template <class R, class I, int known> void scale_maps(const SheafArgs& args) {
    const int64_t d = known > 0 ? known : args.stalk;
    const I *ptr = index_array<I>(args.ptr), *perm = index_array<I>(args.perm), *pair = index_array<I>(args.pair);
    const R* maps = static_cast<const R*>(args.maps);
    R *out = static_cast<R*>(args.result0), *scale = static_cast<R*>(args.result1);
    advise_huge_pages(out, args.edges * d * int64_t(sizeof(R)));
    const int64_t work = d * (1 + args.edges / (args.nodes > 0 ? args.nodes : 1));
    parallel_ranges(args.nodes, work, args.threads, [&](int64_t begin, int64_t end) {
        // As in the backward call: with few rows in a stalk their sums stay in registers.
        constexpr int together = known > 0 ? known : 1;
        for (int64_t row = begin; row < end; ++row)
            for (int64_t first = 0; first < d; first += together) {
                R s[together];
                GK_UNROLL for (int i = 0; i < together; ++i) s[i] = 1;
                for (int64_t k = ptr[row]; k < ptr[row + 1]; ++k) {
                    if (pair[k] < 0 || pair[k] == perm[k]) continue;
                    const R* map = maps + perm[k] * d + first;
                    GK_UNROLL for (int i = 0; i < together; ++i) s[i] += map[i] * map[i];
                }
                GK_UNROLL for (int i = 0; i < together; ++i) scale[row * d + first + i] = s[i] = 1 / std::sqrt(s[i]);
                for (int64_t k = ptr[row]; k < ptr[row + 1]; ++k) {
                    const int64_t at = perm[k] * d + first;
                    GK_UNROLL for (int i = 0; i < together; ++i) out[at + i] = maps[at + i] * s[i];
                }
            }
    });
}

template <class R, class I, int known> void scale_maps_backward(const SheafArgs& args) {
    const int64_t d = known > 0 ? known : args.stalk;
    const I *ptr = index_array<I>(args.ptr), *perm = index_array<I>(args.perm), *pair = index_array<I>(args.pair);
    const R *maps = static_cast<const R*>(args.maps), *scale = static_cast<const R*>(args.x),
            *grad = static_cast<const R*>(args.grad);
    R* out = static_cast<R*>(args.result0);
    advise_huge_pages(out, args.edges * d * int64_t(sizeof(R)));
    const int64_t work = d * (1 + args.edges / (args.nodes > 0 ? args.nodes : 1));
    parallel_ranges(args.nodes, work, args.threads, [&](int64_t begin, int64_t end) {
        // With few rows in a stalk their sums are taken together, in one walk over the edges.
        constexpr int together = known > 0 ? known : 1;
        for (int64_t row = begin; row < end; ++row)
            for (int64_t first = 0; first < d; first += together) {
                R s[together], degree[together] = {};
                GK_UNROLL for (int i = 0; i < together; ++i) s[i] = scale[row * d + first + i];
                for (int64_t k = ptr[row]; k < ptr[row + 1]; ++k) {
                    const int64_t at = perm[k] * d + first;
                    GK_UNROLL for (int i = 0; i < together; ++i) degree[i] += grad[at + i] * maps[at + i];
                }
                GK_UNROLL for (int i = 0; i < together; ++i) degree[i] *= -s[i] * s[i] * s[i];  // twice the gradient to it
                for (int64_t k = ptr[row]; k < ptr[row + 1]; ++k) {
                    const int64_t at = perm[k] * d + first;
                    const R counts = pair[k] >= 0 && pair[k] != perm[k] ? R(1) : R(0);
                    GK_UNROLL for (int i = 0; i < together; ++i)
                        out[at + i] = s[i] * grad[at + i] + counts * degree[i] * maps[at + i];
                }
            }
    });
}

// --- products of reflections: Q = H_1 ... H_d, H_j = I - 2 v_j v_j^T / v_j^T v_j -------------------------------------

// v_j by its largest entry, and 2 over its square; the entries above j are 0.
template <class R, int D> struct Reflection {
    Vec<R> v[D], inverse_largest, factor;

    GK_INLINE Reflection(const Vec<R> (&theta)[D * (D - 1) / 2], int j) {
        v[j] = splat(R(1));
        Vec<R> largest = v[j];
        GK_UNROLL for (int i = j + 1; i < D; ++i) {
            v[i] = theta[i * (i - 1) / 2 + j];
            largest = larger<R>(largest, v[i] < Vec<R>{} ? -v[i] : v[i]);
        }
        inverse_largest = R(1) / largest;
        Vec<R> square = {};
        GK_UNROLL for (int i = j; i < D; ++i) {
            v[i] = v[i] / largest;
            square += v[i] * v[i];
        }
        factor = R(2) / square;
    }
};

template <class R, int D> GK_INLINE void reflect(const Reflection<R, D>& h, int j, Vec<R> (&q)[D * D]) {
    for (int i = 0; i < D; ++i) {
        Vec<R> image = {};
        GK_UNROLL for (int l = j; l < D; ++l) image += q[i * D + l] * h.v[l];
        image *= h.factor;
        GK_UNROLL for (int l = j; l < D; ++l) q[i * D + l] -= image * h.v[l];
    }
}

template <class R, int D> GK_INLINE void identity(Vec<R> (&q)[D * D]) {
    for (int e = 0; e < D * D; ++e) q[e] = e % (D + 1) == 0 ? splat(R(1)) : Vec<R>{};
}

template <class R, int D> void householder(const SheafArgs& args) {
    const R* theta = static_cast<const R*>(args.maps);
    R* out = static_cast<R*>(args.result0);
    advise_huge_pages(out, args.edges * D * D * int64_t(sizeof(R)));
    for_lanes<R>(args.edges, D * D * D, args.threads, [&](int64_t first, int count) {
        Vec<R> parameters[D * (D - 1) / 2], q[D * D];
        Lanes<R, D*(D - 1) / 2>{first, count}.load(theta, parameters);
        identity<R, D>(q);
        for (int j = 0; j + 1 < D; ++j) reflect(Reflection<R, D>(parameters, j), j, q);
        for (int i = 0; i < D; ++i) q[i * D + D - 1] = -q[i * D + D - 1];  // v_d has no parameters
        Lanes<R, D * D>{first, count}.store(out, q);
    });
}

// From Q' = Q (I - s v v^T) with s = 2 / v^T v:  dQ = G - s (G v) v^T  and
// dv = s^2 (u^T G v) v - s (Q^T G v + G^T u), u = Q v.  Scaling v does not change s v v^T.
template <class R, int D> void householder_backward(const SheafArgs& args) {
    constexpr int parameters = D * (D - 1) / 2;
    const R *theta = static_cast<const R*>(args.maps), *grad = static_cast<const R*>(args.grad);
    R* out = static_cast<R*>(args.result0);
    for_lanes<R>(args.edges, 3 * D * D * D, args.threads, [&](int64_t first, int count) {
        Vec<R> given[parameters], result[parameters], q[D - 1][D * D], g[D * D];
        Lanes<R, parameters>{first, count}.load(theta, given);
        Lanes<R, D * D>{first, count}.load(grad, g);
        identity<R, D>(q[0]);
        for (int j = 0; j + 2 < D; ++j) {
            for (int e = 0; e < D * D; ++e) q[j + 1][e] = q[j][e];
            reflect(Reflection<R, D>(given, j), j, q[j + 1]);
        }
        for (int i = 0; i < D; ++i) g[i * D + D - 1] = -g[i * D + D - 1];
        for (int j = D - 2; j >= 0; --j) {
            const Reflection<R, D> h(given, j);
            Vec<R> image[D], pulled[D], across = {};
            for (int i = 0; i < D; ++i) {
                image[i] = pulled[i] = Vec<R>{};
                GK_UNROLL for (int l = j; l < D; ++l) {
                    image[i] += q[j][i * D + l] * h.v[l];
                    pulled[i] += g[i * D + l] * h.v[l];
                }
                across += image[i] * pulled[i];
            }
            for (int l = j + 1; l < D; ++l) {
                Vec<R> both = {};
                GK_UNROLL for (int i = 0; i < D; ++i) both += q[j][i * D + l] * pulled[i] + g[i * D + l] * image[i];
                result[l * (l - 1) / 2 + j] = h.factor * (h.factor * across * h.v[l] - both) * h.inverse_largest;
            }
            for (int i = 0; i < D; ++i)
                GK_UNROLL for (int l = j; l < D; ++l) g[i * D + l] -= h.factor * pulled[i] * h.v[l];
        }
        Lanes<R, parameters>{first, count}.store(out, result);
    });
}

template <class Body> int for_householder(const SheafArgs& args, const Body& body) {
    return for_real(args, [&](auto real) {
        switch (args.stalk) {
            case 2: return body(real, Size<2>{});
            case 3: return body(real, Size<3>{});
            case 4: return body(real, Size<4>{});
            default: return body(real, Size<kMaxStalk>{});
        }
    });
}

// --- the step: out = c h - elu(y), c a number per stalk row ----------------------------------------------------------

constexpr int64_t kNodes = 32;  // whose stalks stay in the cache

// c for each number of a stalk, which is walked over without regard to where its rows end.
template <class R> void spread(const R* c, const SheafArgs& args, R* factor) {
    for (int64_t at = 0; at < args.stalk * args.channels; ++at) factor[at] = c[at / args.channels];
}

// body(node, tile, vector) for the vectors of these nodes' stalks.
template <class R, class Body> GK_INLINE void for_stalks(int64_t begin, int64_t end, int64_t width, const Body& body) {
    for (int64_t first = begin; first < end; first += kNodes) {
        const int64_t last = first + kNodes < end ? first + kNodes : end;
        for_each_tile<R>(width, [&](const auto& tile) {
            for (int64_t node = first; node < last; ++node)
                GK_UNROLL for (int v = 0; v < std::decay_t<decltype(tile)>::vectors; ++v) body(node, tile, v);
        });
    }
}

template <class R> void update(const SheafArgs& args) {
    const R *h = static_cast<const R*>(args.x), *y = static_cast<const R*>(args.grad);
    R* out = static_cast<R*>(args.result0);
    const int64_t width = args.stalk * args.channels;
    const Buffer<R> factor(width);
    spread(static_cast<const R*>(args.maps), args, factor.get());
    advise_huge_pages(out, args.nodes * width * int64_t(sizeof(R)));
    parallel_ranges(args.nodes, width, args.threads, [&](int64_t begin, int64_t end) {
        for_stalks<R>(begin, end, width, [&](int64_t node, const auto& tile, int v) GK_INLINE_LAMBDA {
            const int64_t at = node * width;
            const Vec<R> flow = activate<R>(Act::elu, tile.load(y + at, v));
            tile.store(out + at, v, tile.load(factor.get(), v) * tile.load(h + at, v) - flow);
        });
    });
}

template <class R> void update_backward(const SheafArgs& args) {
    const R *g = static_cast<const R*>(args.grad), *h = static_cast<const R*>(args.x), *y = static_cast<const R*>(args.weight);
    R *gh = static_cast<R*>(args.result0), *gy = static_cast<R*>(args.result1), *gc = static_cast<R*>(args.result2);
    const int64_t width = args.stalk * args.channels, bytes = args.nodes * width * int64_t(sizeof(R));
    const Buffer<R> factor(width);
    spread(static_cast<const R*>(args.maps), args, factor.get());
    advise_huge_pages(gh, bytes);
    advise_huge_pages(gy, bytes);
    const int64_t step = task_length(args.nodes, width, 512), tasks = (args.nodes + step - 1) / step;
    const int64_t stride = vector_count<R>(width) * kLanes<R>;
    Buffer<R> partial(tasks * stride);  // the sums of a task, so that threads change no bit
    partial.clear();
    parallel_for(tasks, args.nodes * width, args.threads, [&](int64_t task) {
        const int64_t begin = task * step, end = begin + step < args.nodes ? begin + step : args.nodes;
        R* sums = partial.get() + task * stride;
        for_stalks<R>(begin, end, width, [&](int64_t node, const auto& tile, int v) GK_INLINE_LAMBDA {
            const int64_t at = node * width;
            const Vec<R> grad = tile.load(g + at, v), flow = tile.load(y + at, v);
            const Vec<R> pull = flow > Vec<R>{} ? splat(R(1)) : exp<R>(flow);
            R* sum = sums + tile.lane(v);
            store(sum, load(sum) + grad * tile.load(h + at, v));
            tile.store(gh + at, v, tile.load(factor.get(), v) * grad);
            tile.store(gy + at, v, -(pull * grad));
        });
    });
    for (int64_t i = 0; i < args.stalk; ++i) {
        double total = 0;
        for (int64_t task = 0; task < tasks; ++task)
            for (int64_t c = 0; c < args.channels; ++c)
                total += partial[task * stride + lane_of_channel<R>(i * args.channels + c, width)];
        gc[i] = static_cast<R>(total);
    }
}

}  // namespace

int sheaf_ends(const SheafArgs& args) {
    return for_types(args, [&](auto real, auto index) {
        for_width(args.stalk, [&](auto known) { ends<decltype(real), decltype(index), known()>(args); });
    });
}
int sheaf_ends_backward(const SheafArgs& args) {
    return for_types(args, [&](auto real, auto index) {
        for_width(args.stalk, [&](auto known) { ends_backward<decltype(real), decltype(index), known()>(args); });
    });
}
int sheaf_scale_maps(const SheafArgs& args) {
    return for_types(args, [&](auto real, auto index) {
        for_width(args.stalk, [&](auto known) { scale_maps<decltype(real), decltype(index), known()>(args); });
    });
}
int sheaf_scale_maps_backward(const SheafArgs& args) {
    return for_types(args, [&](auto real, auto index) {
        for_width(args.stalk, [&](auto known) { scale_maps_backward<decltype(real), decltype(index), known()>(args); });
    });
}
int sheaf_householder(const SheafArgs& args) {
    return for_householder(args, [&](auto real, auto size) { householder<decltype(real), size()>(args); });
}
int sheaf_householder_backward(const SheafArgs& args) {
    return for_householder(args, [&](auto real, auto size) { householder_backward<decltype(real), size()>(args); });
}
int sheaf_update(const SheafArgs& args) {
    return for_real(args, [&](auto real) { update<decltype(real)>(args); });
}
int sheaf_update_backward(const SheafArgs& args) {
    return for_real(args, [&](auto real) { update_backward<decltype(real)>(args); });
}

}  // namespace GK_ISA
}  // namespace graphkit
