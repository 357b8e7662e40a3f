// The exported functions.  The instruction set is chosen once, when the library is loaded.
#include <cstdlib>
#include <cstring>
#include <new>

#include "abi.h"
#include "matrix_gru.h"
#include "sheaf.h"

#define GK_EXPORT extern "C" __attribute__((visibility("default")))

namespace graphkit {

namespace baseline {
extern const Kernel kernels[];
extern const SheafKernel sheaf_kernels[];
extern const MatrixGRUKernel matrix_gru;
}
#ifdef GRAPHKIT_X86
namespace avx2 {
extern const Kernel kernels[];
extern const SheafKernel sheaf_kernels[];
extern const MatrixGRUKernel matrix_gru;
}
namespace avx512 {
extern const Kernel kernels[];
extern const SheafKernel sheaf_kernels[];
extern const MatrixGRUKernel matrix_gru;
}
#endif

namespace {

struct Isa {
    const char* name;
    const Kernel* kernels;
    const SheafKernel* sheaf_kernels;
    MatrixGRUKernel matrix_gru;
};

// The best set that this processor has, or a lower one named by GRAPHKIT_NATIVE_ISA.
Isa choose() {
    const Isa baseline_isa{"baseline", baseline::kernels, baseline::sheaf_kernels, baseline::matrix_gru};
#ifdef GRAPHKIT_X86
    const char* wanted = std::getenv("GRAPHKIT_NATIVE_ISA");
    const bool only_baseline = wanted != nullptr && std::strcmp(wanted, "baseline") == 0;
    const bool only_avx2 = wanted != nullptr && std::strcmp(wanted, "avx2") == 0;
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (only_baseline || !avx2) return baseline_isa;
    if (only_avx2 || !avx512) return {"avx2", avx2::kernels, avx2::sheaf_kernels, avx2::matrix_gru};
    return {"avx512", avx512::kernels, avx512::sheaf_kernels, avx512::matrix_gru};
#else
    return baseline_isa;
#endif
}

const Isa& isa() {
    static const Isa chosen = choose();
    return chosen;
}

}  // namespace
}  // namespace graphkit

GK_EXPORT int64_t graphkit_abi_version() { return GRAPHKIT_NATIVE_ABI; }
GK_EXPORT const char* graphkit_isa() { return graphkit::isa().name; }
GK_EXPORT const char* graphkit_compiler() {
#if defined(__clang__)
    return "clang " __clang_version__;
#else
    return "gcc " __VERSION__;
#endif
}

// Runs operator `op` (abi.h); returns a Status.
GK_EXPORT int graphkit_run(int64_t op, const graphkit::Args* args) {
    try {
        return graphkit::isa().kernels[op](*args);
    } catch (const std::bad_alloc&) {
        return graphkit::Status::out_of_memory;
    }
}

// Runs sheaf operator `op` (sheaf.h); returns a Status.
GK_EXPORT int graphkit_sheaf(int64_t op, const graphkit::SheafArgs* args) {
    try {
        return graphkit::isa().sheaf_kernels[op](*args);
    } catch (const std::bad_alloc&) {
        return graphkit::Status::out_of_memory;
    }
}

// Steps of a matrix GRU (matrix_gru.h), backward if there is a gradient; returns a Status.
GK_EXPORT int graphkit_matrix_gru(const graphkit::MatrixGRUArgs* args) {
    try {
        return graphkit::isa().matrix_gru(*args);
    } catch (const std::bad_alloc&) {
        return graphkit::Status::out_of_memory;
    }
}
