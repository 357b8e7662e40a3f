// Small matrices or rows, one per lane: entry e of item first + lane in entries[e][lane].
#pragma once

#include "schedule.h"

namespace graphkit {
namespace GK_ISA {

template <class R, int entries> struct Lanes {
    int64_t first;
    int count;
    GK_INLINE void load(const R* from, Vec<R> (&to)[entries]) const {
        for (int lane = 0; lane < kLanes<R>; ++lane)
            for (int e = 0; e < entries; ++e) to[e][lane] = lane < count ? from[(first + lane) * entries + e] : R(0);
    }
    GK_INLINE void store(R* to, const Vec<R> (&from)[entries]) const {
        for (int lane = 0; lane < count; ++lane)
            for (int e = 0; e < entries; ++e) to[(first + lane) * entries + e] = from[e][lane];
    }
};

// body(first, count) for as many of `items` as there are lanes, and in the end for fewer.
template <class R, class Body> void for_lanes(int64_t items, int64_t work, int64_t threads, const Body& body) {
    constexpr int64_t lanes = kLanes<R>;
    parallel_ranges((items + lanes - 1) / lanes, work * lanes, threads, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            const int64_t left = items - i * lanes;
            body(i * lanes, static_cast<int>(left < lanes ? left : lanes));
        }
    });
}

}  // namespace GK_ISA
}  // namespace graphkit
