// Copies the parts of a matrix to their places in a packed one.
#include "packing/packer.hpp"

#include <algorithm>

#include "fusedrnn/runtime.hpp"
#include "threads/parallel.hpp"

namespace fusedrnn {
namespace {

// The time to pack an element, in nanoseconds: about that of reading and writing it in a far cache.
constexpr Index time_of_element = 1;

// Visits [0, items) on as many threads as the amount of work is worth.
template <class Visit>
void for_each_item(Index items, Index elements, Visit visit) {
    auto body = [&](int, const Team& team) {
        const Range part = part_of(items, team.index, team.size);
        for (Index i = part.begin; i < part.end; ++i) visit(i);
    };
    const int threads = threads_worth(static_cast<Nanoseconds>(elements) * time_of_element, num_threads());
    for_shares({threads}, threads, body);
}

}  // namespace

template <class T>
Packer<T>::Packer(const KernelTable& table)
    : pack_micro_panel_(kernels_of<T>(table).pack_micro_panel), interleaved_(table.interleaved) {}

template <class T>
void Packer<T>::gates(const T* w, Index gates, Index hidden, Index depth, Buffer<T>& out) const {
    const Index block = unit_block<T>, panels = ceil_div(hidden, block) * gates;
    T* to = out.reserve(panels * depth * block);
    for_each_item(panels, hidden * depth * gates, [&](Index panel) {
        const Index unit = panel / gates * block, gate = panel % gates;
        const MicroPanelPlace place = micro_panel_place<T>(panel, panels, depth, interleaved_ ? gates : 1);
        pack_micro_panel_(w + (gate * hidden + unit) * depth, depth, std::min(hidden - unit, block), depth,
                          to + place.offset, place.k_stride);
    });
}

template <class T>
void Packer<T>::transposed(const T* w, Index columns, Index depth, Buffer<T>& out) const {
    for_each_micro_panel(columns, depth, out, [&](Index column, Index valid, T* to, Index k_stride) {
        pack_micro_panel_(w + column * depth, depth, valid, depth, to, k_stride);
    });
}

template <class T>
void Packer<T>::rows(const T* w, std::span<const RowRun> runs, Index depth, Index columns, Buffer<T>& out) const {
    for_each_micro_panel(columns, depth, out, [&](Index column, Index valid, T* to, Index k_stride) {
        for (const RowRun& run : runs) {
            T* row = to + run.k * k_stride;
            const T* from = w + run.row * columns + column;
            for (Index i = 0; i < run.count; ++i, row += k_stride, from += columns) {
                std::copy_n(from, valid, row);
                std::fill(row + valid, row + unit_block<T>, T(0));
            }
        }
    });
}

// visit(first column, true columns, where the micro-panel begins, distance of its rows)
template <class T>
template <class Visit>
void Packer<T>::for_each_micro_panel(Index columns, Index depth, Buffer<T>& out, Visit visit) const {
    const Index block = unit_block<T>, panels = ceil_div(columns, block);
    T* to = out.reserve(panels * block * depth);
    for_each_item(panels, columns * depth, [&](Index panel) {
        const MicroPanelPlace place = micro_panel_place<T>(panel, panels, depth, interleaved_ ? max_interleaved : 1);
        visit(panel * block, std::min(columns - panel * block, block), to + place.offset, place.k_stride);
    });
}

template class Packer<float>;
template class Packer<double>;

}  // namespace fusedrnn
