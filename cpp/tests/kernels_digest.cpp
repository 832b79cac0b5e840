// kernels_digest ISA: runs every kernel of that ISA's table, forward and backward through each cell, on fixed numbers
// of odd sizes, and prints a 64-bit digest of the result bits for each. AVX2, AVX-512 and NEON must print the same
// lines; the scalar build, without FMA, prints its own. Exits with 77 where the machine lacks the ISA.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "digest.hpp"
#include "dispatch/dispatch.hpp"
#include "fusedrnn/runtime.hpp"
#include "random.hpp"
#include "rnn/layer/kernel_spans.hpp"
#include "rnn/weights/packed_network.hpp"

namespace {

using namespace fusedrnn;
using fusedrnn_test::Digest;
using fusedrnn_test::Random;

struct Shape {
    Index rows, input, hidden, proj;
    bool input_projected;
};

constexpr Index steps = 3;

// Arrays in the order [step][row][width], all compact.
template <class T>
class KernelRun {
public:
    KernelRun(CellKind cell, Nonlinearity nonlinearity, const Shape& shape, std::uint64_t seed)
        : shape_(shape), spec_{.cell = cell,
                               .input_size = shape.input,
                               .hidden_size = shape.hidden,
                               .proj_size = shape.proj,
                               .nonlinearity = nonlinearity},
          traits_(cell_traits(cell)), kernels_(table()), cell_(static_cast<int>(cell)),
          recurrent_(spec_.recurrent_size()), random_(seed) {
        std::vector<const T*> pointers;
        for (const Parameter& parameter : parameters(spec_)) {
            weights_.push_back(numbers(parameter.size()));
            pointers.push_back(weights_.back().data());
        }
        packed_ = std::make_unique<PackedNetwork<T>>();
        packed_->pack(current_kernels(), spec_, pointers, true);
        const Index row_steps = steps * shape.rows;
        x_ = numbers(row_steps * shape.input);
        h0_ = numbers(shape.rows * recurrent_);
        c0_ = numbers(shape.rows * shape.hidden);
        h_ = nan(row_steps * recurrent_);
        c_ = nan(row_steps * shape.hidden);
        unprojected_ = nan(row_steps * shape.hidden);
        saved_ = nan(row_steps * traits_.saved * shape.hidden);
        dgates_ = nan(row_steps * traits_.gate_gradients * shape.hidden);
        dh_proj_ = nan(row_steps * shape.proj);
    }

    void forward(Digest& digest) {
        std::vector<ForwardRow<T>> rows(static_cast<std::size_t>(shape_.rows));
        const Index hidden = shape_.hidden;
        for (Index r = 0; r < shape_.rows; ++r) {
            ForwardRow<T>& row = rows[static_cast<std::size_t>(r)];
            row.x = x_.data() + r * shape_.input;
            row.h_prev = h0_.data() + r * recurrent_;
            row.c_prev = c0_.data() + r * hidden;
            row.h = h_.data() + r * recurrent_;
            row.unprojected = shape_.proj ? unprojected_.data() + r * hidden : row.h;
            row.c = c_.data() + r * hidden;
            if (traits_.saved) row.saved = saved_.data() + r * traits_.saved * hidden;
        }
        ForwardSpan<T> span =
            forward_span(spec_, shape_.input, packed_->layer(0, 0), whole_layer<T>(spec_), steps, rows,
                         {
                             .x = shape_.rows * shape_.input,
                             .unprojected = shape_.rows * (shape_.proj ? hidden : recurrent_),
                             .h = shape_.rows * recurrent_,
                             .c = shape_.rows * hidden,
                             .saved = shape_.rows * traits_.saved * hidden,
                         });
        std::vector<T> projected;
        if (shape_.input_projected) project(span, projected);
        kernels_.forward[cell_](span);
        digest.add(h_);
        digest.add(saved_);
        if (traits_.has_cell_state) digest.add(c_);
        if (shape_.proj) digest.add(unprojected_);
    }

    void backward(Digest& digest) {
        const Index hidden = shape_.hidden, width = traits_.gate_gradients * hidden, last = (steps - 1) * shape_.rows;
        const std::vector<T> dy = numbers(steps * shape_.rows * recurrent_);
        std::vector<T> dh_carry = numbers(shape_.rows * recurrent_), dc_carry = numbers(shape_.rows * hidden);
        std::vector<T> scratch = nan(shape_.rows * linear_tile_columns<T>);
        std::vector<BackwardRow<T>> rows(static_cast<std::size_t>(shape_.rows));
        for (Index r = 0; r < shape_.rows; ++r) {
            BackwardRow<T>& row = rows[static_cast<std::size_t>(r)];
            row.dy = dy.data() + (last + r) * recurrent_;
            row.dh_carry = dh_carry.data() + r * recurrent_;
            row.dc_carry = dc_carry.data() + r * hidden;
            row.saved = saved_.data() + (last + r) * traits_.saved * hidden;
            row.h = h_.data() + (last + r) * recurrent_;
            row.c = c_.data() + (last + r) * hidden;
            row.h_entering = h0_.data() + r * recurrent_;
            row.c_entering = c0_.data() + r * hidden;
            row.dgates = dgates_.data() + (last + r) * width;
            row.dh_proj = dh_proj_.data() + (last + r) * shape_.proj;
        }
        const BackwardSpan<T> span = backward_span<T>(spec_, packed_->layer(0, 0), whole_layer<T>(spec_), steps, rows,
                                                      {
                                                          .dy = -shape_.rows * recurrent_,
                                                          .saved = -shape_.rows * traits_.saved * hidden,
                                                          .h = -shape_.rows * recurrent_,
                                                          .c = -shape_.rows * hidden,
                                                          .dgates = -shape_.rows * width,
                                                          .dh_proj = -shape_.rows * shape_.proj,
                                                      },
                                                      true, nullptr, scratch.data());
        kernels_.backward[cell_](span);
        digest.add(dgates_);
        if (traits_.carries_dh) digest.add(dh_carry);
        if (traits_.has_cell_state) digest.add(dc_carry);
        digest.add(dh_proj_);
        products(digest);
    }

private:
    static const Kernels<T>& table() { return kernels_of<T>(current_kernels()); }
    static std::vector<T> nan(Index count) {
        return std::vector<T>(static_cast<std::size_t>(count), std::numeric_limits<T>::quiet_NaN());
    }
    std::vector<T> numbers(Index count) {
        std::vector<T> values(static_cast<std::size_t>(count));
        for (T& value : values) value = random_.unit<T>();
        return values;
    }

    void project(ForwardSpan<T>& span, std::vector<T>& projected) {
        const PackedLayer<T>& w = packed_->layer(0, 0);
        const Index width = padded_units<T>(shape_.hidden) * traits_.gates, count = steps * shape_.rows;
        projected = nan(count * width);
        std::vector<const T*> x;
        for (Index i = 0; i < count; ++i) x.push_back(x_.data() + i * shape_.input);
        kernels_.project[cell_]({count, x.data(), projected.data(), width, shape_.input, shape_.hidden, w.bias.data(),
                                 w.w_ih.data(), 0, ceil_div(shape_.hidden, unit_block<T>)});
        for (Index r = 0; r < shape_.rows; ++r) span.row[r].x = projected.data() + r * width;
        span.stride.x = shape_.rows * width;
        span.input_projected = true;
    }

    // dx, and the gradients of W_ih, W_hh (of the steps after the first) and b, from the gate gradients.
    void products(Digest& digest) {
        const Index width = traits_.gate_gradients * shape_.hidden, count = steps * shape_.rows;
        const Index gates = traits_.gates * shape_.hidden;
        std::vector<T> dx = nan(count * shape_.input), dw_ih = numbers(gates * shape_.input),
                       dw_hh = numbers(gates * recurrent_), db = numbers(gates);
        std::vector<const T*> left, x, h;
        std::vector<T*> out;
        for (Index i = 0; i < count; ++i) {
            left.push_back(dgates_.data() + i * width);
            out.push_back(dx.data() + i * shape_.input);
            x.push_back(x_.data() + i * shape_.input);
            h.push_back(h_.data() + i * recurrent_);
        }
        kernels_.linear({count, left.data(), out.data(), gates, shape_.input, packed_->layer(0, 0).w_ih_backward.data(),
                         nullptr, true, false, 0, ceil_div(shape_.input, unit_block<T>)});
        const OuterB<T> right[] = {{x.data(), shape_.input}, {h.data(), recurrent_}};
        const OuterPartOfA<T> whole = {0, gates, {dw_ih.data(), dw_hh.data()}, {db.data(), nullptr}};
        std::vector<T> scratch = nan(outer_scratch(right, 2));
        kernels_.outer({count, left.data(), &whole, 1, right, 2, scratch.data()});
        for (const std::vector<T>* result : {&dx, &dw_ih, &dw_hh, &db}) digest.add(*result);
    }

    const Shape shape_;
    const NetworkSpec spec_;
    const CellTraits& traits_;
    const Kernels<T>& kernels_;
    const int cell_;
    const Index recurrent_;
    Random random_;
    std::vector<std::vector<T>> weights_;
    std::unique_ptr<PackedNetwork<T>> packed_;
    std::vector<T> x_, h0_, c0_, h_, c_, unprojected_, saved_, dgates_, dh_proj_;
};

template <class T>
void digest_cell(CellKind cell, Nonlinearity nonlinearity, Index proj) {
    Digest forward, backward;
    std::uint64_t seed = 0;
    for (Index hidden : {1, 3, 15, 17, 31, 33, 65, 97})
        for (Index rows : {1, 2, 3, 5, 7, 13})
            for (bool projected : {false, true}) {
                const Index input = (hidden * 7 + rows * 5) % 97 + 1;
                KernelRun<T> run(cell, nonlinearity, {rows, input, hidden, std::min(proj, hidden), projected}, ++seed);
                run.forward(forward);
                run.backward(backward);
            }
    std::printf("%-4s %-10s proj %td %-6s forward %016llx backward %016llx\n", cell_traits(cell).name,
                nonlinearity_names[static_cast<int>(nonlinearity)], proj, sizeof(T) == 4 ? "float" : "double",
                forward.value(), backward.value());
}

template <class T>
void digest_all() {
    for (int n = 0; n < nonlinearity_count; ++n) digest_cell<T>(CellKind::rnn, static_cast<Nonlinearity>(n), 0);
    digest_cell<T>(CellKind::lstm, Nonlinearity::tanh, 0);
    digest_cell<T>(CellKind::lstm, Nonlinearity::tanh, 19);
    digest_cell<T>(CellKind::gru, Nonlinearity::tanh, 0);
}

}  // namespace

int main(int argc, char** argv) {
    return fusedrnn_test::digests_of_isa(argc, argv, [] {
        digest_all<float>();
        digest_all<double>();
    });
}
