// Teams of threads. The only code that sees OpenMP.
#pragma once

#include <atomic>
#include <memory>

namespace fusedrnn {

// All threads of a team wait for each other: spinning, then yielding, then asleep where the machine is oversubscribed.
class Barrier {
public:
    explicit Barrier(int threads) : threads_(threads) {}
    void wait();

private:
    const int threads_;
    alignas(64) std::atomic<int> arrived_{0};
    alignas(64) std::atomic<unsigned> round_{0};
};

struct Team {
    int index;         // of this thread
    int size;          // may be smaller than asked for
    Barrier* barrier;
};

// Runs body(team) on up to `threads` threads at once and returns when all are done. body must not throw.
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
