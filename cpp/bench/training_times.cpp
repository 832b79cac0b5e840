// What the stages of a training step take, for docs/performance.md: the forward pass that keeps a tape, back through
// time with the cell's gradient and without, dx, and the weights' gradients with the packing they need. Least times,
// and shares of the FMA peak measured beside them.
//
//     cmake --preset dev && cmake --build --preset dev --target training_times_avx2
//     taskset -c 1 build/dev/cpp/tests/training_times_avx2
#include <algorithm>
#include <cstdio>
#include <vector>

#include "cells/list.hpp"
#include "gemm/outer.hpp"
#include "measure.hpp"
#include "rnn/layer/kernel_spans.hpp"
#include "step/backward.hpp"
#include "step/forward.hpp"
#include "tests/check.hpp"

namespace {

namespace isa = fusedrnn::FUSEDRNN_ISA;
using fusedrnn::BackwardRow;
using fusedrnn::ForwardRow;
using fusedrnn::Index;
using fusedrnn_test::Array;
using fusedrnn_test::min_seconds;
using fusedrnn_test::size;

constexpr int rounds = 15;

// A cell whose gradient is the sum that the product brought: one store, nothing read.
template <class U, template <class> class CellOf>
struct BareGradient : CellOf<U> {
    using V = isa::Vec<U>;
    static void backward(V dh, const BackwardRow<U>& row, const U*, const U*, Index unit, Index lanes, Index,
                         fusedrnn::Nonlinearity) {
        isa::store_lanes(dh, row.dgates + unit, lanes);
    }
};
template <class U>
using BareLstm = BareGradient<U, isa::Lstm>;
template <class U>
using BareGru = BareGradient<U, isa::Gru>;
template <class U>
using BareRnn = BareGradient<U, isa::Rnn>;

// One layer of `hidden` inputs and units over `steps`; the values do not matter. Row-steps in packed order.
template <class T, template <class> class CellOf>
struct Layer {
    static constexpr fusedrnn::CellTraits traits = fusedrnn::cell_traits(CellOf<T>::kind);
    const Index steps = 50, rows, hidden, count = steps * rows, width = traits.gate_gradients * hidden;
    fusedrnn::NetworkSpec spec;
    fusedrnn::PackedLayer<T> weights;
    Array<T> x, y, c, saved, dgates, dx, dw_ih, dw_hh, db, zeros, carry, sums, packed;
    std::vector<const T*> x_rows, y_rows, dgate_rows;
    std::vector<T*> dx_rows;
    std::vector<fusedrnn::OuterPartOfA<T>> left;
    fusedrnn::OuterB<T> right[2];

    Layer(Index rows_, Index hidden_)
        : rows(rows_), hidden(hidden_), weights(fusedrnn_test::layer_of(CellOf<T>::kind, hidden, hidden, T(1e-3))),
          x(size(count * hidden), T(0.25)), y(x), c(x), saved(size(count * traits.saved * hidden)),
          dgates(size(count * width), T(1e-3)), dx(x), dw_ih(size(traits.gates * hidden * hidden)), dw_hh(dw_ih),
          db(size(traits.gates * hidden)), zeros(size(width)), carry(size(rows * hidden)),
          sums(size(rows * fusedrnn::linear_tile_columns<T>)) {
        spec.cell = CellOf<T>::kind;
        spec.input_size = spec.hidden_size = hidden;
        for (Index i = 0; i < count; ++i) {
            x_rows.push_back(x.data() + i * hidden);
            y_rows.push_back(y.data() + i * hidden);
            dgate_rows.push_back(dgates.data() + i * width);
            dx_rows.push_back(dx.data() + i * hidden);
        }
        right[0] = {x_rows.data(), hidden};
        right[1] = {y_rows.data(), hidden};
    }

    T* at(Array<T>& of, Index step, Index row, Index per_row) { return of.data() + (step * rows + row) * per_row; }

    void forward() {
        std::vector<ForwardRow<T>> row(size(rows));
        for (Index r = 0; r < rows; ++r) {
            ForwardRow<T>& to = row[size(r)];
            to.x = at(x, 0, r, hidden);
            to.h_prev = to.c_prev = zeros.data();
            to.h = to.unprojected = at(y, 0, r, hidden);
            if (traits.has_cell_state) to.c = at(c, 0, r, hidden);
            to.saved = at(saved, 0, r, traits.saved * hidden);
        }
        const fusedrnn::ForwardSpan<T> span =
            fusedrnn::forward_span(spec, hidden, weights, fusedrnn::whole_layer<T>(spec), steps, row,
                                   {
                                       .x = rows * hidden,
                                       .unprojected = rows * hidden,
                                       .h = rows * hidden,
                                       .c = traits.has_cell_state ? rows * hidden : 0,
                                       .saved = rows * traits.saved * hidden,
                                   });
        if constexpr (CellOf<T>::kind == fusedrnn::CellKind::rnn)
            isa::Forward<T, isa::Rnn>::run(span);
        else
            isa::Forward<T, CellOf>::run(span);
    }

    // The gate gradients overwrite those of the run before; the step after the last one is a row of zeros.
    template <template <class> class Gradient>
    void through_time() {
        std::vector<BackwardRow<T>> row(size(rows));
        for (Index r = 0; r < rows; ++r) {
            BackwardRow<T>& to = row[size(r)];
            to.dgates_next = zeros.data();
            to.dy = at(x, steps - 1, r, hidden);
            if (traits.has_cell_state || traits.carries_dh) to.dc_carry = to.dh_carry = at(carry, 0, r, hidden);
            to.saved = at(saved, steps - 1, r, traits.saved * hidden);
            to.h = at(y, steps - 1, r, hidden);
            to.c = traits.has_cell_state ? at(c, steps - 1, r, hidden) : nullptr;
            to.h_entering = to.c_entering = zeros.data();
            to.dgates = at(dgates, steps - 1, r, width);
        }
        const fusedrnn::BackwardSpan<T> span =
            fusedrnn::backward_span<T>(spec, weights, fusedrnn::whole_layer<T>(spec), steps, row,
                                       {
                                           .dy = -rows * hidden,
                                           .saved = -rows * traits.saved * hidden,
                                           .h = -rows * hidden,
                                           .c = -rows * hidden,
                                           .dgates = -rows * width,
                                           .dh_proj = 0,
                                       },
                                       false, nullptr, sums.data());
        isa::Backward<T, Gradient>::run(span);
    }

    void input_gradient() {
        isa::Linear<T>::run({count, dgate_rows.data(), dx_rows.data(), traits.gates * hidden, hidden,
                             weights.w_ih_backward.data(), nullptr, true, false, 0, hidden / fusedrnn::unit_block<T>});
    }

    // Both weights see the same gate gradients; for GRU the first and the last only one of them.
    fusedrnn::OuterArgs<T> outer() {
        const Index n = 2 * hidden;
        if (traits.recurrent_offset == 0)
            left = {{0, width, {dw_ih.data(), dw_hh.data()}, {db.data(), nullptr}}};
        else
            left = {{0, hidden, {dw_ih.data() + n * hidden, nullptr}, {db.data() + n, nullptr}},
                    {hidden, n, {dw_ih.data(), dw_hh.data()}, {db.data(), nullptr}},
                    {hidden + n, hidden, {nullptr, dw_hh.data() + n * hidden}, {}}};
        packed.resize(size(fusedrnn::outer_scratch(right, 2)));
        return {count, dgate_rows.data(), left.data(), static_cast<int>(left.size()), right, 2, packed.data()};
    }

    // All that Outer packs, in its order.
    void pack(const fusedrnn::OuterArgs<T>& args) {
        using Outer = isa::Outer<T>;
        constexpr Index chunk = fusedrnn::outer_chunk<T>, panel = Outer::panel_columns,
                        block = fusedrnn::reduction_block;
        T* const to = Outer::align(packed.data());
        for (Index k = 0; k < count; k += block) {
            const Index depth = std::min(count - k, block);
            for (const auto& operand : right)
                for (Index n = 0; n < hidden; n += panel)
                    Outer::pack_b(operand.b + k, n, std::min(hidden - n, panel), depth, to);
            for (const fusedrnn::OuterPartOfA<T>& part : left)
                for (Index m = 0; m < part.count; m += chunk)
                    Outer::pack_chunk(args.a + k, part, m, depth, std::min(part.count - m, chunk), to, true);
        }
    }
};

template <class T, template <class> class CellOf, template <class> class Bare>
void report(const char* cell) {
    for (Index rows : {8, 32})
        for (Index hidden : {64, 128, 256}) {
            Layer<T, CellOf> layer(rows, hidden);
            const fusedrnn::OuterArgs<T> args = layer.outer();
            const double peak = fusedrnn_test::fma_peak<T>();
            const double forward = min_seconds(rounds, [&] { layer.forward(); });
            const double bare = min_seconds(rounds, [&] { layer.template through_time<Bare>(); });
            const double back = min_seconds(rounds, [&] { layer.template through_time<CellOf>(); });
            const double dx = min_seconds(rounds, [&] { layer.input_gradient(); });
            const double dw = min_seconds(rounds, [&] { isa::Outer<T>::run(args); });
            const double packing = min_seconds(rounds, [&] { layer.pack(args); });
            const double product = 2.0 * static_cast<double>(layer.count * layer.traits.gates * hidden * hidden);
            const auto share = [&](double products, double seconds) {
                return 100 * products * product / seconds / peak;
            };
            std::printf(
                "%-4s %2td x %3td  all %4.1f %%  recorded %4.1f  through time %4.1f (bare %4.1f)  dx %4.1f  "
                "dW %4.1f (packed %4.1f)\n",
                cell, rows, hidden, share(6, forward + back + dx + dw), share(2, forward), share(1, back),
                share(1, bare), share(1, dx), share(2, dw), share(2, dw - packing));
        }
}

template <class T>
[[gnu::noinline]] void report(const char* type) {
    std::puts(type);
    report<T, isa::Lstm, BareLstm>("lstm");
    report<T, isa::Gru, BareGru>("gru");
    report<T, isa::Rnn, BareRnn>("rnn");
}

[[gnu::noinline]] int run() {
    std::puts("shares of the FMA peak; bare: without the cell's gradient; packed: as if packing took no time");
    report<float>("float32");
    report<double>("float64");
    return 0;
}

}  // namespace

int main() { return fusedrnn_test::cpu_has_compiled_isa() ? run() : fusedrnn_test::skipped; }
