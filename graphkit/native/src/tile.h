// A feature row cut into tiles of 4 vectors or 1 that a kernel holds in registers.
//
// When the channels are no multiple of the lanes, the last vector starts early and overlaps the one before it:
// both compute the same values, so no masks are needed.  Only rows shorter than one vector load part of one.
#pragma once

#include <type_traits>

#include "simd.h"

namespace graphkit {
namespace GK_ISA {

// Processors with nothing better than SSE2 get small code instead of fast code.
#if defined(__x86_64__) && !defined(__AVX2__)
constexpr int kTileVectors = 1;
#else
constexpr int kTileVectors = 4;
#endif

template <class R, int V, bool Narrow> struct Tile {
    using Real = R;
    using LaneNumber = std::conditional_t<sizeof(R) == 4, int32_t, int64_t>;
    static constexpr int vectors = V;
    int64_t vector;   // number of the tile's first vector within the row
    int64_t channel;  // its first channel
    int64_t last;     // first channel of the tile's last vector
    int width;        // channels of the row (Narrow)

    GK_INLINE int64_t at(int v) const { return v + 1 < V ? channel + v * kLanes<R> : last; }

    template <class T> GK_INLINE Vec<R> load(const T* row, int v) const {
        if constexpr (Narrow) return load_some(row, width);
        return GK_ISA::load(row + at(v));
    }
    template <class T> GK_INLINE void store(T* row, int v, Vec<R> value) const {
        if constexpr (Narrow)
            store_some(row, value, width);
        else
            GK_ISA::store(row + at(v), value);
    }
    static GK_INLINE IntVec<R> lane_numbers() {
        IntVec<R> numbers = {};
        for (int i = 0; i < kLanes<R>; ++i) numbers[i] = i;
        return numbers;
    }
    // Per-channel sums are kept by lane, not by channel, because channels overlap.
    GK_INLINE int64_t lane(int v) const { return (vector + v) * kLanes<R>; }

    // value, with zeros in the lanes that the vector before has covered already.
    GK_INLINE Vec<R> fresh(int v, Vec<R> value) const {
        if (Narrow || v + 1 < V) return value;
        const LaneNumber covered = static_cast<LaneNumber>(channel + v * kLanes<R> - last);
        return lane_numbers() < IntVec<R>{} + covered ? Vec<R>{} : value;
    }
    // The lanes that hold channels.
    GK_INLINE IntVec<R> valid() const {
        if constexpr (!Narrow) return IntVec<R>{} - 1;
        return lane_numbers() < IntVec<R>{} + static_cast<LaneNumber>(width);
    }
    GK_INLINE bool first_of_row() const { return vector == 0; }
};

template <class R> GK_INLINE int64_t vector_count(int64_t channels) {
    return (channels + kLanes<R> - 1) / kLanes<R>;
}

// Where channel c of a row is in an array kept by lane.
template <class R> GK_INLINE int64_t lane_of_channel(int64_t c, int64_t channels) {
    const int64_t vector = c / kLanes<R>;
    const bool overlaps = channels > kLanes<R> && (vector + 1) * kLanes<R> > channels;
    return overlaps ? vector * kLanes<R> + c - (channels - kLanes<R>) : c;
}

// `most`: vectors of the widest tile; `pairs`: what that leaves goes by two where it can.
template <class R, int most = kTileVectors, bool pairs = false, class Body>
GK_INLINE void for_each_tile(int64_t channels, const Body& body) {
    constexpr int64_t lanes = kLanes<R>;
    if (channels < lanes) {
        body(Tile<R, 1, true>{0, 0, 0, static_cast<int>(channels)});
        return;
    }
    const int64_t count = vector_count<R>(channels);
    int64_t vector = 0;
    const auto last = [&](int64_t vectors) {
        const int64_t start = (vector + vectors - 1) * lanes;
        return start + lanes <= channels ? start : channels - lanes;
    };
    if constexpr (most > 1)
        for (; vector + most <= count; vector += most)
            body(Tile<R, most, false>{vector, vector * lanes, last(most), 0});
    if constexpr (pairs && most > 2)
        for (; vector + 2 <= count; vector += 2) body(Tile<R, 2, false>{vector, vector * lanes, last(2), 0});
    for (; vector < count; ++vector) body(Tile<R, 1, false>{vector, vector * lanes, last(1), 0});
}

}  // namespace GK_ISA
}  // namespace graphkit
