// What a forward step's stages take, for docs/performance.md: the kernel as it is; the same kernel with a cell that
// stores its sums and computes no activation; and with products of depth one, so that the cell and what a tile costs to
// begin and to end are left. Shares of the FMA peak measured beside them; not a test.
//
//     cmake --preset dev && cmake --build --preset dev --target stage_times_avx2
//     taskset -c 1 build/dev/cpp/tests/stage_times_avx2
#include <cstdio>
#include <vector>

#include "cells/list.hpp"
#include "measure.hpp"
#include "rnn/layer/kernel_spans.hpp"
#include "step/forward.hpp"
#include "tests/check.hpp"

namespace {

namespace isa = fusedrnn::FUSEDRNN_ISA;
using fusedrnn::CellKind;
using fusedrnn::ForwardRow;
using fusedrnn::ForwardSpan;
using fusedrnn::Index;
using fusedrnn_test::size;

// Cells without their equations: what the sums cost to bring, and the state to write.
template <class T, template <class> class CellOf>
struct Bare : CellOf<T> {
    using V = isa::Vec<T>;
    static V update_state(const V* sum, const ForwardRow<T>& row, Index unit, Index lanes, Index) {
        if (row.c) isa::store_lanes(sum[0] + sum[1] + sum[2], row.c + unit, lanes);
        return sum[2];
    }
    static void emit_output(V tanh_argument, V sum, const ForwardRow<T>& row, Index unit, Index lanes, Index) {
        isa::store_lanes(tanh_argument + sum, row.unprojected + unit, lanes);
    }
};
template <class T>
using BareLstm = Bare<T, isa::Lstm>;
template <class T>
using BareGru = Bare<T, isa::Gru>;

// A sequence through one layer of as many inputs as units.
template <class T>
struct Sequence {
    const CellKind cell;
    const fusedrnn::CellTraits& traits = fusedrnn::cell_traits(cell);
    const Index steps = 50, rows, hidden;
    fusedrnn_test::Array<T> x, y, c, zeros;
    fusedrnn::PackedLayer<T> weights;
    std::vector<ForwardRow<T>> row;

    Sequence(CellKind cell_, Index rows_, Index hidden_)
        : cell(cell_), rows(rows_), hidden(hidden_), x(size(steps * rows * traits.gates * hidden), T(0.25)), y(x),
          c(size(rows * hidden)), zeros(size(hidden)), weights(fusedrnn_test::layer_of(cell, hidden, hidden, T(1e-3))),
          row(size(rows)) {}

    struct Left {
        bool input, products;  // what is left out
    };

    // Seconds a step.
    template <class Run>
    double seconds(Run run, Left out = {}) {
        const Index width = out.input ? traits.gates * hidden : hidden;
        fusedrnn::NetworkSpec spec;
        spec.cell = cell;
        spec.hidden_size = hidden;
        spec.proj_size = out.products;  // of one output, which is the depth of the recurrent product
        const double all = fusedrnn_test::min_seconds(rows == 1 ? 400 : 25, [&] {
            for (Index r = 0; r < rows; ++r) {
                ForwardRow<T>& at = row[size(r)];
                at = {};
                at.x = x.data() + r * width;
                at.h_prev = zeros.data();
                at.h = at.unprojected = y.data() + r * hidden;
                if (traits.has_cell_state) at.c_prev = at.c = c.data() + r * hidden;
            }
            ForwardSpan<T> span = fusedrnn::forward_span(
                spec, out.products ? 0 : hidden, weights, fusedrnn::whole_layer<T>(spec), steps, row,
                {.x = rows * width, .unprojected = rows * hidden, .h = rows * hidden, .c = 0, .saved = 0});
            span.input_projected = out.input;
            run(span);
        });
        return all / static_cast<double>(steps);
    }
};

template <class T, class Whole, class Without>
void report(CellKind cell, Whole whole, Without without) {
    for (Index rows : {8, 32})
        for (Index hidden : {64, 128, 256}) {
            Sequence<T> sequence(cell, rows, hidden);
            const double peak = fusedrnn_test::fma_peak<T>(), all = sequence.seconds(whole);
            const double bare = sequence.seconds(without);
            const double rest = sequence.seconds(whole, {false, true});
            const double operations = 4.0 * static_cast<double>(sequence.traits.gates * hidden * hidden * rows);
            std::printf(
                "%-4s %2td x %3td  a step %8.2f us  %5.1f %% of the peak  without activations %5.1f %%  "
                "without products %6.2f us\n",
                sequence.traits.name, rows, hidden, all * 1e6, 100 * operations / all / peak,
                100 * operations / bare / peak, rest * 1e6);
        }
}

// Seconds of a fused multiply-add that waits for the one before.
template <class T>
double fma_latency() {
    using V = isa::Vec<T>;
    constexpr Index length = 1000000;
    V sum = V::zero();
    const V x = V::broadcast(T(0.5));
    const double seconds = fusedrnn_test::min_seconds(5, [&] {
        for (Index i = 0; i < length; ++i) sum = fma(sum, x, x);
    });
    alignas(64) T out[V::width];
    sum.store(out);
    const volatile T keep = out[0];
    (void)keep;
    return seconds / static_cast<double>(length);
}

// The recurrence of one row whose input is projected. A step's products wait for the step before, and the cell for
// them: the chain of `hidden` multiply-adds, or where there are many all of them at the peak, and then the cell.
template <class T, class Whole>
void report_row(CellKind cell, Whole whole) {
    for (Index hidden : {16, 32, 64}) {
        Sequence<T> sequence(cell, 1, hidden);
        const double all = sequence.seconds(whole, {true, false});
        const double rest = sequence.seconds(whole, {true, true});
        const double chain = static_cast<double>(hidden) * fma_latency<T>();
        const double product =
            2.0 * static_cast<double>(sequence.traits.gates * hidden * hidden) / fusedrnn_test::fma_peak<T>();
        std::printf(
            "%-4s  1 x %3td  a step of the recurrence %6.0f ns  without products %5.0f ns  the product's chain %4.0f ns, "
            "at the peak %4.0f ns\n",
            sequence.traits.name, hidden, all * 1e9, rest * 1e9, chain * 1e9, product * 1e9);
    }
}

template <class T>
void report_all(const char* type) {
    const auto rnn = [](fusedrnn::Nonlinearity nonlinearity) {
        return [nonlinearity](ForwardSpan<T>& span) {
            span.nonlinearity = nonlinearity;
            isa::Forward<T, isa::Rnn>::run(span);
        };
    };
    std::puts(type);
    report<T>(CellKind::lstm, isa::Forward<T, isa::Lstm>::run, isa::Forward<T, BareLstm>::run);
    report<T>(CellKind::gru, isa::Forward<T, isa::Gru>::run, isa::Forward<T, BareGru>::run);
    report<T>(CellKind::rnn, rnn(fusedrnn::Nonlinearity::tanh), rnn(fusedrnn::Nonlinearity::identity));
    report_row<T>(CellKind::lstm, isa::Forward<T, isa::Lstm>::run);
    report_row<T>(CellKind::gru, isa::Forward<T, isa::Gru>::run);
}

[[gnu::noinline]] int run() {
    report_all<float>("float32");
    report_all<double>("float64");
    return 0;
}
}  // namespace

int main() { return fusedrnn_test::cpu_has_compiled_isa() ? run() : fusedrnn_test::skipped; }
