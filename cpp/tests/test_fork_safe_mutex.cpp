// The mutex excludes, wakes who waits, and in a forked child is made anew once, whoever comes first.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include "check.hpp"
#include "threads/fork_safe_mutex.hpp"

namespace {

using fusedrnn::ForkSafe;
using fusedrnn::ForkSafeMutex;
using fusedrnn_test::Checks;

constexpr int threads = 4;

template <class Work>
void on_threads(Work work) {
    std::latch together(threads);
    std::vector<std::thread> team;
    for (int i = 0; i < threads; ++i)
        team.emplace_back([&] {
            together.arrive_and_wait();
            work();
        });
    for (std::thread& thread : team) thread.join();
}

// Counts that get lost where two threads are inside at once.
bool excludes(ForkSafeMutex& mutex, long turns) {
    long count = 0;
    on_threads([&] {
        for (long turn = 0; turn < turns; ++turn) {
            const std::lock_guard lock(mutex);
            count = count + 1;
            if (turn % 512 == 0) std::this_thread::sleep_for(std::chrono::microseconds(50));  // the others go to sleep
        }
    });
    return count == threads * turns;
}

// Runs in a child that is forked while another thread is inside of `hold`, between its entering and its leaving.
template <class Hold, class InChild>
[[maybe_unused]] bool succeeds_in_a_child(Hold hold, InChild in_child) {
    std::latch entered(1), forked(1);
    std::thread holder([&] { hold([&] { entered.count_down(), forked.wait(); }); });
    entered.wait();
    const pid_t child = fork();
    if (child == 0) {
        alarm(20);
        _exit(in_child() ? 0 : 1);
    }
    forked.count_down();
    holder.join();
    int status = -1;
    waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void test_one_process(Checks& checks) {
    ForkSafeMutex mutex;
    checks.check(excludes(mutex, 20000), "two threads were inside at once");
    checks.check(mutex.try_lock(), "a free mutex could not be had");
    checks.check(!mutex.try_lock(), "a held mutex was had twice");
    mutex.unlock();
    checks.check(!mutex.lock(), "no fork, but something is said to be torn");
    mutex.unlock();
}

[[maybe_unused]] void test_held_at_the_fork(Checks& checks) {
    ForkSafeMutex mutex;
    const auto hold = [&](auto wait) {
        const std::lock_guard lock(mutex);
        wait();
    };
    const auto told_once = [&] {
        std::atomic<int> told{0};
        on_threads([&] {
            if (mutex.lock()) ++told;
            mutex.unlock();
        });
        return told == 1 && excludes(mutex, 2000);
    };
    checks.check(succeeds_in_a_child(hold, told_once), "many threads of the child: not one of them was told");
    checks.check(succeeds_in_a_child(hold, [&] { return mutex.try_lock() && !mutex.try_lock(); }),
                 "try_lock in the child: the lost holder still holds it");
    checks.check(succeeds_in_a_child(hold,
                                     [&] {
                                         if (!mutex.lock()) return false;
                                         mutex.unlock();
                                         return succeeds_in_a_child(hold, told_once);
                                     }),
                 "the child's child: not told");
    checks.check(!mutex.lock(), "the parent was told of its child's lock");
    mutex.unlock();
}

[[maybe_unused]] void test_free_at_the_fork(Checks& checks) {
    ForkSafeMutex mutex;
    mutex.lock();
    mutex.unlock();
    checks.check(succeeds_in_a_child([](auto wait) { wait(); }, [&] { return !mutex.lock(); }),
                 "nobody held it, but the child is told so");
}

[[maybe_unused]] void test_value(Checks& checks) {
    ForkSafe<std::vector<int>> torn, whole;
    ForkSafe<std::vector<int>>::Locked(whole)->push_back(1);
    const auto hold = [&](auto wait) {
        const ForkSafe<std::vector<int>>::Locked value(torn);
        value->push_back(2);
        wait();
    };
    const auto begins_anew = [&] {
        return ForkSafe<std::vector<int>>::Locked(torn)->empty() &&
               ForkSafe<std::vector<int>>::Locked(whole)->size() == 1;
    };
    checks.check(succeeds_in_a_child(hold, begins_anew), "the child sees a half-changed value, or lost a whole one");
    checks.check(ForkSafe<std::vector<int>>::Locked(torn)->size() == 1, "the parent lost its value");
}

}  // namespace

// test_fork_safe_mutex [no-fork]: with no-fork, only what needs no child.
int main(int count, char** arguments) {
    Checks checks;
    test_one_process(checks);
    if (count > 1 && std::string_view(arguments[1]) == "no-fork") return checks.finish();
#if !defined(__SANITIZE_THREAD__)  // which lets no child of many threads start threads
    test_held_at_the_fork(checks);
    test_free_at_the_fork(checks);
    test_value(checks);
#endif
    return checks.finish();
}
