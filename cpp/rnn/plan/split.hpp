// How a layer's work is shared between threads. No choice changes a single bit of the result.
#pragma once

#include "fusedrnn/network.hpp"

namespace fusedrnn {

enum class SplitBy {
    rows,        // every thread has rows of its own and never waits
    directions,  // one thread per direction
    units,       // all threads step together, each computing units of its own; a barrier a step
    layers       // each thread takes layers of its own, a few steps behind the layer below
};

struct Split {
    SplitBy by;
    int threads;
};

// About what one thread takes for a step of one direction of a layer with `input` values, in nanoseconds: the time of
// its multiply-adds at a speed that the instruction set in use reaches on common machines.
template <class T>
double time_of_step(const NetworkSpec& spec, Index input, Index rows);

// Steps after which a long pass asks whether it was cancelled.
template <class T>
Index max_steps_between_checks(const NetworkSpec& spec, Index input, Index rows);

// `rows` sequences of `steps` steps through one layer whose input has `input` values, on as many of `threads` as are
// worth it now.
template <class T>
Split choose_split(const NetworkSpec& spec, Index input, Index rows, Index steps, int threads);

// How many threads should go through the layers of a stack at once, each through whole layers; 1: layer after layer.
template <class T>
int choose_wavefront(const NetworkSpec& spec, Index rows, Index steps, int threads);

}  // namespace fusedrnn
