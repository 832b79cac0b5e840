// Asks now and then, on the thread that began a call, whether the call should end early.
#include "fusedrnn/interrupt.hpp"

#include <cstdint>
#include <stdexcept>
#include <utility>

#include "threads/fork_safe_mutex.hpp"

namespace fusedrnn {
namespace {

thread_local Interruptible* innermost = nullptr;

}  // namespace

Interruptible::Interruptible(bool (*wanted)(void*) noexcept, void* context)
    : wanted_(wanted), context_(context), outer_(std::exchange(innermost, this)) {}

Interruptible::~Interruptible() { innermost = outer_; }

bool Interruptible::ask() {
    innermost = nullptr;  // a call that `wanted` makes must not ask it again
    const bool stop = wanted_(context_);
    innermost = this;
    due_ = Clock::now() + interval;
    return stop;
}

void check_interrupt() {
    Interruptible* const call = innermost;
    if (!call) return;
    const Interruptible::Clock::time_point now = Interruptible::Clock::now();
    if (call->due_ == Interruptible::Clock::time_point()) call->due_ = now + Interruptible::interval;
    if (now < call->due_) return;
    const std::uint32_t generation = fork_generation();
    if (call->ask()) throw Interrupted();
    // The other threads of this call are the parent's.
    if (fork_generation() != generation)
        throw std::runtime_error(
            "a signal's handler has forked inside this call, which only the parent can go on with");
}

}  // namespace fusedrnn
