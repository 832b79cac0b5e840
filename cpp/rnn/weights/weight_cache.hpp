// The packed weights of a network, made once per change of the parameters.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "packing/packed_cache.hpp"
#include "rnn/weights/packed_network.hpp"

namespace fusedrnn {

template <class T>
class WeightCache {
public:
    explicit WeightCache(const NetworkSpec& spec) : spec_(spec) {
        for (const Parameter& parameter : parameters(spec))
            sizes_.push_back(static_cast<std::size_t>(parameter.size()) * sizeof(T));
    }
    // The packed form of the parameters as they are now, for the instruction set in force.
    std::shared_ptr<const PackedNetwork<T>> get(const std::vector<const T*>& params, bool with_backward) {
        if (frozen_.load(std::memory_order_relaxed))
            if (auto latest = cache_.latest(with_backward)) return latest;
        std::vector<ParameterBytes> bytes;
        for (std::size_t i = 0; i < params.size(); ++i) bytes.push_back({params[i], sizes_[i]});
        return cache_.get(bytes, with_backward, [&](PackedNetwork<T>& packed, const KernelTable& table, bool backward) {
            packed.pack(table, spec_, params, backward);
        });
    }

    // Frozen parameters are looked at by the next call, and not again.
    void freeze(bool frozen) {
        cache_.forget();
        frozen_.store(frozen, std::memory_order_relaxed);
    }

private:
    const NetworkSpec spec_;
    std::vector<std::size_t> sizes_;
    PackedCache<PackedNetwork<T>> cache_;
    std::atomic<bool> frozen_{false};
};

}  // namespace fusedrnn
