#include "threads/processors.hpp"
#include <sched.h>
#include <atomic>
#include "threads/clock.hpp"
namespace fusedrnn {
int usable_processors() {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
    return 1;
}
int processors_now() {
    static std::atomic<Nanoseconds> asked{0};
    static std::atomic<int> count{1};
    const Nanoseconds time = now();
    if (asked.load(std::memory_order_relaxed) == 0 || time - asked.load(std::memory_order_relaxed) > tuning::processors_hold) {
        count.store(usable_processors(), std::memory_order_relaxed);
        asked.store(time, std::memory_order_relaxed);
    }
    return count.load(std::memory_order_relaxed);
}
}  // namespace fusedrnn
