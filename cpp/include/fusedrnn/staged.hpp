// One direction of one layer whose cell has options: peepholes, other activations, bounds, layer norm and the like.
//
// What network.hpp says of calls, pointers and views holds here too. The equations are sections 10 to 13 of
// docs/design/cells.md.
#pragma once

#include <memory>
#include <vector>

#include "fusedrnn/activation.hpp"
#include "fusedrnn/network.hpp"

namespace fusedrnn {

struct ActivationSpec {
    Activation kind;
    double alpha = 0, beta = 0;
};

struct StagedSpec {
    CellKind cell = CellKind::lstm;
    Index input_size = 0;
    Index hidden_size = 0;
    Index proj_size = 0;  // LSTM; 0: none
    bool bias = true;
    // LSTM: all three; GRU: gates, candidate; simple RNN: output.
    ActivationSpec gates{Activation::sigmoid}, candidate{Activation::tanh}, output{Activation::tanh};
    double clip = 0, cell_clip = 0;  // 0: none; cell_clip: LSTM
    bool peephole = false;           // LSTM
    bool coupled = false;            // LSTM: f = 1 - i
    bool reset_after = true;         // GRU
    bool minimal = false;            // GRU: one gate f in place of r and z
    bool independent = false;        // simple RNN: W_hh is a diagonal
    bool layer_norm = false;         // LSTM, and GRU that resets after
    double epsilon = 1e-5;           // of layer norm

    Index recurrent_size() const { return proj_size ? proj_size : hidden_size; }
    bool has_cell_state() const { return cell == CellKind::lstm; }
    bool resets_before() const { return cell == CellKind::gru && (minimal || !reset_after); }
    Index gate_count() const {
        if (cell == CellKind::rnn) return 1;
        return cell == CellKind::lstm ? (coupled ? 3 : 4) : (minimal ? 2 : 3);
    }
    Index gate_rows() const { return gate_count() * hidden_size; }
};

// Every parameter, under its name without layer and direction.
std::vector<Parameter> parameters(const StagedSpec& spec);

// A share of the old state that stays: (steps, rows, width) values, or one number where the view is null.
template <class T>
struct Zoneout {
    View<const T> shares;
    double share = 0;
    bool acts() const { return shares || share != 0; }
};

template <class T>
struct StagedInputs {
    BatchShape shape;
    bool reverse = false;
    View<const T> x;            // (steps, rows, input size)
    const T* h0 = nullptr;      // (rows, recurrent size), or null: zeros
    const T* c0 = nullptr;      // (rows, hidden size), or null: zeros
    const T* h_mask = nullptr;  // (rows, recurrent size), multiplies the h that enters a step; or null
    Zoneout<T> zoneout_h, zoneout_c;
    const T* initial_h = nullptr;  // (recurrent size): the state after a reset; or null: zeros
    const T* initial_c = nullptr;  // (hidden size)
    bool unchanged = false;        // the parameters have not changed since the last call: they are not looked at
};

template <class T>
struct StagedBackwardOutputs {
    View<T> dx;  // (steps, rows, input size): all of it is written, zeros past a row's length
    T *dh0 = nullptr, *dc0 = nullptr;
    std::vector<T*> params;                          // in their order and of their shapes; what is in them is added to
    T *dinitial_h = nullptr, *dinitial_c = nullptr;  // (recurrent size), (hidden size), written
};

template <class T>
class StagedTape {
public:
    virtual ~StagedTape() = default;
    virtual std::size_t bytes() const = 0;
    // Once only: it uses up what the tape holds.
    virtual void backward(const BackwardInputs<T>& in, const StagedBackwardOutputs<T>& out) = 0;
};

template <class T>
class StagedLayer {
public:
    explicit StagedLayer(const StagedSpec& spec);
    ~StagedLayer();

    const StagedSpec& spec() const;

    // `params` as Network::forward has them.
    void forward(const std::vector<const T*>& params, const StagedInputs<T>& in, const ForwardOutputs<T>& out);
    // forward(), and a tape, which needs none of the call's arrays any more.
    std::unique_ptr<StagedTape<T>> record(const std::vector<const T*>& params, const StagedInputs<T>& in,
                                          const ForwardOutputs<T>& out);

    struct Shared;

private:
    std::shared_ptr<Shared> shared_;
};

}  // namespace fusedrnn
