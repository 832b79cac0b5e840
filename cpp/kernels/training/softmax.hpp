// Softmax and cross-entropy of rows of logits.
#pragma once

#include "../kernel_table.hpp"
#include "../math/exp.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

template <class T>
struct Softmax {
    using V = Vec<T>;
    static constexpr Index lanes = unit_block<T>;  // partial sums: as many on every instruction set
    static constexpr int vectors = static_cast<int>(lanes / V::width);

    static void run(const SoftmaxArgs<T>& p) {
        for (Index r = 0; r < p.rows; ++r) {
            const T* row = p.logits + r * p.stride;
            const T largest = max_of(row, p.classes);
            p.margins[r] = static_cast<double>(largest) - static_cast<double>(row[p.targets[r]]);
            T* out = p.out ? p.out + r * p.stride : nullptr;
            p.sums[r] = exponentials(row, p.classes, largest, out);
            if (!out) continue;
            scale(out, p.classes, static_cast<T>(static_cast<double>(p.weights[r]) / p.sums[r]));
            out[p.targets[r]] -= p.weights[r];
        }
    }

private:
    // NaN if there is one.
    static T max_of(const T* row, Index n) {
        T largest = row[0];
        bool ordered = true;
        for (Index i = 0; i < n; ++i) {
            largest = row[i] > largest ? row[i] : largest;
            ordered &= row[i] == row[i];
        }
        return ordered ? largest : static_cast<T>(__builtin_nan(""));
    }

    static double exponentials(const T* row, Index n, T largest, T* out) {
        const V shift = V::broadcast(largest);
        V sum[vectors];
        for (int j = 0; j < vectors; ++j) sum[j] = V::zero();
        Index i = 0;
        for (; i + lanes <= n; i += lanes)
            for (int j = 0; j < vectors; ++j) {
                const V e = exp(V::load(row + i + j * V::width) - shift);
                if (out) e.store(out + i + j * V::width);
                sum[j] = sum[j] + e;
            }
        alignas(cache_line) T lane[lanes];
        for (int j = 0; j < vectors; ++j) sum[j].store(lane + j * V::width);
        if (i < n) {
            alignas(cache_line) T rest[lanes];
            for (Index k = 0; k < lanes; ++k) rest[k] = i + k < n ? row[i + k] : largest;
            for (int j = 0; j < vectors; ++j) exp(V::load(rest + j * V::width) - shift).store(rest + j * V::width);
            for (Index k = 0; i + k < n; ++k) {
                if (out) out[i + k] = rest[k];
                lane[k] += rest[k];
            }
        }
        double all = 0;
        for (Index k = 0; k < lanes; ++k) all += static_cast<double>(lane[k]);
        return all;
    }

    static void scale(T* row, Index n, T factor) {
        for (Index i = 0; i < n; ++i) row[i] *= factor;
    }
};

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
