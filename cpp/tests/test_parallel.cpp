// Teams: every thread runs, the barrier holds, and what one thread throws comes out without the others hanging.
#include <atomic>
#include <chrono>
#include <new>
#include <string>
#include <thread>

#include "check.hpp"
#include "threads/parallel.hpp"

namespace {

using fusedrnn::Progress;
using fusedrnn::Team;
using fusedrnn_test::Checks;

constexpr int most_threads = 4;

// Every thread adds one before each barrier: after it, all of the round's are there. Where `late`, each thread in its turn
// comes so late that the others sleep.
void test_barrier(Checks& checks, int threads, bool late) {
    std::atomic<int> arrived{0}, early{0}, size{0};
    auto body = [&](const Team& team) {
        size = team.size;
        for (int round = 1; round <= 200; ++round) {
            if (late && round % 4 == 0 && round / 4 % team.size == team.index)
                std::this_thread::sleep_for(std::chrono::microseconds(500));
            ++arrived;
            team.barrier->wait();
            if (arrived < round * team.size) ++early;
            team.barrier->wait();
        }
    };
    fusedrnn::parallel(threads, body);
    checks.check(early == 0, "%d threads: %d times through the barrier too early", threads, early.load());
    checks.check(arrived == 200 * size, "%d threads: %d arrivals of a team of %d", threads, arrived.load(), size.load());
}

// One thread fails before a barrier that the others wait at, at once or when they sleep already.
void test_exception(Checks& checks, int threads, int thrower) {
    std::string caught = "nothing";
    std::atomic<int> ended{0}, size{0};
    auto body = [&](const Team& team) {
        size = team.size;
        for (int round = 0; round < 3; ++round) {
            if (round == 1 && team.index == thrower % team.size) throw std::bad_alloc();
            team.barrier->wait();
        }
        ++ended;
    };
    try {
        fusedrnn::parallel(threads, body);
    } catch (const std::bad_alloc&) {
        caught = "bad_alloc";
    }
    checks.check(caught == "bad_alloc" && ended == size - 1, "%d threads, %d throws: caught %s, %d of %d others came through",
                 threads, thrower, caught.c_str(), ended.load(), size - 1);
}

// Each thread follows the one before it through an array, three steps at a time.
void test_progress(Checks& checks, int threads) {
    constexpr long steps = 300;
    std::atomic<int> wrong{0}, size{0};
    long at[most_threads][steps] = {};
    Progress progress[most_threads];
    auto body = [&](const Team& team) {
        size = team.size;
        for (long step = 0; step < steps; step += 3) {
            if (team.index > 0) progress[team.index - 1].wait_for(step + 3, *team.barrier);
            for (long i = step; i < step + 3; ++i) {
                if (team.index > 0 && at[team.index - 1][i] != team.index) ++wrong;
                at[team.index][i] = team.index + 1;
            }
            progress[team.index].reach(step + 3);
        }
    };
    fusedrnn::parallel(threads, body);
    checks.check(wrong == 0, "a team of %d: %d steps taken before those they follow", size.load(), wrong.load());
}

// The thread that others follow fails: they do not wait for it for ever.
void test_progress_given_up(Checks& checks, int threads) {
    bool caught = false;
    Progress progress;
    auto body = [&](const Team& team) {
        if (team.index == 0) throw std::bad_alloc();
        progress.wait_for(1, *team.barrier);
    };
    try {
        fusedrnn::parallel(threads, body);
    } catch (const std::bad_alloc&) {
        caught = true;
    }
    checks.check(caught, "%d threads: what the first threw did not come out", threads);
}

}  // namespace

int main() {
    Checks checks;
    for (int threads = 1; threads <= most_threads; ++threads) {
        for (bool late : {false, true}) test_barrier(checks, threads, late);
        test_progress(checks, threads);
        test_progress_given_up(checks, threads);
        for (int thrower = 0; thrower < threads; ++thrower)
            for (int again = 0; again < 20; ++again) test_exception(checks, threads, thrower);
    }
    return checks.finish();
}
