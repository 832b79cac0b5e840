// Reads from cpuid and XCR0 which instruction sets the processor has and the operating system saves.
#include "dispatch/cpu_features.hpp"

#include <cstdint>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace fusedrnn {
namespace {

#if defined(__x86_64__)
struct Registers {
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

bool cpuid(unsigned leaf, unsigned subleaf, Registers& out) {
    return __get_cpuid_count(leaf, subleaf, &out.eax, &out.ebx, &out.ecx, &out.edx) != 0;
}

// The register states the operating system saves on a context switch.
std::uint64_t enabled_states() {
    std::uint32_t low, high;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (static_cast<std::uint64_t>(high) << 32) | low;
}

bool has(unsigned value, int bit) { return (value >> bit) & 1u; }

CpuFeatures detect() {
    CpuFeatures found;
    Registers basic, extended;
    if (!cpuid(1, 0, basic) || !cpuid(7, 0, extended)) return found;
    constexpr int fma = 12, osxsave = 27, avx = 28;             // leaf 1, ecx
    constexpr int avx2 = 5, f = 16, dq = 17, bw = 30, vl = 31;  // leaf 7, ebx
    constexpr std::uint64_t ymm = 0x6, zmm = 0xe6;              // XCR0: SSE, AVX; opmask, ZMM_Hi256, Hi16_ZMM
    if (!has(basic.ecx, osxsave)) return found;
    const std::uint64_t states = enabled_states();
    found.avx2_fma = has(basic.ecx, avx) && has(basic.ecx, fma) && has(extended.ebx, avx2) && (states & ymm) == ymm;
    found.avx512_skylake = found.avx2_fma && has(extended.ebx, f) && has(extended.ebx, dq) && has(extended.ebx, bw) &&
                           has(extended.ebx, vl) && (states & zmm) == zmm;
    return found;
}
#else
CpuFeatures detect() {
    CpuFeatures found;
#if defined(__aarch64__)
    found.neon = true;  // part of the base architecture
#endif
    return found;
}
#endif

}  // namespace

const CpuFeatures& cpu_features() {
    static const CpuFeatures features = detect();
    return features;
}

}  // namespace fusedrnn
