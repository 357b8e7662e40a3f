// One hop of neighbour sampling, and the subgraph induced by a set of nodes.  See graphkit/native/sampling.py.
#include <memory>
#include <vector>

#include "sample.h"

namespace {

using graphkit::bounded;
using graphkit::fold;
using graphkit::for_ranges;

constexpr int64_t kRange = 128;  // nodes that one thread takes at a time
constexpr int64_t kScan = 32;    // up to here a scan of what was chosen beats a table

// Nodes have local numbers in the order in which a batch meets them; map[v] is that of v plus 1, or 0.
struct HopArgs {
    int64_t wide;  // 1: ptr, index, perm and map are int64, 0: int32
    int64_t threads;
    const void* ptr;
    const void* index;
    const void* perm;
    void* map;
    const int64_t* nodes;  // [count] rows to sample
    int64_t count;
    int64_t first;   // local number of nodes[0]
    int64_t fanout;  // edges per row, or -1 for all of them
    int64_t replace;
    uint64_t key;
    int64_t* offsets;  // [count + 1] position of each row's first edge
    int64_t* row;      // [total] local number of the other end
    int64_t* col;      // [total] local number of the node whose row it is
    int64_t* edge;     // [total] position of the edge in the user's order
    int64_t* found;    // nodes met for the first time, in this order
    int64_t local;     // in: nodes numbered so far (those of the other end's type); out: likewise, after this hop
};

template <class I> struct Hop {
    explicit Hop(HopArgs& args)
        : args(args), ptr(static_cast<const I*>(args.ptr)), index(static_cast<const I*>(args.index)),
          perm(static_cast<const I*>(args.perm)), map(static_cast<I*>(args.map)) {}

    HopArgs& args;
    const I* ptr;
    const I* index;
    const I* perm;
    I* map;

    int64_t begin(int64_t i) const { return ptr[args.nodes[i]]; }
    int64_t degree(int64_t i) const { return ptr[args.nodes[i] + 1] - ptr[args.nodes[i]]; }
    bool takes_all(int64_t degree) const {
        return args.fanout < 0 || degree == 0 || (args.replace == 0 && degree <= args.fanout);
    }

    void mark() const {
        for (int64_t i = 0; i < args.count; ++i) {
            I& number = map[args.nodes[i]];
            if (number == 0) number = static_cast<I>(args.first + i + 1);  // a node given twice keeps its first number
        }
    }
    void unmark() const {
        for (int64_t i = 0; i < args.count; ++i) map[args.nodes[i]] = 0;
    }

    void count() const {
        for_ranges(args.count, 1024, args.count, args.threads, [&](int64_t from, int64_t to) {
            for (int64_t i = from; i < to; ++i) {
                const int64_t n = degree(i);
                args.offsets[i] = takes_all(n) ? n : args.fanout;
            }
        });
        graphkit::counts_to_offsets(args.offsets, args.count);
    }

    // Writes the slots chosen for row i to slot[0:offsets[i + 1] - offsets[i]].
    void choose(int64_t i, int64_t* slot, std::vector<bool>& table) const {
        const int64_t n = degree(i), start = begin(i), k = args.fanout;
        if (takes_all(n)) {
            for (int64_t j = 0; j < n; ++j) slot[j] = start + j;
            return;
        }
        const uint64_t key = fold(args.key, static_cast<uint64_t>(args.first + i));
        if (args.replace != 0) {
            for (int64_t j = 0; j < k; ++j) slot[j] = start + bounded(fold(key, j), n);
            return;
        }
        // Floyd's sampling without replacement (Bentley and Floyd 1987): every k-subset is equally likely.
        // The three loops differ in how they remember what was chosen.
        if (n <= 64) {
            uint64_t chosen = 0;
            for (int64_t j = 0; j < k; ++j) {
                int64_t t = bounded(fold(key, j), n - k + j + 1);
                if ((chosen >> t) & 1) t = n - k + j;
                chosen |= uint64_t(1) << t;
                slot[j] = start + t;
            }
        } else if (k <= kScan) {
            for (int64_t j = 0; j < k; ++j) {
                int64_t t = start + bounded(fold(key, j), n - k + j + 1);
                bool taken = false;
                for (int64_t h = 0; h < j; ++h) taken |= slot[h] == t;
                slot[j] = taken ? start + n - k + j : t;
            }
        } else {
            if (static_cast<int64_t>(table.size()) < n) table.resize(n, false);
            for (int64_t j = 0; j < k; ++j) {
                int64_t t = bounded(fold(key, j), n - k + j + 1);
                if (table[t]) t = n - k + j;
                table[t] = true;
                slot[j] = start + t;
            }
            for (int64_t j = 0; j < k; ++j) table[slot[j] - start] = false;
        }
    }

    void fill() const {
        for_ranges(args.count, kRange, args.offsets[args.count], args.threads, [&](int64_t from, int64_t to) {
            std::vector<bool> table;
            for (int64_t i = from; i < to; ++i) {
                choose(i, args.edge + args.offsets[i], table);
                for (int64_t e = args.offsets[i]; e < args.offsets[i + 1]; ++e) args.col[e] = args.first + i;
            }
            // Apart from the choice, so that many of these reads are under way at once.
            for (int64_t e = args.offsets[from]; e < args.offsets[to]; ++e) {
                args.row[e] = index[args.edge[e]];
                args.edge[e] = perm[args.edge[e]];
            }
        });
        // Numbers follow the order of the edges, so this part is serial.
        int64_t next = args.local;
        int64_t* found = args.found;
        for (int64_t e = 0, total = args.offsets[args.count]; e < total; ++e) {
            const int64_t v = args.row[e];
            int64_t number = map[v];
            if (number == 0) {
                map[v] = static_cast<I>(number = ++next);
                *found++ = v;
            }
            args.row[e] = number - 1;
        }
        args.local = next;
    }

    // All edges between marked nodes, by row.
    void induced_count() const {
        for_ranges(args.count, kRange, 16 * args.count, args.threads, [&](int64_t from, int64_t to) {
            for (int64_t i = from; i < to; ++i) {
                int64_t inside = 0;
                for (int64_t k = begin(i), end = k + degree(i); k < end; ++k) inside += map[index[k]] != 0;
                args.offsets[i] = inside;
            }
        });
        graphkit::counts_to_offsets(args.offsets, args.count);
    }
    void induced_fill() const {
        for_ranges(args.count, kRange, 16 * args.count, args.threads, [&](int64_t from, int64_t to) {
            for (int64_t i = from; i < to; ++i) {
                int64_t e = args.offsets[i];
                for (int64_t k = begin(i), end = k + degree(i); k < end; ++k) {
                    const int64_t number = map[index[k]];
                    if (number == 0) continue;
                    args.row[e] = number - 1;
                    args.col[e] = args.first + i;
                    args.edge[e++] = perm[k];
                }
            }
        });
    }

    void run(int64_t step) const {
        switch (step) {
        case 0: return mark();
        case 1: return unmark();
        case 2: return count();
        case 3: return fill();
        case 4: return induced_count();
        case 5: return induced_fill();
        }
    }
};

}  // namespace

// Returns 1 if memory ran out.
extern "C" __attribute__((visibility("default"))) int graphkit_sample_hop(int64_t step, HopArgs* args) {
    try {
        if (args->wide != 0)
            Hop<int64_t>(*args).run(step);
        else
            Hop<int32_t>(*args).run(step);
    } catch (const std::bad_alloc&) {
        return 1;
    }
    return 0;
}
