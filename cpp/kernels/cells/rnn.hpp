// Simple RNN: equations (R1)-(R2) forward and (R3)-(R4) backward of docs/design/cells.md. step/single_sum_forward.hpp
// has the products of (R1); step/backward.hpp has the product of (R4).
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
    static constexpr int gates = cell_traits(kind).gates;
    static constexpr int accumulators = cell_traits(kind).accumulators;
    static constexpr int saved = cell_traits(kind).saved;
    static constexpr int input_accumulator(int gate) { return gate; }
    static constexpr int recurrent_accumulator(int gate) { return gate; }

    // Each activation's value, and its derivative from that value. Comparisons are written so that NaN is carried on.
    struct Tanh {  // (A2)
        FUSEDRNN_INLINE static V value(V sum) { return tanh(sum); }
        FUSEDRNN_INLINE static V derivative(V y) { return fma(-y, y, V::broadcast(1)); }
    };
    struct Relu {  // (A3)
        FUSEDRNN_INLINE static V value(V sum) { return select(less(sum, V::zero()), V::zero(), sum); }
        FUSEDRNN_INLINE static V derivative(V y) { return select(less(V::zero(), y), V::broadcast(1), V::zero()); }
    };
    struct Sigmoid {  // (A1)
        FUSEDRNN_INLINE static V value(V sum) { return sigmoid(sum); }
        FUSEDRNN_INLINE static V derivative(V y) { return y * (V::broadcast(1) - y); }
    };
    struct LeakyRelu {  // (A4)
        FUSEDRNN_INLINE static V slope() { return V::broadcast(static_cast<T>(leaky_relu_slope)); }
        FUSEDRNN_INLINE static V value(V sum) { return select(less(sum, V::zero()), sum * slope(), sum); }
        FUSEDRNN_INLINE static V derivative(V y) { return select(less(V::zero(), y), V::broadcast(1), slope()); }
    };
    struct Identity {  // (A5)
        FUSEDRNN_INLINE static V value(V sum) { return sum; }
        FUSEDRNN_INLINE static V derivative(V) { return V::broadcast(1); }
    };

    // Calls visit with the chosen one: the choice stands outside of the visitor's loops.
    template <class Visit>
    FUSEDRNN_INLINE static void with_activation(Nonlinearity nonlinearity, Visit visit) {
        switch (nonlinearity) {
            case Nonlinearity::tanh:
                return visit(Tanh{});
            case Nonlinearity::relu:
                return visit(Relu{});
            case Nonlinearity::sigmoid:
                return visit(Sigmoid{});
            case Nonlinearity::leaky_relu:
                return visit(LeakyRelu{});
            case Nonlinearity::identity:
                return visit(Identity{});
        }
    }

    template <class Activation>
    FUSEDRNN_INLINE static void emit_output(Activation, V sum, const ForwardRow<T>& row, Index unit, Index lanes) {
        store_lanes(Activation::value(sum), row.unprojected + unit, lanes);  // (R2)
    }

    FUSEDRNN_INLINE static void backward(V dh, const BackwardRow<T>& row, const T*, const T*, Index unit, Index lanes,
                                         Index, Nonlinearity nonlinearity) {
        const V y = load_lanes<V>(row.h + unit, lanes);
        with_activation(nonlinearity, [&](auto activation) FUSEDRNN_LAMBDA {
            store_lanes(dh * activation.derivative(y), row.dgates + unit, lanes);  // (R3)
        });
    }
};

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
