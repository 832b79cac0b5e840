// The kernels' parts by themselves, for tests and benchmarks.
#include <pybind11/pybind11.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "bindings/arrays.hpp"
#include "bindings/register.hpp"
#include "dispatch/dispatch.hpp"
#include "fusedrnn/runtime.hpp"
#include "memory/buffer.hpp"
#include "threads/parallel.hpp"

namespace fusedrnn::bindings {
namespace {

MathFunction math_function(const std::string& name) {
    for (int i = 0; i < static_cast<int>(std::size(math_function_names)); ++i)
        if (name == math_function_names[i]) return static_cast<MathFunction>(i);
    throw py::value_error("function: expected exp, tanh or sigmoid, got '" + name + "'");
}

template <class T>
py::array evaluate_as(MathFunction function, const py::array& x) {
    const py::array from = contiguous<T>(x);
    py::array_t<T> y(std::vector<py::ssize_t>(from.shape(), from.shape() + from.ndim()));
    kernels_of<T>(current_kernels()).evaluate(function, data_of<T>(from), y.mutable_data(), from.size());
    return y;
}

py::array evaluate(const std::string& function, const py::array& given) {
    const MathFunction which = math_function(function);
    const py::array x = without_subclass(given);
    if (has_type(x, type_of<float>())) return evaluate_as<float>(which, x);
    if (has_type(x, type_of<double>())) return evaluate_as<double>(which, x);
    throw py::type_error("x: expected dtype float32 or float64, got " + std::string(py::str(py::object(x.dtype()))));
}

double seconds_now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The best of several rounds, so that a disturbed one does not lower the ceiling.
template <class Work>
double best_rate(Work work) {
    constexpr int rounds = 7;
    double best = 0;
    for (int round = 0; round < rounds; ++round) {
        const double start = seconds_now(), amount = work(), end = seconds_now();
        best = std::max(best, amount / (end - start));
    }
    return best;
}

template <class T>
py::dict ceilings_as(Index bytes, int threads) {
    const Kernels<T>& kernels = kernels_of<T>(current_kernels());
    const Index turn = 2048 / static_cast<Index>(sizeof(T));  // whole turns of the reading loop
    const Index count = std::max(turn, bytes / threads / static_cast<Index>(sizeof(T)) / turn * turn);
    const Index repeats = std::max<Index>(1, (Index{64} << 20) / (count * static_cast<Index>(sizeof(T))));
    std::vector<Buffer<T>> data(static_cast<std::size_t>(threads));
    for (Buffer<T>& part : data) part.reserve_zeros(count);
    double gflops = 0, gbytes = 0;
    {
        const py::gil_scoped_release release;
        gflops = best_rate([&] {
            std::vector<double> done(static_cast<std::size_t>(threads));
            auto body = [&](int, const Team& team) {
                done[static_cast<std::size_t>(team.index)] = kernels.fma_peak(2000000);
            };
            for_shares({threads}, threads, body);
            double all = 0;
            for (const double one : done) all += one;
            return all * 1e-9;
        });
        gbytes = best_rate([&] {
            auto body = [&](int, const Team& team) {
                for (Index i = 0; i < repeats; ++i)
                    kernels.read_bandwidth(data[static_cast<std::size_t>(team.index)].data(), count);
            };
            for_shares({threads}, threads, body);
            return static_cast<double>(repeats * count) * static_cast<double>(sizeof(T) * threads) * 1e-9;
        });
    }
    py::dict result;
    result["gflops"] = gflops;
    result["gbytes_per_s"] = gbytes;
    return result;
}

py::dict ceilings(const std::string& dtype, Index bytes, int threads) {
    if (bytes < 1) throw py::value_error("bytes: expected at least 1, got " + std::to_string(bytes));
    if (threads < 1 || threads > max_threads)
        throw py::value_error("threads: expected from 1 to " + std::to_string(max_threads) + ", got " +
                              std::to_string(threads));
    if (dtype == "float32") return ceilings_as<float>(bytes, threads);
    if (dtype == "float64") return ceilings_as<double>(bytes, threads);
    throw py::value_error("dtype: expected float32 or float64, got '" + dtype + "'");
}

// The bytes of an object that has them in one piece.
class Bytes {
public:
    explicit Bytes(const py::object& data) {
        if (!PyObject_CheckBuffer(data.ptr()))
            throw py::type_error(std::string("data: expected a buffer, got ") + Py_TYPE(data.ptr())->tp_name);
        if (PyObject_GetBuffer(data.ptr(), &view_, PyBUF_SIMPLE) == 0) return;
        if (!PyErr_ExceptionMatches(PyExc_BufferError) && !PyErr_ExceptionMatches(PyExc_ValueError))
            throw py::error_already_set();
        PyErr_Clear();
        throw py::value_error("data: expected a C-contiguous buffer, got one of another layout");
    }
    ~Bytes() { PyBuffer_Release(&view_); }
    Bytes(const Bytes&) = delete;
    Bytes& operator=(const Bytes&) = delete;
    const void* data() const { return view_.buf; }
    std::size_t size() const { return static_cast<std::size_t>(view_.len); }

private:
    Py_buffer view_ = {};
};

std::uint64_t fingerprint_of(const py::object& data) {
    const Bytes bytes(data);
    return current_kernels().fingerprint(bytes.data(), bytes.size());
}

}  // namespace

void register_instruments(py::module_& module) {
    module.def("evaluate", &evaluate, py::arg("function"), py::arg("x"));
    module.def("ceilings", &ceilings, py::arg("dtype"), py::arg("bytes"), py::arg("threads") = 1);
    module.def("fingerprint", &fingerprint_of, py::arg("data"));
}

}  // namespace fusedrnn::bindings
