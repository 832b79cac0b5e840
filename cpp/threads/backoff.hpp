// How long teams stay small after they have lost time.
//
// A team loses where its threads do not all get a processor: one of them is late, and the others wait. What a region
// lost or gained against one thread is estimated from the time that the calling thread itself has worked. After a loss
// regions use fewer threads for a while, which doubles as long as losses come again before gains have made up for them.
#pragma once

#include <atomic>
#include <mutex>

#include "threads/clock.hpp"

namespace fusedrnn {

class Backoff {
public:
    // The threads that a region may use now, of `wanted`.
    int allowed(int wanted) const {
        const int limit = limit_.load(std::memory_order_relaxed);
        return wanted > limit && now() < until_.load(std::memory_order_relaxed) ? limit : wanted;
    }
    // When more may be tried again.
    Nanoseconds until() const { return until_.load(std::memory_order_relaxed); }

    // What a region gained (or, negative, lost) against one thread; `present` threads of its team were there to the
    // end.
    void note(Nanoseconds gain, int present);

private:
    // Read without the mutex and without order: whether a region that begins at this moment still sees the former
    // values makes no difference to its result.
    std::atomic<Nanoseconds> until_{0};
    std::atomic<int> limit_{1};
    std::mutex mutex_;        // of note()
    Nanoseconds gained_ = 0;  // since the last loss
    int times_ = 1;           // the loss
};

// Of this process.
Backoff& backoff();

}  // namespace fusedrnn
