// Memory that calls borrow and give back, so that a call of a known size allocates nothing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "threads/fork_safe_mutex.hpp"

namespace fusedrnn {

// As many of U as were ever borrowed at once, but no more than `kept` wait for the next borrower. What has grown for a
// call that was much larger than those since is given up: calls of sizes that come by turns find their memory again,
// and a size that comes no more leaves none behind.
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
    struct Shelf {
        std::uint64_t borrowings = 0;
        std::vector<Item> free;
    };
    using Locked = typename ForkSafe<Shelf>::Locked;

    Item take(std::ptrdiff_t size) {
        Item item, unused;  // freed when the lock is open again
        {
            const Locked shelf(shelf_);
            shelf->free.reserve(kept);  // giving back must not fail
            ++shelf->borrowings;
            if (!shelf->free.empty() && shelf->borrowings - shelf->free.front().given_back > memory_of_uses) {
                unused = std::move(shelf->free.front());
                shelf->free.erase(shelf->free.begin());
            }
            if (!shelf->free.empty()) {
                item = std::move(shelf->free.back());
                shelf->free.pop_back();
            }
        }
        if (item.lent && item.outgrown(size)) item = Item();
        if (!item.lent) item.lent = std::make_unique<U>();
        item.largest = std::max(item.largest, size);
        return item;
    }

    void give(Item item) {
        const Locked shelf(shelf_);
        item.given_back = shelf->borrowings;
        if (shelf->free.size() < kept) shelf->free.push_back(std::move(item));
    }

    ForkSafe<Shelf> shelf_;
};

}  // namespace fusedrnn
