// Measures what teams cost, for whoever wants to know before any work has shown it.
#include "threads/costs.hpp"

#include <time.h>

#include "threads/parallel.hpp"
#include "threads/processors.hpp"

namespace fusedrnn {
namespace {

void work_for(Nanoseconds time) {
    for (const Nanoseconds end = now() + time; now() < end;) pause();
}

void sleep_for(Nanoseconds time) {
    const timespec length = {0, static_cast<long>(time)};
    nanosleep(&length, nullptr);
}

}  // namespace

ThreadCosts measure_thread_costs() {
    constexpr int enough = 16;
    constexpr Nanoseconds work = 200'000, until_asleep = 5 * tuning::max_linger, longest = 500'000'000;
    const Costs& found = costs();
    auto share = [&](int, const Team&) { work_for(work); };
    auto step = [](const Team&) {};
    // Other pools' threads may be awake at first, such as those that NumPy starts when it is imported.
    const Nanoseconds end = processors_now() > 1 ? now() + longest : 0;
    for (bool sleeps = true; now() < end && found.starts(false) < enough; sleeps = found.starts(true) < enough) {
        if (sleeps) sleep_for(until_asleep);
        for_shares(Shares{2}, 2, share);
    }
    while (now() < end && !found.barrier_measured()) in_step(InStep{enough * work, work}, 2, step);
    return {found.start_awake(), found.start_asleep(), found.barrier(),
            2 * tuning::starts_worth_a_thread * found.start_awake()};
}

}  // namespace fusedrnn
