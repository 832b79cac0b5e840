// What teams cost on this machine, measured as they go.
#pragma once

#include <atomic>

#include "threads/tuning.hpp"

namespace fusedrnn {

using tuning::Nanoseconds;

// Averages in which the last eight values count most. Written and read without order: each is a number by itself, and
// one that is a little old does no harm.
class Costs {
public:
    // From the call of a worker until it begins.
    Nanoseconds start_awake() const { return start_awake_.load(std::memory_order_relaxed); }
    Nanoseconds start_asleep() const { return start_asleep_.load(std::memory_order_relaxed); }
    // A barrier that two threads reach at once.
    Nanoseconds barrier() const { return barrier_.load(std::memory_order_relaxed); }

    void worker_began(Nanoseconds after, bool was_asleep) {
        std::atomic<Nanoseconds>& cost = was_asleep ? start_asleep_ : start_awake_;
        const Nanoseconds nominal = was_asleep ? tuning::start_asleep : tuning::start_awake;
        // Far more is not the cost of a start: the worker's processor was taken from it. The team's backoff sees to
        // that.
        if (after > max_times_nominal * nominal) return;
        starts_[was_asleep].fetch_add(1, std::memory_order_relaxed);
        const Nanoseconds before = cost.load(std::memory_order_relaxed);
        cost.store(before + (after - before) / 8, std::memory_order_relaxed);
    }
    void barrier_took(Nanoseconds time) { barrier_.store(time, std::memory_order_relaxed); }
    bool barrier_measured() const { return measured_.load(std::memory_order_relaxed); }
    // How many starts have been measured, of sleeping threads or of others.
    int starts(bool asleep) const { return starts_[asleep].load(std::memory_order_relaxed); }
    // True for the first caller, who is to measure it.
    bool measures_barrier() { return !measured_.exchange(true, std::memory_order_relaxed); }

private:
    static constexpr int max_times_nominal = 8;
    std::atomic<Nanoseconds> start_awake_{tuning::start_awake}, start_asleep_{tuning::start_asleep},
        barrier_{tuning::barrier};
    std::atomic<int> starts_[2] = {};
    std::atomic<bool> measured_{false};
};

// Of this process.
Costs& costs();

}  // namespace fusedrnn
