// Ending a long call early.
#pragma once

#include <chrono>
#include <exception>

namespace fusedrnn {

// Thrown out of a call that was told to stop. What it was to write is worth nothing, a tape in its backward pass is
// used up, and the network is as usable as before.
class Interrupted final : public std::exception {
public:
    const char* what() const noexcept override { return "interrupted"; }
};

// While it lives the calls of this thread may be interrupted: from their first check on they ask every 50 ms or
// somewhat later whether to stop. The one made last counts. Threads that a call starts never ask.
class Interruptible {
public:
    // `wanted` may do anything, even call a network; it must not throw.
    Interruptible(bool (*wanted)(void* context) noexcept, void* context);
    ~Interruptible();
    Interruptible(const Interruptible&) = delete;
    Interruptible& operator=(const Interruptible&) = delete;

private:
    friend void check_interrupt();
    bool ask();

    using Clock = std::chrono::steady_clock;
    static constexpr std::chrono::milliseconds interval{50};

    bool (*const wanted_)(void*) noexcept;
    void* const context_;
    Interruptible* const outer_;
    Clock::time_point due_ = {};  // of the next question; the first check sets it: short calls read no clock
};

// To be called between steps, in the time of reading a clock. Throws Interrupted. Not for one who holds a lock, nor
// inside of what may not be left half-done.
void check_interrupt();

}  // namespace fusedrnn
