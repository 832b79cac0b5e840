#include "fusedrnn/network.hpp"

#include <pybind11/stl.h>

#include <atomic>
#include <cstring>
#include <optional>
#include <string>

#include "bindings/arrays.hpp"
#include "bindings/register.hpp"
#include "bindings/stream.hpp"
#include "bindings/typed_network.hpp"

namespace fusedrnn::bindings {
namespace {

using Optional = std::optional<py::object>;

// What a call gives besides x and the state.
struct CallOptions {
    py::object lengths, reset;
    bool batch_first, return_cell;
};

// The checked arguments of a forward call, and the arrays that keep their memory alive.
template <class T>
struct Arguments {
    ForwardInputs<T> in;
    std::vector<py::array> held;
};

template <class T>
const T* state_argument(Arguments<T>& arguments, const py::object& value, const char* name,
                        const std::vector<Index>& shape) {
    if (value.is_none()) return nullptr;
    const py::array array = require_array(value, name, type_of<T>());
    require_shape(array, name, shape);
    arguments.held.push_back(contiguous<T>(array));
    return data_of<T>(arguments.held.back());
}

template <class T>
void lengths_argument(Arguments<T>& arguments, const py::object& value) {
    if (value.is_none()) return;
    BatchShape& shape = arguments.in.shape;
    const py::array array = require_array(value, "lengths", type_of<std::int64_t>());
    require_shape(array, "lengths", {shape.rows});
    // A copy: the call must not see later changes.
    arguments.held.push_back(py::array(array.attr("copy")("C")));
    shape.lengths = data_of<std::int64_t>(arguments.held.back());
    for (Index b = 0; b < shape.rows; ++b)
        if (shape.lengths[b] < 0 || shape.lengths[b] > shape.steps)
            throw py::value_error("lengths: expected values from 0 to T = " + std::to_string(shape.steps) + ", got " +
                                  std::to_string(shape.lengths[b]) + " at index " + std::to_string(b));
}

template <class T>
void reset_argument(Arguments<T>& arguments, const py::object& value, bool batch_first) {
    if (value.is_none()) return;
    BatchShape& shape = arguments.in.shape;
    const py::array array = require_array(value, "reset", type_of<bool>());
    require_shape(array, "reset",
                  batch_first ? std::vector<Index>{shape.rows, shape.steps} : std::vector<Index>{shape.steps, shape.rows});
    arguments.held.push_back(array);
    shape.reset = data_of<std::uint8_t>(array);
    shape.reset_time_stride = array.strides(batch_first ? 1 : 0);
    shape.reset_batch_stride = array.strides(batch_first ? 0 : 1);
}

template <class T>
Arguments<T> check_arguments(const NetworkSpec& spec, const py::object& x, const py::object& h0, const py::object& c0,
                             const CallOptions& options) {
    Arguments<T> arguments;
    const py::array array = require_array(x, "x", type_of<T>());
    const std::string width = std::to_string(spec.input_size);
    const std::string expected = (options.batch_first ? "(B, T, " : "(T, B, ") + width + ")";
    if (array.ndim() != 3 || array.shape(2) != spec.input_size) wrong_shape("x", expected, array);
    arguments.held.push_back(with_contiguous_rows<T>(array));
    arguments.in.x = view_of<T>(arguments.held.back(), options.batch_first);
    BatchShape& shape = arguments.in.shape;
    shape.steps = array.shape(options.batch_first ? 1 : 0);
    shape.rows = array.shape(options.batch_first ? 0 : 1);
    const Index layers = spec.layers * spec.directions();
    arguments.in.h0 = state_argument(arguments, h0, "h0", {layers, shape.rows, spec.recurrent_size()});
    if (!spec.traits().has_cell && !c0.is_none())
        throw py::value_error(std::string("c0: expected None, a ") + spec.traits().name + " carries no c");
    arguments.in.c0 = state_argument(arguments, c0, "c0", {layers, shape.rows, spec.hidden_size});
    lengths_argument(arguments, options.lengths);
    reset_argument(arguments, options.reset, options.batch_first);
    return arguments;
}

// The result arrays of a forward call.
template <class T>
struct Results {
    py::array_t<T> y, h_n;
    py::object c_n = py::none(), cells = py::none();
    ForwardOutputs<T> out;

    Results(const NetworkSpec& spec, const BatchShape& shape, const CallOptions& options)
        : y(sequence(shape, options, spec.output_size())),
          h_n(empty<T>({spec.layers * spec.directions(), shape.rows, spec.recurrent_size()})) {
        out.y = mutable_view_of<T>(y, options.batch_first);
        out.h_n = h_n.mutable_data();
        if (options.return_cell && !spec.traits().has_cell)
            throw py::value_error(std::string("return_cell: expected False, a ") + spec.traits().name +
                                  " carries no c");
        if (!spec.traits().has_cell) return;
        auto c = empty<T>({spec.layers * spec.directions(), shape.rows, spec.hidden_size});
        out.c_n = c.mutable_data();
        c_n = c;
        if (!options.return_cell) return;
        auto all = sequence(shape, options, spec.directions() * spec.hidden_size);
        out.cells = mutable_view_of<T>(all, options.batch_first);
        cells = all;
    }

private:
    static py::array_t<T> sequence(const BatchShape& shape, const CallOptions& options, Index width) {
        return options.batch_first ? empty<T>({shape.rows, shape.steps, width})
                                   : empty<T>({shape.steps, shape.rows, width});
    }
};

class PyTape {
public:
    virtual ~PyTape() = default;
    virtual std::size_t bytes() const = 0;
    virtual py::tuple backward(const py::object& dy, const py::object& dh_n, const py::object& dc_n,
                               Index truncate) = 0;
};

template <class T>
class TypedTape final : public PyTape {
public:
    TypedTape(const NetworkSpec& spec, const BatchShape& shape, bool batch_first, std::unique_ptr<Tape<T>> tape,
              std::vector<py::array> held)
        : spec_(spec), steps_(shape.steps), rows_(shape.rows), batch_first_(batch_first), held_(std::move(held)),
          tape_(std::move(tape)) {}

    std::size_t bytes() const override { return tape_ ? tape_->bytes() : 0; }

    py::tuple backward(const py::object& dy, const py::object& dh_n, const py::object& dc_n, Index truncate) override {
        if (!tape_) throw py::value_error("tape: expected one not used yet, got one whose backward has run; record again");
        if (truncate < 0) throw py::value_error("truncate: expected at least 1, got " + std::to_string(truncate));
        Arguments<T> held;
        BackwardInputs<T> in;
        in.truncate = truncate;
        if (!dy.is_none()) {
            const py::array array = require_array(dy, "dy", type_of<T>());
            require_shape(array, "dy", sequence_shape(spec_.output_size()));
            held.held.push_back(with_contiguous_rows<T>(array));
            in.dy = view_of<T>(held.held.back(), batch_first_);
        }
        const Index layers = spec_.layers * spec_.directions();
        in.dh_n = state_argument(held, dh_n, "dh_n", {layers, rows_, spec_.recurrent_size()});
        if (!spec_.traits().has_cell && !dc_n.is_none())
            throw py::value_error(std::string("dc_n: expected None, a ") + spec_.traits().name + " carries no c");
        in.dc_n = state_argument(held, dc_n, "dc_n", {layers, rows_, spec_.hidden_size});
        return run(in);
    }

private:
    std::vector<Index> sequence_shape(Index width) const {
        return batch_first_ ? std::vector<Index>{rows_, steps_, width} : std::vector<Index>{steps_, rows_, width};
    }

    py::tuple run(const BackwardInputs<T>& in) {
        BackwardOutputs<T> out;
        const std::vector<Index> x_shape = sequence_shape(spec_.input_size);
        py::array_t<T> dx = empty<T>({x_shape[0], x_shape[1], x_shape[2]});
        out.dx = mutable_view_of<T>(dx, batch_first_);
        const Index layers = spec_.layers * spec_.directions();
        py::array_t<T> dh0 = empty<T>({layers, rows_, spec_.recurrent_size()});
        out.dh0 = dh0.mutable_data();
        py::object dc0 = py::none();
        if (spec_.traits().has_cell) {
            auto array = empty<T>({layers, rows_, spec_.hidden_size});
            out.dc0 = array.mutable_data();
            dc0 = array;
        }
        py::list params;
        for (const Parameter& parameter : parameters(spec_)) {
            auto gradient = zeros<T>(parameter.columns ? std::vector<Index>{parameter.rows, parameter.columns}
                                                       : std::vector<Index>{parameter.rows});
            out.params.push_back(gradient.mutable_data());
            params.append(gradient);
        }
        const std::unique_ptr<Tape<T>> tape = std::move(tape_);  // from here on it is used
        {
            const py::gil_scoped_release release;
            tape->backward(in, out);
        }
        return py::make_tuple(dx, dh0, dc0, params);
    }

    const NetworkSpec spec_;
    const Index steps_, rows_;
    const bool batch_first_;
    const std::vector<py::array> held_;  // what the tape borrows
    std::unique_ptr<Tape<T>> tape_;
};

class PyNetwork {
public:
    virtual ~PyNetwork() = default;
    virtual void bind(const py::sequence& params) = 0;
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

    py::tuple forward(const py::object& x, const py::object& h0, const py::object& c0,
                      const CallOptions& options) override {
        const auto binding = bound();
        const Arguments<T> arguments = check_arguments<T>(spec(), x, h0, c0, options);
        Results<T> results(spec(), arguments.in.shape, options);
        {
            const py::gil_scoped_release release;
            network_.forward(binding->pointers, arguments.in, results.out);
        }
        return py::make_tuple(results.y, results.h_n, results.c_n, results.cells);
    }

    py::tuple record(const py::object& x, const py::object& h0, const py::object& c0, const CallOptions& options,
                     const py::object& masks, Index checkpoint) override {
        const auto binding = bound();
        Arguments<T> arguments = check_arguments<T>(spec(), x, h0, c0, options);
        const RecordOptions<T> record_options = {check_masks(arguments, masks), check_checkpoint(checkpoint)};
        Results<T> results(spec(), arguments.in.shape, options);
        std::unique_ptr<Tape<T>> tape;
        {
            const py::gil_scoped_release release;
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
        return make_stream<T>(spec(), batch_size, network_.stream(binding->pointers, batch_size));
    }

private:
    std::shared_ptr<const Binding<T>> bound() const {
        if (!binding_) throw py::value_error("params: expected bind() before the first call");
        return binding_;
    }

    Index check_checkpoint(Index every) const {
        if (every < 0) throw py::value_error("checkpoint: expected at least 1, got " + std::to_string(every));
        if (every && (spec().bidirectional || spec().reverse))
            throw py::value_error("checkpoint: expected None, the steps of a bidirectional network cannot be run again "
                                  "piece by piece");
        return every;
    }

    std::vector<View<const T>> check_masks(Arguments<T>& arguments, const py::object& masks) const {
        std::vector<View<const T>> views;
        if (masks.is_none()) return views;
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
        py::tuple shape = py::make_tuple(parameter.rows);
        if (parameter.columns) shape = py::make_tuple(parameter.rows, parameter.columns);
        shapes.append(py::make_tuple(parameter.name, shape));
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
