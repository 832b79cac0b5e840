// Where threads sleep until something has happened.
//
// No wake-up is lost. The waker stores what it has done (W1), then reads how many sleep (W2). The sleeper counts itself (S1),
// then reads what has been done (S2). All four are sequentially consistent, so they have one order that all threads agree on.
// If S2 comes after W1 the sleeper sees that there is nothing to wait for. Otherwise S1, S2, W1, W2 is the order, and the waker
// reads that someone sleeps. It then takes the mutex, which the sleeper holds from S1 until the condition variable has it
// asleep: the notification comes after that. A sleeper looks again each time it wakes, so a notification too many does no harm.
//
// What done() reads must therefore be stored with std::memory_order_seq_cst before wake_all(), and read so by done().
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>

namespace fusedrnn {

class Sleepers {
public:
    // Returns once done().
    template <class Done>
    void sleep_until(Done done) {
        std::unique_lock lock(mutex_);
        count_.fetch_add(1);                      // S1
        while (!done()) changed_.wait(lock);      // S2
        count_.fetch_sub(1);
    }

    void wake_all() {
        if (count_.load() == 0) return;           // W2
        { const std::lock_guard lock(mutex_); }   // whoever has counted itself sleeps by now, or has looked since W1
        changed_.notify_all();
    }

    // Whether someone sleeps, or is about to.
    bool any() const { return count_.load(std::memory_order_relaxed) > 0; }

private:
    std::atomic<int> count_{0};
    std::mutex mutex_;
    std::condition_variable changed_;
};

}  // namespace fusedrnn
