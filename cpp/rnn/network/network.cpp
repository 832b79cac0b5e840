// The public class Network: each call goes through the layers.
#include "fusedrnn/network.hpp"

#include <stdexcept>

#include "rnn/network/checkpoint.hpp"
#include "rnn/network/network_shared.hpp"
#include "rnn/network/stack_forward.hpp"
#include "rnn/network/tape.hpp"

namespace fusedrnn {

template <class T>
Network<T>::Network(const NetworkSpec& spec) : shared_(std::make_shared<Shared>(spec)) {}
template <class T>
Network<T>::~Network() = default;
template <class T>
const NetworkSpec& Network<T>::spec() const {
    return shared_->spec;
}

template <class T>
void Network<T>::freeze(bool frozen) {
    shared_->weights.freeze(frozen);
}

namespace {

// Without rows there is nothing to do at any step, however many there are.
template <class T>
ForwardInputs<T> steps_with_rows(ForwardInputs<T> in) {
    if (in.shape.rows == 0) in.shape.steps = 0;
    return in;
}

}  // namespace

template <class T>
void Network<T>::forward(const std::vector<const T*>& params, const ForwardInputs<T>& in,
                         const ForwardOutputs<T>& out) {
    const auto packed = shared_->weights.get(params, false);
    const typename WorkspacePool<T>::Lease workspace(shared_->workspaces, row_steps(in.shape));
    forward_stack(shared_->spec, *packed, steps_with_rows(in), {}, out, *workspace);
}

template <class T>
std::unique_ptr<Tape<T>> Network<T>::record(const std::vector<const T*>& params, const ForwardInputs<T>& given,
                                            const RecordOptions<T>& options, const ForwardOutputs<T>& out) {
    const NetworkSpec& spec = shared_->spec;
    const ForwardInputs<T> in = steps_with_rows(given);
    const auto packed = shared_->weights.get(params, true);
    if (options.checkpoint) {
        if (in.tokens) throw std::invalid_argument("checkpoint: expected None with tokens");
        auto tape = std::make_unique<CheckpointTape<T>>(shared_, packed, in, options);
        tape->record(out);
        return tape;
    }
    auto tape = std::make_unique<NetworkTape<T>>(shared_, packed, make_schedule(spec, in.shape), in, options.masks);
    const typename WorkspacePool<T>::Lease workspace(shared_->workspaces, row_steps(in.shape));
    record_stack(spec, *packed, in, out, *workspace, *tape);
    tape->copy_results(out);
    return tape;
}

template class Network<float>;
template class Network<double>;

}  // namespace fusedrnn
