// How many threads a region gets.
#include "threads/parallel.hpp"

#include <algorithm>

#include "fusedrnn/runtime.hpp"
#include "threads/backoff.hpp"
#include "threads/costs.hpp"
#include "threads/processors.hpp"
#include "threads/region.hpp"
#include "threads/team_mode.hpp"
#include "threads/workers.hpp"

namespace fusedrnn {
namespace {

// All without order: numbers that steer how fast a call is, never what it computes.
std::atomic<TeamMode> mode{TeamMode::adaptive};
std::atomic<unsigned> chances{0};
std::atomic<Nanoseconds> last_wish{0};  // when work was last worth more than one thread that is awake

// Sleeping workers are worth being woken for much work, and for little where calls follow each other: they stay awake
// then. The call before began so much earlier than it ended as it took, which may be several times what is estimated.
bool worth_waking(Nanoseconds work) {
    const Nanoseconds time = now(), before = last_wish.exchange(time, std::memory_order_relaxed);
    return work >= tuning::wakes_worth_a_team * costs().start_asleep() || time - before < tuning::max_linger + 4 * work;
}

}  // namespace

TeamMode team_mode() { return mode.load(std::memory_order_relaxed); }
void set_team_mode(TeamMode chosen) { mode.store(chosen, std::memory_order_relaxed); }

bool chance(int one_in) {
    // Numbers that look random, in every thread others: a multiplicative hash of a counter.
    const unsigned mixed = chances.fetch_add(1, std::memory_order_relaxed) * 2654435761u;
    return (mixed >> 16) % static_cast<unsigned>(one_in) == 0;
}

int threads_allowed(int threads) {
    if (threads < 2) return 1;
    if (team_mode() == TeamMode::random) return chance(3) ? 1 : threads;
    return team_mode() == TeamMode::adaptive ? backoff().allowed(threads) : threads;
}

int max_workers() { return team_mode() == TeamMode::adaptive ? processors_now() - 1 : max_threads; }

int threads_worth_in_step(Nanoseconds work, int max) {
    const bool adapts = team_mode() == TeamMode::adaptive;
    const Nanoseconds start = adapts ? costs().start_awake() : tuning::start_awake;
    const Nanoseconds threads = std::min<Nanoseconds>(max, work / (tuning::starts_worth_a_thread * start));
    if (threads < 2) return 1;
    if (!adapts) return static_cast<int>(threads);
    const int available = std::min(static_cast<int>(threads), processors_now());
    return available > 1 && (workers_awake(available - 1) || worth_waking(work)) ? available : 1;
}

int threads_worth(Nanoseconds work, int max) {
    const int threads = threads_worth_in_step(work, max);
    return threads_allowed(threads);
}

Nanoseconds step_worth_a_barrier() {
    return tuning::barriers_worth_a_step * (team_mode() == TeamMode::adaptive ? costs().barrier() : tuning::barrier);
}

void note_loss(Nanoseconds loss, int present) {
    if (team_mode() == TeamMode::adaptive) backoff().note(-loss, present);
}

void note_gain(const Stopwatch& watch, Nanoseconds waited, double times, int present) {
    if (team_mode() != TeamMode::adaptive) return;
    const double alone = static_cast<double>(watch.worked(waited)) * times;
    backoff().note(static_cast<Nanoseconds>(alone) - watch.passed(), present);
}

}  // namespace fusedrnn
