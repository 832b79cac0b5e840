// NumPy arrays checked and seen as the core's views. Every message names the argument, what was expected, what came.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "fusedrnn/network.hpp"

namespace fusedrnn::bindings {

namespace py = pybind11;

std::string shape_text(const std::vector<Index>& shape);
std::string shape_text(const py::array& array);

// The argument is about a c, and the network's cell has none.
[[noreturn]] void no_cell_state(const char* name, const char* expected, const NetworkSpec& spec);
[[noreturn]] void wrong_shape(const char* name, const std::string& expected, const py::array& got);

// The array or, where it is of a subclass, the same memory as a plain array: a subclass may say anything of itself.
py::array without_subclass(const py::array& array);
// A C-contiguous copy of a plain array.
py::array copy_of(const py::array& array);

// The value as a plain array of the type, or TypeError.
py::array require_array(const py::handle& value, const char* name, const py::dtype& type);
void require_shape(const py::array& array, const char* name, const std::vector<Index>& shape);
void require_writeable(const py::array& array, const char* name);
// The values of a contiguous array of int64, each of which must be from 0 to count - 1; the message says what they are.
std::span<const std::int64_t> require_below(const py::array& array, const char* name, const char* what, Index count);

// Sizes beyond it might overflow 64 bits before any memory ran out.
void require_size(const char* name, Index value, Index min);

// Both the element type and the bytes' order are the machine's.
bool has_type(const py::array& array, const py::dtype& type);

template <class T>
py::dtype type_of() {
    return py::dtype::of<T>();
}

template <class T>
const T* data_of(const py::array& array) {
    return static_cast<const T*>(array.data());
}
template <class T>
T* mutable_data_of(const py::array& array) {
    return static_cast<T*>(const_cast<void*>(array.data()));
}

template <class T>
bool is_aligned(const py::array& array) {
    return reinterpret_cast<std::uintptr_t>(array.data()) % alignof(T) == 0;
}
template <class T>
bool is_contiguous(const py::array& array) {
    return is_aligned<T>(array) && (array.flags() & py::array::c_style);
}

// The same array, or a copy that is contiguous and aligned.
template <class T>
py::array contiguous(const py::array& array) {
    return is_contiguous<T>(array) ? array : copy_of(array);
}

// The same array if rows of the last axis can be read in place, or a contiguous copy.
template <class T>
py::array with_contiguous_rows(const py::array& array) {
    const Index size = static_cast<Index>(sizeof(T)), last = array.ndim() - 1;
    bool usable = is_aligned<T>(array) && (array.strides(last) == size || array.shape(last) <= 1);
    for (Index axis = 0; axis < last; ++axis) usable = usable && array.strides(axis) % size == 0;
    return usable ? array : copy_of(array);
}

// A (time, batch, width) view of an array with contiguous rows; batch_first swaps the first two axes.
template <class T>
View<const T> view_of(const py::array& array, bool batch_first) {
    const Index size = static_cast<Index>(sizeof(T));
    return {data_of<T>(array), array.strides(batch_first ? 1 : 0) / size, array.strides(batch_first ? 0 : 1) / size};
}
template <class T>
View<T> mutable_view_of(const py::array& array, bool batch_first) {
    const View<const T> view = view_of<T>(array, batch_first);
    return {const_cast<T*>(view.data), view.time_stride, view.batch_stride};
}

template <class T>
py::array_t<T> empty(std::initializer_list<Index> shape) {
    return py::array_t<T>(std::vector<py::ssize_t>(shape.begin(), shape.end()));
}
template <class T>
py::array_t<T> zeros(const std::vector<Index>& shape) {
    py::array_t<T> array(std::vector<py::ssize_t>(shape.begin(), shape.end()));
    std::fill_n(array.mutable_data(), array.size(), T(0));
    return array;
}

}  // namespace fusedrnn::bindings
