// Random partitions into induced subgraphs, and random walks.  See graphkit/native/sampling.py.
#include <cstring>

#include "sample.h"

namespace {

using graphkit::bounded;
using graphkit::fold;
using graphkit::for_ranges;

// Edges are cut into chunks; each lists its edges that stay inside a part, and counts them by part.
struct PartitionArgs {
    int64_t threads;
    int64_t num_nodes, num_edges, parts, chunks;
    const int64_t* source;  // [num_edges]
    const int64_t* target;  // [num_edges]
    uint64_t key;
    int32_t* part;        // [num_nodes]
    int64_t* local;       // [num_nodes] number of the node inside its part
    int64_t* node_ptr;    // [parts + 1]
    int64_t* nodes;       // [num_nodes] by part
    int64_t* kept;        // [num_edges] each chunk fills from its own begin
    int64_t* kept_count;  // [chunks]
    int64_t* counts;      // [chunks, parts] how many; then where the chunk writes its edges of the part
    int64_t* edge_ptr;    // [parts + 1]
    int64_t* row;         // [edge_ptr[parts]] local numbers, by part, in the user's order
    int64_t* col;
    int64_t* edge;
    int64_t bad;  // out: position of an edge with an end out of range, or -1
};

void partition_nodes(PartitionArgs& args) {
    for_ranges(args.num_nodes, 4096, args.num_nodes, args.threads, [&](int64_t from, int64_t to) {
        for (int64_t v = from; v < to; ++v) args.part[v] = static_cast<int32_t>(bounded(fold(args.key, v), args.parts));
    });
    std::memset(args.node_ptr, 0, (args.parts + 1) * sizeof(int64_t));
    for (int64_t v = 0; v < args.num_nodes; ++v) args.local[v] = args.node_ptr[args.part[v]]++;
    graphkit::counts_to_offsets(args.node_ptr, args.parts);
    for (int64_t v = 0; v < args.num_nodes; ++v) args.nodes[args.node_ptr[args.part[v]] + args.local[v]] = v;
}

void count_edges(PartitionArgs& args) {
    const int64_t step = (args.num_edges + args.chunks - 1) / args.chunks;
    const uint64_t limit = args.num_nodes;
    args.bad = -1;
    std::memset(args.counts, 0, args.chunks * args.parts * sizeof(int64_t));
    for_ranges(args.num_edges, step, args.num_edges, args.threads, [&](int64_t from, int64_t to) {
        int64_t* const counts = args.counts + from / step * args.parts;
        int64_t* const kept = args.kept + from;
        int64_t n = 0;
        for (int64_t e = from; e < to; ++e) {
            const uint64_t u = args.source[e], v = args.target[e];
            if (u >= limit || v >= limit) {
                __atomic_store_n(&args.bad, e, __ATOMIC_RELAXED);
                return;
            }
            kept[n] = e;
            n += args.part[u] == args.part[v];  // no branch: which edges stay is random
        }
        for (int64_t k = 0; k < n; ++k) ++counts[args.part[args.source[kept[k]]]];
        args.kept_count[from / step] = n;
    });
    int64_t total = 0;
    for (int64_t part = 0; part < args.parts; ++part) {
        args.edge_ptr[part] = total;
        for (int64_t chunk = 0; chunk < args.chunks; ++chunk) {
            int64_t& entry = args.counts[chunk * args.parts + part];
            const int64_t count = entry;
            entry = total;
            total += count;
        }
    }
    args.edge_ptr[args.parts] = total;
}

void fill_edges(PartitionArgs& args) {
    const int64_t step = (args.num_edges + args.chunks - 1) / args.chunks;
    for_ranges(args.num_edges, step, args.num_edges, args.threads, [&](int64_t from, int64_t) {
        const int64_t chunk = from / step;
        int64_t* const slots = args.counts + chunk * args.parts;
        for (int64_t k = 0; k < args.kept_count[chunk]; ++k) {
            const int64_t e = args.kept[from + k], u = args.source[e], v = args.target[e];
            const int64_t slot = slots[args.part[u]]++;
            args.row[slot] = args.local[u];
            args.col[slot] = args.local[v];
            args.edge[slot] = e;
        }
    });
}

struct WalkArgs {
    int64_t wide;  // 1: ptr and index are int64, 0: int32
    int64_t threads;
    const void* ptr;
    const void* index;
    const int64_t* start;  // [count]
    int64_t count, length;
    uint64_t key;
    int64_t* walk;  // [count, length + 1]; -1 after a node without a way out
};

template <class I> void walk(const WalkArgs& args) {
    const I* const ptr = static_cast<const I*>(args.ptr);
    const I* const index = static_cast<const I*>(args.index);
    const int64_t width = args.length + 1;
    // Walks of a range take each step together, so that their reads are under way at once.
    for_ranges(args.count, 64, args.count * args.length, args.threads, [&](int64_t from, int64_t to) {
        int64_t here[64];
        uint64_t key[64];
        for (int64_t w = from; w < to; ++w) {
            here[w - from] = args.walk[w * width] = args.start[w];
            key[w - from] = fold(args.key, w);
        }
        for (int64_t step = 0; step < args.length; ++step)
            for (int64_t w = from; w < to; ++w) {
                int64_t& v = here[w - from];
                if (v >= 0) {
                    const int64_t begin = ptr[v], degree = ptr[v + 1] - begin;
                    v = degree == 0 ? -1 : index[begin + bounded(fold(key[w - from], step), degree)];
                }
                args.walk[w * width + step + 1] = v;
            }
    });
}

}  // namespace

// Step 0 draws the parts and counts, step 1 writes the edges.
extern "C" __attribute__((visibility("default"))) void graphkit_partition(int64_t step, PartitionArgs* args) {
    if (step == 0) {
        partition_nodes(*args);
        count_edges(*args);
    } else {
        fill_edges(*args);
    }
}

extern "C" __attribute__((visibility("default"))) void graphkit_random_walk(const WalkArgs* args) {
    if (args->wide != 0)
        walk<int64_t>(*args);
    else
        walk<int32_t>(*args);
}
