// Recurrent networks from C++: a stack of layers of one cell, forward, recorded forward, backward, and stepwise.
//
// Calls of a network are safe from many threads at once; a tape or a stream is for one thread at a time.
//
// Every pointer and view, unless it says otherwise:
// * It is borrowed for the call: it must hold until the call ends, and is not used after.
// * What the call writes overlaps nothing else that it is given: y is not x, dx is not dy, h_n is not h0. What it only
//   reads may overlap, and must not change meanwhile.
// * Its array is contiguous, in the order of its shape, and aligned as its type.
// * It is not null, unless it has no elements.
// Shapes are written (time, batch, width). Sizes, shapes and null pointers are the caller's duty here; the Python
// bindings check them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "fusedrnn/cell.hpp"

namespace fusedrnn {

using Index = std::ptrdiff_t;

struct NetworkSpec {
    CellKind cell = CellKind::lstm;
    Index input_size = 0;
    Index hidden_size = 0;
    Index layers = 1;
    bool bias = true;
    bool bidirectional = false;
    bool reverse = false;                            // one direction only: reverse in time
    Index proj_size = 0;                             // LSTM only; 0: none
    Nonlinearity nonlinearity = Nonlinearity::tanh;  // simple RNN only

    Index directions() const { return bidirectional ? 2 : 1; }
    Index recurrent_size() const { return proj_size ? proj_size : hidden_size; }  // of h, per direction
    Index output_size() const { return directions() * recurrent_size(); }
    Index layer_input(Index layer) const { return layer == 0 ? input_size : output_size(); }
    bool runs_in_reverse(Index direction) const { return bidirectional ? direction == 1 : reverse; }
    const CellTraits& traits() const { return cell_traits(cell); }
};

struct Parameter {
    std::string name;     // torch.nn's
    Index rows, columns;  // columns 0: a vector
    Index size() const { return rows * (columns ? columns : 1); }
    std::vector<Index> shape() const { return columns ? std::vector<Index>{rows, columns} : std::vector<Index>{rows}; }
};

// Every parameter in torch.nn's order: per layer and direction weight_ih, weight_hh, bias_ih, bias_hh, weight_hr.
std::vector<Parameter> parameters(const NetworkSpec& spec);

// Where each of a layer direction's parameters stands in that order; -1 where there is none.
struct ParameterSlots {
    Index w_ih, w_hh, b_ih, b_hh, w_hr;
};
ParameterSlots parameter_slots(const NetworkSpec& spec, Index layer, Index direction);

// Rows of a (time, batch, width) array; the width is contiguous, the other strides are in elements and may be negative.
template <class T>
struct View {
    T* data = nullptr;
    Index time_stride = 0, batch_stride = 0;
    T* at(Index t, Index b) const { return data + t * time_stride + b * batch_stride; }
    explicit operator bool() const { return data != nullptr; }
};

// Which steps exist and where an episode begins: no state crosses from the step before in time, in either direction.
struct BatchShape {
    Index steps = 0, rows = 0;
    // (rows): from 0 to `steps`, in any order; or null: all have `steps`.
    const std::int64_t* lengths = nullptr;
    // (steps, rows) with these strides: not 0 where an episode begins; or null: nowhere.
    const std::uint8_t* reset = nullptr;
    Index reset_time_stride = 0, reset_batch_stride = 0;
};

inline Index row_steps(const BatchShape& shape) { return shape.steps * shape.rows; }

// Integers in place of x: the input at (t, b) is row tokens(t, b) of `table` or, where that is null, the unit vector of
// that number.
template <class T>
struct TokenInputs {
    View<const std::int64_t> tokens;  // each in [0, count)
    const T* table = nullptr;         // (count, input size), contiguous
    Index count = 0;                  // the input size where the table is null
    explicit operator bool() const { return static_cast<bool>(tokens); }
};

template <class T>
struct ForwardInputs {
    BatchShape shape;
    View<const T> x;             // (steps, rows, input size); what is past a row's length changes no result
    const T* h0 = nullptr;       // (layers * directions, rows, recurrent size), or null: zeros
    const T* c0 = nullptr;       // LSTM: (layers * directions, rows, hidden size), or null: zeros
    TokenInputs<T> tokens = {};  // in place of x, which is null then; not with checkpoints
};

template <class T>
struct ForwardOutputs {
    View<T> y;         // (steps, rows, output size): all of it is written, zeros past a row's length
    T* h_n = nullptr;  // (layers * directions, rows, recurrent size): all of it is written
    T* c_n = nullptr;  // LSTM: (layers * directions, rows, hidden size): all of it is written; else null
    // LSTM: the last layer's c of every step, (steps, rows, directions * hidden size), written as y is; or null.
    View<T> cell_states;
};

template <class T>
struct RecordOptions {
    // Dropout: layers - 1 masks (steps, rows, output size), multiplied into the outputs between layers; or empty.
    std::vector<View<const T>> masks;
    // Keep only the states of every so many steps and run the steps between again in the backward pass; 0: keep all.
    // For networks that run forward in time only. Then x and the masks must hold, and not change, as long as the tape
    // lives.
    Index checkpoint = 0;
};

template <class T>
struct BackwardInputs {
    View<const T> dy;         // (steps, rows, output size), or null: zeros
    const T* dh_n = nullptr;  // (layers * directions, rows, recurrent size), or null: zeros
    const T* dc_n = nullptr;  // LSTM: (layers * directions, rows, hidden size), or null: zeros
    Index truncate = 0;       // steps of a truncation window; 0: through the whole sequence
};

template <class T>
struct BackwardOutputs {
    View<T> dx;        // (steps, rows, input size): all of it is written, zeros past a row's length; null with tokens
    T* dh0 = nullptr;  // (layers * directions, rows, recurrent size): all of it is written
    T* dc0 = nullptr;  // LSTM: (layers * directions, rows, hidden size): all of it is written; else null
    // An array for every parameter, in their order and of their shapes. What is in it is added to.
    std::vector<T*> params;
    T* dtable = nullptr;  // of tokens with a table: (count, input size), added to
};

// What a recorded call keeps for its backward pass. It may outlive the network, and needs none of the call's arrays any
// more, unless it has checkpoints.
template <class T>
class Tape {
public:
    virtual ~Tape() = default;
    // Of its memory, with borrowed masks.
    virtual std::size_t bytes() const = 0;
    // Once only: it uses up the tape's memory. A tape with checkpoints throws std::invalid_argument, before
    // it writes anything, if x has changed.
    virtual void backward(const BackwardInputs<T>& in, const BackwardOutputs<T>& out) = 0;
};

// A network stepped one time step at a time, with the weights that it was made with. It may outlive the network.
template <class T>
class Stream {
public:
    virtual ~Stream() = default;
    // x (rows, input size), its rows contiguous and `x_stride` elements apart; y (rows, output size).
    virtual void step(const T* x, Index x_stride, T* y) = 0;
    // Of a stream that was made with tokens: `tokens` (rows), each in [0, count).
    virtual void step_tokens(const std::int64_t* tokens, T* y) = 0;
    // The state, to read and to write until the next step: then it lies elsewhere.
    virtual T* h() = 0;  // (layers, rows, recurrent size)
    virtual T* c() = 0;  // (layers, rows, hidden size); null where the cell has none
};

template <class T>
class Network {
public:
    explicit Network(const NetworkSpec& spec);
    ~Network();
    Network(const Network&) = delete;
    Network& operator=(const Network&) = delete;

    const NetworkSpec& spec() const;

    // `params`: an array for every parameter, in their order and of their shapes. They are packed anew only when their
    // contents have changed since the last call.
    void forward(const std::vector<const T*>& params, const ForwardInputs<T>& in, const ForwardOutputs<T>& out);

    // While it is frozen the parameters must not change: the first call looks at them, the others do not.
    void freeze(bool frozen);

    // forward(), and a tape for the backward pass.
    std::unique_ptr<Tape<T>> record(const std::vector<const T*>& params, const ForwardInputs<T>& in,
                                    const RecordOptions<T>& options, const ForwardOutputs<T>& out);

    // For networks that run forward in time only. The state is zeros.
    // tokens.table and count: of a stream that is stepped by tokens; the table is read here only. Count 0: by x.
    std::unique_ptr<Stream<T>> stream(const std::vector<const T*>& params, Index rows,
                                      const TokenInputs<T>& tokens = {});

    struct Shared;

private:
    std::shared_ptr<Shared> shared_;
};

}  // namespace fusedrnn
