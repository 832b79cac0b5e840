// Packs a matrix into the layouts that the kernels read (kernels/args/layout.hpp), on several threads if it is large.
#pragma once

#include <span>

#include "kernels/kernel_table.hpp"
#include "memory/buffer.hpp"

namespace fusedrnn {

// Rows [row, row + count) of a matrix become rows [k, k + count) of the packed one.
struct RowRun {
    Index k, row, count;
};

// For one instruction set.
template <class T>
class Packer {
public:
    explicit Packer(const KernelTable& table);

    // Packed gates of w (gates * hidden, depth).
    void gates(const T* w, Index gates, Index hidden, Index depth, Buffer<T>& out) const;
    // A packed matrix of w transposed, for a * w^T; w (columns, depth).
    void transposed(const T* w, Index columns, Index depth, Buffer<T>& out) const;
    // A packed matrix of rows of w, for a * w; w (…, columns). The runs fill all `depth` rows of the packed matrix.
    void rows(const T* w, std::span<const RowRun> runs, Index depth, Index columns, Buffer<T>& out) const;

private:
    template <class Visit>
    void for_each_micro_panel(Index columns, Index depth, Buffer<T>& out, Visit visit) const;

    void (*const pack_micro_panel_)(const T*, Index, Index, Index, T*, Index);
    const bool interleaved_;
};

}  // namespace fusedrnn
