// Arrays of (time, batch, width): views, copies, padding, dropout masks.
#pragma once

#include <algorithm>

#include "fusedrnn/network.hpp"

namespace fusedrnn {

// A contiguous array.
template <class T>
View<T> time_major(T* data, Index batch, Index width) {
    return {data, batch * width, width};
}

template <class T>
View<const T> read_only(View<T> view) {
    return {view.data, view.time_stride, view.batch_stride};
}

template <class T>
void copy_sequence(View<const T> from, const BatchShape& shape, Index width, View<T> to) {
    for (Index t = 0; t < shape.steps; ++t)
        for (Index b = 0; b < shape.rows; ++b) std::copy_n(from.at(t, b), width, to.at(t, b));
}

// Steps past a row's length become zero.
template <class T>
void zero_padding(const BatchShape& shape, View<T> values, Index width) {
    if (!shape.lengths) return;
    for (Index b = 0; b < shape.rows; ++b)
        for (Index t = shape.lengths[b]; t < shape.steps; ++t) std::fill_n(values.at(t, b), width, T(0));
}

// Dropout: out = values * mask, element by element. `out` may be `values`.
template <class T>
void apply_mask(View<const T> values, View<const T> mask, const BatchShape& shape, Index width, View<T> out) {
    for (Index t = 0; t < shape.steps; ++t)
        for (Index b = 0; b < shape.rows; ++b) {
            const T *from = values.at(t, b), *factor = mask.at(t, b);
            T* const to = out.at(t, b);
            for (Index i = 0; i < width; ++i) to[i] = from[i] * factor[i];
        }
}

}  // namespace fusedrnn
