#include <algorithm>
#include <utility>

#include "rnn/network_state.hpp"

namespace fusedrnn {
namespace {

// The state lives in two copies per layer: a step reads one and writes the other, since its tiles read all of h while
// they write it. c is updated in place.
template <class T>
class NetworkStream final : public Stream<T> {
public:
    NetworkStream(std::shared_ptr<typename Network<T>::State> state, std::shared_ptr<const PackedNetwork<T>> packed,
                  Index rows)
        : state_(std::move(state)), packed_(std::move(packed)), spec_(state_->spec), rows_(rows),
          row_(static_cast<std::size_t>(rows)) {
        const Index width = spec_.recurrent_size();
        h_.reserve_zeros(spec_.layers * rows * width);
        next_.reserve_zeros(spec_.layers * rows * width);
        if (spec_.traits().has_cell) c_.reserve_zeros(spec_.layers * rows * spec_.hidden_size);
        if (spec_.proj_size) units_.reserve_zeros(rows * spec_.hidden_size);
        prepare_span();
    }

    void step(const T* x, Index x_stride, T* y) override {
        const Index width = spec_.recurrent_size(), hidden = spec_.hidden_size;
        Index x_width = x_stride;
        for (Index l = 0; l < spec_.layers; ++l) {
            const Index at = l * rows_ * width;
            for (Index r = 0; r < rows_; ++r) {
                ForwardRow<T>& row = row_[static_cast<std::size_t>(r)];
                row.x = x + r * x_width;
                row.h_prev = h_.data() + at + r * width;
                row.h = next_.data() + at + r * width;
                row.units = spec_.proj_size ? units_.data() + r * hidden : row.h;
                if (spec_.traits().has_cell) {
                    row.c = c_.data() + (l * rows_ + r) * hidden;
                    row.c_prev = row.c;
                }
                row.saved = nullptr;
            }
            const PackedLayer<T>& weights = packed_->layer(l, 0);
            span_.row = row_.data();
            span_.input_size = spec_.layer_input(l);
            span_.bias = weights.bias.data();
            span_.w_ih = weights.w_ih.data();
            span_.w_hh = weights.w_hh.data();
            span_.w_hr = spec_.proj_size ? weights.w_hr.data() : nullptr;
            packed_->kernels().forward[static_cast<int>(spec_.cell)](span_);
            x = next_.data() + at;
            x_width = width;
        }
        span_.down = !span_.down;
        std::swap(h_, next_);
        std::copy_n(h_.data() + (spec_.layers - 1) * rows_ * width, rows_ * width, y);
    }

    T* h() override { return h_.data(); }
    T* c() override { return c_.data(); }

private:
    void prepare_span() {
        span_.steps = 1;
        span_.rows = rows_;
        span_.hidden_size = spec_.hidden_size;
        span_.proj_size = spec_.proj_size;
        span_.nonlinearity = spec_.nonlinearity;
        span_.block_end = ceil_div(spec_.hidden_size, unit_block<T>);
        span_.proj_end = ceil_div(spec_.proj_size, unit_block<T>);
    }

    std::shared_ptr<typename Network<T>::State> state_;
    std::shared_ptr<const PackedNetwork<T>> packed_;
    const NetworkSpec& spec_;
    const Index rows_;
    Buffer<T> h_, next_, c_, units_;
    std::vector<ForwardRow<T>> row_;
    ForwardSpan<T> span_ = {};
};

}  // namespace

template <class T>
std::unique_ptr<Stream<T>> Network<T>::stream(const std::vector<const T*>& params, Index rows) {
    return std::make_unique<NetworkStream<T>>(state_, state_->weights.get(params, false), rows);
}

template std::unique_ptr<Stream<float>> Network<float>::stream(const std::vector<const float*>&, Index);
template std::unique_ptr<Stream<double>> Network<double>::stream(const std::vector<const double*>&, Index);

}  // namespace fusedrnn
