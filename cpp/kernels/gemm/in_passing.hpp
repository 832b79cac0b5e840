// Input products in passing. The products of one row with W_hh wait for its weights, which L2 brings at half the speed at which
// they could be multiplied. The FMA units take the input products of the next steps meanwhile: tiles of several steps
// and a few columns, whose weights are read once for all of those steps.
#pragma once

#include "gemm/linear.hpp"
#include "gemm/tile.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

// Where the input's weights lie for a cache line of columns.
template <class T>
struct ColumnWeights {
    const T* first;
    Index k_stride;
};

// Gate panels: the gates of a unit block, one after the other.
template <class T, int Gates>
struct GateColumns {
    static constexpr Index of_block = Gates;
    FUSEDRNN_INLINE static ColumnWeights<T> weights(const ForwardSpan<T>& p, Index column) {
        constexpr Index k_stride = Gates * unit_block<T>;
        return {p.w_ih + column / Gates * (p.input_size * k_stride) + column % Gates * unit_block<T>, k_stride};
    }
};

// Linear panels: a unit's only sum.
template <class T>
struct UnitColumns {
    static constexpr Index of_block = 1;
    FUSEDRNN_INLINE static ColumnWeights<T> weights(const ForwardSpan<T>& p, Index column) {
        const LinearPanel<T> panel(p.w_ih, p.input_size, p.hidden_size, column);
        return {panel.first, panel.k_stride};
    }
};

// `Sums`: of a unit block in the bias.
template <class T, class Columns, int Sums>
class PassingTiles {
    using V = Vec<T>;
    static_assert(!narrow<T>);
    static constexpr int rows = InPassing<T>::rows, half = rows / 2, vectors = 2;
    static constexpr Index beside = 2;  // rows of the recurrent panel beside one of the input's

public:
    FUSEDRNN_INLINE explicit PassingTiles(const ForwardSpan<T>& span)
        : p_(span), work_(*span.in_passing), begin_(span.block_begin * Columns::of_block),
          columns_(last_block(span) * Columns::of_block - begin_) {}

    // sum[slot(j)] += a[k] * vector j of the panel's row k, as accumulate() does, and tiles in passing while there are any.
    template <int NV, int NSums, class Offset, class Slot>
    FUSEDRNN_INLINE void accumulate_beside(V (&sum)[1][NSums], const T* a, const T* panel, Index depth, Index k_stride,
                                           Offset offset, Slot slot) {
        Index k = 0;
        while (work_.column < columns_ && k + beside <= depth) {
            const Index here = (depth - k) / beside, there = p_.input_size - work_.k, n = here < there ? here : there;
            go_on(n, [&](Index i) FUSEDRNN_LAMBDA {
#pragma GCC unroll 2
                for (Index row = k + i * beside, end = row + beside; row < end; ++row) {
                    const V value = V::broadcast(a[row]);
#pragma GCC unroll 8
                    for (int j = 0; j < NV; ++j)
                        sum[0][slot(j)] = fma(value, V::load(panel + row * k_stride + offset(j)), sum[0][slot(j)]);
                }
            });
            k += n * beside;
        }
        accumulate<V, 1, NV>(sum, Rows<T>{{a + k}}, panel + k * k_stride, depth - k, k_stride, offset, slot);
    }

    // What is left, by itself.
    void complete() {
        while (work_.column < columns_) go_on(p_.input_size - work_.k, [](Index) FUSEDRNN_LAMBDA {});
    }

private:
    FUSEDRNN_INLINE static Index last_block(const ForwardSpan<T>& p) {
        const Index blocks = ceil_div(p.hidden_size, unit_block<T>);
        return blocks < p.block_end ? blocks : p.block_end;
    }

    // The tile in hand, n columns of x deeper; also(i) is called in each.
    template <class Also>
    FUSEDRNN_INLINE void go_on(Index n, Also also) {
        const Index left = begin_ + work_.column, right = left + (is_single() ? 0 : 1);
        const ColumnWeights<T> w = Columns::weights(p_, left), v = Columns::weights(p_, right);
        const T *w_row = w.first + work_.k * w.k_stride, *v_row = v.first + work_.k * v.k_stride;
        const Index stride = work_.x_stride;
        const T *x = work_.x + work_.k, *x_half = x + half * stride;
        V sum[rows][vectors];
        begin(left, right, sum);
        for (Index i = 0; i < n; ++i) {
            also(i);
            const V b = V::load(w_row), c = V::load(v_row);
#pragma GCC unroll 4
            for (int r = 0; r < half; ++r) {
                const V value = V::broadcast(x[r * stride]);
                sum[r][0] = fma(value, b, sum[r][0]);
                sum[r][1] = fma(value, c, sum[r][1]);
            }
#pragma GCC unroll 4
            for (int r = 0; r < half; ++r) {
                const V value = V::broadcast(x_half[r * stride]);
                sum[half + r][0] = fma(value, b, sum[half + r][0]);
                sum[half + r][1] = fma(value, c, sum[half + r][1]);
            }
            ++x, ++x_half;
            w_row += w.k_stride, v_row += v.k_stride;
        }
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r)
#pragma GCC unroll 2
            for (int j = 0; j < vectors; ++j) sum[r][j].store(at(r, j));
        work_.k += n;
        if (work_.k == p_.input_size) put();
    }

    FUSEDRNN_INLINE void begin(Index left, Index right, V (&sum)[rows][vectors]) {
        const T* const start[vectors] = {bias(left), bias(right)};
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r)
#pragma GCC unroll 2
            for (int j = 0; j < vectors; ++j) sum[r][j] = V::load(work_.k ? at(r, j) : start[j]);
    }

    // The tile that is done, and on to the next.
    void put() {
        T* out = work_.out + (begin_ + work_.column) * V::width;
        for (int r = 0; r < rows; ++r, out += work_.out_stride) {
            V::load(at(r, 0)).store(out);
            if (!is_single()) V::load(at(r, 1)).store(out + V::width);
        }
        work_.column += vectors;
        work_.k = 0;
    }

    // An odd column is left over: its tile computes it twice.
    FUSEDRNN_INLINE bool is_single() const { return work_.column + 1 == columns_; }

    FUSEDRNN_INLINE T* at(int row, int vector) const { return work_.sums + (row * vectors + vector) * V::width; }

    FUSEDRNN_INLINE const T* bias(Index column) const {
        return p_.bias + (column / Columns::of_block * Sums + column % Columns::of_block) * unit_block<T>;
    }

    const ForwardSpan<T>& p_;
    InPassing<T>& work_;
    const Index begin_, columns_;
};

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
