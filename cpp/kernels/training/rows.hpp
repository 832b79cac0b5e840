// Sums of rows, and dropout.
#pragma once

#include "../kernel_table.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

template <class T>
void sum_rows(const SumRowsArgs<T>& p) {
    constexpr Index at_once = 4 * unit_block<T>;
    for (Index column = 0; column < p.width; column += at_once) {
        const Index columns = p.width - column < at_once ? p.width - column : at_once;
        for (Index first = 0; first < p.count; first += reduction_block) {
            const Index end = p.count - first < reduction_block ? p.count : first + reduction_block;
            T sum[at_once] = {};
            for (Index r = first; r < end; ++r) {
                const T* __restrict row = p.rows[r] + column;
                if (columns == at_once)
                    for (Index j = 0; j < at_once; ++j) sum[j] += row[j];
                else
                    for (Index j = 0; j < columns; ++j) sum[j] += row[j];
            }
            for (Index j = 0; j < columns; ++j) p.out[column + j] += sum[j];
        }
    }
}

// Two random words of 32 bits for a pair of elements: SplitMix64 (Steele, Lea and Flood 2014) at any place of its
// sequence, so that threads and the backward pass find the same ones.
FUSEDRNN_INLINE std::uint64_t random_pair(std::uint64_t seed, std::uint64_t pair) {
    std::uint64_t z = seed + (pair + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

// Plain loops over a few pairs at a time, of which the compiler makes vectors.
template <class T>
void dropout(const DropoutArgs<T>& p) {
    constexpr Index at_once = 32;
    const std::uint64_t seed = p.seed;
    const std::uint32_t dropped_below = p.dropped_below;
    const T scale = p.scale;
    for (Index first = 0; first < p.count; first += at_once) {
        const std::uint64_t first_pair = (p.first + static_cast<std::uint64_t>(first)) / 2;
        std::uint64_t pair[at_once / 2];
        for (Index i = 0; i < at_once / 2; ++i) pair[i] = random_pair(seed, first_pair + static_cast<std::uint64_t>(i));
        std::uint32_t word[at_once];
        __builtin_memcpy(word, pair, sizeof(word));
        T mask[at_once];
        for (Index i = 0; i < at_once; ++i) mask[i] = word[i] < dropped_below ? T(0) : scale;
        const T* x = p.x + first;
        T* out = p.out + first;
        if (p.count - first >= at_once)
            for (Index i = 0; i < at_once; ++i) out[i] = x[i] * mask[i];
        else
            for (Index i = 0; i < p.count - first; ++i) out[i] = x[i] * mask[i];
    }
}

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
