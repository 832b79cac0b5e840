// Scratch memory that calls borrow and give back, so that a call of a known size allocates nothing.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "kernels/kernel_table.hpp"
#include "rnn/buffer.hpp"

namespace fusedrnn {

// What one thread of a team needs for itself.
template <class T>
struct ThreadScratch {
    std::vector<ForwardRow<T>> forward_rows;
    std::vector<BackwardRow<T>> backward_rows;
    std::vector<const T*> left, left_too;
    std::vector<T*> out;
    Buffer<T> projected;  // the input product of a chunk of steps
    Buffer<T> sums;       // tiles in progress, packed operands
};

template <class T>
struct Workspace {
    std::vector<ThreadScratch<T>> threads;
    Buffer<T> zeros;                 // one row of zeros, wide enough for every use
    Buffer<T> layer_output[2];       // between layers
    Buffer<T> units;                 // o * tanh(c) of the step in hand, with a projection
    Buffer<T> gates[2], dh_proj[2];  // gate gradients of the whole sequence, per direction
    Buffer<T> dc_carry[2], dh_carry[2];
    Buffer<T> layer_gradient[2];     // of the outputs between layers

    void prepare(int team, Index zero_row) {
        if (threads.size() < static_cast<std::size_t>(team)) threads.resize(static_cast<std::size_t>(team));
        zeros.reserve_zeros(zero_row);
    }
};

// As many workspaces as calls ever ran at once, but no more than a few are kept.
template <class T>
class WorkspacePool {
public:
    class Lease {
    public:
        explicit Lease(WorkspacePool& pool) : pool_(pool), workspace_(pool.take()) {}
        ~Lease() { pool_.give(std::move(workspace_)); }
        Lease(const Lease&) = delete;
        Lease& operator=(const Lease&) = delete;
        Workspace<T>& operator*() const { return *workspace_; }
        Workspace<T>* operator->() const { return workspace_.get(); }

    private:
        WorkspacePool& pool_;
        std::unique_ptr<Workspace<T>> workspace_;
    };

private:
    static constexpr std::size_t kept = 4;

    std::unique_ptr<Workspace<T>> take() {
        const std::lock_guard lock(mutex_);
        if (free_.empty()) return std::make_unique<Workspace<T>>();
        std::unique_ptr<Workspace<T>> last = std::move(free_.back());
        free_.pop_back();
        return last;
    }
    void give(std::unique_ptr<Workspace<T>> workspace) {
        const std::lock_guard lock(mutex_);
        if (free_.size() < kept) free_.push_back(std::move(workspace));
    }

    std::mutex mutex_;
    std::vector<std::unique_ptr<Workspace<T>>> free_;
};

}  // namespace fusedrnn
