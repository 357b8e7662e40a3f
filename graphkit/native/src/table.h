// Node-sized tables: a row holds one or more quantities of a node side by side, so that an edge touches one
// place in memory instead of one per quantity.
#pragma once

#include "schedule.h"
#include "vmath.h"

namespace graphkit {
namespace GK_ISA {

// table [rows, columns * channels]: fill(tile, row, store) calls store(column, v, value) for every column and
// every vector v of the tile.
template <class R, class Fill>
void fill_table(int64_t rows, int64_t channels, int64_t columns, int64_t threads, R* table, const Fill& fill) {
    parallel_ranges(rows, channels * columns, threads, [&](int64_t begin, int64_t end) {
        for_each_tile<R>(channels, [&](const auto& tile) {
            for (int64_t row = begin; row < end; ++row) {
                R* to = table + row * columns * channels;
                fill(tile, row, [&](int64_t column, int v, Vec<R> value) GK_INLINE_LAMBDA {
                    tile.store(to + column * channels, v, value);
                });
            }
        });
    });
}

// Per channel, the largest finite value(tile, row, v) over all rows; 0 where there is none.
template <class R, class Value>
void column_maximum(int64_t rows, int64_t channels, int64_t threads, R* result, const Value& value) {
    const int64_t step = task_length(rows, channels, 512);
    const int64_t ranges = (rows + step - 1) / step;
    const int64_t lanes = vector_count<R>(channels) * kLanes<R>;
    const Buffer<R> partial(ranges * lanes);
    parallel_for(ranges, rows * channels, threads, [&](int64_t range) {
        const int64_t end = (range + 1) * step < rows ? (range + 1) * step : rows;
        for_each_tile<R>(channels, [&](const auto& tile) {
            constexpr int vectors = std::decay_t<decltype(tile)>::vectors;
            Vec<R> top[vectors];
            GK_UNROLL for (int v = 0; v < vectors; ++v) top[v] = splat(-R(__builtin_inf()));
            for (int64_t row = range * step; row < end; ++row)
                GK_UNROLL for (int v = 0; v < vectors; ++v) {
                    const Vec<R> x = value(tile, row, v);
                    top[v] = (x > top[v]) & (x <= Constants<R>::largest) ? x : top[v];
                }
            GK_UNROLL for (int v = 0; v < vectors; ++v)
                store(partial.get() + range * lanes + tile.lane(v), top[v]);
        });
    });
    for (int64_t c = 0; c < channels; ++c) {
        const int64_t lane = lane_of_channel<R>(c, channels);
        R top = -R(__builtin_inf());
        for (int64_t range = 0; range < ranges; ++range)
            if (partial[range * lanes + lane] > top) top = partial[range * lanes + lane];
        result[c] = top >= -Constants<R>::largest ? top : R(0);
    }
}

// Whether the rows are better treated once per node: there is a table to fill, so not for a few edges.
inline bool per_node(const Args& args, int64_t sources) {
    if (args.edge_width != 0 || static_cast<Path>(args.path) == Path::edge) return false;
    return static_cast<Path>(args.path) == Path::node || args.edges >= sources / 2;
}

}  // namespace GK_ISA
}  // namespace graphkit
