// How many threads work is worth on the instruction set in force.
#pragma once

#include <algorithm>

#include "dispatch/dispatch.hpp"
#include "fusedrnn/runtime.hpp"
#include "threads/parallel.hpp"

namespace fusedrnn {

// Threads that so many multiply-adds are worth.
template <class T>
int threads_for_multiply_adds(double multiply_adds) {
    const double speed =
        4.0 * static_cast<double>(std::max<Index>(1, current_kernels().vector_bytes / static_cast<Index>(sizeof(T))));
    return threads_worth(static_cast<Nanoseconds>(multiply_adds / speed), num_threads());
}

// Threads that elementwise work is worth: about the time of reading and writing an element in a far cache.
inline int threads_for_elements(Index elements) {
    return threads_worth(static_cast<Nanoseconds>(elements), num_threads());
}

}  // namespace fusedrnn
