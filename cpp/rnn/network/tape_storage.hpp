// The memory of a tape. It goes back to its network when the tape does: the next one finds pages that are there
// already.
#pragma once

#include <vector>

#include "rnn/layer/layer.hpp"

namespace fusedrnn {

template <class T>
struct LayerTape {
    std::vector<DirectionTape<T>> directions;
    Buffer<T> y;        // (steps, batch, output size)
    Buffer<T> dropped;  // y times the dropout mask, where there is one: the next layer's input
    Buffer<T> mask;
};

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

}  // namespace fusedrnn
