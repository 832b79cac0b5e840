// The update rules of the optimisers, as torch.optim has them, in one pass over parameters, gradients and running
// means.
#pragma once

#include "../kernel_table.hpp"
#include "../math/square_root.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

// Plain loops: the compiler makes vectors of them, and without contraction every instruction set gives the same bits.
template <class T>
struct Optimisers {
    // The gradient that the rule sees, and the parameter that it changes.
    FUSEDRNN_INLINE static T gradient(const UpdateArgs<T>& p, Index i) {
        return p.gradient[i] * p.scale + p.decay * p.param[i];
    }

    // b = momentum b + (1 - dampening) g, at the first step b = g;  p -= rate (nesterov ? g + momentum b : b)
    static void sgd(const UpdateArgs<T>& p) {
        T* __restrict param = p.param;
        if (!p.first) {
            for (Index i = 0; i < p.count; ++i) param[i] -= p.rate * gradient(p, i);
            return;
        }
        T* __restrict buffer = p.first;
        const T kept = p.first_step ? T(0) : p.momentum, taken = p.first_step ? T(1) : T(1) - p.dampening;
        const T ahead = p.nesterov ? p.momentum : T(1), own = p.nesterov ? T(1) : T(0);
        for (Index i = 0; i < p.count; ++i) {
            const T g = gradient(p, i);
            buffer[i] = kept * buffer[i] + taken * g;
            param[i] -= p.rate * (own * g + ahead * buffer[i]);
        }
    }

    // v = a v + (1 - a) g^2, a = second_momentum;  d = g / (sqrt(v) + epsilon);
    // p -= rate d, or with momentum b = momentum b + d, p -= rate b
    static void rmsprop(const UpdateArgs<T>& p) {
        T* __restrict param = p.param;
        T* __restrict square = p.second;
        T* __restrict buffer = p.first;
        for (Index i = 0; i < p.count; ++i) {
            const T g = gradient(p, i);
            square[i] = p.second_momentum * square[i] + (T(1) - p.second_momentum) * (g * g);
            const T step = g / (square_root(square[i]) + p.epsilon);
            if (!buffer) {
                param[i] -= p.rate * step;
                continue;
            }
            buffer[i] = p.momentum * buffer[i] + step;
            param[i] -= p.rate * buffer[i];
        }
    }

    // m += (1 - b1)(g - m), v = b2 v + (1 - b2) g^2;  p -= rate m / (second_scale sqrt(v) + epsilon).
    // `rate` and `second_scale` have the corrections of the start: lr / (1 - b1^t) and 1 / sqrt(1 - b2^t).
    static void adam(const UpdateArgs<T>& p) {
        T* __restrict param = p.param;
        T* __restrict mean = p.first;
        T* __restrict square = p.second;
        for (Index i = 0; i < p.count; ++i) {
            const T g = gradient(p, i);
            mean[i] += (T(1) - p.momentum) * (g - mean[i]);
            square[i] = p.second_momentum * square[i] + (T(1) - p.second_momentum) * (g * g);
            param[i] =
                p.decoupled * param[i] - p.rate * mean[i] / (p.second_scale * square_root(square[i]) + p.epsilon);
        }
    }
};

// The sum of squares of `n` values, in sixteen sums of doubles.
template <class T>
double sum_of_squares(const T* x, Index n) {
    constexpr Index lanes = 16;
    double sum[lanes] = {};
    Index i = 0;
    for (; i + lanes <= n; i += lanes)
        for (Index k = 0; k < lanes; ++k) sum[k] += static_cast<double>(x[i + k]) * static_cast<double>(x[i + k]);
    for (Index k = 0; i + k < n; ++k) sum[k] += static_cast<double>(x[i + k]) * static_cast<double>(x[i + k]);
    double all = 0;
    for (Index k = 0; k < lanes; ++k) all += sum[k];
    return all;
}

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
