// Cross-entropy of rows of logits, on the thread that has them.
#pragma once

#include <algorithm>
#include <cmath>

#include "fusedrnn/nn.hpp"
#include "kernels/kernel_table.hpp"

namespace fusedrnn {

// losses (rows) in nats; where `gradient` is given, that of sum weights[r] losses[r], laid out as the logits.
template <class T>
void softmax_losses(const Kernels<T>& kernels, Matrix<const T> logits, const Targets<T>& targets, double* losses,
                    T* gradient) {
    constexpr Index at_once = 64;
    double sums[at_once], margins[at_once];
    for (Index first = 0; first < logits.rows; first += at_once) {
        const Index rows = std::min(at_once, logits.rows - first);
        kernels.softmax({.rows = rows,
                         .classes = logits.columns,
                         .logits = logits.row(first),
                         .stride = logits.stride,
                         .targets = targets.classes + first,
                         .weights = targets.weights + first,
                         .sums = sums,
                         .margins = margins,
                         .out = gradient ? gradient + first * logits.stride : nullptr});
        for (Index r = 0; r < rows; ++r) losses[first + r] = std::log(sums[r]) + margins[r];
    }
}

}  // namespace fusedrnn
