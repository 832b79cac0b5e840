// Settings for Python: the instruction set, the number of threads, and what was built.
#include "fusedrnn/runtime.hpp"

#include <pybind11/stl.h>

#include "bindings/register.hpp"
#include "bindings/released_gil.hpp"
#include "dispatch/dispatch.hpp"
#include "threads/parallel.hpp"
#include "threads/processors.hpp"
#include "threads/team_mode.hpp"

namespace fusedrnn::bindings {
namespace {

namespace py = pybind11;

py::dict build_info() {
    py::dict info;
    info["version"] = FUSEDRNN_VERSION;
    info["compiler"] = FUSEDRNN_COMPILER;
    info["build_type"] = FUSEDRNN_BUILD_TYPE;
    info["kernel_flags"] = FUSEDRNN_KERNEL_FLAGS_TEXT;
    info["cxx_standard"] = static_cast<long>(__cplusplus);
    info["pybind11"] = PYBIND11_TOSTRING(PYBIND11_VERSION_MAJOR) "." PYBIND11_TOSTRING(
        PYBIND11_VERSION_MINOR) "." PYBIND11_TOSTRING(PYBIND11_VERSION_PATCH);
    info["compiled_isas"] = compiled_isas();
    info["available_isas"] = available_isas();
    info["isa"] = current_isa();
    info["vector_bytes"] = current_kernels().vector_bytes;
    info["fused_multiply_add"] = current_kernels().fused_multiply_add;
    info["num_threads"] = num_threads();
    return info;
}

// In nanoseconds.
py::dict thread_costs() {
    ThreadCosts measured = {};
    {
        const ReleasedGil released;
        measured = measure_thread_costs();
    }
    py::dict costs;
    costs["start_awake"] = measured.start_awake;
    costs["start_asleep"] = measured.start_asleep;
    costs["barrier"] = measured.barrier;
    costs["worth_a_second_thread"] = measured.worth_a_second_thread;
    return costs;
}

// For tests.
void set_team_mode_by_name(const std::string& name) {
    const std::pair<const char*, TeamMode> modes[] = {
        {"adaptive", TeamMode::adaptive}, {"fixed", TeamMode::fixed}, {"random", TeamMode::random}};
    for (const auto& [known, mode] : modes)
        if (name == known) return set_team_mode(mode);
    throw py::value_error("mode: expected adaptive, fixed or random, got '" + name + "'");
}

}  // namespace

void register_runtime(py::module_& module) {
    module.def("isa", &current_isa);
    module.def("available_isas", &available_isas);
    module.def("compiled_isas", &compiled_isas);
    module.def("use_isa", &use_isa, py::arg("name"));
    module.attr("max_threads") = max_threads;
    module.def("set_num_threads", &set_num_threads, py::arg("n"));
    module.def("get_num_threads", &num_threads);
    module.def("build_info", &build_info);
    module.def("thread_costs", &thread_costs);
    module.def("processors", &processors_now);
    module.def("set_team_mode", &set_team_mode_by_name, py::arg("mode"));
    py::dict gates;  // of every kind of cell
    for (const CellTraits& traits : cell_traits_table) gates[traits.name] = traits.gates;
    module.attr("gates") = gates;
    module.def("nonlinearities",
               [] { return std::vector<std::string>(std::begin(nonlinearity_names), std::end(nonlinearity_names)); });
}

}  // namespace fusedrnn::bindings
