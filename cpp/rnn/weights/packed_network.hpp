// The weights of a network as the kernels read them (layouts: kernels/args/layout.hpp).
#pragma once

#include <vector>

#include "fusedrnn/network.hpp"
#include "kernels/kernel_table.hpp"
#include "memory/buffer.hpp"

namespace fusedrnn {

// One layer in one direction.
template <class T>
struct PackedLayer {
    Buffer<T> bias, w_ih, w_hh, w_hr;                       // forward
    Buffer<T> w_ih_backward, w_hh_backward, w_hr_backward;  // gradients as the left operand
};

// The weights of a network and the kernels that can read them: what was packed for one ISA stays with it.
template <class T>
class PackedNetwork {
public:
    void pack(const KernelTable& table, const NetworkSpec& spec, const std::vector<const T*>& params,
              bool with_backward);
    const Kernels<T>& kernels() const { return *kernels_; }
    bool interleaved() const { return interleaved_; }
    const PackedLayer<T>& layer(Index layer, Index direction) const {
        return layers_[static_cast<std::size_t>(layer * directions_ + direction)];
    }

private:
    const Kernels<T>* kernels_ = nullptr;
    bool interleaved_ = false;  // the micro-panels
    Index directions_ = 0;
    std::vector<PackedLayer<T>> layers_;
};

}  // namespace fusedrnn
