// Memory that is borrowed: what is found again, and what is given up.
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "check.hpp"
#include "memory/pool.hpp"

namespace {

using fusedrnn_test::Checks;

struct Memory {
    static inline int alive = 0;
    Memory() { ++alive; }
    ~Memory() { --alive; }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    bool used = false;
};

constexpr int enough_uses = 32;  // after which nothing is kept for a size that has not come

using Pool = fusedrnn::Pool<Memory, 3>;

// Whether the memory was used before.
bool found(Pool& pool, std::ptrdiff_t size) {
    const Pool::Lease lease(pool, size);
    return std::exchange(lease->used, true);
}

void test_the_same_size(Checks& checks) {
    Pool pool;
    checks.check(!found(pool, 100), "the first use found memory");
    for (int i = 0; i < 100; ++i) checks.check(found(pool, 100), "use %d of the same size found none", i);
}

// However different they are: the larger one comes often enough.
void test_two_sizes_by_turns(Checks& checks) {
    for (const int every : {2, 3, 10}) {
        Pool pool;
        found(pool, 1000000);
        for (int i = 0; i < 200; ++i)
            checks.check(found(pool, i % every ? 1 : 1000000), "every %d: use %d found none", every, i);
    }
}

void test_a_size_that_comes_no_more(Checks& checks) {
    Pool pool;
    found(pool, 1000);
    int made = 0;
    for (int i = 0; i < enough_uses; ++i) made += !found(pool, 499);
    checks.check(made == 1, "memory was made %d times, not once, when uses of half the size followed", made);
    made = 0;
    for (int i = 0; i < 3 * enough_uses; ++i) made += !found(pool, 300);
    checks.check(made == 0, "memory was made %d times for uses of more than half the size", made);
}

void test_many_at_once(Checks& checks) {
    Pool pool;
    {
        std::vector<std::unique_ptr<Pool::Lease>> leases;
        for (int i = 0; i < 5; ++i) leases.push_back(std::make_unique<Pool::Lease>(pool, 10));
        checks.check(Memory::alive == 5, "%d alive of five that are borrowed", Memory::alive);
    }
    checks.check(Memory::alive == 3, "%d kept, not three", Memory::alive);
    for (int i = 0; i < enough_uses; ++i) checks.check(found(pool, 10) || i == 0, "use %d found none", i);
    checks.check(Memory::alive == 1, "%d kept when one was in use", Memory::alive);
    // As in a training loop, which records the next sequence while it holds the last tape.
    auto last = std::make_unique<Pool::Lease>(pool, 10);
    for (int i = 0; i < enough_uses; ++i) {
        auto next = std::make_unique<Pool::Lease>(pool, 10);
        checks.check(std::exchange((*next)->used, true) || i < 2, "step %d found none", i);
        last = std::move(next);
    }
}

}  // namespace

int main() {
    Checks checks;
    test_the_same_size(checks);
    test_two_sizes_by_turns(checks);
    test_a_size_that_comes_no_more(checks);
    test_many_at_once(checks);
    checks.check(Memory::alive == 0, "%d left at the end", Memory::alive);
    return checks.finish();
}
