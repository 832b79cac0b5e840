// What is done to whole rows beside the cells: layer norm, and the products and sums of elements.
#pragma once

#include "../math/square_root.hpp"
#include "activations.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

// Sums over a row: visit(first, lanes, sums) adds a vector's terms to `count` sums. Partial sums are as many on every
// instruction set, and added in order.
template <class T, int count>
struct SumsOfRow {
    using V = Vec<T>;
    static constexpr Index lanes = unit_block<T>;
    static constexpr int vectors = static_cast<int>(lanes / V::width);
    T sum[count];

    template <class Visit>
    FUSEDRNN_INLINE SumsOfRow(Index n, Visit visit) {
        V sums[vectors][count];
        for (int j = 0; j < vectors; ++j)
            for (int k = 0; k < count; ++k) sums[j][k] = V::zero();
        for (Index i = 0; i < n; i += lanes)
            for (int j = 0; j < vectors; ++j) {
                const Index first = i + j * V::width;
                if (first < n) visit(first, n - first, sums[j]);
            }
        for (int k = 0; k < count; ++k) {
            alignas(cache_line) T lane[lanes];
            for (int j = 0; j < vectors; ++j) sums[j][k].store(lane + j * V::width);
            sum[k] = 0;
            for (Index l = 0; l < lanes; ++l) sum[k] += lane[l];
        }
    }
};

// x becomes (x - mean) / deviation, and emit(first, lanes, vector) takes it; returns the deviation. (O2)
template <class T, class Emit>
FUSEDRNN_INLINE T normalise_row(T* x, Index n, T epsilon, Emit emit) {
    using V = Vec<T>;
    const T count = static_cast<T>(n);
    const SumsOfRow<T, 1> all(
        n, [&](Index i, Index lanes, V* sums) FUSEDRNN_LAMBDA { sums[0] = sums[0] + load_lanes<V>(x + i, lanes); });
    const V mean = V::broadcast(all.sum[0] / count);
    const SumsOfRow<T, 1> squares(n, [&](Index i, Index lanes, V* sums) FUSEDRNN_LAMBDA {
        V centred = load_lanes<V>(x + i, lanes) - mean;
        store_lanes(centred, x + i, lanes);
        if (lanes < V::width) centred = load_lanes<V>(x + i, lanes);  // zeros beyond the row
        sums[0] = fma(centred, centred, sums[0]);
    });
    const T deviation = square_root(squares.sum[0] / count + epsilon);
    const V inverse = V::broadcast(T(1) / deviation);
    for_each_lane<T>(n, [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
        const V normal = load_lanes<V>(x + i, lanes) * inverse;
        store_lanes(normal, x + i, lanes);
        emit(i, lanes, normal);
    });
    return deviation;
}

// The gradient of a row from d, that of gain * normal. out may be d or normal.
template <class T>
FUSEDRNN_INLINE void normalise_row_backward(const T* d, const T* gain, const T* normal, T deviation, T* out, Index n) {
    using V = Vec<T>;
    const auto dnormal = [&](Index i, Index lanes)
                             FUSEDRNN_LAMBDA { return load_lanes<V>(d + i, lanes) * load_lanes<V>(gain + i, lanes); };
    const SumsOfRow<T, 2> all(n, [&](Index i, Index lanes, V* sums) FUSEDRNN_LAMBDA {
        const V at = dnormal(i, lanes);
        sums[0] = sums[0] + at;
        sums[1] = fma(at, load_lanes<V>(normal + i, lanes), sums[1]);
    });
    const T count = static_cast<T>(n);
    const V mean = V::broadcast(all.sum[0] / count), along = V::broadcast(all.sum[1] / count);
    const V inverse = V::broadcast(T(1) / deviation);
    for_each_lane<T>(n, [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
        const V rest = fnma(load_lanes<V>(normal + i, lanes), along, dnormal(i, lanes) - mean);
        store_lanes(rest * inverse, out + i, lanes);
    });
}

template <class T>
void normalise(const NormaliseArgs<T>& p) {
    using V = Vec<T>;
    for (Index r = 0; r < p.rows; ++r)
        for (Index group = 0, first = 0; group < p.groups; first = p.group_ends[group++]) {
            const auto emit = [&](Index i, Index lanes, V normal) FUSEDRNN_LAMBDA {
                const V shift = p.shift ? load_lanes<V>(p.shift + first + i, lanes) : V::zero();
                store_lanes(fma(normal, load_lanes<V>(p.gain + first + i, lanes), shift), p.out[r] + first + i, lanes);
            };
            p.deviation[r][group] = normalise_row(p.normal[r] + first, p.group_ends[group] - first, p.epsilon, emit);
        }
}

template <class T>
void normalise_backward(const NormaliseBackwardArgs<T>& p) {
    for (Index r = 0; r < p.rows; ++r)
        for (Index group = 0, first = 0; group < p.groups; first = p.group_ends[group++])
            normalise_row_backward(p.gradient[r] + first, p.gain + first, p.normal[r] + first, p.deviation[r][group],
                                   p.out[r] + first, p.group_ends[group] - first);
}

template <class T>
void blend(const BlendArgs<T>& p) {
    using V = Vec<T>;
    for (Index r = 0; r < p.rows; ++r)
        for_each_lane<T>(p.width, [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
            const V share = p.share ? load_lanes<V>(p.share[r] + i, lanes) : V::broadcast(p.one_share);
            const V rest = V::broadcast(1) - share;
            store_lanes(fma(share, load_lanes<V>(p.old[r] + i, lanes), rest * load_lanes<V>(p.x[r] + i, lanes)),
                        p.out[r] + i, lanes);
        });
}

template <class T>
void multiply(const MultiplyArgs<T>& p) {
    using V = Vec<T>;
    for (Index r = 0; r < p.rows; ++r)
        for_each_lane<T>(p.width, [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
            const V a = load_lanes<V>(p.a[r] + i, lanes), b = load_lanes<V>((p.b ? p.b[r] : p.same_b) + i, lanes);
            V product = p.c ? fma(a, b, load_lanes<V>(p.c + i, lanes)) : a * b;
            if (p.adds) product = product + load_lanes<V>(p.out[r] + i, lanes);
            store_lanes(product, p.out[r] + i, lanes);
        });
}

template <class T>
void sum_products(const SumProductsArgs<T>& p) {
    using V = Vec<T>;
    for_each_lane<T>(p.count, [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
        for (Index end = p.rows; end > 0;) {
            const Index begin = (end - 1) / reduction_block * reduction_block;
            V sum = V::zero();
            for (Index r = begin; r < end; ++r)
                sum = fma(load_lanes<V>(p.a[r] + p.first + i, lanes), load_lanes<V>(p.b[r] + p.first + i, lanes), sum);
            store_lanes(load_lanes<V>(p.out + i, lanes) + sum, p.out + i, lanes);
            end = begin;
        }
    });
}

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
