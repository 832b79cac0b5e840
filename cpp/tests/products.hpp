// Shared by the tests of products: operands of two kinds, where they lie, and the sum they are held to.
//
// Whole numbers, whose sums are exact in any order, against 64-bit integers; real ones against the one chain of fused
// multiply-adds of docs/design/kernels.md. Results are compared as bits.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "bits.hpp"
#include "guarded.hpp"
#include "kernel_table.hpp"
#include "random.hpp"
#include "simd/simd.hpp"

namespace fusedrnn_test {

using fusedrnn::Index;

template <class T>
bool same(T a, T b) {
    return bits(a) == bits(b);
}

enum class Numbers { whole, real };
constexpr Numbers both_numbers[] = {Numbers::whole, Numbers::real};
constexpr const char* name_of(Numbers numbers) { return numbers == Numbers::whole ? "whole" : "real"; }

template <class T>
void fill(Guarded<T>& array, Numbers numbers, Random& random) {
    // Products of at most 1500 terms up to 9 stay far below 2^24: every sum of them is exact.
    for (T& value : array) value = numbers == Numbers::whole ? random.whole<T>(3) : random.unit<T>();
}

template <class T>
T fused(T a, T b, T c) {
    return FUSEDRNN_HAS_FMA ? std::fma(a, b, c) : a * b + c;
}

// start + sum of a(k) * b(k) for k in [0, depth).
template <class T, class A, class B>
T expected_sum(Numbers numbers, T start, Index depth, A a, B b) {
    if (numbers == Numbers::whole) {
        auto sum = static_cast<std::int64_t>(start);
        for (Index k = 0; k < depth; ++k) sum += static_cast<std::int64_t>(a(k)) * static_cast<std::int64_t>(b(k));
        return static_cast<T>(sum);
    }
    for (Index k = 0; k < depth; ++k) start = fused(a(k), b(k), start);
    return start;
}

template <class T>
std::vector<Guarded<T>> guarded_rows(Index rows, Index width) {
    std::vector<Guarded<T>> all;
    for (Index r = 0; r < rows; ++r) all.emplace_back(width);
    return all;
}

template <class T>
std::vector<Guarded<T>> filled_rows(Index rows, Index width, Numbers numbers, Random& random) {
    std::vector<Guarded<T>> all = guarded_rows<T>(rows, width);
    for (Guarded<T>& row : all) fill(row, numbers, random);
    return all;
}

template <class Pointer, class T>
std::vector<Pointer> pointers(const std::vector<Guarded<T>>& rows) {
    std::vector<Pointer> all;
    for (const Guarded<T>& row : rows) all.push_back(row.data());
    return all;
}

}  // namespace fusedrnn_test
