// Checks one argument of a call as a NumPy array, and writes the message if it is not the array that is expected.
#include "bindings/arrays.hpp"

namespace fusedrnn::bindings {

std::string shape_text(const std::vector<Index>& shape) {
    std::string text = "(";
    for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
    return text + (shape.size() == 1 ? ",)" : ")");
}

std::string shape_text(const py::array& array) {
    return shape_text(std::vector<Index>(array.shape(), array.shape() + array.ndim()));
}

void no_cell_state(const char* name, const char* expected, const NetworkSpec& spec) {
    throw py::value_error(std::string(name) + ": expected " + expected + ", a " + spec.traits().name + " carries no c");
}

void wrong_shape(const char* name, const std::string& expected, const py::array& got) {
    throw py::value_error(std::string(name) + ": expected shape " + expected + ", got " + shape_text(got));
}

bool has_type(const py::array& array, const py::dtype& type) {
    const py::dtype own = array.dtype();
    if (own.is(type)) return true;
    return own.num() == type.num() && own.attr("isnative").cast<bool>();
}

py::array without_subclass(const py::array& array) {
    const auto& numpy = py::detail::npy_api::get();
    PyObject* const base_class = reinterpret_cast<PyObject*>(numpy.PyArray_Type_);
    if (reinterpret_cast<PyObject*>(Py_TYPE(array.ptr())) == base_class) return array;
    const auto view = py::reinterpret_steal<py::array>(numpy.PyArray_View_(array.ptr(), nullptr, base_class));
    if (!view) throw py::error_already_set();
    return view;
}

py::array copy_of(const py::array& array) {
    constexpr int c_order = 0;
    const auto copy =
        py::reinterpret_steal<py::array>(py::detail::npy_api::get().PyArray_NewCopy_(array.ptr(), c_order));
    if (!copy) throw py::error_already_set();
    return copy;
}

py::array require_array(const py::handle& value, const char* name, const py::dtype& type) {
    if (!py::isinstance<py::array>(value))
        throw py::type_error(std::string(name) + ": expected a numpy.ndarray of " +
                             std::string(py::str(py::object(type))) + ", got " + Py_TYPE(value.ptr())->tp_name);
    const py::array array = without_subclass(py::reinterpret_borrow<py::array>(value));
    if (!has_type(array, type)) {
        const std::string order = array.dtype().attr("isnative").cast<bool>() ? "" : " in foreign byte order";
        const std::string wanted = py::str(py::object(type));
        throw py::type_error(std::string(name) + ": expected dtype " + wanted + ", got " +
                             std::string(py::str(py::object(array.dtype()))) + order + "; .astype(\"" + wanted +
                             "\") converts it");
    }
    return array;
}

void require_shape(const py::array& array, const char* name, const std::vector<Index>& shape) {
    bool same = array.ndim() == static_cast<Index>(shape.size());
    for (std::size_t i = 0; same && i < shape.size(); ++i) same = array.shape(static_cast<Index>(i)) == shape[i];
    if (!same) wrong_shape(name, shape_text(shape), array);
}

void require_size(const char* name, Index value, Index min) {
    constexpr Index max = (Index{1} << 31) - 1;
    if (value < min || value > max)
        throw py::value_error(std::string(name) + ": expected from " + std::to_string(min) + " to " +
                              std::to_string(max) + ", got " + std::to_string(value));
}

std::span<const std::int64_t> require_below(const py::array& array, const char* name, const char* what, Index count) {
    const std::int64_t* const data = data_of<std::int64_t>(array);
    for (Index i = 0; i < array.size(); ++i)
        if (data[i] < 0 || data[i] >= count)
            throw py::value_error(std::string(name) + ": expected " + what + " from 0 to " + std::to_string(count - 1) +
                                  ", got " + std::to_string(data[i]));
    return {data, static_cast<std::size_t>(array.size())};
}

void require_writeable(const py::array& array, const char* name) {
    if (!array.writeable())
        throw py::value_error(std::string(name) + ": expected a writeable array, got a read-only one");
}

}  // namespace fusedrnn::bindings
