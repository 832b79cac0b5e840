// Memory that calls borrow and give back, so that a call of a known size allocates nothing.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "threads/fork_safe_mutex.hpp"

namespace fusedrnn {

// As many of U as were ever borrowed at once, but no more than `kept` wait for the next borrower.
template <class U, std::size_t kept>
class Pool {
public:
    class Lease {
    public:
        explicit Lease(Pool& pool) : pool_(pool), lent_(pool.take()) {}
        ~Lease() { pool_.give(std::move(lent_)); }
        Lease(const Lease&) = delete;
        Lease& operator=(const Lease&) = delete;
        U& operator*() const { return *lent_; }
        U* operator->() const { return lent_.get(); }

    private:
        Pool& pool_;
        std::unique_ptr<U> lent_;
    };

private:
    std::unique_ptr<U> take() {
        const typename Free::Locked free(free_);
        free->reserve(kept);  // giving back must not fail
        if (free->empty()) return std::make_unique<U>();
        std::unique_ptr<U> last = std::move(free->back());
        free->pop_back();
        return last;
    }
    void give(std::unique_ptr<U> lent) {
        const typename Free::Locked free(free_);
        if (free->size() < kept) free->push_back(std::move(lent));
    }

    using Free = ForkSafe<std::vector<std::unique_ptr<U>>>;
    Free free_;
};

}  // namespace fusedrnn
