#include "fusedrnn/network.hpp"

#include <pybind11/stl.h>

#include <memory>
#include <string>

#include "bindings/call.hpp"
#include "bindings/register.hpp"
#include "bindings/released_gil.hpp"
#include "bindings/stream.hpp"
#include "bindings/tape.hpp"
#include "bindings/typed_network.hpp"

namespace fusedrnn::bindings {
namespace {

class PyNetwork {
public:
    virtual ~PyNetwork() = default;
    virtual void bind(const py::sequence& params) = 0;
    virtual void bind_one(std::size_t index, const py::object& param) = 0;
    virtual py::list bound_arrays() const = 0;
    virtual py::tuple forward(const py::object& x, const py::object& h0, const py::object& c0,
                              const CallOptions& options) = 0;
    virtual py::tuple record(const py::object& x, const py::object& h0, const py::object& c0,
                             const CallOptions& options, const py::object& masks, Index checkpoint) = 0;
    virtual std::unique_ptr<PyStream> stream(Index batch_size) = 0;
    virtual const NetworkSpec& spec() const = 0;
};

template <class T>
class TypedNetwork final : public PyNetwork {
public:
    explicit TypedNetwork(const NetworkSpec& spec) : network_(spec) {}

    const NetworkSpec& spec() const override { return network_.spec(); }

    void bind(const py::sequence& params) override { binding_ = make_binding<T>(spec(), params); }
    void bind_one(std::size_t index, const py::object& param) override {
        py::list arrays = bound_arrays();
        if (index >= arrays.size())
            throw py::value_error("index: expected less than " + std::to_string(arrays.size()) + ", got " +
                                  std::to_string(index));
        arrays[index] = param;
        bind(arrays);
    }
    py::list bound_arrays() const override {
        py::list arrays;
        for (const py::array& array : bound()->arrays) arrays.append(array);
        return arrays;
    }

    py::tuple forward(const py::object& x, const py::object& h0, const py::object& c0,
                      const CallOptions& options) override {
        const auto binding = bound();
        const Arguments<T> arguments = check_arguments<T>(spec(), x, h0, c0, options);
        Results<T> results(spec(), arguments.in.shape, options);
        {
            const ReleasedGil released;
            network_.forward(binding->pointers, arguments.in, results.out);
        }
        return py::make_tuple(results.y, results.h_n, results.c_n, results.cells);
    }

    py::tuple record(const py::object& x, const py::object& h0, const py::object& c0, const CallOptions& options,
                     const py::object& masks, Index checkpoint) override {
        const auto binding = bound();
        Arguments<T> arguments = check_arguments<T>(spec(), x, h0, c0, options);
        check_checkpoint(checkpoint);
        Results<T> results(spec(), arguments.in.shape, options);
        const RecordOptions<T> record_options = {check_masks(arguments, masks), checkpoint};
        std::unique_ptr<Tape<T>> tape;
        {
            const ReleasedGil released;
            tape = network_.record(binding->pointers, arguments.in, record_options, results.out);
        }
        if (!checkpoint) arguments.held.clear();  // a whole tape has copies of its own
        std::unique_ptr<PyTape> held = std::make_unique<TypedTape<T>>(spec(), arguments.in.shape, options.batch_first,
                                                                      std::move(tape), std::move(arguments.held));
        return py::make_tuple(results.y, results.h_n, results.c_n, results.cells, py::cast(std::move(held)));
    }

    std::unique_ptr<PyStream> stream(Index batch_size) override {
        if (spec().bidirectional || spec().reverse)
            throw py::value_error("bidirectional: expected a network that runs forwards in time only, for a stream");
        if (batch_size < 1) throw py::value_error("batch_size: expected at least 1, got " + std::to_string(batch_size));
        const auto binding = bound();
        std::unique_ptr<Stream<T>> stream;
        {
            const ReleasedGil released;
            stream = network_.stream(binding->pointers, batch_size);
        }
        return make_stream<T>(spec(), batch_size, std::move(stream));
    }

private:
    std::shared_ptr<const Binding<T>> bound() const {
        if (!binding_) throw py::value_error("params: expected bind() before the first call");
        return binding_;
    }

    void check_checkpoint(Index every) const {
        if (every < 0) throw py::value_error("checkpoint: expected at least 1, got " + std::to_string(every));
        if (every && (spec().bidirectional || spec().reverse))
            throw py::value_error("checkpoint: expected None, the steps of a bidirectional network cannot be run again "
                                  "piece by piece");
    }

    // A callable draws them, once everything else is known to be right.
    std::vector<View<const T>> check_masks(Arguments<T>& arguments, const py::object& given) const {
        std::vector<View<const T>> views;
        if (given.is_none()) return views;
        const py::object masks = PyCallable_Check(given.ptr()) ? given() : given;
        const BatchShape& shape = arguments.in.shape;
        const auto sequence = masks.cast<py::sequence>();
        if (static_cast<Index>(sequence.size()) != spec().layers - 1)
            throw py::value_error("dropout_masks: expected " + std::to_string(spec().layers - 1) + " arrays, got " +
                                  std::to_string(sequence.size()));
        const Index width = spec().output_size();
        for (const py::handle mask : sequence) {
            const T* data = state_argument(arguments, py::reinterpret_borrow<py::object>(mask), "dropout_masks",
                                           {shape.steps, shape.rows, width});
            views.push_back({data, shape.rows * width, width});
        }
        return views;
    }

    Network<T> network_;
    std::shared_ptr<const Binding<T>> binding_;
};

template <class Enum, std::size_t N>
Enum named(const char* argument, const std::string& name, const char* const (&names)[N]) {
    std::string all;
    for (std::size_t i = 0; i < N; ++i) {
        if (name == names[i]) return static_cast<Enum>(i);
        all += (i ? ", " : "") + std::string(names[i]);
    }
    throw py::value_error(std::string(argument) + ": expected one of " + all + ", got '" + name + "'");
}

CellKind cell_named(const std::string& name) {
    const char* names[cell_kind_count];
    for (int i = 0; i < cell_kind_count; ++i) names[i] = cell_traits_table[i].name;
    return named<CellKind>("cell", name, names);
}

void check_spec(const NetworkSpec& spec) {
    const auto at_least = [](const char* name, Index value, Index least) {
        if (value < least)
            throw py::value_error(std::string(name) + ": expected at least " + std::to_string(least) + ", got " +
                                  std::to_string(value));
    };
    at_least("input_size", spec.input_size, 1);
    at_least("hidden_size", spec.hidden_size, 1);
    at_least("num_layers", spec.layers, 1);
    at_least("proj_size", spec.proj_size, 0);
    if (spec.proj_size && spec.cell != CellKind::lstm)
        throw py::value_error("proj_size: expected 0, only an lstm has a projection");
    if (spec.proj_size >= spec.hidden_size)
        throw py::value_error("proj_size: expected less than hidden_size = " + std::to_string(spec.hidden_size) +
                              ", got " + std::to_string(spec.proj_size));
    if (spec.reverse && spec.bidirectional)
        throw py::value_error("reverse: expected False with bidirectional, which runs both ways");
}

std::unique_ptr<PyNetwork> make_network(const std::string& cell, Index input_size, Index hidden_size, Index num_layers,
                                        bool bias, bool bidirectional, bool reverse, Index proj_size,
                                        const std::string& nonlinearity, const std::string& dtype) {
    NetworkSpec spec;
    spec.cell = cell_named(cell);
    spec.input_size = input_size;
    spec.hidden_size = hidden_size;
    spec.layers = num_layers;
    spec.bias = bias;
    spec.bidirectional = bidirectional;
    spec.reverse = reverse;
    spec.proj_size = proj_size;
    spec.nonlinearity = named<Nonlinearity>("nonlinearity", nonlinearity, nonlinearity_names);
    check_spec(spec);
    if (dtype == "float32") return std::make_unique<TypedNetwork<float>>(spec);
    if (dtype == "float64") return std::make_unique<TypedNetwork<double>>(spec);
    throw py::value_error("dtype: expected float32 or float64, got '" + dtype + "'");
}

py::list param_shapes(const PyNetwork& network) {
    py::list shapes;
    for (const Parameter& parameter : parameters(network.spec())) {
        shapes.append(py::make_tuple(parameter.name, py::tuple(py::cast(parameter.shape()))));
    }
    return shapes;
}

}  // namespace

void register_network(py::module_& module) {
    using py::arg;
    py::class_<PyTape>(module, "Tape", py::is_final())
        .def_property_readonly("nbytes", &PyTape::bytes)
        .def("backward", &PyTape::backward, arg("dy") = py::none(), arg("dh_n") = py::none(),
             arg("dc_n") = py::none(), py::kw_only(), arg("truncate") = 0);

    py::class_<PyNetwork>(module, "Network", py::is_final())
        .def(py::init(&make_network), arg("cell"), arg("input_size"), arg("hidden_size"), py::kw_only(),
             arg("num_layers") = 1, arg("bias") = true, arg("bidirectional") = false, arg("reverse") = false,
             arg("proj_size") = 0, arg("nonlinearity") = "tanh", arg("dtype") = "float32")
        .def_property_readonly("param_shapes", &param_shapes)
        .def("bind", &PyNetwork::bind, arg("params"))
        .def("bind_one", &PyNetwork::bind_one, arg("index"), arg("param"))
        .def_property_readonly("params", &PyNetwork::bound_arrays)
        .def(
            "forward",
            [](PyNetwork& self, const py::object& x, const py::object& h0, const py::object& c0,
               const py::object& lengths, const py::object& reset, bool batch_first, bool return_cell) {
                return self.forward(x, h0, c0, {lengths, reset, batch_first, return_cell});
            },
            arg("x"), arg("h0") = py::none(), arg("c0") = py::none(), py::kw_only(), arg("lengths") = py::none(),
            arg("reset") = py::none(), arg("batch_first") = false, arg("return_cell") = false)
        .def(
            "record",
            [](PyNetwork& self, const py::object& x, const py::object& h0, const py::object& c0,
               const py::object& lengths, const py::object& reset, bool batch_first, bool return_cell,
               const py::object& masks, Index checkpoint) {
                return self.record(x, h0, c0, {lengths, reset, batch_first, return_cell}, masks, checkpoint);
            },
            arg("x"), arg("h0") = py::none(), arg("c0") = py::none(), py::kw_only(), arg("lengths") = py::none(),
            arg("reset") = py::none(), arg("batch_first") = false, arg("return_cell") = false,
            arg("dropout_masks") = py::none(), arg("checkpoint") = 0)
        .def("stream", &PyNetwork::stream, arg("batch_size"));
}

}  // namespace fusedrnn::bindings
