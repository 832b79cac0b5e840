// Time, and what a thread does while it waits for a moment.
#pragma once

#include <time.h>

#include <chrono>

#include "threads/tuning.hpp"

namespace fusedrnn {

using tuning::Nanoseconds;

inline Nanoseconds now() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

// Time that this thread has had a processor.
inline Nanoseconds processor_time() {
    timespec time = {};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<Nanoseconds>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

// Tells the processor that this is a loop that waits.
inline void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

}  // namespace fusedrnn
