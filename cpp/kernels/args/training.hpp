// Arguments of the kernels around a recurrent network in training: softmax, embedding, dropout, optimisers.
#pragma once

#include <cstdint>

#include "layout.hpp"

namespace fusedrnn {

// Of each row of logits: e^(z - max z), their sum, and where `out` is given the gradient of w (ln sum e^z - z_target):
// w (softmax(z) - onehot(target)).
template <class T>
struct SoftmaxArgs {
    Index rows, classes;
    const T* logits;  // rows of `classes` values, `stride` apart
    Index stride;
    const std::int64_t* targets;  // (rows), each in [0, classes)
    const T* weights;             // (rows): w
    double* sums;                 // (rows): sum of e^(z - max z)
    double* margins;              // (rows): max z - z_target
    T* out;                       // rows as logits, also the same memory; or null
};

// out[i] = x[i] * scale where element first + i of the stream `seed` is kept, else 0.
template <class T>
struct DropoutArgs {
    const T* x;
    T* out;
    Index count;
    std::uint64_t seed, first;    // `first` is even
    std::uint32_t dropped_below;  // of 2^32: the probability of dropping
    T scale;
};

// out += the sum of `count` rows of `width` values, in chains of reduction_block rows.
template <class T>
struct SumRowsArgs {
    const T* const* rows;
    Index count, width;
    T* out;
};

inline constexpr int optimiser_count = 3;
enum class Optimiser : int { sgd, rmsprop, adam };
inline constexpr const char* optimiser_names[optimiser_count] = {"sgd", "rmsprop", "adam"};

// One update of `count` parameters, element by element. What the numbers mean for which optimiser:
// kernels/training/optimisers.hpp.
template <class T>
struct UpdateArgs {
    Index count;
    T* param;
    const T* gradient;
    T* first;   // momentum, or the running mean of the gradient; null without
    T* second;  // the running mean of its square; null without
    T scale;    // the gradient is multiplied by it first
    T rate;
    T decay;      // weight decay that is added to the gradient
    T decoupled;  // what the parameter is multiplied by first
    T momentum, second_momentum, dampening, epsilon, second_scale;
    bool nesterov, first_step;
};

}  // namespace fusedrnn
