// Methods that Python calls with their arguments as they lie on its stack. pybind11's own dispatch puts keywords in a
// dictionary first, and copies every argument to a list: up to half a microsecond, as long as a small network's whole
// step takes.
#pragma once

#include <pybind11/pybind11.h>

#include <array>
#include <new>
#include <stdexcept>
#include <string>

namespace fusedrnn::bindings {

namespace py = pybind11;

// What Python may call: the first `required` arguments must be given, those from `keyword_only` on come by keyword.
template <std::size_t N>
struct Signature {
    const char* method;
    std::array<const char*, N> names;
    std::size_t required = 0, keyword_only = N;
};

// The arguments in the order of their names, null where none came. TypeError for what does not fit.
template <std::size_t N>
std::array<PyObject*, N> arguments_by_name(const Signature<N>& signature, PyObject* const* values,
                                           Py_ssize_t positional, PyObject* keywords) {
    const auto wrong = [&](const std::string& what) {
        throw py::type_error(std::string(signature.method) + "() " + what);
    };
    const auto given = static_cast<std::size_t>(positional);
    if (given > signature.keyword_only)
        wrong("takes at most " + std::to_string(signature.keyword_only) + " positional arguments, got " +
              std::to_string(given));
    std::array<PyObject*, N> found = {};
    for (std::size_t i = 0; i < given; ++i) found[i] = values[i];
    for (Py_ssize_t k = 0; keywords && k < PyTuple_GET_SIZE(keywords); ++k) {
        PyObject* const keyword = PyTuple_GET_ITEM(keywords, k);
        std::size_t i = 0;
        while (i < N && PyUnicode_CompareWithASCIIString(keyword, signature.names[i]) != 0) ++i;
        if (i == N) wrong("got an unexpected keyword argument " + std::string(py::repr(keyword)));
        if (found[i]) wrong(std::string("got multiple values for argument '") + signature.names[i] + "'");
        found[i] = values[positional + k];
    }
    for (std::size_t i = 0; i < signature.required; ++i)
        if (!found[i]) wrong(std::string("missing required argument '") + signature.names[i] + "'");
    return found;
}

// An argument, or None where none came.
inline py::object or_none(PyObject* argument) {
    return argument ? py::reinterpret_borrow<py::object>(argument) : py::none();
}

// A flag, false where none came.
inline bool or_false(PyObject* argument) {
    const int truth = argument ? PyObject_IsTrue(argument) : 0;
    if (truth < 0) throw py::error_already_set();
    return truth != 0;
}

// A count, 0 where none came. One too large for the type counts as the type's largest.
inline Py_ssize_t or_zero(PyObject* argument) {
    const Py_ssize_t count = argument ? PyNumber_AsSsize_t(argument, nullptr) : 0;
    if (count == -1 && PyErr_Occurred()) throw py::error_already_set();
    return count;
}

// The result of call(), or null and a Python exception: for what the core throws, the one that pybind11 makes of it.
template <class Call>
PyObject* as_result(Call call) {
    try {
        return call().release().ptr();
    } catch (py::error_already_set& error) {
        error.restore();
    } catch (const py::builtin_exception& error) {
        error.set_error();
    } catch (const std::bad_alloc& error) {
        PyErr_SetString(PyExc_MemoryError, error.what());
    } catch (const std::invalid_argument& error) {
        PyErr_SetString(PyExc_ValueError, error.what());
    } catch (const std::length_error& error) {
        PyErr_SetString(PyExc_ValueError, error.what());
    } catch (const std::exception& error) {
        PyErr_SetString(PyExc_RuntimeError, error.what());
    }
    return nullptr;
}

using Vectorcall = PyObject* (*)(PyObject* self, PyObject* const* values, Py_ssize_t positional, PyObject* keywords);

// A method definition for add_method; it must live as long as the class.
inline PyMethodDef vectorcall_method(const char* name, Vectorcall function, const char* doc) {
    const auto as_c_function = reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
    return {name, as_c_function, METH_FASTCALL | METH_KEYWORDS, doc};
}

inline void add_method(py::handle type, PyMethodDef& method) {
    PyObject* const descriptor = PyDescr_NewMethod(reinterpret_cast<PyTypeObject*>(type.ptr()), &method);
    if (!descriptor) throw py::error_already_set();
    py::setattr(type, method.ml_name, py::reinterpret_steal<py::object>(descriptor));
}

}  // namespace fusedrnn::bindings
