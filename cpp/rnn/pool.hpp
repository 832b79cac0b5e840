// Memory that calls borrow and give back, so that a call of a known size allocates nothing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace fusedrnn {

// As many of U as were ever borrowed at once, but no more than `kept` wait for the next borrower. What has grown for a call
// that was much larger than those since is given up: calls of sizes that come by turns find their memory again, and a size
// that comes no more leaves none behind.
template <class U, std::size_t kept>
class Pool {
    // Of this many borrowings none needed what is given up then.
    static constexpr int memory_of_uses = 16;

    struct Item {
        std::unique_ptr<U> lent;
        std::ptrdiff_t largest = 0, recent = 0;  // sizes: since it was made, and in the uses that are being counted
        int uses = 0;
        std::uint64_t given_back = 0;  // at which borrowing of the pool

        bool outgrown(std::ptrdiff_t size) {
            recent = std::max(recent, size);
            if (++uses < memory_of_uses) return false;
            uses = 0;
            return largest > 2 * std::exchange(recent, 0);
        }
    };

public:
    class Lease {
    public:
        // `size` is what the memory of the call grows with, in any unit.
        Lease(Pool& pool, std::ptrdiff_t size) : pool_(pool), item_(pool.take(size)) {}
        ~Lease() { pool_.give(std::move(item_)); }
        Lease(const Lease&) = delete;
        Lease& operator=(const Lease&) = delete;
        U& operator*() const { return *item_.lent; }
        U* operator->() const { return item_.lent.get(); }

    private:
        Pool& pool_;
        Item item_;
    };

private:
    Item take(std::ptrdiff_t size) {
        Item item, unused;  // freed when the lock is open again
        {
            const std::lock_guard lock(mutex_);
            free_.reserve(kept);  // giving back must not fail
            ++borrowings_;
            if (!free_.empty() && borrowings_ - free_.front().given_back > memory_of_uses) {
                unused = std::move(free_.front());
                free_.erase(free_.begin());
            }
            if (!free_.empty()) {
                item = std::move(free_.back());
                free_.pop_back();
            }
        }
        if (item.lent && item.outgrown(size)) item = Item();
        if (!item.lent) item.lent = std::make_unique<U>();
        item.largest = std::max(item.largest, size);
        return item;
    }

    void give(Item item) {
        const std::lock_guard lock(mutex_);
        item.given_back = borrowings_;
        if (free_.size() < kept) free_.push_back(std::move(item));
    }

    std::mutex mutex_;
    std::uint64_t borrowings_ = 0;
    std::vector<Item> free_;
};

}  // namespace fusedrnn
