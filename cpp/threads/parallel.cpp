#include "threads/parallel.hpp"

#include <omp.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <string>

#include "fusedrnn/runtime.hpp"
#include "threads/processors.hpp"

namespace fusedrnn {
namespace {

// OpenMP's worker threads do not survive fork, and a child that asks for them hangs: children run on one thread.
std::atomic<bool> forked{false};
const int fork_handler_registered = pthread_atfork(nullptr, nullptr, [] { forked = true; });

std::atomic<int>& thread_limit() {
    static std::atomic<int> limit{usable_processors()};
    return limit;
}

inline void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

}  // namespace

int num_threads() { return thread_limit().load(std::memory_order_relaxed); }

void set_num_threads(int count) {
    if (count < 1 || count > most_threads)
        throw std::invalid_argument("num_threads: expected an integer from 1 to " + std::to_string(most_threads) + ", got " +
                                    std::to_string(count));
    thread_limit().store(count);
}

void Barrier::wait() {
    constexpr int yields = 20;
    const unsigned round = round_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
        arrived_.store(0, std::memory_order_relaxed);
        round_.store(round + 1, std::memory_order_release);
        if (threads_ > 1) round_.notify_all();
        return;
    }
    if (spin(round)) return;
    for (int turn = 0; turn < yields; ++turn) {
        sched_yield();
        if (round_.load(std::memory_order_acquire) != round || given_up()) return;
    }
    // The thread waited for has lost its processor. Asleep, this one leaves its own to it.
    round_.wait(round, std::memory_order_acquire);
}

// Whether the round ended meanwhile. Now and then for the whole time, in case that the others are back on processors of
// their own.
bool Barrier::spin(unsigned round) {
    constexpr int least_spins = 8;
    constexpr unsigned rounds_between = 32;
    const int spins = spins_.load(std::memory_order_relaxed);
    for (int i = 0; i < (round % rounds_between == 0 ? most_spins : spins); ++i) {
        if (round_.load(std::memory_order_acquire) != round || given_up()) {
            if (spins != most_spins) spins_.store(most_spins, std::memory_order_relaxed);
            return true;
        }
        pause();
    }
    spins_.store(std::max(spins / 2, least_spins), std::memory_order_relaxed);
    return false;
}

void Barrier::give_up() {
    given_up_.store(true);
    round_.fetch_add(1);  // whoever sleeps sees another round
    round_.notify_all();
}

void Progress::wait_for(long steps, const Barrier& team) const {
    for (int turn = 0; reached_.load(std::memory_order_acquire) < steps && !team.given_up(); ++turn) {
        if (turn < Barrier::most_spins)
            pause();
        else
            sched_yield();
    }
}

void run_team(int threads, void (*body)(void*, const Team&), void* context) {
    if (threads <= 1 || forked.load(std::memory_order_relaxed)) {
        Barrier alone(1);
        body(context, Team{0, 1, &alone});
        return;
    }
    Barrier barrier(threads);
    std::exception_ptr thrown;
    std::atomic<bool> failed{false};
#pragma omp parallel num_threads(threads)
    {
        // The team may be smaller than asked for, and the barrier must count the threads that are there.
#pragma omp single
        barrier.set_threads(omp_get_num_threads());
        try {  // an exception must not leave the region
            body(context, Team{omp_get_thread_num(), omp_get_num_threads(), &barrier});
        } catch (...) {
            if (!failed.exchange(true)) thrown = std::current_exception();
            barrier.give_up();
        }
    }
    if (thrown) std::rethrow_exception(thrown);
}

}  // namespace fusedrnn
