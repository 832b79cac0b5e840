// Defines the module fusedrnn._core: each file of this folder adds its part.
#include <pybind11/pybind11.h>

#include <stdexcept>

// pybind11's own entry goes by another name.
#define PyInit__core fusedrnn_core_init

#include "bindings/register.hpp"
#include "bindings/released_gil.hpp"
#include "fusedrnn/runtime.hpp"

namespace fusedrnn::bindings {

PYBIND11_MODULE(_core, module) {
    module.doc() = "The compiled core of fusedrnn.";
    try {
        configure_from_environment();
    } catch (const std::invalid_argument& error) {
        throw pybind11::value_error(error.what());
    }
    remember_main_thread();
    register_runtime(module);
    register_stream(module);
    register_network(module);
    register_nn(module);
    register_staged(module);
    register_instruments(module);
}

}  // namespace fusedrnn::bindings

#undef PyInit__core

// pybind11's entry takes the main interpreter's lock, for which a sub-interpreter's first import would wait for ever:
// there this thread has it already.
extern "C" PYBIND11_EXPORT PyObject* PyInit__core();
extern "C" PYBIND11_EXPORT PyObject* PyInit__core() {
    if (PyInterpreterState_Get() == PyInterpreterState_Main()) return fusedrnn::bindings::fusedrnn_core_init();
    PyErr_SetString(PyExc_ImportError,
                    "fusedrnn: expected the main interpreter, it cannot be imported in a sub-interpreter");
    return nullptr;
}
