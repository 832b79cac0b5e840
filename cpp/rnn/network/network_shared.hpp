// What a network and its tapes share: its description, weights, and the memory that goes from call to call. Tapes hold
// it, so that they may outlive the network.
#pragma once

#include <vector>

#include "fusedrnn/network.hpp"
#include "memory/buffer.hpp"
#include "memory/pool.hpp"
#include "rnn/layer/direction_tape.hpp"
#include "rnn/layer/workspace.hpp"
#include "rnn/weights/weight_cache.hpp"

namespace fusedrnn {

template <class T>
struct LayerTape {
    std::vector<DirectionTape<T>> directions;
    Buffer<T> y;        // (steps, batch, output size)
    Buffer<T> dropped;  // y times the dropout mask, where there is one: the next layer's input
    Buffer<T> mask;
};

// The memory of a tape. It goes back to its network when the tape ends: the next one finds pages that are there
// already.
template <class T>
struct TapeStorage {
    Buffer<T> x;
    std::vector<LayerTape<T>> layers;

    std::size_t bytes() const {
        std::size_t total = x.bytes();
        for (const LayerTape<T>& kept : layers) {
            total += kept.y.bytes() + kept.dropped.bytes() + kept.mask.bytes();
            for (const DirectionTape<T>& direction : kept.directions)
                total += direction.saved.bytes() + direction.c.bytes() + direction.unprojected.bytes();
        }
        return total;
    }
};

// A training loop holds one tape while it records the next.
template <class T>
using TapePool = Pool<TapeStorage<T>, 2>;

template <class T>
struct Network<T>::Shared {
    explicit Shared(const NetworkSpec& described) : spec(described), weights(described) {}
    const NetworkSpec spec;
    WeightCache<T> weights;
    WorkspacePool<T> workspaces;
    TapePool<T> tapes;
};

}  // namespace fusedrnn
