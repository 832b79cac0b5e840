// Cross-entropy of logits that are given.
#include "nn/losses.hpp"

#include "dispatch/work.hpp"

namespace fusedrnn {

template <class T>
void cross_entropy(Matrix<const T> logits, const Targets<T>& targets, double* losses, Matrix<T> gradient) {
    const Kernels<T>& kernels = kernels_of<T>(current_kernels());
    constexpr Index elements_of_an_exponential = 4;
    const int threads = threads_for_elements(elements_of_an_exponential * logits.rows * logits.columns);
    auto body = [&](int, const Team& team) {
        const Range part = part_of(logits.rows, team.index, team.size);
        for (Index r = part.begin; r < part.end; ++r) {
            losses[r] = 0;
            if (targets.weights[r] != T(0))
                softmax_losses(kernels, Matrix<const T>{logits.row(r), 1, logits.columns, logits.stride},
                               {targets.classes + r, targets.weights + r}, losses + r,
                               gradient ? gradient.row(r) : nullptr);
            else if (gradient)
                std::fill_n(gradient.row(r), gradient.columns, T(0));
        }
    };
    for_shares({threads}, threads, body);
}

template void cross_entropy(Matrix<const float>, const Targets<float>&, double*, Matrix<float>);
template void cross_entropy(Matrix<const double>, const Targets<double>&, double*, Matrix<double>);

}  // namespace fusedrnn
