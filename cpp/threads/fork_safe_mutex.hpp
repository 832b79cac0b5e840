// A mutex that a forked child can use at once, though a thread that the child does not have held it at the fork.
#pragma once

#include <atomic>
#include <cstdint>
#include <new>
#include <type_traits>

namespace fusedrnn {

// How many forks lie between the first process and this one.
std::uint32_t fork_generation();

// Who holds it must not fork: the child would let go of a lock that another of its threads may have taken over.
class ForkSafeMutex {
public:
    ForkSafeMutex() = default;
    ForkSafeMutex(const ForkSafeMutex&) = delete;
    ForkSafeMutex& operator=(const ForkSafeMutex&) = delete;

    // Returns true where a thread of the parent held it at the fork: what it protects may be half-changed. Only the
    // first to lock it in the child is told.
    bool lock();
    // False where another thread of this process holds it. One left behind by a fork is taken over without a word.
    bool try_lock();
    void unlock();

private:
    // The word is the generation it was last locked or let go of in, times four, plus one of these.
    enum State : std::uint32_t { open, held, awaited };
    static std::uint32_t now(State state) { return fork_generation() * 4 + state; }
    static bool from_before(std::uint32_t word) { return word / 4 != now(open) / 4; }
    bool take_over(std::uint32_t& seen);
    bool lock_slowly(std::uint32_t seen);
    void wait(std::uint32_t seen);
    void wake_one();

    // Taking it is an acquire, letting go a release: who holds it sees what every holder before it wrote. One of an
    // older generation needs no more: what its holder wrote before the fork is in the child's memory, and its other
    // threads began after that.
    std::atomic<std::uint32_t> word_{open};
};

// A value to be used under its lock only. Where a fork has left it half-changed it is abandoned, not destroyed, and
// begins anew: what it owned is lost to the child.
template <class T>
class ForkSafe {
public:
    class Locked {
    public:
        explicit Locked(ForkSafe& owner) : owner_(owner) {
            if (owner_.mutex_.lock()) new (&owner_.value_) T();
        }
        ~Locked() { owner_.mutex_.unlock(); }
        Locked(const Locked&) = delete;
        Locked& operator=(const Locked&) = delete;
        T* operator->() const { return &owner_.value_; }

    private:
        ForkSafe& owner_;
    };

private:
    static_assert(std::is_nothrow_default_constructible_v<T>, "a value that is abandoned must be replaced");
    ForkSafeMutex mutex_;
    T value_;
};

}  // namespace fusedrnn
