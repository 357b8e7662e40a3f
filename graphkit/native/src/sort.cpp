// Stable counting sort of edges by one end, checking both ends on the way.
#include <cstdlib>
#include <cstring>

#include "abi.h"

namespace {

struct SortArgs {
    int64_t edges, num_keys, num_others;
    const int64_t* key;
    const int64_t* other;
    void* ptr;    // [num_keys + 1]
    void* index;  // [edges]
    void* perm;   // [edges]
    int64_t wide;
    // Results: 0 fine, 1 a key, 2 the other end out of range, with the first position and the value there.
    int64_t bad;
    int64_t position;
    int64_t value;
};

template <class I> void sort_edges(SortArgs& args) {
    I* const ptr = static_cast<I*>(args.ptr);
    I* const index = static_cast<I*>(args.index);
    I* const perm = static_cast<I*>(args.perm);
    std::memset(ptr, 0, (args.num_keys + 1) * sizeof(I));

    const uint64_t num_keys = args.num_keys, num_others = args.num_others;
    bool sorted = true;
    uint64_t previous = 0;
    for (int64_t e = 0; e < args.edges; ++e) {
        const uint64_t key = args.key[e], other = args.other[e];
        if (key >= num_keys || other >= num_others) {  // a negative value is a large unsigned one
            args.bad = key >= num_keys ? 1 : 2;
            args.position = e;
            args.value = key >= num_keys ? args.key[e] : args.other[e];
            return;
        }
        sorted &= previous <= key;
        previous = key;
        ++ptr[key];
    }
    I total = 0;
    for (int64_t row = 0; row <= args.num_keys; ++row) {
        const I count = ptr[row];
        ptr[row] = total;
        total += count;
    }
    if (sorted) {
        for (int64_t e = 0; e < args.edges; ++e) {
            index[e] = static_cast<I>(args.other[e]);
            perm[e] = static_cast<I>(e);
        }
        return;
    }
    // ptr[key] moves to the end of its row while the row fills, then every entry moves up by one row.
    for (int64_t e = 0; e < args.edges; ++e) {
        const I slot = ptr[args.key[e]]++;
        index[slot] = static_cast<I>(args.other[e]);
        perm[slot] = static_cast<I>(e);
    }
    std::memmove(ptr + 1, ptr, args.num_keys * sizeof(I));
    ptr[0] = 0;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int graphkit_sort_edges(SortArgs* args) {
    args->bad = 0;
    if (args->wide != 0)
        sort_edges<int64_t>(*args);
    else
        sort_edges<int32_t>(*args);
    return 0;
}
