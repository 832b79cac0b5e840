// The core's objects as Python holds them, and classes that Python cannot take apart.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <utility>

#include "bindings/vectorcall.hpp"

namespace fusedrnn::bindings {

namespace py = pybind11;

// What pybind11 registers. It holds nothing until it is registered: when the memory for that is missing, pybind11 frees
// it, and would free what it holds while the caller still owns that.
template <class T>
struct Owned {
    std::unique_ptr<T> object;
};

template <class T>
py::object to_python(std::unique_ptr<T> object) {
    py::object held = py::cast(Owned<T>{});
    py::cast<Owned<T>&>(held).object = std::move(object);
    return held;
}

// An __init__ that registers its object before anything is in it; py::init() would have it the other way round.
template <class T, class... Arguments>
auto constructor(std::unique_ptr<T> (*make)(Arguments...)) {
    return [make](py::detail::value_and_holder& self, Arguments... arguments) {
        std::unique_ptr<T> object = make(std::forward<Arguments>(arguments)...);
        auto* const held = new Owned<T>{};
        self.value_ptr() = held;
        self.type->init_instance(self.inst, nullptr);
        held->object = std::move(object);
    };
}

// Of a method's `self`, whose class Python has checked.
template <class T>
T& owned(PyObject* self) {
    return *py::cast<Owned<T>&>(py::handle(self)).object;
}

// Python's own way to copy or pickle an object would make one of pybind11's base class, which ends the process.
inline PyObject* refuse_reduction(PyObject* self, PyObject*) {
    PyErr_Format(PyExc_TypeError, "%s: cannot be copied or pickled", Py_TYPE(self)->tp_name);
    return nullptr;
}

// Ends a class's definition. Its objects are made by calling it (through `make`, or null: by the core only), never by
// __new__ alone, which would leave them empty; nothing can be assigned to the class, nor the class to an object of
// another.
inline void seal(py::handle type, newfunc make) {
    static PyMethodDef reduce = {"__reduce__", refuse_reduction, METH_NOARGS, nullptr};
    add_method(type, reduce);
    auto* const object = reinterpret_cast<PyTypeObject*>(type.ptr());
    object->tp_new = make;
    if (!make) object->tp_flags |= Py_TPFLAGS_DISALLOW_INSTANTIATION;
    object->tp_flags |= Py_TPFLAGS_IMMUTABLETYPE;
    PyType_Modified(object);
}

}  // namespace fusedrnn::bindings
