// Work split: tasks of a number of rows plus edges, and pieces of rows that are longer than the longest task.
//
// The split depends on the graph and the width alone, and partial results are joined in order, so a result has the same bits
// whatever the number of threads.  A kernel supplies a commutative monoid:
//     State<Tile>                                       what one row accumulates
//     accumulate(state, tile, row, begin, end, local)   edges begin:end of the row
//     combine(state, other, tile)                       join two parts of one row
//     finish(state, tile, row, begin, end, local)       write the row's results
// and optionally
//     wants(tile)                                       whether the tile is this kernel's business
//     finish_edges(begin, end, local)                   after the last tile of a row or piece
#pragma once

#include <cstdlib>
#include <new>
#include <type_traits>

#include <sys/mman.h>

#include "abi.h"
#include "tile.h"

namespace graphkit {
namespace GK_ISA {

constexpr int64_t kTask = 2048;             // most rows plus edges of a task, and edges of a piece
constexpr int64_t kSerialElements = 32768;  // below this a second thread costs more than it gives
constexpr int64_t kTaskElements = 16384;    // fewest numbers that are worth a task of their own
constexpr int64_t kHugePage = int64_t(1) << 21;

struct Index {
    const void* data;
    bool wide;
    GK_INLINE int64_t operator[](int64_t k) const {
        return wide ? static_cast<const int64_t*>(data)[k] : static_cast<const int32_t*>(data)[k];
    }
};

// Large fresh memory is cheaper to touch for the first time in huge pages.
inline void advise_huge_pages(void* data, int64_t bytes) {
#ifdef MADV_HUGEPAGE
    const uintptr_t begin = (reinterpret_cast<uintptr_t>(data) + kHugePage - 1) & ~uintptr_t(kHugePage - 1);
    const uintptr_t end = (reinterpret_cast<uintptr_t>(data) + bytes) & ~uintptr_t(kHugePage - 1);
    if (end > begin) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

// A plain array; standard containers would let the linker share code between instruction sets.
template <class T> class Buffer {
  public:
    explicit Buffer(int64_t size) : size_(size > 0 ? size : 0) {
        if (size <= 0) return;
        const int64_t bytes = (size * int64_t(sizeof(T)) + 63) / 64 * 64;
        data_ = static_cast<T*>(std::aligned_alloc(bytes >= 2 * kHugePage ? kHugePage : 64,
                                                   bytes >= 2 * kHugePage
                                                       ? (bytes + kHugePage - 1) / kHugePage * kHugePage
                                                       : bytes));
        if (data_ == nullptr) throw std::bad_alloc();
        if (bytes >= 2 * kHugePage) advise_huge_pages(data_, bytes);
    }
    ~Buffer() { std::free(data_); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    T* get() const { return data_; }
    T& operator[](int64_t i) const { return data_[i]; }

    void clear() const {
        if (size_ > 0) std::memset(data_, 0, size_ * sizeof(T));
    }

  private:
    T* data_ = nullptr;
    int64_t size_;
};

// body(i) for i in 0:count, in any order, on `threads` threads.
template <class Body> void parallel_for(int64_t count, int64_t elements, int64_t threads, const Body& body) {
    if (threads <= 1 || count <= 1 || elements < kSerialElements) {
        for (int64_t i = 0; i < count; ++i) body(i);
        return;
    }
    int64_t next = 0;
    const int team = static_cast<int>(threads < count ? threads : count);
#pragma omp parallel num_threads(team)
    for (int64_t i = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED); i < count;
         i = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED))
        body(i);
}

// Rows (plus edges) of a task, out of `count` with `channels` numbers each: a small graph with wide features is cut
// finer, or one thread would have most of it.  It depends on the shapes alone, so results do not depend on threads.
inline int64_t task_length(int64_t count, int64_t channels, int64_t most) {
    const int64_t worth = kTaskElements / (channels > 0 ? channels : 1) + 1, share = count / 64 + 1;
    const int64_t length = worth > share ? worth : share;
    return length < most ? length : most;
}

// body(begin, end) over ranges of rows of node-sized tables.
template <class Body>
void parallel_ranges(int64_t rows, int64_t channels, int64_t threads, const Body& body) {
    const int64_t step = task_length(rows, channels, 512);
    parallel_for((rows + step - 1) / step, rows * channels, threads, [&](int64_t i) {
        body(i * step, (i + 1) * step < rows ? (i + 1) * step : rows);
    });
}

// What a task or piece owns: per-channel sums (by lane) and one number per edge of the current row.
template <class R> struct Local {
    R* sums;
    R* edge_values;
    int64_t edge_base;  // edge_values[k - edge_base] belongs to edge k
};

// First row whose position ptr[row] + row is at least `position`.
GK_NOINLINE inline int64_t first_row(const Index& ptr, int64_t rows, int64_t position) {
    int64_t low = 0, high = rows;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (ptr[middle] + middle < position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// The optional parts of a kernel; the overload with `int` is preferred where it exists.
template <class Kernel, class Tile>
GK_INLINE auto wants(const Kernel& kernel, const Tile& tile, int) -> decltype(kernel.wants(tile)) {
    return kernel.wants(tile);
}
template <class Kernel, class Tile> GK_INLINE bool wants(const Kernel&, const Tile&, long) { return true; }

template <class Kernel, class Local>
GK_INLINE auto finish_edges(const Kernel& kernel, int64_t begin, int64_t end, const Local& local, int)
    -> decltype(kernel.finish_edges(begin, end, local)) {
    return kernel.finish_edges(begin, end, local);
}
template <class Kernel, class Local>
GK_INLINE void finish_edges(const Kernel&, int64_t, int64_t, const Local&, long) {}

// The tiles of a kernel: as wide as any, or what its `tile_vectors` says, and then pairs too.
template <class Kernel, class = void> struct TilesOf {
    static constexpr int most = kTileVectors;
    static constexpr bool pairs = false;
};
template <class Kernel> struct TilesOf<Kernel, std::enable_if_t<(Kernel::tile_vectors > 0)>> {
    static constexpr int most = Kernel::tile_vectors;
    static constexpr bool pairs = true;
};
template <class Kernel, class Body> GK_INLINE void for_each_tile_of(int64_t channels, const Body& body) {
    using Tiles = TilesOf<Kernel>;
    for_each_tile<typename Kernel::Real, Tiles::most, Tiles::pairs>(channels, body);
}

// One state per (piece, tile), stored as the widest tile's.
template <class Kernel> struct alignas(64) StateSlot {
    using R = typename Kernel::Real;
    unsigned char bytes[sizeof(typename Kernel::template State<Tile<R, TilesOf<Kernel>::most, false>>)];
};

// Runs the kernel over all rows.  `sums` (if not null) receives [channels] sums of what finish added to
// local.sums.
template <class Kernel>
void run_rows(const Kernel& kernel, const Args& args, typename Kernel::Real* sums) {
    using R = typename Kernel::Real;
    const Index ptr{args.ptr, args.wide_index != 0};
    const int64_t rows = args.rows, channels = args.channels, edges = args.edges;
    const int64_t length = task_length(rows + edges, channels, kTask);
    const int64_t tasks = (rows + edges + length - 1) / length;
    const int64_t spans = (rows + edges + kTask - 1) / kTask;
    const int64_t lanes = vector_count<R>(channels) * kLanes<R>;

    // A row of more than kTask edges covers the first position of some span of kTask.
    Buffer<int64_t> hubs(spans), piece_start(spans + 1);
    int64_t hub_count = 0, pieces = 0;
    for (int64_t span = 0; span < spans && edges > kTask; ++span) {
        const int64_t row = first_row(ptr, rows, span * kTask + 1) - 1;
        const int64_t degree = ptr[row + 1] - ptr[row];
        if (degree <= kTask || (hub_count > 0 && hubs[hub_count - 1] == row)) continue;
        hubs[hub_count] = row;
        piece_start[hub_count++] = pieces;
        pieces += (degree + kTask - 1) / kTask;
    }
    if (hub_count > 0) piece_start[hub_count] = pieces;

    const int64_t slots = tasks + pieces;
    Buffer<R> partial(sums != nullptr ? (slots + hub_count) * lanes : 0);
    partial.clear();
    const int64_t tile_count = vector_count<R>(channels);  // an upper bound
    Buffer<StateSlot<Kernel>> states(pieces * tile_count);

    const auto do_task = [&](int64_t task, R* edge_values) {
        Local<R> local{sums != nullptr ? partial.get() + task * lanes : nullptr, edge_values, 0};
        const int64_t end = first_row(ptr, rows, (task + 1) * length);
        for (int64_t row = first_row(ptr, rows, task * length); row < end; ++row) {
            const int64_t begin = ptr[row], stop = ptr[row + 1];
            if (stop - begin > kTask) continue;
            local.edge_base = begin;
            for_each_tile_of<Kernel>(channels, [&](const auto& tile) GK_INLINE_LAMBDA {
                if (!wants(kernel, tile, 0)) return;
                typename Kernel::template State<std::decay_t<decltype(tile)>> state;
                kernel.accumulate(state, tile, row, begin, stop, local);
                kernel.finish(state, tile, row, begin, stop, local);
            });
            finish_edges(kernel, begin, stop, local, 0);
        }
    };
    const auto do_piece = [&](int64_t piece, R* edge_values) {
        int64_t hub = 0;
        while (piece_start[hub + 1] <= piece) ++hub;
        const int64_t row = hubs[hub];
        const int64_t begin = ptr[row] + (piece - piece_start[hub]) * kTask;
        const int64_t stop = begin + kTask < ptr[row + 1] ? begin + kTask : ptr[row + 1];
        Local<R> local{sums != nullptr ? partial.get() + (tasks + piece) * lanes : nullptr, edge_values, begin};
        int64_t slot = piece * tile_count;
        for_each_tile_of<Kernel>(channels, [&](const auto& tile) {
            using State = typename Kernel::template State<std::decay_t<decltype(tile)>>;
            State* state = new (&states[slot++]) State;
            if (!wants(kernel, tile, 0)) return;
            kernel.accumulate(*state, tile, row, begin, stop, local);
        });
        finish_edges(kernel, begin, stop, local, 0);
    };
    parallel_for(slots, (rows + edges) * channels, args.threads, [&](int64_t i) {
        R edge_values[kTask];
        // Hub pieces first: they are the longest.
        if (i < pieces)
            do_piece(i, edge_values);
        else
            do_task(i - pieces, edge_values);
    });

    parallel_for(hub_count, pieces * channels, args.threads, [&](int64_t hub) {
        const int64_t row = hubs[hub];
        Local<R> local{sums != nullptr ? partial.get() + (slots + hub) * lanes : nullptr, nullptr, ptr[row]};
        int64_t tile_number = 0;
        for_each_tile_of<Kernel>(channels, [&](const auto& tile) {
            using State = typename Kernel::template State<std::decay_t<decltype(tile)>>;
            const int64_t number = tile_number++;
            const auto slot = [&](int64_t piece) -> State& {
                return *reinterpret_cast<State*>(&states[piece * tile_count + number]);
            };
            if (!wants(kernel, tile, 0)) return;
            State state = slot(piece_start[hub]);
            for (int64_t piece = piece_start[hub] + 1; piece < piece_start[hub + 1]; ++piece)
                kernel.combine(state, slot(piece), tile);
            kernel.finish(state, tile, row, ptr[row], ptr[row + 1], local);
        });
    });

    if (sums == nullptr) return;
    for (int64_t c = 0; c < channels; ++c) {
        const int64_t lane = lane_of_channel<R>(c, channels);
        double total = 0;
        for (int64_t slot = 0; slot < slots + hub_count; ++slot) total += partial[slot * lanes + lane];
        sums[c] = static_cast<R>(total);
    }
}

}  // namespace GK_ISA
}  // namespace graphkit
