// What the instruments among the tests share: the least time of several runs, the FMA peak beside it, and memory as the
// library's.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

#include "ceilings.hpp"
#include "memory/buffer.hpp"

namespace fusedrnn_test {

inline double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

inline std::size_t size(fusedrnn::Index n) { return static_cast<std::size_t>(n); }

// At cache lines, and on huge pages where it is large.
template <class T>
struct Allocator {
    using value_type = T;
    Allocator() = default;
    template <class U>
    Allocator(const Allocator<U>&) {}
    T* allocate(std::size_t count) { return static_cast<T*>(fusedrnn::allocate_aligned(count * sizeof(T))); }
    void deallocate(T* memory, std::size_t) { fusedrnn::free_aligned(memory); }
    friend bool operator==(Allocator, Allocator) { return true; }
};
template <class T>
using Array = std::vector<T, Allocator<T>>;

template <class Run>
double min_seconds(int rounds, Run run) {
    double best = 1e9;
    for (int round = 0; round < rounds; ++round) {
        const double start = now();
        run();
        best = std::min(best, now() - start);
    }
    return best;
}

// Operations a second, the most that was seen so far: on a machine that others use, a moment may be too slow.
template <class T>
double fma_peak() {
    constexpr fusedrnn::Index iterations = 1000000;
    static double peak = 0;
    double done = 0;
    const double seconds = min_seconds(25, [&] { done = fusedrnn::FUSEDRNN_ISA::fma_peak<T>(iterations); });
    return peak = std::max(peak, done / seconds);
}

}  // namespace fusedrnn_test
