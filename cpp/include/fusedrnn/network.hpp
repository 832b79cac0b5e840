// Recurrent networks from C++: a stack of layers of one cell, forward, recorded forward, backward, and stepwise.
//
// All calls are safe from many threads at once. Pointers are borrowed for the call only. Sizes and shapes are the
// caller's duty here; the Python bindings check them.
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

// Rows of a (time, batch, width) array; the width is contiguous, the other strides are in elements.
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
    const std::int64_t* lengths = nullptr;  // (rows), any order, or null: all have `steps`
    const std::uint8_t* reset = nullptr;    // or null
    Index reset_time_stride = 0, reset_batch_stride = 0;
};

inline Index row_steps(const BatchShape& shape) { return shape.steps * shape.rows; }

template <class T>
struct ForwardInputs {
    BatchShape shape;
    View<const T> x;
    const T* h0 = nullptr;  // (layers * directions, rows, recurrent size), or null: zeros
    const T* c0 = nullptr;  // (layers * directions, rows, hidden)
};

template <class T>
struct ForwardOutputs {
    View<T> y;  // all of it is written
    T* h_n = nullptr;
    T* c_n = nullptr;     // LSTM
    View<T> cell_states;  // the last layer's c of every step, or null
};

template <class T>
struct RecordOptions {
    // Dropout: layers - 1 masks (steps, rows, output size), multiplied into the outputs between layers; or empty.
    std::vector<View<const T>> masks;
    // Keep only the states of every so many steps and run the steps between again in the backward pass; 0: keep all.
    // For networks that run forward in time only.
    Index checkpoint = 0;
};

template <class T>
struct BackwardInputs {
    View<const T> dy;         // or null: zeros
    const T* dh_n = nullptr;  // or null: zeros
    const T* dc_n = nullptr;
    Index truncate = 0;  // 0: through the whole sequence
};

template <class T>
struct BackwardOutputs {
    View<T> dx;  // all of it is written
    T* dh0 = nullptr;
    T* dc0 = nullptr;        // LSTM
    std::vector<T*> params;  // in parameter order; zeros on entry, every array is added to
};

template <class T>
class Tape {
public:
    virtual ~Tape() = default;
    virtual std::size_t bytes() const = 0;
    // Once only: the tape's memory is used up on the way.
    virtual void backward(const BackwardInputs<T>& in, const BackwardOutputs<T>& out) = 0;
};

// A network stepped one time step at a time. Not for several threads at once.
template <class T>
class Stream {
public:
    virtual ~Stream() = default;
    // x (rows, input) with contiguous rows; y (rows, output), contiguous.
    virtual void step(const T* x, Index x_stride, T* y) = 0;
    virtual T* h() = 0;  // (layers, rows, recurrent size): the state, to read and to write
    virtual T* c() = 0;  // (layers, rows, hidden); null where the cell has none
};

template <class T>
class Network {
public:
    explicit Network(const NetworkSpec& spec);
    ~Network();
    Network(const Network&) = delete;
    Network& operator=(const Network&) = delete;

    const NetworkSpec& spec() const;

    // `params` in parameter order. They are packed anew only when their contents have changed since the last call.
    void forward(const std::vector<const T*>& params, const ForwardInputs<T>& in, const ForwardOutputs<T>& out);

    // With a checkpoint distance x and the masks are borrowed for the tape's life, and x must not change meanwhile.
    std::unique_ptr<Tape<T>> record(const std::vector<const T*>& params, const ForwardInputs<T>& in,
                                    const RecordOptions<T>& options, const ForwardOutputs<T>& out);

    std::unique_ptr<Stream<T>> stream(const std::vector<const T*>& params, Index rows);

    struct Shared;

private:
    std::shared_ptr<Shared> shared_;
};

}  // namespace fusedrnn
