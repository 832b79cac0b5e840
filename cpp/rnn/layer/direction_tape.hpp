// What one direction of a layer keeps for its backward pass.
#pragma once

#include "memory/buffer.hpp"

namespace fusedrnn {

// In the order of Schedule::row_step.
template <class T>
struct DirectionTape {
    Buffer<T> saved;        // [row-step][saved][hidden]
    Buffer<T> c;            // [row-step][hidden]
    Buffer<T> unprojected;  // [row-step][hidden]: o * tanh(c), with a projection
};

}  // namespace fusedrnn
