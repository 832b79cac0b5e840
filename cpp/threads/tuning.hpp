// The numbers that the threads' behaviour depends on, each with its unit and what it was chosen by. What a machine can
// tell is measured there (costs.hpp); the values here are what holds before the first measurement.
#pragma once

#include <cstdint>

namespace fusedrnn::tuning {

using Nanoseconds = std::int64_t;

// A worker that has nothing to do waits awake for so long at most, and asleep after that. Calls of a layer from Python
// follow each other within 20 us; a thread that is awake for longer takes its processor from other pools (NumPy's,
// PyTorch's).
inline constexpr Nanoseconds max_linger = 200'000, min_linger = 5'000;
// From here on a waiting thread offers its processor to others at every look.
inline constexpr Nanoseconds spin_before_yield = 20'000;

// A thread of a team that is not there after so long, beside half of what a step should take, is late: it has lost its
// processor. A scheduler's slice is some 3,000 us; a step of a team seldom takes more than 20.
inline constexpr Nanoseconds patience = 50'000;
// Looks between two yields of a thread that has lost its patience, before it sleeps.
inline constexpr int yields_before_sleep = 4;

// After a region that lost time, the next ones stay small for so many times the loss: once, then twice as many after
// every further loss that came before a gain of `forgiving` times the loss. So a team that is tried in vain costs less
// than 1 / max_backoff of the time, and a single disturbance costs hardly more than itself.
inline constexpr int max_backoff = 100, forgiving = 8;
inline constexpr Nanoseconds longest_backoff = 100'000'000;

// Before they are measured: what it takes until another thread works, if it is awake and if it is asleep; a barrier of
// two.
inline constexpr Nanoseconds start_awake = 700, start_asleep = 50'000, barrier = 200;
// A thread more is worth it where its part of the work takes so many times what it costs to start it, and where its
// part of a step takes so many times what a barrier costs. (With the costs above and AVX-512 in float32 this is 360,000
// multiply-adds a thread and 12,800 a step and thread.)
inline constexpr int starts_worth_a_thread = 8, barriers_worth_a_step = 1;
// Sleeping workers are woken for work of that many times the time they take to wake up.
inline constexpr int wakes_worth_a_team = 3;
// A team that goes in step waits for its threads for so many times what a start takes, but for this share of the work's
// time at most. One that comes later is in the next team.
inline constexpr int starts_to_arrive = 2, arrival_share = 8;

// The number of processors is asked for again after so long: affinity can change.
inline constexpr Nanoseconds processors_hold = 100'000'000;
// After the system has refused a thread, no more are asked for during this time.
inline constexpr Nanoseconds refusal_holds = 1'000'000'000;

}  // namespace fusedrnn::tuning
