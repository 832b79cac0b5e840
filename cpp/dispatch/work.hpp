// How many threads work is worth on the instruction set in force.
#pragma once

#include <algorithm>

#include "dispatch/dispatch.hpp"
#include "fusedrnn/runtime.hpp"
#include "threads/parallel.hpp"

namespace fusedrnn {

// Vectors of multiply-adds a nanosecond: two thirds of what a core with two FMA units reaches at 3 GHz.
inline constexpr Index vectors_a_nanosecond = 4;

template <class T>
double multiply_adds_a_nanosecond() {
    const Index lanes = std::max<Index>(1, current_kernels().vector_bytes / static_cast<Index>(sizeof(T)));
    return static_cast<double>(vectors_a_nanosecond * lanes);
}

// Threads that so many multiply-adds are worth.
template <class T>
int threads_for_multiply_adds(double multiply_adds) {
    const double nanoseconds = multiply_adds / multiply_adds_a_nanosecond<T>();
    return threads_worth(static_cast<Nanoseconds>(nanoseconds), num_threads());
}

// Threads that elementwise work is worth: about the time of reading and writing an element in a far cache.
inline int threads_for_elements(Index elements) {
    return threads_worth(static_cast<Nanoseconds>(elements), num_threads());
}

}  // namespace fusedrnn
