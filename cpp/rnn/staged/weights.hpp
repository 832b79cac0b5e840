// The parameters of a staged layer as its kernels read them.
#pragma once

#include <array>

#include "fusedrnn/staged.hpp"
#include "kernels/kernel_table.hpp"
#include "memory/buffer.hpp"
#include "packing/packed_cache.hpp"

namespace fusedrnn {

enum class StagedParameter : int { w_ih, w_hh, b_ih, b_hh, w_hr, w_ch, gain_ih, gain_hh, gain_c, shift_c };
inline constexpr int staged_parameter_count = 10;

// Where each parameter stands in the layer's list; -1 where there is none.
std::array<int, staged_parameter_count> staged_slots(const StagedSpec& spec);

template <class T>
struct StagedWeights {
    // Packed matrices. w_hh is all gates or, of a GRU that resets before, all but n, which is w_hn then. The diagonal
    // of an IndRNN is a vector.
    Buffer<T> w_ih, w_hh, w_hn, w_hr;
    Buffer<T> w_ih_backward, w_hh_backward, w_hn_backward, w_hr_backward;
    // Vectors, zeros up to whole unit blocks. With layer norm the biases are its shifts. b_hn belongs to w_hn.
    Buffer<T> b_ih, b_hh, b_hn, w_ch, gain_ih, gain_hh, gain_c, shift_c;
};

template <class T>
std::shared_ptr<const StagedWeights<T>> packed_staged(PackedCache<StagedWeights<T>>& cache, const StagedSpec& spec,
                                                      const std::vector<const T*>& params, bool with_backward,
                                                      bool unchanged);

}  // namespace fusedrnn
