// Weights as the kernels read them (layouts: kernels/kernel_table.hpp), made once per change of the parameters.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "fusedrnn/network.hpp"
#include "kernels/kernel_table.hpp"
#include "rnn/buffer.hpp"
#include "threads/fork_safe_mutex.hpp"

namespace fusedrnn {

// One layer in one direction.
template <class T>
struct PackedLayer {
    Buffer<T> bias, w_ih, w_hh, w_hr;                         // forward
    Buffer<T> w_ih_backward, w_hh_backward, w_hr_backward;    // gradients as the left operand
};

// The weights of a network and the kernels that can read them: what was packed for one ISA stays with it.
template <class T>
class PackedNetwork {
public:
    void pack(const KernelTable& table, const NetworkSpec& spec, const std::vector<const T*>& params,
              bool with_backward);
    const Kernels<T>& kernels() const { return *kernels_; }
    const PackedLayer<T>& layer(Index layer, Index direction) const {
        return layers_[static_cast<std::size_t>(layer * directions_ + direction)];
    }
    bool with_backward() const { return with_backward_; }

private:
    const Kernels<T>* kernels_ = nullptr;
    Index directions_ = 0;
    bool with_backward_ = false;
    std::vector<PackedLayer<T>> layers_;
};

// The packed form of the parameters as they are now for the ISA in force; packs only when either has changed.
template <class T>
class WeightCache {
public:
    explicit WeightCache(const NetworkSpec& spec);
    std::shared_ptr<const PackedNetwork<T>> get(const std::vector<const T*>& params, bool with_backward);

private:
    // Empty in a child that forked while another thread packed: what was half-packed is packed again.
    struct Kept {
        std::vector<std::uint64_t> fingerprints;
        std::shared_ptr<PackedNetwork<T>> packed;
        std::shared_ptr<PackedNetwork<T>> other;  // what a training loop's last tape held: its memory takes the next turn
        PackedNetwork<T>& renewed();
    };

    const NetworkSpec spec_;
    std::vector<std::size_t> param_bytes_;
    // Held while packing: other calls need the same weights. Who packs waits for nothing of Python's meanwhile.
    ForkSafe<Kept> kept_;
};

}  // namespace fusedrnn
