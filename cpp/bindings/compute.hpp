// How the bindings run the core: short work with the interpreter's lock, long work without.
#pragma once

#include <vector>

#include "bindings/arrays.hpp"
#include "bindings/released_gil.hpp"
#include "fusedrnn/interrupt.hpp"
#include "fusedrnn/network.hpp"

namespace fusedrnn::bindings {

// About 10 microseconds where a processor does 6 multiply-adds a nanosecond, a slow one of those with AVX2. A call that
// lets go of the lock beside a busy Python thread gets it back after that thread's switch interval, 5 ms by default:
// for work that is over sooner than another thread would notice that is no bargain. Such a call may still get a team of
// threads, with slow kernels: it waits for workers that have begun its own job only, and a worker never takes the lock.
inline constexpr double multiply_adds_worth_the_gil = 65536;

inline bool is_long(double multiply_adds) { return multiply_adds > multiply_adds_worth_the_gil; }

// Multiply-adds of a forward pass, or what takes as long. In double: no shape overflows it.
inline double forward_work(const NetworkSpec& spec, Index steps, Index rows) {
    constexpr double per_gate = 32;   // its nonlinearity and its share of the cell's other arithmetic
    constexpr double per_step = 512;  // calling the kernel for a layer's step
    double work = 0;
    for (Index layer = 0; layer < spec.layers; ++layer) {
        const auto depth = static_cast<double>(spec.layer_input(layer) + spec.recurrent_size());
        const double gates = static_cast<double>(spec.hidden_size) * spec.traits().gates;
        const double projection = static_cast<double>(spec.hidden_size) * static_cast<double>(spec.proj_size);
        work += (gates * (depth + per_gate) + projection) * static_cast<double>(rows) + per_step;
    }
    return work * static_cast<double>(spec.directions()) * static_cast<double>(steps);
}

// The gradients of the gates' inputs and of the weights take a forward pass's work each; with checkpoints the forward
// pass is run again before.
inline double backward_work(const NetworkSpec& spec, Index steps, Index rows) {
    return 3 * forward_work(spec, steps, rows);
}

// A call reads every parameter to see whether it has changed, and may pack it.
inline double parameter_work(const std::vector<Parameter>& parameters) {
    double elements = 0;
    for (const Parameter& parameter : parameters) elements += static_cast<double>(parameter.size());
    return elements;
}

// Runs work(), without the lock where it is long. What a signal's handler raises meanwhile is thrown.
template <class Work>
void compute(double multiply_adds, Work work) {
    if (!is_long(multiply_adds)) return work();
    try {
        const ReleasedGil released;
        work();
    } catch (const Interrupted&) {
        throw py::error_already_set();
    }
}

}  // namespace fusedrnn::bindings
