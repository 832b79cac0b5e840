// The little that a plain C++ test program needs. The last line printed is "N passed, N failed".
#pragma once

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

namespace fusedrnn_test {

class Checks {
public:
    // Counts, and prints the message (of the first few failures) when `ok` is false.
    [[gnu::format(printf, 3, 4)]] bool check(bool ok, const char* format, ...) {
        if (ok) {
            ++passed_;
            return true;
        }
        if (++failed_ <= printed_at_most) {
            std::printf("FAILED: ");
            std::va_list arguments;
            va_start(arguments, format);
            std::vprintf(format, arguments);
            va_end(arguments);
            std::printf("\n");
        }
        return false;
    }

    // The exit code of the program.
    int finish() const {
        if (failed_ > printed_at_most) std::printf("... and %ld more\n", failed_ - printed_at_most);
        std::printf("%ld passed, %ld failed\n", passed_, failed_);
        return failed_ == 0 && passed_ > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    }

private:
    static constexpr long printed_at_most = 20;
    long passed_ = 0;
    long failed_ = 0;
};

constexpr int skipped = 77;  // CTest: SKIP_RETURN_CODE

// True if this CPU can run what this file was compiled for. Ask before anything else.
inline bool cpu_has_compiled_isa() {
#if defined(FUSEDRNN_ISA_AVX512)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
#elif defined(FUSEDRNN_ISA_AVX2)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#elif defined(FUSEDRNN_ISA) && !defined(FUSEDRNN_ISA_NEON) && !defined(FUSEDRNN_ISA_SCALAR)
#error "what must a CPU have for this ISA? Its tests would crash where that is missing"
#else
    return true;
#endif
}

}  // namespace fusedrnn_test
