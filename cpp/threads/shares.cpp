// Work in parts that do not wait for each other.
#include <algorithm>
#include <vector>

#include "threads/costs.hpp"
#include "threads/parallel.hpp"
#include "threads/region.hpp"
#include "threads/team_mode.hpp"
#include "threads/waiting.hpp"
#include "threads/workers.hpp"

namespace fusedrnn {
namespace {

class SharedRegion {
public:
    using Body = void (*)(void* context, int phase, const Team& team);

    SharedRegion(const Shares& shares, int threads, Body body, void* context)
        : shares_(shares), body_(body), context_(context), parts_(static_cast<std::size_t>(shares.count)),
          threads_(static_cast<std::size_t>(threads)) {}

    // What every thread does: the parts that nobody has taken, phase by phase.
    void help(int slot) {
        // One that comes late joins where the others are. The load acquires what all phases before have written.
        for (int phase = done_.load() / shares_.count; phase < shares_.phases; ++phase) {
            const Nanoseconds began = now();
            for (int part; (part = take(slot, phase)) >= 0;) run(phase, part, slot);
            const bool last = phase + 1 == shares_.phases;
            if (slot > 0 && (last || is_late(slot) || by_chance())) return;
            const Nanoseconds waited = wait_for(phase, slot, tuning::patience + (now() - began) / 2);
            if (slot == 0) waited_ += waited;
            if (failed()) return;
        }
    }

    // By the calling thread, when all is done: what it gained by calling `called` others, for which it has waited so
    // long in the end.
    void note_gain(int called, bool all_awake, Nanoseconds waited_in_the_end) const {
        const int all = shares_.count * shares_.phases;
        // Threads that were awake and yet did not come have no processor. One that slept is there for the next region.
        if (taken_by_caller_ == all && all_awake) return note_loss(costs().start_asleep(), 1);
        const double times = static_cast<double>(all) / std::max(taken_by_caller_, 1);
        fusedrnn::note_gain(watch_, waited_ + waited_in_the_end, times,
                            late() ? called + 1 - late() : (called + 1) / 2);
    }
    void rethrow() const { exception_.rethrow(); }

private:
    int late() const {
        int count = 0;
        for (const Thread& thread : threads_) count += thread.late.load(std::memory_order_relaxed);
        return count;
    }

    struct PartState {
        std::atomic<int> begun{0};    // phases
        std::atomic<int> holder{-1};  // the slot that has it in hand
    };
    struct Thread {
        std::atomic<bool> late{false};
    };

    bool failed() const { return exception_.failed().load(); }
    bool is_late(int slot) const {
        return threads_[static_cast<std::size_t>(slot)].late.load(std::memory_order_relaxed);
    }
    static bool by_chance() { return team_mode() == TeamMode::random && chance(4); }

    // A part of this phase that nobody has taken, its own one first; -1: none. The compare-exchange gives it to one
    // thread.
    int take(int slot, int phase) {
        if (failed() || (slot > 0 && is_late(slot))) return -1;
        for (int i = 0; i < shares_.count; ++i) {
            const int index = shares_.in_order ? i : (slot + i) % shares_.count;
            PartState& part = parts_[static_cast<std::size_t>(index)];
            int expected = phase;
            if (part.begun.load(std::memory_order_relaxed) != phase ||
                !part.begun.compare_exchange_strong(expected, phase + 1))
                continue;
            part.holder.store(slot, std::memory_order_relaxed);
            if (slot == 0) ++taken_by_caller_;
            return index;
        }
        return -1;
    }

    void run(int phase, int index, int slot) {
        try {  // an exception must not leave a worker
            body_(context_, phase, Team{index, shares_.count, slot, nullptr, &exception_.failed()});
        } catch (...) {
            exception_.keep();
        }
        parts_[static_cast<std::size_t>(index)].holder.store(-1, std::memory_order_relaxed);
        // A read-modify-write, so that whoever reads the sum acquires what all parts have written.
        done_.fetch_add(1);
        sleepers_.wake_all();
    }

    // Parts do not all take the same time: who has worked for longer has more patience.
    Nanoseconds wait_for(int phase, int slot, Nanoseconds patience) {
        const int all = (phase + 1) * shares_.count;
        return wait_until([&] { return done_.load() >= all || failed(); }, sleepers_, patience,
                          [&] {
                              if (slot == 0) find_late_threads(waited_ + patience);
                          });
    }

    // Those that have a part in hand for which the caller has waited so often that it would have been as fast without
    // them. They take no more.
    void find_late_threads(Nanoseconds waited) {
        const auto threads = static_cast<Nanoseconds>(threads_.size());
        if (team_mode() != TeamMode::adaptive || waited * threads < watch_.passed() * (threads - 1)) return;
        for (const PartState& part : parts_)
            if (const int slot = part.holder.load(std::memory_order_relaxed); slot > 0)
                threads_[static_cast<std::size_t>(slot)].late.store(true, std::memory_order_relaxed);
    }

    const Stopwatch watch_;
    const Shares shares_;
    const Body body_;
    void* const context_;
    std::vector<PartState> parts_;
    std::vector<Thread> threads_;
    std::atomic<int> done_{0};  // parts, of all phases
    FirstException exception_;
    Sleepers sleepers_;
    Nanoseconds waited_ = 0;  // these two belong to the calling thread
    int taken_by_caller_ = 0;
};

}  // namespace

void run_shares(const Shares& shares, int threads, SharedRegion::Body body, void* context) {
    threads = threads_allowed(threads);
    if (threads == 1 || shares.count <= 1) {
        const std::atomic<bool> never{false};
        for (int phase = 0; phase < shares.phases; ++phase)
            for (int part = 0; part < shares.count; ++part)
                body(context, phase, Team{part, shares.count, 0, nullptr, &never});
        return;
    }
    SharedRegion region(shares, threads, body, context);
    Nanoseconds waited = 0;
    int called = 0;
    bool all_awake = false;
    {
        const Job job = {[](void* shared, int slot) { static_cast<SharedRegion*>(shared)->help(slot); }, &region};
        Crew crew(threads - 1, max_workers(), job);
        called = crew.size();
        all_awake = crew.all_awake();
        region.help(0);
        waited = crew.dismiss();
    }
    if (called > 0) region.note_gain(called, all_awake, waited);
    region.rethrow();
}

}  // namespace fusedrnn
