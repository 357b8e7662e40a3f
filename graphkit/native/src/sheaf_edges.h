// What the sheaf kernels share: the edges of a node with their two maps, and the choice of template by stalk size.
#pragma once

#include "schedule.h"
#include "sheaf.h"
#include "small.h"

namespace graphkit {
namespace GK_ISA {

constexpr int kMaxStalk = 5;
constexpr int64_t kMapPrefetch = 6;
// Stalks in a table that the second cache holds are fetched into the first, a few edges ahead; those of larger tables
// into the second, which waits for more of them at a time, and further ahead.  Where tables and maps are more than the
// processor knows page addresses of, a fetch waits for its address, and holds up what comes behind it: then those of
// kBatch edges go one after the other, so that it is the next fetch that comes behind, and not the arithmetic (at
// 20 channels, 50,000 nodes, a million edges and d = 5 the forward takes 26 % less, the backward 15 %).
enum class Fetch { near, far, batched };
constexpr int64_t kNear = 6, kFar = 32, kBatch = 32, kNearTable = 2 << 20, kKnownPages = 16 << 20;
#if defined(__AVX512F__)
constexpr int kSheafRegisters = 20;  // vectors of a tile's sums; the others hold what is added
#else
constexpr int kSheafRegisters = 8;
#endif

template <class R, int D, bool kDiagonal> struct Edges {
    Index index, perm, pair;
    const R* maps;
    const R* weight;
    int64_t count, channels, node_stride, map_stride;
    Fetch fetch;

    // `offset`: first stalk row of this piece (diagonal maps).
    Edges(const SheafArgs& args, int64_t offset)
        : index{args.index, args.wide_index != 0},
          perm{args.perm, args.wide_index != 0},
          pair{args.pair, args.wide_index != 0},
          maps(static_cast<const R*>(args.maps) + offset),
          weight(static_cast<const R*>(args.weight)),
          count(args.edges),
          channels(args.channels),
          node_stride(args.stalk * args.channels),
          map_stride(kDiagonal ? args.stalk : D * D),
          fetch(how(args.nodes * node_stride * int64_t(sizeof(R)), args.edges * map_stride * int64_t(sizeof(R)))) {}

    static Fetch how(int64_t table, int64_t maps) {
        return table <= kNearTable ? Fetch::near : table + maps <= kKnownPages ? Fetch::far : Fetch::batched;
    }

    // Whether slot k is an edge: it has a reverse and is no self loop, whose coboundary is zero.
    GK_INLINE bool counts(int64_t k) const {
        const int64_t reverse = pair[k];
        return reverse >= 0 && reverse != perm[k];
    }
    GK_INLINE const R* own(int64_t k) const { return maps + perm[k] * map_stride; }
    GK_INLINE const R* other(int64_t k) const { return maps + pair[k] * map_stride; }
    GK_INLINE R weight_of(int64_t k) const {
        return weight == nullptr ? R(1) : (weight[perm[k]] + weight[pair[k]]) / 2;
    }

    template <int hint = 3> GK_INLINE static void prefetch_numbers(const R* from, int64_t count) {
        const char* at = reinterpret_cast<const char*>(from);
        const int64_t bytes = count * int64_t(sizeof(R));
        for (int64_t line = 0; line < bytes; line += 64) __builtin_prefetch(at + line, 0, hint);
        __builtin_prefetch(at + bytes - 1, 0, hint);
    }
    // Both maps of edge k > 0; the own ones of edges in the user's order are read one after the other anyway.
    template <int hint = 3> GK_INLINE void prefetch_maps(int64_t k) const {
        const int64_t own = perm[k], reverse = pair[k] < 0 ? 0 : int64_t(pair[k]);
        if (own != perm[k - 1] + 1) prefetch_numbers<hint>(maps + own * map_stride, kDiagonal ? D : D * D);
        prefetch_numbers<hint>(maps + reverse * map_stride, kDiagonal ? D : D * D);
        if (weight != nullptr) __builtin_prefetch(weight + reverse, 0, hint);
    }

    // Of edge k, where there is one: both maps, and its other node's stalk in one table or two (or null).
    template <int hint> GK_INLINE void prefetch_edge(int64_t k, const R* first, const R* second) const {
        if (k >= count) return;
        const int64_t at = index[k] * node_stride;
        prefetch_numbers<hint>(first + at, D * channels);
        if (second != nullptr) prefetch_numbers<hint>(second + at, D * channels);
        prefetch_maps<hint>(k);
    }
    GK_NOINLINE void prefetch_batch(int64_t begin, const R* first, const R* second) const {
        asm volatile("");  // a function that does nothing but fetch is one that does nothing, to the compiler
        for (int64_t k = begin; k < begin + kBatch; ++k) prefetch_edge<2>(k, first, second);
    }
    // At edge k, what edges to come read.
    GK_INLINE void prefetch(int64_t k, const R* first, const R* second) const {
        switch (fetch) {
            case Fetch::near: return prefetch_edge<3>(k + kNear, first, second);
            case Fetch::far: return prefetch_edge<2>(k + kFar, first, second);
            case Fetch::batched:
                if (k % kBatch == 0) prefetch_batch(k + kBatch, first, second);
        }
    }
};

// What a row's whole vectors leave, where that is at most four channels, as a vector of four: it ends where the row
// does and may overlap what comes before, like a tile's last vector, but costs half as much or less.
template <class R> struct Tail {
    static constexpr bool exists = kLanes<R> > 4;
    using Value = typename SmallOf<R, 4>::type;
    using Numbers = typename SmallOf<R, 4>::order;
    using Number = std::conditional_t<sizeof(R) == 4, int32_t, int64_t>;
    int64_t channels;

    int64_t left() const { return channels % kLanes<R>; }
    bool pays() const { return channels > kLanes<R> && left() > 0 && left() <= 4; }
    GK_INLINE Value load(const R* row, int) const {
        Value value;
        std::memcpy(&value, row + channels - 4, sizeof(value));
        return value;
    }
    // value, with zeros in the lanes that the vector before has covered already.
    GK_INLINE Value fresh(int, const Value& value) const {
        return Numbers{0, 1, 2, 3} < Numbers{} + static_cast<Number>(4 - left()) ? Value{} : value;
    }
    // With zeros behind it.
    static GK_INLINE Vec<R> widen(const Value& value) {
#if defined(__AVX512F__)
        if constexpr (sizeof(R) == 4) return bit_cast<Vec<R>>(_mm512_zextps128_ps512(bit_cast<__m128>(value)));
        else return bit_cast<Vec<R>>(_mm512_zextpd256_pd512(bit_cast<__m256d>(value)));
#elif defined(__AVX2__)
        if constexpr (sizeof(R) == 4) return bit_cast<Vec<R>>(_mm256_zextps128_ps256(bit_cast<__m128>(value)));
#endif
        Vec<R> wide = {};
        std::memcpy(&wide, &value, exists ? sizeof(value) : 0);
        return wide;
    }
};

// The part of the general argument block that run_rows reads.
inline Args row_args(const SheafArgs& args) {
    Args rows{};
    rows.wide_index = args.wide_index;
    rows.threads = args.threads;
    rows.rows = rows.nodes = args.nodes;
    rows.edges = args.edges;
    rows.channels = args.channels;
    rows.ptr = args.ptr;
    return rows;
}

// The row of a slot: the last whose first slot is not behind it.
inline int64_t row_of_slot(const Index& ptr, int64_t rows, int64_t slot) {
    int64_t low = 0, high = rows;
    while (low + 1 < high) {
        const int64_t middle = (low + high) / 2;
        if (ptr[middle] <= slot) low = middle; else high = middle;
    }
    return low;
}

template <int entries> int64_t work_per_row(const SheafArgs& args) {
    return entries * (1 + args.edges / (args.nodes > 0 ? args.nodes : 1));
}

template <int n> using Size = std::integral_constant<int, n>;

template <class R, bool kDiagonal, class Body>
void for_size(int64_t size, int64_t offset, const Body& body) {
    const std::integral_constant<bool, kDiagonal> diagonal;
    switch (size) {
        case 1: return body(R(0), Size<1>{}, diagonal, offset);
        case 2: return body(R(0), Size<2>{}, diagonal, offset);
        case 3: return body(R(0), Size<3>{}, diagonal, offset);
        case 4: return body(R(0), Size<4>{}, diagonal, offset);
        default: return body(R(0), Size<kMaxStalk>{}, diagonal, offset);
    }
}

// body(real, size, diagonal, offset) with compile-time size and kind; for diagonal maps once per piece of the stalk.
template <class R, class Body> void for_kind_of_maps(const SheafArgs& args, const Body& body) {
    if (args.diagonal == 0) return for_size<R, false>(args.stalk, 0, body);
    for (int64_t offset = 0; offset < args.stalk; offset += kMaxStalk)
        for_size<R, true>(args.stalk - offset, offset, body);
}

template <class Body> void for_stalk(const SheafArgs& args, const Body& body) {
    if (args.wide_float != 0) return for_kind_of_maps<double>(args, body);
    for_kind_of_maps<float>(args, body);
}

}  // namespace GK_ISA
}  // namespace graphkit
