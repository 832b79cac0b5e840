// What a forward step's stages take, for docs/performance.md: the kernel as it is, and the same kernel with a cell that
// stores its sums and computes no activation. Shares of the FMA peak measured beside them; not a test.
//
//     cmake --preset dev && cmake --build --preset dev --target stage_times_avx2
//     taskset -c 1 build/dev/cpp/tests/stage_times_avx2
#include <cstdio>
#include <vector>

#include "check.hpp"
#include "measure.hpp"
#include "step/forward.hpp"

namespace {

namespace isa = fusedrnn::FUSEDRNN_ISA;
using fusedrnn::ForwardRow;
using fusedrnn::ForwardSpan;
using fusedrnn::Index;
using fusedrnn_test::size;

// Cells without their equations: what the sums cost to bring, and the state to write.
template <class T, template <class> class CellOf>
struct Bare : CellOf<T> {
    using V = isa::Vec<T>;
    static V first_half(const V* sum, const ForwardRow<T>& row, Index unit, Index lanes, Index) {
        if (row.c) isa::store_lanes(sum[0] + sum[1] + sum[2], row.c + unit, lanes);
        return sum[2];
    }
    static void second_half(V before, V sum, const ForwardRow<T>& row, Index unit, Index lanes, Index) {
        isa::store_lanes(before + sum, row.units + unit, lanes);
    }
};
template <class T>
using BareLstm = Bare<T, isa::Lstm>;
template <class T>
using BareGru = Bare<T, isa::Gru>;

// A sequence of one layer, weights packed or not: their values do not matter.
struct Sequence {
    const Index steps = 50, rows, hidden, gates;
    std::vector<float> x, y, c, w_ih, w_hh, bias, zeros;
    std::vector<ForwardRow<float>> row;

    Sequence(Index rows_, Index hidden_, Index gates_)
        : rows(rows_), hidden(hidden_), gates(gates_), x(size(steps * rows * hidden), 0.25f), y(x), c(size(rows * hidden)),
          w_ih(size(gates * hidden * hidden), 1e-3f), w_hh(w_ih), bias(size(4 * hidden)), zeros(size(hidden)),
          row(size(rows)) {}

    template <class Run>
    double seconds(Run run, bool has_cell) {
        return fusedrnn_test::least_seconds(9, [&] {
            for (Index r = 0; r < rows; ++r) {
                ForwardRow<float>& at = row[size(r)];
                at = {};
                at.x = x.data() + r * hidden;
                at.h_prev = zeros.data();
                at.h = at.units = y.data() + r * hidden;
                if (has_cell) at.c_prev = at.c = c.data() + r * hidden;
            }
            ForwardSpan<float> span = {};
            span.steps = steps;
            span.rows = rows;
            span.row = row.data();
            span.stride.x = span.stride.h = span.stride.units = rows * hidden;
            span.input_size = span.hidden_size = hidden;
            span.bias = bias.data();
            span.w_ih = w_ih.data();
            span.w_hh = w_hh.data();
            span.block_end = hidden / fusedrnn::unit_block<float>;
            run(span);
        });
    }
};

template <class Whole, class Without>
void report(const char* cell, Index gates, bool has_cell, Whole whole, Without without) {
    for (Index rows : {1, 8, 32})
        for (Index hidden : {16, 32, 64, 128, 256}) {
            Sequence sequence(rows, hidden, gates);
            const double peak = fusedrnn_test::fma_peak<float>(), all = sequence.seconds(whole, has_cell);
            const double bare = sequence.seconds(without, has_cell);
            const double operations = 4.0 * static_cast<double>(gates * hidden * hidden * rows * sequence.steps);
            std::printf("%-4s %2td x %3td  a step %8.2f us  %5.1f %% of the peak  without activations %5.1f %%\n", cell, rows,
                        hidden, all / static_cast<double>(sequence.steps) * 1e6, 100 * operations / all / peak,
                        100 * operations / bare / peak);
        }
}

[[gnu::noinline]] int run() {
    const auto rnn = [](fusedrnn::Nonlinearity nonlinearity) {
        return [nonlinearity](ForwardSpan<float>& span) {
            span.nonlinearity = nonlinearity;
            isa::RnnForward<float>::run(span);
        };
    };
    report("lstm", 4, true, isa::GatedForward<float, isa::Lstm>::run, isa::GatedForward<float, BareLstm>::run);
    report("gru", 3, false, isa::GatedForward<float, isa::Gru>::run, isa::GatedForward<float, BareGru>::run);
    report("rnn", 1, false, rnn(fusedrnn::Nonlinearity::tanh), rnn(fusedrnn::Nonlinearity::identity));
    return 0;
}

}  // namespace

int main() { return fusedrnn_test::cpu_has_compiled_isa() ? run() : fusedrnn_test::skipped; }
