// What a network owns beside its description; tapes share it, so that they may outlive the network.
#pragma once

#include "fusedrnn/network.hpp"
#include "rnn/packed_weights.hpp"
#include "rnn/tape_storage.hpp"
#include "rnn/workspace.hpp"

namespace fusedrnn {

template <class T>
struct Network<T>::State {
    explicit State(const NetworkSpec& described) : spec(described), weights(described) {}
    const NetworkSpec spec;
    WeightCache<T> weights;
    WorkspacePool<T> workspaces;
    TapePool<T> tapes;
};

}  // namespace fusedrnn
