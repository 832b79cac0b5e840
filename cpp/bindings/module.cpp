#include <pybind11/pybind11.h>

#include <stdexcept>

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
    register_instruments(module);
}

}  // namespace fusedrnn::bindings
