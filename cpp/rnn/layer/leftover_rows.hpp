// What a segment's backward pass leaves over for the segment before it.
#pragma once

#include "fusedrnn/network.hpp"
#include "memory/buffer.hpp"

namespace fusedrnn {

// Row-steps without a weight gradient yet. Where the backward pass of a long sequence goes segment by segment, the
// reduction block that reaches over a segment's beginning is complete only with the segment before. So the chains, and
// the bits, are those of one pass.
template <class T>
struct LeftoverRows {
    Index count = 0;
    Buffer<T> dgates, x, h_prev, unprojected, dh_proj;
};

}  // namespace fusedrnn
