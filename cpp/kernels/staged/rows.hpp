// What is done to whole rows beside the cells: layer norm, and the products and sums of elements.
#pragma once

#include "../math/square_root.hpp"
#include "activations.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

// The sum over a row of term(first, lanes). Partial sums are as many on every instruction set, and added in order.
template <class T, class Term>
FUSEDRNN_INLINE T sum_of_row(Index n, Term term) {
    using V = Vec<T>;
    constexpr Index lanes = unit_block<T>;
    constexpr int vectors = static_cast<int>(lanes / V::width);
    V sum[vectors];
    for (int j = 0; j < vectors; ++j) sum[j] = V::zero();
    for (Index i = 0; i < n; i += lanes)
        for (int j = 0; j < vectors; ++j) {
            const Index first = i + j * V::width;
            if (first < n) sum[j] = sum[j] + term(first, n - first);
        }
    alignas(cache_line) T lane[lanes];
    for (int j = 0; j < vectors; ++j) sum[j].store(lane + j * V::width);
    T all = 0;
    for (Index k = 0; k < lanes; ++k) all += lane[k];
    return all;
}

// x becomes (x - mean) / deviation; returns the deviation. (O2)
template <class T>
FUSEDRNN_INLINE T normalise_row(T* x, Index n, T epsilon) {
    using V = Vec<T>;
    const T count = static_cast<T>(n);
    const T mean =
        sum_of_row<T>(n, [&](Index i, Index lanes) FUSEDRNN_LAMBDA { return load_lanes<V>(x + i, lanes); }) / count;
    for_each_lane<T>(n, [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
        store_lanes(load_lanes<V>(x + i, lanes) - V::broadcast(mean), x + i, lanes);
    });
    const T variance = sum_of_row<T>(n,
                                     [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
                                         const V centred = load_lanes<V>(x + i, lanes);
                                         return centred * centred;
                                     }) /
                       count;
    const T deviation = square_root(variance + epsilon);
    for_each_lane<T>(n, [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
        store_lanes(load_lanes<V>(x + i, lanes) / V::broadcast(deviation), x + i, lanes);
    });
    return deviation;
}

// The gradient of a row from d, that of gain * normal. out may be d or normal.
template <class T>
FUSEDRNN_INLINE void normalise_row_backward(const T* d, const T* gain, const T* normal, T deviation, T* out, Index n) {
    using V = Vec<T>;
    const auto dnormal = [&](Index i, Index lanes)
                             FUSEDRNN_LAMBDA { return load_lanes<V>(d + i, lanes) * load_lanes<V>(gain + i, lanes); };
    const V count = V::broadcast(static_cast<T>(n));
    const V mean = V::broadcast(sum_of_row<T>(n, dnormal)) / count;
    const V along = V::broadcast(sum_of_row<T>(
                        n, [&](Index i, Index lanes)
                               FUSEDRNN_LAMBDA { return dnormal(i, lanes) * load_lanes<V>(normal + i, lanes); })) /
                    count;
    for_each_lane<T>(n, [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
        const V rest = fnma(load_lanes<V>(normal + i, lanes), along, dnormal(i, lanes) - mean);
        store_lanes(rest / V::broadcast(deviation), out + i, lanes);
    });
}

template <class T>
void normalise(const NormaliseArgs<T>& p) {
    using V = Vec<T>;
    const Index width = p.group_ends[p.groups - 1];
    for (Index r = 0; r < p.rows; ++r) {
        T* const normal = p.normal[r];
        for (Index group = 0, first = 0; group < p.groups; first = p.group_ends[group++])
            p.deviation[r][group] = normalise_row(normal + first, p.group_ends[group] - first, p.epsilon);
        for_each_lane<T>(width, [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
            const V shift = p.shift ? load_lanes<V>(p.shift + i, lanes) : V::zero();
            store_lanes(fma(load_lanes<V>(normal + i, lanes), load_lanes<V>(p.gain + i, lanes), shift), p.out[r] + i,
                        lanes);
        });
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
