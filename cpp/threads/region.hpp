// What the two kinds of parallel regions share: their limits, the estimate of what they gained, and exceptions.
#pragma once

#include <algorithm>
#include <atomic>
#include <exception>

#include "threads/clock.hpp"

namespace fusedrnn {

// How many of `threads` a region may have now, for the time that was lost lately.
int threads_allowed(int threads);
// Workers that this process may have.
int max_workers();

// What a region took, for the estimate of what it gained.
class Stopwatch {
public:
    Nanoseconds passed() const { return now() - began_; }
    // The time that the calling thread worked: not while it waited, nor while another process had its processor.
    Nanoseconds worked(Nanoseconds waited) const {
        return std::max<Nanoseconds>(0, std::min(passed() - waited, processor_time() - processor_began_));
    }

private:
    const Nanoseconds began_ = now(), processor_began_ = processor_time();
};

// A region lost time against one thread.
void note_loss(Nanoseconds loss, int present);

// The whole work was `times` what the calling thread did; `present` threads were there all the time.
void note_gain(const Stopwatch& watch, Nanoseconds waited, double times, int present);

// The first exception of several threads. `thrown_` is written by one thread and read when all are done.
class FirstException {
public:
    // To be called in a handler.
    void keep() {
        if (!taken_.exchange(true)) thrown_ = std::current_exception();
        failed_.store(true);
    }
    void rethrow() const {
        if (thrown_) std::rethrow_exception(thrown_);
    }
    const std::atomic<bool>& failed() const { return failed_; }

private:
    std::atomic<bool> taken_{false}, failed_{false};
    std::exception_ptr thrown_;
};

}  // namespace fusedrnn
