// The activations of cells with options, over whole rows: section 10 of docs/design/cells.md. Each has its value and
// its derivative, both of the pre-activation.
#pragma once

#include "../kernel_table.hpp"
#include "../math/exp.hpp"
#include "../math/sigmoid.hpp"
#include "../math/tanh.hpp"
#include "gemm/tile.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

// visit(first, lanes) for each vector of a row.
template <class T, class Visit>
FUSEDRNN_INLINE void for_each_lane(Index n, Visit visit) {
    for (Index i = 0; i < n; i += Vec<T>::width) visit(i, n - i);
}

// ln(1 + e) for 0 <= e <= 1, by the series of 2 artanh(e / (2 + e)).
template <class V>
FUSEDRNN_INLINE V log_of_one_plus(V e) {
    using T = typename V::Scalar;
    constexpr int terms = sizeof(T) == sizeof(float) ? 8 : 18;
    const V s = e / (e + V::broadcast(2)), s2 = s * s;
    V sum = V::broadcast(T(1) / T(2 * terms + 1));
    for (int i = terms - 1; i >= 0; --i) sum = fma(sum, s2, V::broadcast(T(1) / T(2 * i + 1)));
    return (s + s) * sum;
}

// e^a - 1 for a <= 0.
template <class V>
FUSEDRNN_INLINE V exp_minus_one(V a) {
    const V t = tanh(a * V::broadcast(0.5));
    return (t + t) / (V::broadcast(1) - t);
}

template <Activation kind, class V>
struct ActivationFunction {
    using T = typename V::Scalar;
    V alpha, beta;

    // Comparisons are written so that NaN is carried on.
    FUSEDRNN_INLINE V value(V a) const {
        const V zero = V::zero(), one = V::broadcast(1);
        if constexpr (kind == Activation::sigmoid) return sigmoid(a);
        if constexpr (kind == Activation::tanh) return tanh(a);
        if constexpr (kind == Activation::relu) return select(less(a, zero), zero, a);
        if constexpr (kind == Activation::identity) return a;
        if constexpr (kind == Activation::affine) return fma(alpha, a, beta);
        if constexpr (kind == Activation::leaky_relu) return select(less(a, zero), alpha * a, a);
        if constexpr (kind == Activation::thresholded_relu)
            return select(less(alpha, a), a, select(less(a, zero), zero, a * zero));
        if constexpr (kind == Activation::scaled_tanh) return alpha * tanh(beta * a);
        if constexpr (kind == Activation::hard_sigmoid) return min(one, max(zero, fma(alpha, a, beta)));
        if constexpr (kind == Activation::elu)
            return select(less(zero, a), a, alpha * exp_minus_one(select(less(zero, a), zero, a)));
        if constexpr (kind == Activation::softsign) return a / (one + abs(a));
        if constexpr (kind == Activation::softplus)
            return select(less(a, zero), zero, a) + log_of_one_plus(exp(-abs(a)));
    }

    FUSEDRNN_INLINE V derivative(V a) const {
        const V zero = V::zero(), one = V::broadcast(1);
        if constexpr (kind == Activation::sigmoid) {
            const V y = sigmoid(a);
            return y * (one - y);
        }
        if constexpr (kind == Activation::tanh) {
            const V y = tanh(a);
            return fma(-y, y, one);
        }
        if constexpr (kind == Activation::relu) return select(less(zero, a), one, zero);
        if constexpr (kind == Activation::identity) return one;
        if constexpr (kind == Activation::affine) return alpha;
        if constexpr (kind == Activation::leaky_relu) return select(less(zero, a), one, alpha);
        if constexpr (kind == Activation::thresholded_relu) return select(less(alpha, a), one, zero);
        if constexpr (kind == Activation::scaled_tanh) {
            const V y = tanh(beta * a);
            return alpha * beta * fma(-y, y, one);
        }
        if constexpr (kind == Activation::hard_sigmoid) {
            const V y = fma(alpha, a, beta);
            return select(less(zero, y), select(less(y, one), alpha, zero), zero);
        }
        if constexpr (kind == Activation::elu)
            return select(less(zero, a), one, alpha * exp(select(less(zero, a), zero, a)));
        if constexpr (kind == Activation::softsign) {
            const V d = one + abs(a);
            return one / (d * d);
        }
        if constexpr (kind == Activation::softplus) return sigmoid(a);
    }
};

// visit(function) with the one that was chosen: the choice stands outside of the visitor's loop.
template <class T, class Visit>
FUSEDRNN_INLINE void with_activation(const ActivationOf<T>& chosen, Visit visit) {
    using V = Vec<T>;
    const V alpha = V::broadcast(chosen.alpha), beta = V::broadcast(chosen.beta);
    switch (chosen.kind) {
        case Activation::sigmoid:
            return visit(ActivationFunction<Activation::sigmoid, V>{alpha, beta});
        case Activation::tanh:
            return visit(ActivationFunction<Activation::tanh, V>{alpha, beta});
        case Activation::relu:
            return visit(ActivationFunction<Activation::relu, V>{alpha, beta});
        case Activation::identity:
            return visit(ActivationFunction<Activation::identity, V>{alpha, beta});
        case Activation::affine:
            return visit(ActivationFunction<Activation::affine, V>{alpha, beta});
        case Activation::leaky_relu:
            return visit(ActivationFunction<Activation::leaky_relu, V>{alpha, beta});
        case Activation::thresholded_relu:
            return visit(ActivationFunction<Activation::thresholded_relu, V>{alpha, beta});
        case Activation::scaled_tanh:
            return visit(ActivationFunction<Activation::scaled_tanh, V>{alpha, beta});
        case Activation::hard_sigmoid:
            return visit(ActivationFunction<Activation::hard_sigmoid, V>{alpha, beta});
        case Activation::elu:
            return visit(ActivationFunction<Activation::elu, V>{alpha, beta});
        case Activation::softsign:
            return visit(ActivationFunction<Activation::softsign, V>{alpha, beta});
        case Activation::softplus:
            return visit(ActivationFunction<Activation::softplus, V>{alpha, beta});
    }
}

// (O3). A bound of 0 is none.
template <class T>
struct Clip {
    using V = Vec<T>;
    T bound;

    FUSEDRNN_INLINE V value(V a) const {
        const V limit = V::broadcast(bound);
        return bound > 0 ? min(limit, max(-limit, a)) : a;
    }
    // The gradient that goes through.
    FUSEDRNN_INLINE V gradient(V a, V d) const {
        return bound > 0 ? select(less(V::broadcast(bound), abs(a)), V::zero(), d) : d;
    }
};

// y = f(clip(a)). Not inlined: a dozen loops.
template <class T>
[[gnu::noinline]] void activate(const ActivationOf<T>& chosen, T bound, const T* a, T* y, Index n) {
    using V = Vec<T>;
    with_activation(chosen, [&](auto function) FUSEDRNN_LAMBDA {
        for_each_lane<T>(n, [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
            store_lanes(function.value(Clip<T>{bound}.value(load_lanes<V>(a + i, lanes))), y + i, lanes);
        });
    });
}

// out = d * f'(clip(a)) * clip'(a). out may be a or d.
template <class T>
[[gnu::noinline]] void multiply_by_derivative(const ActivationOf<T>& chosen, T bound, const T* a, const T* d, T* out,
                                              Index n) {
    using V = Vec<T>;
    with_activation(chosen, [&](auto function) FUSEDRNN_LAMBDA {
        for_each_lane<T>(n, [&](Index i, Index lanes) FUSEDRNN_LAMBDA {
            const Clip<T> clip{bound};
            const V at = load_lanes<V>(a + i, lanes);
            const V product = load_lanes<V>(d + i, lanes) * function.derivative(clip.value(at));
            store_lanes(clip.gradient(at, product), out + i, lanes);
        });
    });
}

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
