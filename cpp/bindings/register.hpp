// What each bindings file adds to the module.
#pragma once

#include <pybind11/pybind11.h>

namespace fusedrnn::bindings {

void register_runtime(pybind11::module_& module);
void register_network(pybind11::module_& module);
void register_nn(pybind11::module_& module);
void register_staged(pybind11::module_& module);
void register_stream(pybind11::module_& module);
void register_instruments(pybind11::module_& module);

}  // namespace fusedrnn::bindings
