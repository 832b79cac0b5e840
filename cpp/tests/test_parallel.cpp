// Threads: every part of the work is done once and in order, the barrier holds and ends a team for all alike, and what
// one thread throws comes out without the others hanging. `test_parallel SECONDS` is a soak of that length.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "check.hpp"
#include "threads/backoff.hpp"
#include "threads/parallel.hpp"
#include "threads/progress.hpp"
#include "threads/team_mode.hpp"

namespace {

using fusedrnn::Barrier;
using fusedrnn::Member;
using fusedrnn::Nanoseconds;
using fusedrnn::Progress;
using fusedrnn::Shares;
using fusedrnn::Team;
using fusedrnn::TeamMode;
using fusedrnn_test::Checks;

constexpr int max_threads = 4;
constexpr fusedrnn::InStep long_work = {1'000'000'000, 1000};

struct InMode {
    explicit InMode(TeamMode mode) { fusedrnn::set_team_mode(mode); }
    ~InMode() { fusedrnn::set_team_mode(TeamMode::adaptive); }
};

void sleep_for(int microseconds) { std::this_thread::sleep_for(std::chrono::microseconds(microseconds)); }

// Every thread adds one before each barrier: after it, all of the round's are there. Where `late`, each thread in its
// turn comes so late that the others sleep.
void test_barrier(Checks& checks, int threads, bool late) {
    const InMode mode(TeamMode::fixed);
    std::atomic<int> arrived{0}, early{0}, size{0};
    auto body = [&](const Team& team) {
        size = team.size;
        for (int round = 1; round <= 200; ++round) {
            if (late && round % 4 == 0 && round / 4 % team.size == team.index) sleep_for(500);
            ++arrived;
            team.member->wait(true);
            if (arrived < round * team.size) ++early;
            team.member->wait(false);
        }
    };
    fusedrnn::in_step(long_work, threads, body);
    checks.check(size == threads, "%d threads: a team of %d", threads, size.load());
    checks.check(early == 0, "%d threads: %d times through the barrier too early", threads, early.load());
    checks.check(arrived == 200 * size, "%d threads: %d arrivals of a team of %d", threads, arrived.load(),
                 size.load());
}

// One thread is late. All learn at the same round, not in the middle of a step, that the team ends.
void test_late_thread_ends_the_team(Checks& checks, int threads, int late) {
    constexpr Nanoseconds patience = 1'000'000;
    Barrier barrier(threads, patience);
    std::vector<int> rounds(static_cast<std::size_t>(threads));
    std::vector<std::thread> all;
    for (int index = 0; index < threads; ++index)
        all.emplace_back([&, index] {
            Member member(barrier, index, threads);
            int& round = rounds[static_cast<std::size_t>(index)];
            for (round = 1; round < 20; ++round) {
                member.wait(false);
                if (round == 10 && index == late) sleep_for(20'000);
                if (!member.wait(true)) break;
            }
        });
    for (std::thread& thread : all) thread.join();
    // A machine that is busy may end it before; never later, and never for one thread alone.
    checks.check(rounds[0] <= 10, "%d threads, %d late: went on to round %d", threads, late, rounds[0]);
    for (const int round : rounds)
        checks.check(round == rounds[0], "%d threads, %d late: one ended at round %d, one at %d", threads, late, round,
                     rounds[0]);
}

// A team that ended goes on as another one: no step is lost or taken twice.
void test_teams_that_change(Checks& checks, int threads, TeamMode mode) {
    const InMode in_mode(mode);
    constexpr int steps = 3000;
    std::vector<std::atomic<int>> taken(steps);
    int teams = 0;
    for (int begin = 0; begin < steps; ++teams) {
        int end = begin;
        auto body = [&](const Team& team) {
            int step = begin;
            while (step < steps) {
                if (step % team.size == team.index) ++taken[static_cast<std::size_t>(step)];
                ++step;
                if (!team.member->wait(true)) break;
            }
            if (team.index == 0) end = step;
        };
        fusedrnn::in_step(long_work, threads, body);
        begin = end;
    }
    int wrong = 0;
    for (const std::atomic<int>& count : taken) wrong += count != 1;
    checks.check(wrong == 0, "%d threads: %d of %d steps not taken once, in %d teams", threads, wrong, steps, teams);
    if (mode == TeamMode::random) checks.check(teams > 1, "%d threads: the team never changed", threads);
}

// Every part of every phase once, and none before the phase before is done.
void test_shares(Checks& checks, int threads, int parts, TeamMode mode) {
    const InMode in_mode(mode);
    constexpr int phases = 12;
    std::vector<std::atomic<int>> times(static_cast<std::size_t>(parts * phases));
    std::atomic<int> done{0}, early{0}, same_slot{0};
    std::vector<std::atomic<int>> in_slot(max_threads);
    auto body = [&](int phase, const Team& team) {
        if (in_slot[static_cast<std::size_t>(team.slot)]++ != 0) ++same_slot;
        if (done < phase * parts) ++early;
        if ((phase + team.index) % 5 == 0) sleep_for(200);
        ++times[static_cast<std::size_t>(phase * parts + team.index)];
        --in_slot[static_cast<std::size_t>(team.slot)];
        ++done;
    };
    fusedrnn::for_shares(Shares{parts, phases}, threads, body);
    int wrong = 0;
    for (const std::atomic<int>& count : times) wrong += count != 1;
    checks.check(wrong == 0 && done == phases * parts, "%d threads, %d parts: %d not done once", threads, parts, wrong);
    checks.check(early == 0, "%d threads, %d parts: %d begun before the phase before was done", threads, parts,
                 early.load());
    checks.check(same_slot == 0, "%d threads, %d parts: two at once in one slot", threads, parts);
}

// One thread fails before a barrier that the others wait at, at once or when they sleep already.
void test_exception_in_step(Checks& checks, int threads, int thrower) {
    const InMode mode(TeamMode::fixed);
    std::string caught = "nothing";
    std::atomic<int> went_on{0};
    auto body = [&](const Team& team) {
        for (int round = 0; round < 3; ++round) {
            if (round == 1 && team.index == thrower % team.size) throw std::bad_alloc();
            if (!team.member->wait(true)) return;
        }
        ++went_on;
    };
    try {
        fusedrnn::in_step(long_work, threads, body);
    } catch (const std::bad_alloc&) {
        caught = "bad_alloc";
    }
    checks.check(caught == "bad_alloc" && went_on == 0, "%d threads, %d throws: caught %s, %d went on", threads,
                 thrower, caught.c_str(), went_on.load());
}

// A part fails: what it threw comes out, and the phases after it do not begin.
void test_exception_in_shares(Checks& checks, int threads, int thrower) {
    const InMode mode(TeamMode::fixed);
    bool caught = false;
    std::atomic<int> later{0};
    auto body = [&](int phase, const Team& team) {
        if (phase > 1) ++later;
        if (phase == 1 && team.index == thrower) throw std::bad_alloc();
    };
    try {
        fusedrnn::for_shares(Shares{max_threads, 3}, threads, body);
    } catch (const std::bad_alloc&) {
        caught = true;
    }
    checks.check(caught && later == 0, "%d threads, part %d throws: caught %d, %d parts after it", threads, thrower,
                 caught, later.load());
}

// Each part follows the one before it through an array, three steps at a time; one part leaves early.
void test_progress(Checks& checks, int threads) {
    const InMode mode(TeamMode::fixed);
    constexpr long steps = 300;
    constexpr int parts = 6;
    std::atomic<int> wrong{0};
    static long at[parts][steps];
    Progress progress[parts];
    auto body = [&](int, const Team& team) {
        for (long step = 0; step < steps; step += 3) {
            if (team.index > 0) progress[team.index - 1].wait_for(step + 3);
            if (step % 60 == 0) sleep_for(200);
            for (long i = step; i < step + 3; ++i) {
                if (team.index > 0 && at[team.index - 1][i] != team.index) ++wrong;
                at[team.index][i] = team.index + 1;
            }
            progress[team.index].reach(step + 3);
        }
        progress[team.index].leave();
    };
    fusedrnn::for_shares(Shares{parts, 1, true}, threads, body);
    checks.check(wrong == 0, "%d threads: %d steps taken before those they follow", threads, wrong.load());
    for (auto& part : at)
        for (long& step : part) step = 0;
}

// Many callers at once share the workers.
void test_many_callers(Checks& checks, TeamMode mode) {
    const InMode in_mode(mode);
    std::atomic<int> wrong{0};
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 6; ++caller)
        callers.emplace_back([&] {
            for (int call = 0; call < 100; ++call) {
                std::atomic<int> sum{0};
                auto body = [&](int, const Team& team) { sum += team.index + 1; };
                fusedrnn::for_shares(Shares{3}, 3, body);
                if (sum != 6) ++wrong;
            }
        });
    for (std::thread& caller : callers) caller.join();
    checks.check(wrong == 0, "six callers at once: %d calls with parts missing", wrong.load());
}

// After a loss fewer threads for a while, for longer after every further one; a gain makes up for it.
void test_backoff(Checks& checks) {
    constexpr Nanoseconds loss = 2'000'000;
    fusedrnn::Backoff backoff;
    checks.check(backoff.allowed(4) == 4, "before any loss: %d of 4 threads", backoff.allowed(4));
    Nanoseconds held = 0;
    for (int times = 0; times < 4; ++times) {
        backoff.note(-loss, 2);
        const Nanoseconds holds = backoff.until() - fusedrnn::now();
        checks.check(holds > held, "loss %d: held for %ld ns after %ld", times, static_cast<long>(holds),
                     static_cast<long>(held));
        checks.check(backoff.allowed(4) == 2 && backoff.allowed(2) == 2, "after a loss: %d of 4 threads",
                     backoff.allowed(4));
        held = holds;
    }
    backoff.note(100 * loss, 4);
    backoff.note(-loss, 3);
    checks.check(backoff.until() - fusedrnn::now() <= loss, "after a gain: held for longer than the loss");
    sleep_for(2 * static_cast<int>(loss / 1000));
    checks.check(backoff.allowed(4) == 4, "after a while: %d of 4 threads", backoff.allowed(4));
}

void test_all(Checks& checks) {
    for (int threads = 1; threads <= max_threads; ++threads) {
        for (bool late : {false, true}) test_barrier(checks, threads, late);
        test_progress(checks, threads);
        for (const TeamMode mode : {TeamMode::adaptive, TeamMode::fixed, TeamMode::random}) {
            for (int parts : {1, 3, 4, 7}) test_shares(checks, threads, parts, mode);
            test_many_callers(checks, mode);
        }
        for (int thrower = 0; thrower < threads; ++thrower)
            for (int again = 0; again < 20; ++again) test_exception_in_step(checks, threads, thrower);
        for (int thrower = 0; thrower < max_threads; ++thrower) test_exception_in_shares(checks, threads, thrower);
        if (threads < 2) continue;
        for (const TeamMode mode : {TeamMode::adaptive, TeamMode::random})
            test_teams_that_change(checks, threads, mode);
        for (int late = 0; late < threads; ++late) test_late_thread_ends_the_team(checks, threads, late);
    }
    test_backoff(checks);
}

// Teams of changing sizes, most larger than the processors, which sleep and wake at hundreds of thousands of barriers.
// A wake-up that is lost would leave them asleep for good: then the program ends.
void soak(Checks& checks, double seconds) {
    std::atomic<long> rounds{0};
    std::atomic<bool> over{false};
    std::thread watch([&] {
        constexpr int looks_a_second = 10, hung = 60 * looks_a_second;
        for (long last = -1, still = 0; !over; last = rounds) {
            sleep_for(1'000'000 / looks_a_second);
            still = rounds == last ? still + 1 : 0;
            if (still < hung) continue;
            std::printf("hung after %ld rounds\n", rounds.load());
            std::fflush(stdout);
            std::_Exit(1);
        }
    });
    const auto start = std::chrono::steady_clock::now();
    for (int call = 0; std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() < seconds;
         ++call) {
        const InMode mode(call % 2 ? TeamMode::fixed : TeamMode::adaptive);
        auto in_step = [&](const Team& team) {
            for (int round = 0; round < 40 && team.member->wait(true); ++round)
                if (team.index == 0) ++rounds;
        };
        fusedrnn::in_step(long_work, 2 + call % 6, in_step);
        auto shares = [&](int, const Team&) { ++rounds; };
        fusedrnn::for_shares(Shares{2 + call % 6, 10}, 2 + call % 6, shares);
    }
    over = true;
    watch.join();
    std::printf("%ld rounds in %.0f s\n", rounds.load(), seconds);
    checks.check(rounds > 0, "no round");
}

}  // namespace

int main(int argc, char** argv) {
    Checks checks;
    if (argc > 1)
        soak(checks, std::atof(argv[1]));
    else
        test_all(checks);
    return checks.finish();
}
