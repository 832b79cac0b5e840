// Starts, calls and wakes the worker threads. The comments argue the memory order of a worker's state.
#include "threads/workers.hpp"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cfenv>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>

#include "fusedrnn/runtime.hpp"
#include "threads/backoff.hpp"
#include "threads/costs.hpp"
#include "threads/sleepers.hpp"
#include "threads/waiting.hpp"

namespace fusedrnn {

// One thread and what it is told. Its state is a word: the ticket of a job, which grows with every job, and a phase.
//
//   idle -> taken      a caller, by compare-exchange: of several callers one gets the worker; the ticket grows
//   taken -> called    that caller, once the job is written
//   called -> running  the worker, by compare-exchange
//   called -> idle     the caller, by compare-exchange: the worker had not begun
//   running -> idle    the worker
//
// The ticket is in every comparison, so a caller never takes back, nor waits for, a job of another caller.
// The job is written between `taken` and `called` and read after `called` was seen: the store that makes it `called`
// releases it, the compare-exchange that makes it `running` acquires it. What the job wrote is released by the store
// that makes the worker idle, and acquired by the load with which the caller sees that it is. All are sequentially
// consistent, which Sleepers needs and which costs nothing beside the rest.
class Worker {
public:
    bool start();

    // Whether the worker was idle and is the caller's now.
    bool take() {
        std::uint64_t before = state_.load(std::memory_order_relaxed);
        return phase(before) == idle_phase && state_.compare_exchange_strong(before, word(ticket(before) + 1, taken));
    }
    bool asleep() const { return sleepers_.any(); }
    bool idle() const { return phase(state_.load(std::memory_order_relaxed)) == idle_phase; }

    // By the caller that took it; returns the job's ticket.
    std::uint64_t call(const Job& job, int slot) {
        job_ = job;
        slot_ = slot;
        rounding_ = std::fegetround();
        called_at_ = now();
        was_asleep_ = asleep();
        const std::uint64_t own = ticket(state_.load(std::memory_order_relaxed));
        state_.store(word(own, called));
        sleepers_.wake_all();
        return own;
    }

    // Whether the worker had not begun the job.
    bool take_back(std::uint64_t job) {
        std::uint64_t expected = word(job, called);
        return state_.compare_exchange_strong(expected, word(job, idle_phase));
    }

    // Until a job that has begun is finished; the time that took.
    Nanoseconds wait_until_finished(std::uint64_t job) {
        return wait_until([&] { return state_.load() != word(job, running); }, waiting_caller_, tuning::patience,
                          [] {});
    }

private:
    static constexpr std::uint64_t idle_phase = 0, taken = 1, called = 2, running = 3, phases = 4;
    static std::uint64_t word(std::uint64_t ticket, std::uint64_t phase) { return ticket * phases + phase; }
    static std::uint64_t phase(std::uint64_t state) { return state % phases; }
    static std::uint64_t ticket(std::uint64_t state) { return state / phases; }

    static void* run(void* self);
    void work();
    void wait_for_call();
    bool is_called() const { return phase(state_.load()) == called; }

    std::atomic<std::uint64_t> state_{word(0, taken)};  // by the caller for whom it is made
    Sleepers sleepers_;                                 // this thread, while it is idle
    Sleepers waiting_caller_;                           // the caller, while this thread is running
    Job job_ = {};
    int slot_ = 0;
    int rounding_ = FE_TONEAREST;
    Nanoseconds called_at_ = 0;
    bool was_asleep_ = false;
    Nanoseconds linger_ = tuning::max_linger;  // read and written by this thread only
};

namespace {

// All workers of this process.
class Workers {
public:
    int count() const { return count_.load(std::memory_order_acquire); }
    // Worker `index` of count(); the acquiring load of the count makes it visible.
    Worker* at(int index) const { return all_[static_cast<std::size_t>(index)]; }

    // Another worker, taken for the caller; null where there are `max` already or the system refuses.
    Worker* add(int max) {
        const std::lock_guard lock(mutex_);
        const int count = count_.load(std::memory_order_relaxed);
        if (count >= std::min(max, static_cast<int>(all_.size()))) return nullptr;
        if (refused_at_ && now() - refused_at_ < tuning::refusal_holds) return nullptr;
        std::unique_ptr<Worker> worker(new (std::nothrow) Worker);
        if (!worker || !worker->start()) {
            refused_at_ = now();
            return nullptr;
        }
        all_[static_cast<std::size_t>(count)] = worker.get();
        count_.store(count + 1, std::memory_order_release);
        return worker.release();
    }

private:
    std::array<Worker*, max_threads> all_ = {};
    std::atomic<int> count_{0};
    std::mutex mutex_;  // of whoever adds one
    Nanoseconds refused_at_ = 0;
};

// What a process has of all this. Never destroyed: the threads do not end.
struct Process {
    Workers workers;
    Costs costs;
    Backoff backoff;
};

// The handler replaces it in a forked child before any other code runs there, when there is one thread; else it never
// changes.
std::atomic<Process*> process{new Process};
const int fork_handler_registered = pthread_atfork(nullptr, nullptr, [] { process.store(new Process); });

Workers& workers() { return process.load(std::memory_order_acquire)->workers; }

}  // namespace

bool Worker::start() {
    // Signals are for the threads of the program.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    const bool started = pthread_create(&thread, nullptr, run, this) == 0;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (!started) return false;
    // A thread of this policy does not push another one from its processor when it wakes: neither the caller, which
    // would lose more than it gains, nor another program's. On a processor that is idle it makes no difference.
    const sched_param parameters = {};
    pthread_setschedparam(thread, SCHED_BATCH, &parameters);
    pthread_detach(thread);
    return true;
}

void* Worker::run(void* self) {
    static_cast<Worker*>(self)->work();
    return nullptr;
}

void Worker::work() {
    while (true) {
        wait_for_call();
        std::uint64_t state = state_.load();
        const std::uint64_t job = ticket(state);
        if (phase(state) != called || !state_.compare_exchange_strong(state, word(job, running)))
            continue;  // taken back
        costs().worker_began(now() - called_at_, was_asleep_);
        std::fesetround(rounding_);
        job_.run(job_.context, slot_);
        state_.store(word(job, idle_phase));  // from here on the caller may be gone, and all that the job points to
        waiting_caller_.wake_all();
    }
}

// Awake for as long as that has paid lately, then asleep.
void Worker::wait_for_call() {
    const Nanoseconds start = now();
    Nanoseconds waited = 0;
    do {
        for (int look = 0; look < 8; ++look) {
            if (is_called()) {
                linger_ = tuning::max_linger;
                return;
            }
            pause();
        }
        waited = now() - start;
        if (waited > tuning::spin_before_yield) sched_yield();
    } while (waited < linger_);
    sleepers_.sleep_until([&] { return is_called(); });
    // Had it been awake for a little longer it would have been there at once.
    linger_ = now() - start < tuning::max_linger ? tuning::max_linger : std::max(linger_ / 2, tuning::min_linger);
}

Costs& costs() { return process.load(std::memory_order_acquire)->costs; }
Backoff& backoff() { return process.load(std::memory_order_acquire)->backoff; }

Crew::Crew(int count, int max_workers, const Job& job) {
    if (count <= 0) return;
    called_.reserve(static_cast<std::size_t>(count));
    call_idle(count, false, job);
    call_idle(count, true, job);
    call_new(count, max_workers, job);
}

void Crew::call_idle(int count, bool asleep, const Job& job) {
    Workers& all = workers();
    for (int i = 0; i < all.count() && size() < count; ++i)
        if (Worker* worker = all.at(i); worker->asleep() == asleep && worker->take()) {
            all_awake_ = all_awake_ && !asleep;
            call(worker, job);
        }
}

void Crew::call_new(int count, int max_workers, const Job& job) {
    while (size() < count) {
        Worker* const worker = workers().add(max_workers);
        if (!worker) return;
        all_awake_ = false;
        call(worker, job);
    }
}

void Crew::call(Worker* worker, const Job& job) {
    const int slot = size() + 1;
    called_.push_back({worker, worker->call(job, slot)});
}

Nanoseconds Crew::dismiss() {
    Nanoseconds waited = 0;
    for (const Called& each : called_)
        if (fork_generation() == generation_ && !each.worker->take_back(each.ticket))
            waited += each.worker->wait_until_finished(each.ticket);
    called_.clear();
    return waited;
}

bool workers_awake(int count) {
    const Workers& all = workers();
    for (int i = 0; i < all.count() && count > 0; ++i)
        if (all.at(i)->idle() && !all.at(i)->asleep()) --count;
    return count <= 0;
}

}  // namespace fusedrnn
