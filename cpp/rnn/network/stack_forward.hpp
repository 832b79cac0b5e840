// Forward through all layers of a network, with and without a tape.
#pragma once

#include <vector>

#include "fusedrnn/network.hpp"
#include "rnn/layer/workspace.hpp"
#include "rnn/network/tape.hpp"
#include "rnn/plan/schedule.hpp"
#include "rnn/weights/packed_network.hpp"

namespace fusedrnn {

// `steps_after` as Schedule's.
Schedule make_schedule(const NetworkSpec& spec, const BatchShape& shape, const Index* steps_after = nullptr);

// Without a tape. masks as in Network::record.
template <class T>
void forward_stack(const NetworkSpec& spec, const PackedNetwork<T>& packed, const ForwardInputs<T>& in,
                   const std::vector<View<const T>>& masks, const ForwardOutputs<T>& out, Workspace<T>& workspace);

// Runs forward and fills the tape, which was made for these inputs. h_n and c_n are the only outputs that are written.
template <class T>
void record_stack(const NetworkSpec& spec, const PackedNetwork<T>& packed, const ForwardInputs<T>& in,
                  const ForwardOutputs<T>& out, Workspace<T>& workspace, NetworkTape<T>& tape);

}  // namespace fusedrnn
