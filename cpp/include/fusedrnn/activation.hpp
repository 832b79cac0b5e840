// The activations that a cell with options may have: docs/design/cells.md, section 10.
#pragma once

#include <array>
#include <string_view>

namespace fusedrnn {

enum class Activation : int {
    sigmoid,
    tanh,
    relu,
    identity,
    affine,
    leaky_relu,
    thresholded_relu,
    scaled_tanh,
    hard_sigmoid,
    elu,
    softsign,
    softplus,
};

inline constexpr std::array<std::string_view, 12> activation_names = {
    "sigmoid",          "tanh",        "relu",         "identity", "affine",   "leaky_relu",
    "thresholded_relu", "scaled_tanh", "hard_sigmoid", "elu",      "softsign", "softplus",
};

}  // namespace fusedrnn
