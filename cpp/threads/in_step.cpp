// Teams that go in step.
#include <limits>
#include <optional>

#include "threads/backoff.hpp"
#include "threads/costs.hpp"
#include "threads/parallel.hpp"
#include "threads/processors.hpp"
#include "threads/region.hpp"
#include "threads/team_mode.hpp"
#include "threads/waiting.hpp"
#include "threads/workers.hpp"

namespace fusedrnn {
namespace {

constexpr Nanoseconds never = std::numeric_limits<Nanoseconds>::max();

// Threads come until the calling thread closes it; those who came are the team.
class Gathering {
public:
    // The thread's index in the team, or -1 where it is closed.
    int enter() {
        const unsigned before = gate_.fetch_add(1);
        if (before & closed) {
            came_late_.store(true, std::memory_order_relaxed);
            return -1;
        }
        arrival_.wake_all();
        wait_until([&] { return open_.load(); }, opening_, tuning::patience, [] {});
        return static_cast<int>(before) + 1;
    }

    // Waits for `others` until `patience` is over; how many came. enter() and this are read-modify-writes of one word:
    // every thread comes before or after it is closed, for all to see.
    int close(int others, Nanoseconds patience) {
        const auto all_there = [&] { return gate_.load() >= static_cast<unsigned>(others); };
        if (team_mode() == TeamMode::fixed) {
            wait_until(all_there, arrival_, tuning::patience, [] {});
        } else {
            const Nanoseconds start = now();
            while (!all_there() && now() - start < patience) pause();
        }
        return static_cast<int>(gate_.fetch_or(closed));
    }

    // Lets those go on who came. Released: what the calling thread has prepared for them.
    void open() {
        open_.store(true);
        opening_.wake_all();
    }

    // Somebody came when it was closed, and would be there now. Without order: a hint.
    const std::atomic<bool>& came_late() const { return came_late_; }

private:
    static constexpr unsigned closed = 1u << 31;
    std::atomic<unsigned> gate_{0};
    std::atomic<bool> came_late_{false};
    std::atomic<bool> open_{false};
    Sleepers arrival_, opening_;
};

// Once in a process: the shortest of several trains of rounds.
void measure_barrier(Barrier& barrier, int index) {
    constexpr int trains = 6, rounds = 16;
    Nanoseconds shortest = never, waited = 0;
    for (int train = 0; train < trains; ++train) {
        const Nanoseconds start = now();
        for (int round = 0; round < rounds; ++round) barrier.wait(false, waited);
        shortest = std::min(shortest, (now() - start) / rounds);
    }
    if (index == 0) costs().barrier_took(shortest);
}

class TeamRegion {
public:
    using Body = void (*)(void* context, const Team& team);

    TeamRegion(const InStep& work, Body body, void* context) : work_(work), body_(body), context_(context) {}

    // A worker.
    void come(int slot) {
        if (const int index = gathering_.enter(); index > 0) run(index, slot);
    }

    // The calling thread, with those who come.
    void lead(int others, Nanoseconds patience) {
        const Nanoseconds start = now();
        size_ = 1 + gathering_.close(others, patience);
        waited_ = now() - start;
        measures_ = size_ > 1 && team_mode() == TeamMode::adaptive && costs().measures_barrier();
        barrier_.emplace(size_, tuning::patience + work_.step / 2);
        gathering_.open();
        // Where nobody came the work is not lost: it goes on alone, and tries again when the loss is made up for.
        if (size_ == 1) note_loss(waited_, 1);
        run(0, 0);
    }

    int size() const { return size_; }
    int present() const { return barrier_->present(); }
    Nanoseconds waited() const { return waited_; }
    void rethrow() const { exception_.rethrow(); }

private:
    void run(int index, int slot) {
        Member member(*barrier_, index, size_, size_ == 1 ? backoff().until() : never, &gathering_.came_late());
        if (measures_) measure_barrier(*barrier_, index);
        try {  // an exception must not leave a worker
            body_(context_, Team{index, size_, slot, &member, &exception_.failed()});
        } catch (...) {
            exception_.keep();
            barrier_->give_up();
        }
        if (index == 0) waited_ += member.waited();
    }

    const InStep work_;
    const Body body_;
    void* const context_;
    Gathering gathering_;
    // Written before the gathering opens.
    int size_ = 1;
    bool measures_ = false;
    std::optional<Barrier> barrier_;
    FirstException exception_;
    Nanoseconds waited_ = 0;  // by the calling thread
};

void run_alone(bool might_be_a_team, TeamRegion::Body body, void* context) {
    Barrier barrier(1, 0);
    Member member(barrier, 0, 1, might_be_a_team ? backoff().until() : never);
    const std::atomic<bool> never_cancelled{false};
    body(context, Team{0, 1, 0, &member, &never_cancelled});
}

}  // namespace

void run_in_step(const InStep& work, int threads, TeamRegion::Body body, void* context) {
    const bool little =
        work.work < 2 * tuning::starts_worth_a_thread * costs().start_awake();  // what is left of a sequence
    const int wanted = little && team_mode() == TeamMode::adaptive ? 1 : threads_allowed(threads);
    if (wanted == 1) return run_alone(threads > 1 && !little, body, context);
    const Stopwatch watch;
    TeamRegion region(work, body, context);
    const Job job = {[](void* team, int slot) { static_cast<TeamRegion*>(team)->come(slot); }, &region};
    Nanoseconds waited = 0;
    {
        Crew crew(wanted - 1, max_workers(), job);
        const Nanoseconds start = crew.all_awake() ? costs().start_awake() : costs().start_asleep();
        const Nanoseconds patience = std::max(tuning::starts_to_arrive * start, tuning::spin_before_yield);
        region.lead(crew.size(), std::min(patience, work.work / tuning::arrival_share));
        waited = crew.dismiss();
    }
    if (region.size() > 1) note_gain(watch, waited + region.waited(), region.size(), region.present());
    region.rethrow();
}

}  // namespace fusedrnn
