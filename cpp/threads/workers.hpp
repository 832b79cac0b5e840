// The threads that help callers. They are made when they are first needed, live as long as the process, and sleep soon
// after they have become idle. Any thread may call any function here at any time.
//
// After fork() a child has none of its parent's threads: it begins with no workers and makes its own.
#pragma once

#include <cstdint>
#include <vector>

#include "threads/clock.hpp"
#include "threads/fork_safe_mutex.hpp"

namespace fusedrnn {

class Worker;

// What a worker is to run; must stay until dismiss() has returned.
struct Job {
    void (*run)(void* context, int slot);
    void* context;
};

// The workers that a caller has asked for. slot 0 is the caller; worker i has slot i + 1.
class Crew {
public:
    // Up to `count` idle workers begin the job as soon as they are awake. Fewer where others are busy, where the system
    // refuses a thread, or beyond `max_workers` of the whole process.
    Crew(int count, int max_workers, const Job& job);
    // As dismiss().
    ~Crew() { dismiss(); }
    Crew(const Crew&) = delete;
    Crew& operator=(const Crew&) = delete;

    int size() const { return static_cast<int>(called_.size()); }
    // Whether all were awake when they were called.
    bool all_awake() const { return all_awake_; }
    // Those that have not begun will not; returns when those that have are done. Returns the time waited. In a child
    // that was forked meanwhile, by a signal's handler that ran inside the caller's part of the work, there are none.
    Nanoseconds dismiss();

private:
    struct Called {
        Worker* worker;
        std::uint64_t ticket;  // of this job
    };
    void call_idle(int count, bool asleep, const Job& job);
    void call_new(int count, int max_workers, const Job& job);
    void call(Worker* worker, const Job& job);

    std::vector<Called> called_;
    bool all_awake_ = true;
    const std::uint32_t generation_ = fork_generation();
};

// Whether `count` idle workers are awake.
bool workers_awake(int count);

}  // namespace fusedrnn
