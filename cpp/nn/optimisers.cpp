// One pass of an optimiser over all parameters, and norms of gradients.
#include "fusedrnn/nn.hpp"
#include "nn/chunks.hpp"

namespace fusedrnn {

template <class T>
void update(std::span<const Updated<T>> params, const UpdateRule& rule) {
    const auto kernel = kernels_of<T>(current_kernels()).update[rule.optimiser];
    const auto visit = [&](std::size_t i, Index first, Index count, std::size_t) {
        const Updated<T>& of = params[i];
        kernel({.count = count,
                .param = of.param + first,
                .gradient = of.gradient + first,
                .first = of.first ? of.first + first : nullptr,
                .second = of.second ? of.second + first : nullptr,
                .scale = static_cast<T>(rule.scale),
                .rate = static_cast<T>(rule.rate),
                .decay = static_cast<T>(rule.decay),
                .decoupled = static_cast<T>(rule.decoupled),
                .momentum = static_cast<T>(rule.momentum),
                .second_momentum = static_cast<T>(rule.second_momentum),
                .dampening = static_cast<T>(rule.dampening),
                .epsilon = static_cast<T>(rule.epsilon),
                .second_scale = static_cast<T>(rule.second_scale),
                .nesterov = rule.nesterov,
                .first_step = rule.first_step});
    };
    for_each_chunk(params.size(), [&](std::size_t i) { return params[i].count; }, visit);
}

template <class T>
std::vector<double> sums_of_squares(std::span<const std::span<const T>> arrays) {
    const Kernels<T>& kernels = kernels_of<T>(current_kernels());
    const auto count_of = [&](std::size_t i) { return static_cast<Index>(arrays[i].size()); };
    std::size_t chunks = 0;
    for (std::size_t i = 0; i < arrays.size(); ++i)
        chunks += static_cast<std::size_t>((count_of(i) + chunk - 1) / chunk);
    std::vector<double> parts(chunks), sums(arrays.size());
    std::vector<std::size_t> array_of(chunks);
    for_each_chunk(arrays.size(), count_of, [&](std::size_t i, Index first, Index count, std::size_t place) {
        parts[place] = kernels.sum_of_squares(arrays[i].data() + first, count);
        array_of[place] = i;
    });
    for (std::size_t place = 0; place < chunks; ++place) sums[array_of[place]] += parts[place];
    return sums;
}

template void update(std::span<const Updated<float>>, const UpdateRule&);
template std::vector<double> sums_of_squares(std::span<const std::span<const float>>);
template void update(std::span<const Updated<double>>, const UpdateRule&);
template std::vector<double> sums_of_squares(std::span<const std::span<const double>>);

}  // namespace fusedrnn
