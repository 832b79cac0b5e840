// Dropout whose mask is a function of a seed: it is not kept for the backward pass, but computed again.
#include "fusedrnn/nn.hpp"
#include "nn/chunks.hpp"

namespace fusedrnn {

template <class T>
void dropout(const T* x, T* out, Index count, double probability, std::uint64_t seed) {
    const Kernels<T>& kernels = kernels_of<T>(current_kernels());
    constexpr double words = 4294967296.0;
    const auto dropped_below = static_cast<std::uint32_t>(std::min(probability * words, words - 1));
    const T scale = probability < 1 ? static_cast<T>(1 / (1 - probability)) : T(0);
    for_each_chunk(
        1, [&](std::size_t) { return count; },
        [&](std::size_t, Index first, Index n, std::size_t) {
            kernels.dropout({x + first, out + first, n, seed, static_cast<std::uint64_t>(first), dropped_below, scale});
        });
}

template void dropout(const float*, float*, Index, double, std::uint64_t);
template void dropout(const double*, double*, Index, double, std::uint64_t);

}  // namespace fusedrnn
