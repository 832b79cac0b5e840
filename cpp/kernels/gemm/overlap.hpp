// Overlapped products. The product of one row with W_hh is bound by the L2 cache, which brings the weights at half the
// speed at which they could be multiplied. Tiles of a product with W_ih run between those loads: forward the input
// projection of the next steps, backward dx of the steps that are done. Such a tile takes several steps and a few
// columns, so that its weights are read once for all of those steps.
#pragma once

#include "gemm/linear.hpp"
#include "gemm/tile.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

// The place of the packed weights of a cache line of columns.
template <class T>
struct ColumnWeights {
    const T* first;
    Index k_stride;

    FUSEDRNN_INLINE ColumnWeights(const T* first_, Index k_stride_) : first(first_), k_stride(k_stride_) {}
    FUSEDRNN_INLINE explicit ColumnWeights(const PackedColumns<T>& columns)
        : first(columns.first), k_stride(columns.k_stride) {}
};

// Packed gates: the gates of a unit block, side by side.
template <class T, int Gates>
struct GateColumns {
    static constexpr Index of_block = Gates;
    FUSEDRNN_INLINE static ColumnWeights<T> weights(const ForwardSpan<T>& p, Index column) {
        constexpr Index k_stride = Gates * unit_block<T>;
        return {p.w_ih + column / Gates * (p.input_size * k_stride) + column % Gates * unit_block<T>, k_stride};
    }
};

// A packed matrix: a unit's only sum.
template <class T>
struct UnitColumns {
    static constexpr Index of_block = 1;
    FUSEDRNN_INLINE static ColumnWeights<T> weights(const ForwardSpan<T>& p, Index column) {
        return ColumnWeights<T>(PackedColumns<T>(p.w_ih, p.input_size, p.hidden_size, column));
    }
};

// The input products of the next steps, for the span's blocks, as project() would store them. Each sum is one chain
// from the bias, which has `Accumulators` accumulators a unit block.
template <class T, class Columns, int Accumulators>
struct InputProducts {
    using V = Vec<T>;
    const ForwardSpan<T>& p;

    FUSEDRNN_INLINE Index begin() const { return p.block_begin * Columns::of_block; }
    FUSEDRNN_INLINE Index end() const {
        const Index blocks = ceil_div(p.hidden_size, unit_block<T>);
        return (blocks < p.block_end ? blocks : p.block_end) * Columns::of_block;
    }
    FUSEDRNN_INLINE Index depth() const { return p.input_size; }
    FUSEDRNN_INLINE Index end_of_chain(Index) const { return p.input_size; }
    FUSEDRNN_INLINE ColumnWeights<T> weights(Index column) const { return Columns::weights(p, column); }
    FUSEDRNN_INLINE const T* start(Index column) const {
        return p.bias + (column / Columns::of_block * Accumulators + column % Columns::of_block) * unit_block<T>;
    }
    FUSEDRNN_INLINE void put(V sum, T* out, Index column, Index) const { sum.store(out + column * V::width); }
};

// dx of the steps that are done, as Linear::run would compute it by chains.
template <class T>
struct InputGradients {
    using V = Vec<T>;
    const LinearArgs<T>& p;

    FUSEDRNN_INLINE Index begin() const { return p.block_begin; }
    FUSEDRNN_INLINE Index end() const { return p.block_end; }
    FUSEDRNN_INLINE Index depth() const { return p.depth; }
    FUSEDRNN_INLINE Index end_of_chain(Index begin) const { return end_of_k_block(begin, p.depth, gradient_chain); }
    FUSEDRNN_INLINE ColumnWeights<T> weights(Index column) const {
        return ColumnWeights<T>(PackedColumns<T>(p.b, p.depth, p.columns, column));
    }
    FUSEDRNN_INLINE const T* start(Index) const {
        alignas(cache_line) static constexpr T zeros[unit_block<T>] = {};
        return zeros;
    }
    FUSEDRNN_INLINE void put(V sum, T* out, Index column, Index chain) const {
        const Index lanes = p.columns - column * V::width;
        out += column * V::width;
        store_lanes(chain > 0 || p.add_to_out ? load_lanes<V>(out, lanes) + sum : sum, out, lanes);
    }
};

template <class T, class Product>
class OverlappedTiles {
    using V = Vec<T>;
    static_assert(interleaved<T>);
    static constexpr int rows = OverlappedProduct<T>::rows, half = rows / 2, vectors = tuning::overlapped_vectors;
    static constexpr Index recurrent_rows = tuning::recurrent_rows_per_row;  // of W_hh, to one row of W_ih

public:
    FUSEDRNN_INLINE OverlappedTiles(const Product& product, OverlappedProduct<T>& work)
        : product_(product), work_(work), begin_(product.begin()), columns_(product.end() - begin_),
          depth_(product.depth()) {}

    // sum[accumulator_of(j)] += a[k] * vector j of the weights' row k, as accumulate() does, with the overlapped
    // product's tiles in between while there are any.
    template <int NV, int NSums, class Offset, class AccumulatorOf>
    FUSEDRNN_INLINE void accumulate_overlapped(V (&sum)[1][NSums], const T* a, const T* packed, Index depth,
                                               Index k_stride, Offset offset, AccumulatorOf accumulator_of) {
        Index k = 0;
        while (!is_done() && k + recurrent_rows <= depth) {
            const Index here = (depth - k) / recurrent_rows, there = rest_of_chain(), n = here < there ? here : there;
            go_on(n, [&](Index i) FUSEDRNN_LAMBDA {
#pragma GCC unroll 2
                for (Index row = k + i * recurrent_rows, end = row + recurrent_rows; row < end; ++row) {
                    const V value = V::broadcast(a[row]);
#pragma GCC unroll 8
                    for (int j = 0; j < NV; ++j)
                        sum[0][accumulator_of(j)] =
                            fma(value, V::load(packed + row * k_stride + offset(j)), sum[0][accumulator_of(j)]);
                }
            });
            k += n * recurrent_rows;
        }
        accumulate<V, 1, NV>(sum, Rows<T>{{a + k}}, packed + k * k_stride, depth - k, k_stride, offset, accumulator_of);
    }

    // Computes the rest by itself.
    void complete() {
        while (!is_done()) go_on(rest_of_chain(), [](Index) FUSEDRNN_LAMBDA {});
    }

private:
    FUSEDRNN_INLINE bool is_done() const { return work_.chain == depth_ || columns_ == 0; }
    FUSEDRNN_INLINE Index rest_of_chain() const { return product_.end_of_chain(work_.chain) - work_.k; }

    // Takes the current tile n terms deeper; also(i) is called with each.
    template <class Also>
    FUSEDRNN_INLINE void go_on(Index n, Also also) {
        const Index column = begin_ + work_.column, next_column = column + (is_single() ? 0 : 1);
        const ColumnWeights<T> w = product_.weights(column), v = product_.weights(next_column);
        const T *w_row = w.first + work_.k * w.k_stride, *v_row = v.first + work_.k * v.k_stride;
        const Index stride = work_.x_stride;
        const T *x = work_.x + work_.k, *x_half = x + half * stride;
        const bool ends_chain = n == rest_of_chain();
        V sum[rows][vectors];
        begin(column, next_column, sum);
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
        if (ends_chain) put();
    }

    FUSEDRNN_INLINE void begin(Index column, Index next_column, V (&sum)[rows][vectors]) {
        const bool begins_chain = work_.k == work_.chain;
        const T* const start[vectors] = {product_.start(column), product_.start(next_column)};
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r)
#pragma GCC unroll 2
            for (int j = 0; j < vectors; ++j) sum[r][j] = V::load(begins_chain ? start[j] : at(r, j));
    }

    // Stores the sums of a chain and goes on to the next tile. A chain of all tiles goes before the next chain: the
    // rows' part of it stays in the L1 cache.
    void put() {
        T* out = work_.out;
        const Index column = begin_ + work_.column;
        for (int r = 0; r < rows; ++r, out += work_.out_stride) {
            product_.put(V::load(at(r, 0)), out, column, work_.chain);
            if (!is_single()) product_.put(V::load(at(r, 1)), out, column + 1, work_.chain);
        }
        work_.column += vectors;
        if (work_.column >= columns_) {
            work_.column = 0;
            work_.chain = product_.end_of_chain(work_.chain);
        }
        work_.k = work_.chain;
    }

    // The last of an odd number of columns: its tile computes it twice.
    FUSEDRNN_INLINE bool is_single() const { return work_.column + 1 == columns_; }

    FUSEDRNN_INLINE T* at(int row, int vector) const { return work_.sums + (row * vectors + vector) * V::width; }

    const Product product_;
    OverlappedProduct<T>& work_;
    const Index begin_, columns_, depth_;
};

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
