// Simple RNN: equations (R1)-(R2) forward and (R3)-(R5) backward of docs/design/cells.md.
#pragma once

#include "gemm/tile.hpp"
#include "math/sigmoid.hpp"
#include "math/tanh.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

template <class T>
struct Rnn {
    using V = Vec<T>;
    static constexpr CellKind kind = CellKind::rnn;

    FUSEDRNN_INLINE static V activate(V sum, Nonlinearity nonlinearity) {
        // The comparisons are written so that NaN is carried through.
        switch (nonlinearity) {
            case Nonlinearity::tanh: return tanh(sum);
            case Nonlinearity::relu: return select(less(sum, V::zero()), V::zero(), sum);
            case Nonlinearity::sigmoid: return sigmoid(sum);
            case Nonlinearity::leaky_relu:
                return select(less(sum, V::zero()), sum * V::broadcast(static_cast<T>(leaky_relu_slope)), sum);
            default: return sum;
        }
    }

    // Derivative of the activation, from its value y.
    FUSEDRNN_INLINE static V derivative(V y, Nonlinearity nonlinearity) {
        const V one = V::broadcast(1);
        switch (nonlinearity) {
            case Nonlinearity::tanh: return fma(-y, y, one);
            case Nonlinearity::relu: return select(less(V::zero(), y), one, V::zero());
            case Nonlinearity::sigmoid: return y * (one - y);
            case Nonlinearity::leaky_relu:
                return select(less(V::zero(), y), one, V::broadcast(static_cast<T>(leaky_relu_slope)));
            default: return one;
        }
    }

    FUSEDRNN_INLINE static void backward(V dh, const BackwardRow<T>& row, const T*, const T*, Index unit, Index lanes,
                                         Index, Nonlinearity nonlinearity) {
        store_lanes(dh * derivative(load_lanes<V>(row.h + unit, lanes), nonlinearity), row.gates + unit, lanes);
    }
};

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
