// Where threads sleep until something has happened.
//
// No wake-up is lost. The waker stores what it has done (W1), then reads how many sleep (W2). The sleeper counts itself
// (S1), then reads what has been done (S2). All four are sequentially consistent, so they have one order that all
// threads agree on. If S2 comes after W1 the sleeper sees that there is nothing to wait for. Otherwise S1, S2, W1, W2
// is the order, and the waker reads that someone sleeps. It then takes the mutex, which the sleeper holds from S1 until
// the condition variable has it asleep: the notification comes after that. A sleeper looks again each time it wakes, so
// a notification too many does no harm.
//
// What done() reads must therefore be stored with std::memory_order_seq_cst before wake_all(), and read so by done().
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>

#include "threads/fork_safe_mutex.hpp"

namespace fusedrnn {

class Sleepers {
public:
    Sleepers() { new (&condition_) Condition; }
    // In a child that was forked meanwhile the sleepers are the parent's. Destroying a condition variable would wait
    // for them.
    ~Sleepers() {
        if (of_this_process()) std::destroy_at(condition());
    }
    Sleepers(const Sleepers&) = delete;
    Sleepers& operator=(const Sleepers&) = delete;

    // Returns once done().
    template <class Done>
    void sleep_until(Done done) {
        std::unique_lock lock(condition()->mutex);
        count_.fetch_add(1);                              // S1
        while (!done()) condition()->changed.wait(lock);  // S2
        count_.fetch_sub(1);
    }

    void wake_all() {
        if (count_.load() == 0 || !of_this_process()) return;  // W2
        {
            const std::lock_guard lock(condition()->mutex);
        }  // whoever has counted itself sleeps by now, or has looked since W1
        condition()->changed.notify_all();
    }

    // Whether someone sleeps, or is about to.
    bool any() const { return count_.load(std::memory_order_relaxed) > 0; }

private:
    struct Condition {
        std::mutex mutex;
        std::condition_variable changed;
    };
    Condition* condition() { return std::launder(reinterpret_cast<Condition*>(&condition_)); }
    bool of_this_process() const { return fork_generation() == generation_; }

    std::atomic<int> count_{0};
    const std::uint32_t generation_ = fork_generation();
    alignas(Condition) unsigned char condition_[sizeof(Condition)];
};

}  // namespace fusedrnn
