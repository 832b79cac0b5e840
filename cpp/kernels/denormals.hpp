// Denormal numbers cost a hundred cycles apiece on many cores: kernels run with them flushed to zero, and the caller's
// floating point state comes back afterwards.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

class DenormalsFlushed {
public:
    DenormalsFlushed(const DenormalsFlushed&) = delete;
    DenormalsFlushed& operator=(const DenormalsFlushed&) = delete;
#if defined(__x86_64__)
    static constexpr unsigned flush_to_zero = 0x8000, denormals_are_zero = 0x0040;
    [[gnu::always_inline]] DenormalsFlushed() : saved_(_mm_getcsr()) {
        _mm_setcsr(saved_ | flush_to_zero | denormals_are_zero);
    }
    [[gnu::always_inline]] ~DenormalsFlushed() { _mm_setcsr(saved_); }

private:
    unsigned saved_;
#elif defined(__aarch64__)
    static constexpr unsigned long flush_to_zero = 1ul << 24;
    [[gnu::always_inline]] DenormalsFlushed() {
        asm volatile("mrs %0, fpcr" : "=r"(saved_));
        asm volatile("msr fpcr, %0" : : "r"(saved_ | flush_to_zero));
    }
    [[gnu::always_inline]] ~DenormalsFlushed() { asm volatile("msr fpcr, %0" : : "r"(saved_)); }

private:
    unsigned long saved_;
#else
    DenormalsFlushed() {}
#endif
};

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
