// The number of threads that a user has set.
#include <atomic>
#include <stdexcept>
#include <string>

#include "fusedrnn/runtime.hpp"
#include "threads/processors.hpp"

namespace fusedrnn {
namespace {

// Without order: whoever reads it uses the value or the one before it.
std::atomic<int>& thread_limit() {
    static std::atomic<int> limit{usable_processors()};
    return limit;
}

}  // namespace

int num_threads() { return thread_limit().load(std::memory_order_relaxed); }

void set_num_threads(int count) {
    if (count < 1 || count > max_threads)
        throw std::invalid_argument("num_threads: expected an integer from 1 to " + std::to_string(max_threads) +
                                    ", got " + std::to_string(count));
    thread_limit().store(count, std::memory_order_relaxed);
}

}  // namespace fusedrnn
