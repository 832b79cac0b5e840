// How many steps one thread has taken, for another that follows it.
#pragma once

#include <atomic>
#include <limits>

#include "threads/waiting.hpp"

namespace fusedrnn {

class Progress {
public:
    // What this thread wrote before is visible to a thread that has waited for it: the store releases, the load
    // acquires.
    void reach(long steps) {
        reached_.store(steps);
        sleepers_.wake_all();
    }
    // No more steps will come: nobody waits from here on.
    void leave() { reach(std::numeric_limits<long>::max()); }
    // Until so many are taken.
    void wait_for(long steps) {
        wait_until([&] { return reached_.load() >= steps; }, sleepers_, tuning::patience, [] {});
    }

private:
    alignas(64) std::atomic<long> reached_{0};
    Sleepers sleepers_;
};

}  // namespace fusedrnn
