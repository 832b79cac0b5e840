// What the timing programs share: the least time of several runs, the FMA peak beside it, memory as the library's, and
// weights of one value.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

#include "ceilings.hpp"
#include "memory/buffer.hpp"
#include "rnn/weights/packed_network.hpp"

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

// The weights of a layer as if they were packed. Their values do not matter: `value`, and biases of zero.
template <class T>
fusedrnn::PackedLayer<T> layer_of(fusedrnn::CellKind cell, fusedrnn::Index input, fusedrnn::Index hidden, T value) {
    const fusedrnn::CellTraits& traits = fusedrnn::cell_traits(cell);
    fusedrnn::PackedLayer<T> layer;
    layer.bias.reserve_zeros(fusedrnn::padded_units<T>(hidden) * traits.accumulators);
    const auto fill = [&](fusedrnn::Buffer<T>& weights, fusedrnn::Index columns) {
        const fusedrnn::Index count = traits.gates * fusedrnn::padded_units<T>(hidden) * columns;
        std::fill_n(weights.reserve(count), count, value);
    };
    fill(layer.w_ih, input);
    fill(layer.w_hh, hidden);
    fill(layer.w_ih_backward, input);
    fill(layer.w_hh_backward, hidden);
    return layer;
}

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
