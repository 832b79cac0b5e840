// Methods that Python calls with their arguments as they lie on its stack. pybind11's own dispatch puts keywords in a
// dictionary first: 0.2 us, as long as a small stream's whole step takes.
#pragma once

#include <pybind11/pybind11.h>

#include <array>
#include <new>
#include <string>

namespace fusedrnn::bindings {

namespace py = pybind11;

// Arguments in the order of `names`, the first of them required; null where none came. TypeError for what does not fit.
template <std::size_t N>
std::array<PyObject*, N> arguments_by_name(const char* method, const char* const (&names)[N], PyObject* const* values,
                                           Py_ssize_t positional, PyObject* keywords) {
    const auto wrong = [method](const std::string& what) {
        throw py::type_error(std::string(method) + "() " + what);
    };
    std::array<PyObject*, N> found = {};
    if (positional > static_cast<Py_ssize_t>(N))
        wrong("takes at most " + std::to_string(N) + " arguments (" + std::to_string(positional) + " given)");
    for (Py_ssize_t i = 0; i < positional; ++i) found[static_cast<std::size_t>(i)] = values[i];
    for (Py_ssize_t k = 0; keywords && k < PyTuple_GET_SIZE(keywords); ++k) {
        PyObject* const keyword = PyTuple_GET_ITEM(keywords, k);
        std::size_t i = 0;
        while (i < N && PyUnicode_CompareWithASCIIString(keyword, names[i]) != 0) ++i;
        if (i == N) wrong("got an unexpected keyword argument " + std::string(py::repr(keyword)));
        if (found[i]) wrong(std::string("got multiple values for argument '") + names[i] + "'");
        found[i] = values[positional + k];
    }
    if (!found[0]) wrong(std::string("missing required argument '") + names[0] + "'");
    return found;
}

// An argument, or None where none came.
inline py::object or_none(PyObject* argument) {
    return argument ? py::reinterpret_borrow<py::object>(argument) : py::none();
}

// The result of call(), or null and the Python exception that pybind11 makes of what was thrown.
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
