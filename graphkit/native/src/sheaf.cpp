// The sheaf Laplacian and its degree: per node, one pass over its edges, maps and stalk rows in registers.
//
//     out_u = sum_v w F_u^T (F_u x_u - F_v x_v)                  (self-adjoint)
//
// Diagonal maps of more than kMaxStalk rows are taken in pieces, which do not interact.  The gradients are in
// sheaf_maps.cpp.
#include "sheaf_apply.h"

namespace graphkit {
namespace GK_ISA {

namespace {

// D_u = sum w F_u^T F_u, rows in ranges: the arithmetic is a fraction of reading the maps.
template <class R, int D, bool kDiagonal>
void degree(const SheafArgs& args, const Edges<R, D, kDiagonal>& edges, int64_t offset) {
    constexpr int entries = kDiagonal ? D : D * D;
    const Index ptr{args.ptr, args.wide_index != 0};
    R* out = static_cast<R*>(args.result0) + offset;
    parallel_ranges(args.nodes, work_per_row<entries>(args), args.threads, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) {
            R sum[entries] = {};
            for (int64_t k = ptr[row]; k < ptr[row + 1]; ++k) {
                if (k + kMapPrefetch < edges.count) edges.prefetch_maps(k + kMapPrefetch);
                if (!edges.counts(k)) continue;
                const R* map = edges.own(k);
                const R w = edges.weight_of(k);
                if constexpr (kDiagonal) {
                    GK_UNROLL for (int i = 0; i < D; ++i) sum[i] += w * map[i] * map[i];
                } else {
                    GK_UNROLL for (int l = 0; l < D; ++l)
                        GK_UNROLL for (int i = 0; i < D; ++i)
                            GK_UNROLL for (int j = 0; j < D; ++j) sum[i * D + j] += w * map[l * D + i] * map[l * D + j];
                }
            }
            GK_UNROLL for (int i = 0; i < entries; ++i) out[row * edges.map_stride + i] = sum[i];
        }
    });
}

// result = F G for one block each (F G + F G^T if symmetric); returns <F, F G>.
template <class R, int D, bool kDiagonal>
GK_INLINE R times_block(const R* map, const R* block, bool symmetric, R* result) {
    R inner = 0;
    if constexpr (kDiagonal) {
        GK_UNROLL for (int i = 0; i < D; ++i) {
            const R value = map[i] * block[i];
            inner += map[i] * value;
            result[i] = symmetric ? value + value : value;
        }
    } else {
        GK_UNROLL for (int i = 0; i < D; ++i)
            GK_UNROLL for (int j = 0; j < D; ++j) {
                R value = 0, other = 0;
                GK_UNROLL for (int l = 0; l < D; ++l) {
                    value += map[i * D + l] * block[l * D + j];
                    other += map[i * D + l] * block[j * D + l];
                }
                inner += map[i * D + j] * value;
                result[i * D + j] = symmetric ? value + other : value;
            }
    }
    return inner;
}

template <class R, int D, bool kDiagonal>
void degree_backward(const SheafArgs& args, const Edges<R, D, kDiagonal>& edges, int64_t offset) {
    constexpr int entries = kDiagonal ? D : D * D;
    const Index ptr{args.ptr, args.wide_index != 0};
    const R* grad = static_cast<const R*>(args.grad) + offset;
    R* gmaps = static_cast<R*>(args.result0) + offset;
    R* gweight = static_cast<R*>(args.result1);
    parallel_ranges(args.nodes, work_per_row<entries>(args), args.threads, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row)
            for (int64_t k = ptr[row]; k < ptr[row + 1]; ++k) {
                if (k + kMapPrefetch < edges.count) edges.prefetch_maps(k + kMapPrefetch);
                const int64_t edge = edges.perm[k];
                R product[entries] = {}, unused[entries];
                const bool counts = edges.counts(k);
                R inner = 0;
                if (counts) {
                    const R* block = grad + row * edges.map_stride;
                    inner = times_block<R, D, kDiagonal>(edges.own(k), block, true, product);
                    if (gweight != nullptr)
                        inner += times_block<R, D, kDiagonal>(
                            edges.other(k), grad + edges.index[k] * edges.map_stride, false, unused);
                }
                const R w = counts ? edges.weight_of(k) : R(0);
                GK_UNROLL for (int i = 0; i < entries; ++i) gmaps[edge * edges.map_stride + i] = w * product[i];
                if (gweight != nullptr) gweight[edge] = (offset == 0 ? R(0) : gweight[edge]) + inner / 2;
            }
    });
}

int run_laplacian(const SheafArgs& args) {
    for_stalk(args, [&](auto real, auto stalk, auto diagonal, int64_t offset) {
        using R = decltype(real);
        const Edges<R, stalk(), diagonal()> edges(args, offset);
        const int64_t first = offset * args.channels;
        advise_huge_pages(args.result0, args.nodes * edges.node_stride * int64_t(sizeof(R)));
        run_rows(Apply<R, stalk(), diagonal()>{edges, static_cast<const R*>(args.x) + first,
                                               static_cast<R*>(args.result0) + first},
                 row_args(args), static_cast<R*>(nullptr));
    });
    return Status::ok;
}

int run_degree(const SheafArgs& args) {
    for_stalk(args, [&](auto real, auto stalk, auto diagonal, int64_t offset) {
        degree(args, Edges<decltype(real), stalk(), diagonal()>(args, offset), offset);
    });
    return Status::ok;
}

int run_degree_backward(const SheafArgs& args) {
    for_stalk(args, [&](auto real, auto stalk, auto diagonal, int64_t offset) {
        degree_backward(args, Edges<decltype(real), stalk(), diagonal()>(args, offset), offset);
    });
    return Status::ok;
}

}  // namespace

int sheaf_laplacian_backward(const SheafArgs&);
int block_apply(const SheafArgs&);
int block_outer(const SheafArgs&);
int inverse_sqrt(const SheafArgs&);
int inverse_sqrt_backward(const SheafArgs&);

int sheaf_ends(const SheafArgs&);
int sheaf_ends_backward(const SheafArgs&);
int sheaf_scale_maps(const SheafArgs&);
int sheaf_scale_maps_backward(const SheafArgs&);
int sheaf_householder(const SheafArgs&);
int sheaf_householder_backward(const SheafArgs&);
int sheaf_update(const SheafArgs&);
int sheaf_update_backward(const SheafArgs&);
int sheaf_mix(const SheafArgs&);
int sheaf_mix_backward(const SheafArgs&);

extern const SheafKernel sheaf_kernels[];
const SheafKernel sheaf_kernels[static_cast<int>(SheafOp::count)] = {
    run_laplacian, sheaf_laplacian_backward, run_degree, run_degree_backward,
    block_apply,   block_outer,            inverse_sqrt, inverse_sqrt_backward,
    sheaf_ends,        sheaf_ends_backward,        sheaf_scale_maps, sheaf_scale_maps_backward,
    sheaf_householder, sheaf_householder_backward, sheaf_update,     sheaf_update_backward,
    sheaf_mix,         sheaf_mix_backward,
};

}  // namespace GK_ISA
}  // namespace graphkit
