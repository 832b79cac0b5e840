// A barrier that can end its team. Threads that go in step need each other at every step: where one of them loses its
// processor the others would wait for it time and again. They wait once; at that barrier all learn that the team ends
// here.
#pragma once

#include <atomic>
#include <limits>

#include "threads/clock.hpp"
#include "threads/sleepers.hpp"

namespace fusedrnn {

class Barrier {
public:
    // `patience`: a thread that comes so much later than another one is late.
    Barrier(int threads, Nanoseconds patience) : threads_(threads), patience_(patience), present_(threads) {}

    // All threads of the team come here, all with the same `may_end`. Whether the team goes on; all get the same
    // answer. `waited` grows by the time this thread has waited. What the others wrote before is visible after.
    bool wait(bool may_end, Nanoseconds& waited);

    // The team is to end at the next barrier where it may.
    void end_soon() { ends_.store(true, std::memory_order_relaxed); }
    // One of the threads will not come any more: nobody waits from here on.
    void give_up();
    bool given_up() const { return given_up_.load(std::memory_order_relaxed); }
    // How many threads came in time at every barrier.
    int present() const { return present_.load(std::memory_order_relaxed); }

private:
    // The count of rounds, and in the lowest bit whether the team has ended.
    static constexpr unsigned ended = 1, one_round = 2;

    const int threads_;
    const Nanoseconds patience_;
    // A wish, which the last thread to arrive may see a round later: without order.
    std::atomic<bool> ends_{false};
    std::atomic<bool> given_up_{false};
    std::atomic<int> present_;
    // Each arrival is an acquiring and releasing read-modify-write of one word, so the last one to arrive has seen what
    // all the others wrote; its store to round_ releases that, their load of round_ acquires it. It sets arrived_ back
    // before that store, when no thread can arrive. The order of sleeping and waking is argued in sleepers.hpp.
    alignas(64) std::atomic<int> arrived_{0};
    alignas(64) std::atomic<unsigned> round_{0};
    Sleepers sleepers_;
};

// One thread's place in a team that goes in step, or alone where it might be a team.
class Member {
public:
    // When alone: at the time `retry`, or once `come` is true where there is one, there might be a team again.
    Member(Barrier& barrier, int index, int size, Nanoseconds retry = std::numeric_limits<Nanoseconds>::max(),
           const std::atomic<bool>* come = nullptr)
        : barrier_(barrier), index_(index), size_(size), retry_(retry), come_(come), began_(now()) {}

    int index() const { return index_; }
    int size() const { return size_; }
    Nanoseconds waited() const { return waited_; }
    // Whether to go on. False: the team ends here, or there might be one again.
    bool wait(bool may_end) {
        goes_on_ = size_ > 1 ? wait_for_others(may_end) : wait_alone(may_end);
        return goes_on_;
    }
    // What the last wait() returned.
    bool goes_on() const { return goes_on_; }

private:
    bool wait_for_others(bool may_end);
    bool wait_alone(bool may_end);

    Barrier& barrier_;
    const int index_, size_;
    const Nanoseconds retry_;
    const std::atomic<bool>* const come_;
    const Nanoseconds began_;
    Nanoseconds waited_ = 0;
    unsigned rounds_ = 0;
    bool goes_on_ = true;
};

}  // namespace fusedrnn
