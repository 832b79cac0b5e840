// Teams of threads. The only code that sees OpenMP.
#pragma once

#include <atomic>

namespace fusedrnn {

// All threads of a team wait for each other: spinning, then yielding, then asleep. Where threads share a processor spinning
// only delays them: after rounds in which it was in vain they spin less, until it was not.
class Barrier {
public:
    explicit Barrier(int threads) : threads_(threads) {}
    void wait();

    // Before anyone waits: how many really came.
    void set_threads(int threads) { threads_ = threads; }
    // One of them will not come any more: nobody waits from here on.
    void give_up();
    bool given_up() const { return given_up_.load(std::memory_order_relaxed); }

    static constexpr int most_spins = 1000;

private:
    bool spin(unsigned round);

    int threads_;
    std::atomic<bool> given_up_{false};
    alignas(64) std::atomic<int> arrived_{0};
    alignas(64) std::atomic<unsigned> round_{0};
    std::atomic<int> spins_{most_spins};
};

// How many steps one thread has taken, for another that follows it.
class Progress {
public:
    void reach(long steps) { reached_.store(steps, std::memory_order_release); }
    // Until so many are taken, or the team has given up: spinning, then yielding.
    void wait_for(long steps, const Barrier& team) const;

private:
    alignas(64) std::atomic<long> reached_{0};
};

struct Team {
    int index;         // of this thread
    int size;          // may be smaller than asked for
    Barrier* barrier;
};

// Runs body(team) on up to `threads` threads at once and returns when all are done. What a body throws is thrown here; the
// others go on to their end without waiting for it, so what they leave is worth nothing.
void run_team(int threads, void (*body)(void* context, const Team& team), void* context);

template <class Body>
void parallel(int threads, Body& body) {
    run_team(threads, [](void* context, const Team& team) { (*static_cast<Body*>(context))(team); }, &body);
}

// The part [begin, end) of `count` pieces of work that thread `index` of `size` takes; parts differ by one at most.
struct Part {
    long begin, end;
};
inline Part part_of(long count, int index, int size) {
    return {count * index / size, count * (index + 1) / size};
}

}  // namespace fusedrnn
