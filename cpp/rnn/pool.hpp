// Memory that calls borrow and give back, so that a call of a known size allocates nothing.
#pragma once

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

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
        const std::lock_guard lock(mutex_);
        free_.reserve(kept);  // giving back must not fail
        if (free_.empty()) return std::make_unique<U>();
        std::unique_ptr<U> last = std::move(free_.back());
        free_.pop_back();
        return last;
    }
    void give(std::unique_ptr<U> lent) {
        const std::lock_guard lock(mutex_);
        if (free_.size() < kept) free_.push_back(std::move(lent));
    }

    std::mutex mutex_;
    std::vector<std::unique_ptr<U>> free_;
};

}  // namespace fusedrnn
