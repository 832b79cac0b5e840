// The packed weights of a network, made once per change of the parameters.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "rnn/weights/packed_network.hpp"
#include "threads/fork_safe_mutex.hpp"

namespace fusedrnn {

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
        std::shared_ptr<PackedNetwork<T>>
            other;  // what a training loop's last tape held: its memory takes the next turn
        PackedNetwork<T>& renewed();
    };

    const NetworkSpec spec_;
    std::vector<std::size_t> param_bytes_;
    // Held while packing: other calls need the same weights. Who packs waits for nothing of Python's meanwhile.
    ForkSafe<Kept> kept_;
};

}  // namespace fusedrnn
