// The public class Stream: a network stepped one time step at a time.
#include <algorithm>
#include <atomic>
#include <utility>

#include "fusedrnn/runtime.hpp"
#include "rnn/layer/kernel_spans.hpp"
#include "rnn/layer/token_products.hpp"
#include "rnn/network/network_shared.hpp"
#include "rnn/plan/projection.hpp"

namespace fusedrnn {
namespace {

// The state lives in two copies: a step reads one and writes the other, and takes it for the state when all is written.
// Its tiles read all of h while they write it; and a child that was forked in the middle of another thread's step finds
// the state as it was before that step.
template <class T>
class NetworkStream final : public Stream<T> {
public:
    NetworkStream(std::shared_ptr<typename Network<T>::Shared> network, std::shared_ptr<const PackedNetwork<T>> packed,
                  Index rows, const TokenInputs<T>& tokens)
        : network_(std::move(network)), packed_(std::move(packed)), spec_(network_->spec), rows_(rows),
          row_(static_cast<std::size_t>(rows)) {
        const Index width = spec_.recurrent_size();
        for (State& state : states_) {
            state.h.reserve_zeros(spec_.layers * rows * width);
            if (spec_.traits().has_cell_state) state.c.reserve_zeros(spec_.layers * rows * spec_.hidden_size);
        }
        if (spec_.proj_size) unprojected_.reserve_zeros(rows * spec_.hidden_size);
        if (tokens.count == 0) return;
        const Index sums = projected_width<T>(spec_);
        project_tokens(spec_, 0, 0, *packed_, tokens, token_sums_.reserve(tokens.count * sums), num_threads());
        sums_of_rows_.reserve(rows * sums);
    }

    void step(const T* x, Index x_stride, T* y) override { take_step(x, x_stride, false, y); }

    // The kernel wants its rows evenly spaced: those of several tokens are copied side by side.
    void step_tokens(const std::int64_t* tokens, T* y) override {
        const Index sums = projected_width<T>(spec_);
        for (Index r = 0; r < rows_; ++r)
            std::copy_n(token_sums_.data() + tokens[r] * sums, sums, sums_of_rows_.data() + r * sums);
        take_step(sums_of_rows_.data(), sums, true, y);
    }

    T* h() override { return state().h.data(); }
    T* c() override { return state().c.data(); }

private:
    // `projected`: x are the sums that the first layer's products with x make.
    void take_step(const T* x, Index x_stride, bool projected, T* y) {
        const Index width = spec_.recurrent_size(), hidden = spec_.hidden_size;
        const State &now = state(), &next = states_[1 - current_.load(std::memory_order_relaxed)];
        Index x_width = x_stride;
        for (Index l = 0; l < spec_.layers; ++l) {
            const Index at = l * rows_ * width;
            for (Index r = 0; r < rows_; ++r) {
                ForwardRow<T>& row = row_[static_cast<std::size_t>(r)];
                row.x = x + r * x_width;
                row.h_prev = now.h.data() + at + r * width;
                row.h = next.h.data() + at + r * width;
                row.unprojected = spec_.proj_size ? unprojected_.data() + r * hidden : row.h;
                if (spec_.traits().has_cell_state) {
                    row.c_prev = now.c.data() + (l * rows_ + r) * hidden;
                    row.c = next.c.data() + (l * rows_ + r) * hidden;
                }
                row.saved = nullptr;
            }
            ForwardSpan<T> span = forward_span(spec_, spec_.layer_input(l), packed_->layer(l, 0), share_, 1, row_, {});
            span.descending = down_;
            span.input_projected = projected && l == 0;
            packed_->kernels().forward[static_cast<int>(spec_.cell)](span);
            x = next.h.data() + at;
            x_width = width;
        }
        down_ = !down_;
        std::copy_n(next.h.data() + (spec_.layers - 1) * rows_ * width, rows_ * width, y);
        // Release: whoever sees the new number in the memory of a forked child sees the state it stands for there.
        current_.store(1 - current_.load(std::memory_order_relaxed), std::memory_order_release);
    }

    struct State {
        Buffer<T> h, c;
    };
    const State& state() const { return states_[current_.load(std::memory_order_relaxed)]; }

    std::shared_ptr<typename Network<T>::Shared> network_;
    std::shared_ptr<const PackedNetwork<T>> packed_;
    const NetworkSpec& spec_;
    const Index rows_;
    State states_[2];
    std::atomic<int> current_{0};  // relaxed but for the store above: one thread at a time uses a stream
    Buffer<T> unprojected_;
    Buffer<T> token_sums_, sums_of_rows_;  // input products of each token, and of a step's rows
    std::vector<ForwardRow<T>> row_;
    const ThreadShare share_ = whole_layer<T>(spec_);
    bool down_ = false;  // steps go up and down through the blocks by turns
};

}  // namespace

template <class T>
std::unique_ptr<Stream<T>> Network<T>::stream(const std::vector<const T*>& params, Index rows,
                                              const TokenInputs<T>& tokens) {
    return std::make_unique<NetworkStream<T>>(shared_, shared_->weights.get(params, false), rows, tokens);
}

template std::unique_ptr<Stream<float>> Network<float>::stream(const std::vector<const float*>&, Index,
                                                               const TokenInputs<float>&);
template std::unique_ptr<Stream<double>> Network<double>::stream(const std::vector<const double*>&, Index,
                                                                 const TokenInputs<double>&);

}  // namespace fusedrnn
