// Staged layers and their tapes.
#include "fusedrnn/staged.hpp"
#include "rnn/staged/call.hpp"

namespace fusedrnn {
namespace {

// Copies of what a call was given, for as long as its tape lives.
template <class T>
class Copies {
public:
    const T* of(const T* array, Index count) {
        if (!array) return nullptr;
        Buffer<T>& to = copies_.emplace_back();
        return std::copy_n(array, count, to.reserve(count)) - count;
    }
    View<const T> of(const View<const T>& view, const BatchShape& shape, Index width) {
        if (!view) return {};
        T* const to = copies_.emplace_back().reserve(row_steps(shape) * width);
        for (Index t = 0; t < shape.steps; ++t)
            for (Index b = 0; b < shape.rows; ++b) std::copy_n(view.at(t, b), width, to + (t * shape.rows + b) * width);
        return {to, shape.rows * width, width};
    }
    std::size_t bytes() const {
        std::size_t sum = 0;
        for (const Buffer<T>& copy : copies_) sum += copy.bytes();
        return sum;
    }

private:
    std::vector<Buffer<T>> copies_;
};

template <class T>
class Recorded final : public StagedTape<T> {
public:
    Recorded(const StagedSpec& spec, std::shared_ptr<const StagedWeights<T>> weights, const StagedInputs<T>& in)
        : call_(spec, std::move(weights), in, true) {}

    void run(const ForwardOutputs<T>& out) {
        run_staged_forward(call_, out);
        StagedInputs<T>& in = call_.in;
        const Index rows = in.shape.rows, hidden = call_.spec.hidden_size, width = call_.spec.recurrent_size();
        in.x = {};  // the fields have a copy
        in.h0 = copies_.of(in.h0, rows * width);
        in.c0 = copies_.of(in.c0, rows * hidden);
        in.h_mask = copies_.of(in.h_mask, rows * width);
        in.initial_h = copies_.of(in.initial_h, width);
        in.initial_c = copies_.of(in.initial_c, hidden);
        in.zoneout_h.shares = copies_.of(in.zoneout_h.shares, in.shape, width);
        in.zoneout_c.shares = copies_.of(in.zoneout_c.shares, in.shape, hidden);
        in.shape.lengths = nullptr;  // the schedule has them
        in.shape.reset = nullptr;
    }

    std::size_t bytes() const override { return call_.fields.bytes() + copies_.bytes(); }

    void backward(const BackwardInputs<T>& in, const StagedBackwardOutputs<T>& out) override {
        run_staged_backward(call_, in, out);
    }

private:
    StagedCall<T> call_;
    Copies<T> copies_;
};

}  // namespace

template <class T>
struct StagedLayer<T>::Shared {
    StagedSpec spec;
    PackedCache<StagedWeights<T>> cache;
};

template <class T>
StagedLayer<T>::StagedLayer(const StagedSpec& spec) : shared_(new Shared{spec, {}}) {}

template <class T>
StagedLayer<T>::~StagedLayer() = default;

template <class T>
const StagedSpec& StagedLayer<T>::spec() const {
    return shared_->spec;
}

template <class T>
void StagedLayer<T>::forward(const std::vector<const T*>& params, const StagedInputs<T>& in,
                             const ForwardOutputs<T>& out) {
    StagedCall<T> call(spec(), packed_staged(shared_->cache, spec(), params, false, in.unchanged), in, false);
    run_staged_forward(call, out);
}

template <class T>
std::unique_ptr<StagedTape<T>> StagedLayer<T>::record(const std::vector<const T*>& params, const StagedInputs<T>& in,
                                                      const ForwardOutputs<T>& out) {
    auto tape =
        std::make_unique<Recorded<T>>(spec(), packed_staged(shared_->cache, spec(), params, true, in.unchanged), in);
    tape->run(out);
    return tape;
}

template class StagedLayer<float>;
template class StagedLayer<double>;

}  // namespace fusedrnn
