// Each cell's backward against its own forward: the forward template runs on dual numbers, which carry a derivative
// along, and the sums of the chain rule must be what backward says, to a few roundings.
//
// Nothing here restates an equation. Which gate gradient belongs to which running sum follows from cell_traits and
// gradient_runs, so a disagreement between those tables and the cells fails as well.

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "bits.hpp"
#include "cells/list.hpp"
#include "check.hpp"
#include "guarded.hpp"
#include "random.hpp"

namespace {

// value + slope * epsilon, epsilon^2 = 0.
struct Dual {
    double value = 0, slope = 0;
    constexpr Dual() = default;
    constexpr Dual(double v) : value(v) {}
    constexpr Dual(double v, double s) : value(v), slope(s) {}
};

}  // namespace

// Vec<Dual> and its operations live where the cells look for them: beside the Vec they were written for.
namespace fusedrnn::FUSEDRNN_ISA {
namespace {

template <>
struct Vec<Dual> {
    using Scalar = Dual;
    static constexpr int width = 1;
    struct Mask {
        bool bits;
    };

    Dual v;

    static Vec load(const Dual* p) { return {*p}; }
    static Vec load_first(const Dual* p, int n) { return {n > 0 ? *p : Dual()}; }
    void store(Dual* p) const { *p = v; }
    void store_first(Dual* p, int n) const {
        if (n > 0) *p = v;
    }
    static Vec broadcast(Dual s) { return {s}; }
    static Vec zero() { return {Dual()}; }
};

using DualVec = Vec<Dual>;

// All operations of a vector are here, also those that no forward needs today.
DualVec of(double value, double slope) { return {Dual(value, slope)}; }

DualVec operator+(DualVec a, DualVec b) { return of(a.v.value + b.v.value, a.v.slope + b.v.slope); }
DualVec operator-(DualVec a, DualVec b) { return of(a.v.value - b.v.value, a.v.slope - b.v.slope); }
[[maybe_unused]] DualVec operator-(DualVec a) { return of(-a.v.value, -a.v.slope); }
DualVec operator*(DualVec a, DualVec b) {
    return of(a.v.value * b.v.value, a.v.slope * b.v.value + a.v.value * b.v.slope);
}
[[maybe_unused]] DualVec operator/(DualVec a, DualVec b) {
    const double ratio = a.v.value / b.v.value;
    return of(ratio, (a.v.slope - ratio * b.v.slope) / b.v.value);
}
DualVec fma(DualVec a, DualVec b, DualVec c) { return a * b + c; }
DualVec::Mask less(DualVec a, DualVec b) { return {a.v.value < b.v.value}; }
DualVec select(DualVec::Mask mask, DualVec if_true, DualVec if_false) { return mask.bits ? if_true : if_false; }
DualVec sigmoid(DualVec a) {
    const double y = 1 / (1 + std::exp(-a.v.value));
    return of(y, y * (1 - y) * a.v.slope);
}
DualVec tanh(DualVec a) {
    const double y = std::tanh(a.v.value);
    return of(y, (1 - y * y) * a.v.slope);
}

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA

namespace {

namespace isa = fusedrnn::FUSEDRNN_ISA;
using fusedrnn::BackwardRow;
using fusedrnn::CellKind;
using fusedrnn::CellTraits;
using fusedrnn::ForwardRow;
using fusedrnn::Index;
using fusedrnn::Nonlinearity;
using fusedrnn_test::Checks;
using fusedrnn_test::Guarded;
using fusedrnn_test::Random;
using fusedrnn_test::type_name;

// A cell's forward for one vector of units: after one sum its activation, after several both stages.
template <template <class> class CellOf, class T>
void forward(const isa::Vec<T>* sum, const ForwardRow<T>& row, Index unit, Index lanes, Index hidden,
             Nonlinearity nonlinearity) {
    using Cell = CellOf<T>;
    if constexpr (Cell::accumulators == 1) {
        Cell::with_activation(nonlinearity,
                              [&](auto activation) { Cell::emit_output(activation, sum[0], row, unit, lanes); });
    } else {
        const isa::Vec<T> tanh_argument = Cell::update_state(sum, row, unit, lanes, hidden);
        Cell::emit_output(tanh_argument, sum[Cell::output_accumulator], row, unit, lanes, hidden);
    }
}

constexpr int max_accumulators = 4;

// One unit's step: what goes in, and what gradients come from later.
struct Step {
    double sum[max_accumulators], h_prev, c_prev;
    double dh, dc;
};

// The gradients that backward must give for it.
struct Gradients {
    double sum[max_accumulators], h_prev, c_prev;
};

// The loss is dh * h + dc * c, and one input moves by epsilon.
template <template <class> class CellOf>
double slope_of_loss(const Step& step, Nonlinearity nonlinearity, double Gradients::* state, int sum) {
    const auto dual = [&](double value, bool moves) { return Dual(value, moves ? 1 : 0); };
    isa::Vec<Dual> sums[max_accumulators];
    for (int s = 0; s < max_accumulators; ++s) sums[s] = {dual(step.sum[s], s == sum)};
    Dual h_prev = dual(step.h_prev, state == &Gradients::h_prev),
         c_prev = dual(step.c_prev, state == &Gradients::c_prev);
    Dual h, c;
    ForwardRow<Dual> row = {};
    row.h_prev = &h_prev;
    row.c_prev = &c_prev;
    row.unprojected = row.h = &h;
    row.c = &c;
    forward<CellOf>(sums, row, 0, 1, 1, nonlinearity);
    return step.dh * h.slope + step.dc * c.slope;
}

template <template <class> class CellOf>
Gradients gradients_by_duals(const Step& step, Nonlinearity nonlinearity) {
    Gradients result = {};
    for (int s = 0; s < max_accumulators; ++s) result.sum[s] = slope_of_loss<CellOf>(step, nonlinearity, nullptr, s);
    result.h_prev = slope_of_loss<CellOf>(step, nonlinearity, &Gradients::h_prev, -1);
    result.c_prev = slope_of_loss<CellOf>(step, nonlinearity, &Gradients::c_prev, -1);
    return result;
}

// Inputs that show something: of both signs, some so large that the gates saturate. Values a float has exactly.
std::vector<Step> make_steps(Index count, const CellTraits& traits, Random& random) {
    std::vector<Step> steps(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < steps.size(); ++i) {
        const float reach = i % 7 == 6 ? 12.0f : 2.0f;
        for (double& sum : steps[i].sum) sum = random.unit<float>() * reach;
        steps[i].h_prev = random.unit<float>();
        steps[i].c_prev = traits.has_cell_state ? random.unit<float>() * 2 : 0;
        steps[i].dh = random.unit<float>();
        steps[i].dc = traits.has_cell_state ? random.unit<float>() : 0;
    }
    return steps;
}

// Arrays of one row of `hidden` units for the kernels.
template <class T>
struct RowArrays {
    Guarded<T> h_prev, c_prev, h, c, saved, dh_carry, dc_carry, dgates;

    RowArrays(const CellTraits& traits, Index hidden)
        : h_prev(hidden), c_prev(hidden), h(hidden), c(hidden), saved(traits.saved * hidden), dh_carry(hidden),
          dc_carry(hidden), dgates(traits.gate_gradients * hidden) {}

    bool intact() const {
        for (const Guarded<T>* array : {&h_prev, &c_prev, &h, &c, &saved, &dh_carry, &dc_carry, &dgates})
            if (!array->intact()) return false;
        return true;
    }
};

template <class T, template <class> class CellOf>
void run_kernels(const std::vector<Step>& steps, Nonlinearity nonlinearity, const RowArrays<T>& arrays) {
    using V = isa::Vec<T>;
    const auto hidden = static_cast<Index>(steps.size());
    ForwardRow<T> forward_row = {};
    forward_row.h_prev = arrays.h_prev.data();
    forward_row.c_prev = arrays.c_prev.data();
    forward_row.unprojected = forward_row.h = arrays.h.data();
    forward_row.c = arrays.c.data();
    forward_row.saved = arrays.saved.data();
    BackwardRow<T> backward = {};
    backward.saved = arrays.saved.data();
    backward.h = arrays.h.data();
    backward.c = arrays.c.data();
    backward.dh_carry = arrays.dh_carry.data();
    backward.dc_carry = arrays.dc_carry.data();
    backward.dgates = arrays.dgates.data();
    for (Index unit = 0; unit < hidden; unit += V::width) {
        const Index lanes = hidden - unit;
        V sum[max_accumulators];
        T dh[V::width] = {};
        for (int s = 0; s < max_accumulators; ++s) {
            T lane[V::width] = {};
            for (Index i = 0; i < std::min<Index>(lanes, V::width); ++i) {
                const Step& step = steps[static_cast<std::size_t>(unit + i)];
                lane[i] = static_cast<T>(step.sum[s]);
                dh[i] = static_cast<T>(step.dh);
                arrays.h_prev[unit + i] = static_cast<T>(step.h_prev);
                arrays.c_prev[unit + i] = static_cast<T>(step.c_prev);
                arrays.dc_carry[unit + i] = static_cast<T>(step.dc);
            }
            sum[s] = V::load(lane);
        }
        forward<CellOf>(sum, forward_row, unit, lanes, hidden, nonlinearity);
        CellOf<T>::backward(V::load(dh), backward, arrays.h_prev.data(), arrays.c_prev.data(), unit, lanes, hidden,
                            nonlinearity);
    }
}

// Every gradient is a product of at most seven factors of size 1 or below (2 for states), each at most a few ULP off:
// saturated gates lose relative, not absolute accuracy, since 1 - y and 1 - y^2 cancel.
template <class T>
constexpr double tolerance = 8 * double(std::numeric_limits<T>::epsilon());

template <class T, template <class> class CellOf>
void test_cell(Checks& checks, Index hidden, Nonlinearity nonlinearity) {
    constexpr CellKind kind = CellOf<T>::kind;
    constexpr CellTraits traits = fusedrnn::cell_traits(kind);
    Random random(static_cast<std::uint64_t>(hidden));
    const std::vector<Step> steps = make_steps(hidden, traits, random);
    const RowArrays<T> arrays(traits, hidden);
    run_kernels<T, CellOf>(steps, nonlinearity, arrays);
    checks.check(arrays.intact(), "%s<%s> wrote before one of its rows, %td units", traits.name, type_name<T>, hidden);

    const auto compare = [&](const char* what, int dgate, Index unit, T got, double want) {
        checks.check(std::fabs(double(got) - want) <= tolerance<T>,
                     "%s<%s>, %s, unit %td of %td: %s %d is %.17g, the duals say %.17g", traits.name, type_name<T>,
                     fusedrnn::nonlinearity_names[static_cast<int>(nonlinearity)], unit, hidden, what, dgate,
                     double(got), want);
    };
    for (Index unit = 0; unit < hidden; ++unit) {
        const Gradients want = gradients_by_duals<CellOf>(steps[static_cast<std::size_t>(unit)], nonlinearity);
        for (bool recurrent : {false, true}) {
            const fusedrnn::GradientRuns runs = fusedrnn::gradient_runs(kind, recurrent);
            for (int r = 0; r < runs.count; ++r)
                for (int i = 0; i < runs.run[r].count; ++i) {
                    const int dgate = runs.run[r].dgate + i, gate = runs.run[r].gate + i;
                    const int sum =
                        recurrent ? CellOf<T>::recurrent_accumulator(gate) : CellOf<T>::input_accumulator(gate);
                    compare(recurrent ? "recurrent gate gradient" : "input gate gradient", dgate, unit,
                            arrays.dgates[dgate * hidden + unit], want.sum[sum]);
                }
        }
        if (traits.carries_dh) compare("dh_carry", 0, unit, arrays.dh_carry[unit], want.h_prev);
        if (traits.has_cell_state) compare("dc_carry", 0, unit, arrays.dc_carry[unit], want.c_prev);
    }
}

// At a corner of the activation backward takes the slope from the left, as the reference does.
template <class T>
void test_corner(Checks& checks) {
    using V = isa::Vec<T>;
    const auto slope = [](T y, Nonlinearity nonlinearity) {
        T lanes[V::width];
        isa::Rnn<T>::with_activation(nonlinearity,
                                     [&](auto activation) { activation.derivative(V::broadcast(y)).store(lanes); });
        return lanes[0];
    };
    for (T zero : {T(0), -T(0)}) {
        checks.check(slope(zero, Nonlinearity::relu) == T(0), "relu's slope at %g", double(zero));
        checks.check(slope(zero, Nonlinearity::leaky_relu) == T(fusedrnn::leaky_relu_slope), "leaky_relu's slope at %g",
                     double(zero));
    }
}

// Only a cell of one sum has a nonlinearity to choose.
template <class T, template <class> class CellOf>
void test_nonlinearities(Checks& checks, Index hidden) {
    const int count = CellOf<T>::accumulators == 1 ? fusedrnn::nonlinearity_count : 1;
    for (int n = 0; n < count; ++n) test_cell<T, CellOf>(checks, hidden, static_cast<Nonlinearity>(n));
}

template <class T, template <class> class... CellOf>
[[gnu::noinline]] void test_type(Checks& checks, isa::CellList<CellOf...>) {
    for (Index hidden : {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 97})
        (test_nonlinearities<T, CellOf>(checks, hidden), ...);
    test_corner<T>(checks);
}

[[gnu::noinline]] int run() {
    Checks checks;
    test_type<float>(checks, isa::Cells{});
    test_type<double>(checks, isa::Cells{});
    return checks.finish();
}

}  // namespace

int main() { return fusedrnn_test::cpu_has_compiled_isa() ? run() : fusedrnn_test::skipped; }
