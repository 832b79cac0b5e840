// The mutex, made of one word and the futex system call, and how it is made anew in a forked child.
#include "threads/fork_safe_mutex.hpp"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace fusedrnn {
namespace {

// Relaxed everywhere: it changes only in a child that has no second thread yet, and every later thread of the child
// begins after that.
std::atomic<std::uint32_t> generation{0};
const int counting_forks = pthread_atfork(nullptr, nullptr, [] { generation.fetch_add(1, std::memory_order_relaxed); });

static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t) &&
                  std::atomic<std::uint32_t>::is_always_lock_free,
              "futex(2) reads the word as it lies in memory");

}  // namespace

std::uint32_t fork_generation() { return generation.load(std::memory_order_relaxed); }

bool ForkSafeMutex::lock() {
    std::uint32_t seen = now(open);
    if (word_.compare_exchange_strong(seen, now(held), std::memory_order_acquire, std::memory_order_relaxed))
        return false;
    return lock_slowly(seen);
}

bool ForkSafeMutex::try_lock() {
    std::uint32_t seen = now(open);
    if (word_.compare_exchange_strong(seen, now(held), std::memory_order_acquire, std::memory_order_relaxed))
        return true;
    return from_before(seen) && take_over(seen);
}

void ForkSafeMutex::unlock() {
    if (word_.exchange(now(open), std::memory_order_release) == now(awaited)) wake_one();
}

// Of several threads one succeeds: afterwards the word belongs to this generation. Nobody waits for it here, whatever
// it says.
bool ForkSafeMutex::take_over(std::uint32_t& seen) {
    return word_.compare_exchange_strong(seen, now(held), std::memory_order_acquire, std::memory_order_relaxed);
}

bool ForkSafeMutex::lock_slowly(std::uint32_t seen) {
    State taken = held;
    while (true) {
        if (from_before(seen)) {
            const std::uint32_t before = seen;
            if (take_over(seen)) return before % 4 != open;
        } else if (seen == now(open)) {
            if (word_.compare_exchange_strong(seen, now(taken), std::memory_order_acquire, std::memory_order_relaxed))
                return false;
        } else if (seen == now(awaited) ||
                   word_.compare_exchange_strong(seen, now(awaited), std::memory_order_relaxed)) {
            wait(now(awaited));
            taken = awaited;  // others may sleep still: who lets go must wake the next
            seen = word_.load(std::memory_order_relaxed);
        }
    }
}

// The kernel compares and sleeps in one, with respect to wake_one(): no wake-up is lost between unlock()'s exchange,
// which comes before its wake_one(), and the comparison.
void ForkSafeMutex::wait(std::uint32_t seen) {
    syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word_), FUTEX_WAIT_PRIVATE, seen, nullptr, nullptr, 0);
}

void ForkSafeMutex::wake_one() {
    syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word_), FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

}  // namespace fusedrnn
