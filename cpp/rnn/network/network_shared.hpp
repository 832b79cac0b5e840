// What a network and its tapes share: its description, weights and pools. Tapes hold it, so that they may outlive the
// network.
#pragma once

#include "fusedrnn/network.hpp"
#include "rnn/layer/workspace.hpp"
#include "rnn/network/tape_storage.hpp"
#include "rnn/weights/weight_cache.hpp"

namespace fusedrnn {

template <class T>
struct Network<T>::Shared {
    explicit Shared(const NetworkSpec& described) : spec(described), weights(described) {}
    const NetworkSpec spec;
    WeightCache<T> weights;
    WorkspacePool<T> workspaces;
    TapePool<T> tapes;
};

}  // namespace fusedrnn
