// A network and the arrays it is bound to, for one dtype.
#pragma once

#include <memory>
#include <vector>

#include "bindings/arrays.hpp"
#include "fusedrnn/network.hpp"

namespace fusedrnn::bindings {

// The parameters in use. Held by every call while it runs, so that binding others meanwhile does no harm.
// Made and dropped only with the GIL.
template <class T>
struct Binding {
    std::vector<py::array> arrays;
    std::vector<const T*> pointers;
};

template <class T>
void bind_parameter(Binding<T>& binding, const std::vector<Parameter>& described, std::size_t index,
                    const py::handle& value) {
    const Parameter& parameter = described[index];
    const py::array array = require_array(value, parameter.name.c_str(), type_of<T>());
    require_shape(array, parameter.name.c_str(), parameter.shape());
    if (!is_contiguous<T>(array)) throw py::value_error(parameter.name + ": expected a C-contiguous, aligned array");
    binding.arrays[index] = array;
    binding.pointers[index] = data_of<T>(array);
}

template <class T>
std::shared_ptr<const Binding<T>> make_binding(const std::vector<Parameter>& described, const py::sequence& arrays) {
    if (arrays.size() != described.size())
        throw py::value_error("params: expected " + std::to_string(described.size()) + " arrays, got " +
                              std::to_string(arrays.size()));
    auto binding = std::make_shared<Binding<T>>();
    binding->arrays.resize(described.size());
    binding->pointers.resize(described.size());
    for (std::size_t i = 0; i < described.size(); ++i) bind_parameter(*binding, described, i, py::object(arrays[i]));
    return binding;
}

}  // namespace fusedrnn::bindings
