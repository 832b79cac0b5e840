// Where the products of one row with W_ih are overlapped (kernels/gemm/overlap.hpp).
#pragma once

#include "rnn/plan/thread_share.hpp"

namespace fusedrnn {

// How many bytes W_ih and W_hh take for `units` of a layer whose input has `input` values.
template <class T>
Index weight_bytes(const NetworkSpec& spec, Index input, Index units) {
    return units * spec.traits().gates * (input + spec.recurrent_size()) * static_cast<Index>(sizeof(T));
}

// Whether the products with W_ih of one row, whose steps are bound by reading W_hh, are overlapped. Not where there are
// too few for a tile to be worth interrupting, nor where W_hh stays in an L1 cache, nor where the weights that are in
// use at once exceed `max_bytes`: W_ih is read once for a few steps (all measured). The same for every thread.
template <class T>
bool worth_overlapping(const NetworkSpec& spec, Index input, const ThreadShare& share, Index steps, Index max_bytes) {
    constexpr Index min_recurrent = 64, min_input = 32, nearest_bytes = 16 << 10;
    const Index units = padded_units<T>(spec.hidden_size), at_once = share.only_direction < 0 ? 1 : spec.directions();
    return steps >= 2 * OverlappedProduct<T>::rows && spec.recurrent_size() >= min_recurrent && input >= min_input &&
           weight_bytes<T>(spec, 0, units) > nearest_bytes &&
           at_once * weight_bytes<T>(spec, input, units) <= max_bytes;
}

}  // namespace fusedrnn
