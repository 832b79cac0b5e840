// Networks and tapes as Python sees them. Each call finds its dtype and checks its arrays.
#include "fusedrnn/network.hpp"

#include <pybind11/stl.h>

#include <memory>
#include <string>

#include "bindings/binding.hpp"
#include "bindings/call.hpp"
#include "bindings/compute.hpp"
#include "bindings/owned.hpp"
#include "bindings/register.hpp"
#include "bindings/stream.hpp"
#include "bindings/tape.hpp"
#include "bindings/vectorcall.hpp"

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
    virtual py::object stream(const py::object& self, Index batch_size, const py::object& table, bool tokens) = 0;
    virtual void touch() = 0;
    virtual void freeze(bool frozen) = 0;
    virtual bool frozen() const = 0;
    virtual const NetworkSpec& spec() const = 0;
    virtual const std::vector<Parameter>& parameters() const = 0;
};

template <class T>
class TypedNetwork final : public PyNetwork {
public:
    explicit TypedNetwork(const NetworkSpec& spec)
        : network_(spec), parameters_(std::make_shared<const std::vector<Parameter>>(fusedrnn::parameters(spec))),
          parameter_work_(parameter_work(*parameters_)) {}

    const NetworkSpec& spec() const override { return network_.spec(); }
    const std::vector<Parameter>& parameters() const override { return *parameters_; }

    void bind(const py::sequence& params) override {
        freeze(false);
        binding_ = make_binding<T>(parameters(), params);
        touch();
    }
    void touch() override { ++*version_; }
    void freeze(bool frozen) override {
        frozen_ = frozen;
        network_.freeze(frozen);
    }
    bool frozen() const override { return frozen_; }
    void bind_one(std::size_t index, const py::object& param) override {
        freeze(false);
        auto binding = std::make_shared<Binding<T>>(*bound());
        if (index >= binding->arrays.size())
            throw py::value_error("index: expected less than " + std::to_string(binding->arrays.size()) + ", got " +
                                  std::to_string(index));
        bind_parameter(*binding, parameters(), index, param);
        binding_ = std::move(binding);
        touch();
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
        compute(work(arguments.in.shape), [&] { network_.forward(binding->pointers, arguments.in, results.out); });
        return py::make_tuple(results.y, results.h_n, results.c_n, results.cell_states);
    }

    py::tuple record(const py::object& x, const py::object& h0, const py::object& c0, const CallOptions& options,
                     const py::object& masks, Index checkpoint) override {
        const auto binding = bound();
        Arguments<T> arguments = check_arguments<T>(spec(), x, h0, c0, options);
        check_checkpoint(checkpoint);
        Results<T> results(spec(), arguments.in.shape, options);
        const RecordOptions<T> record_options = {check_masks(arguments, masks), checkpoint};
        std::unique_ptr<Tape<T>> tape;
        compute(work(arguments.in.shape),
                [&] { tape = network_.record(binding->pointers, arguments.in, record_options, results.out); });
        if (!checkpoint) arguments.kept_alive.clear();  // a whole tape has copies of its own
        const TokenInputs<T>& tokens = arguments.in.tokens;
        std::unique_ptr<PyTape> recorded = std::make_unique<TypedTape<T>>(
            spec(), parameters_, arguments.in.shape, options.batch_first, !tokens, tokens.table ? tokens.count : 0,
            std::move(tape), std::move(arguments.kept_alive));
        return py::make_tuple(results.y, results.h_n, results.c_n, results.cell_states, to_python(std::move(recorded)));
    }

    // `self` is the network as Python has it: a stream keeps it, to take its weights again.
    py::object stream(const py::object& self, Index batch_size, const py::object& table, bool by_tokens) override {
        if (spec().bidirectional || spec().reverse)
            throw py::value_error("bidirectional: expected a network that runs forwards in time only, for a stream");
        require_size("batch_size", batch_size, 1);
        if (!table.is_none()) {
            const py::array array = require_array(table, "embedding", type_of<T>());
            if (array.ndim() != 2 || array.shape(1) != spec().input_size || array.shape(0) < 1)
                wrong_shape("embedding", "(V, " + std::to_string(spec().input_size) + ")", array);
        }
        const Index count = table.is_none() ? spec().input_size : py::array(table).shape(0);
        const auto make = [this, self, batch_size, table, by_tokens, count] {
            const auto binding = bound();
            const py::object current = table.is_none() ? table : contiguous<T>(py::array(table));
            TokenInputs<T> tokens;
            if (by_tokens) tokens.count = count;
            if (by_tokens && !table.is_none()) tokens.table = data_of<T>(py::array(current));
            std::unique_ptr<Stream<T>> stream;
            compute(parameter_work_, [&] { stream = network_.stream(binding->pointers, batch_size, tokens); });
            return stream;
        };
        return to_python(make_stream<T>(spec(), batch_size, {version_, make, by_tokens ? count : 0}));
    }

private:
    double work(const BatchShape& shape) const {
        return (frozen_ ? 0 : parameter_work_) + forward_work(spec(), shape.steps, shape.rows);
    }

    std::shared_ptr<const Binding<T>> bound() const {
        if (!binding_) throw py::value_error("params: expected bind() before the first call");
        return binding_;
    }

    void check_checkpoint(Index every) const {
        if (every < 0) throw py::value_error("checkpoint: expected at least 1, got " + std::to_string(every));
        if (every && (spec().bidirectional || spec().reverse))
            throw py::value_error(
                "checkpoint: expected None, the steps of a bidirectional network cannot be run again "
                "piece by piece");
    }

    std::vector<View<const T>> check_masks(Arguments<T>& arguments, const py::object& masks) const {
        std::vector<View<const T>> views;
        if (masks.is_none()) return views;
        const BatchShape& shape = arguments.in.shape;
        if (!PySequence_Check(masks.ptr()))
            throw py::type_error(std::string("dropout_masks: expected a sequence of arrays, got ") +
                                 Py_TYPE(masks.ptr())->tp_name);
        const py::tuple sequence(masks);  // of one length from here on
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
    const std::shared_ptr<const std::vector<Parameter>> parameters_;  // shared with tapes, which may outlive it
    const double parameter_work_;
    bool frozen_ = false;  // read and written with the GIL
    std::shared_ptr<const Binding<T>> binding_;
    // Counts the changes of parameters that go through this class; read and written with the GIL.
    const std::shared_ptr<std::uint64_t> version_ = std::make_shared<std::uint64_t>(0);
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
    require_size("input_size", spec.input_size, 1);
    require_size("hidden_size", spec.hidden_size, 1);
    require_size("num_layers", spec.layers, 1);
    require_size("proj_size", spec.proj_size, 0);
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
    for (const Parameter& parameter : network.parameters()) {
        shapes.append(py::make_tuple(parameter.name, py::tuple(py::cast(parameter.shape()))));
    }
    return shapes;
}

PyObject* forward(PyObject* self, PyObject* const* values, Py_ssize_t positional, PyObject* keywords) {
    return as_result([&] {
        static constexpr Signature<8> signature = {
            "forward", {"x", "h0", "c0", "lengths", "reset", "batch_first", "return_cell", "table"}, 1, 3};
        const auto [x, h0, c0, lengths, reset, batch_first, return_cell, table] =
            arguments_by_name(signature, values, positional, keywords);
        return owned<PyNetwork>(self).forward(
            or_none(x), or_none(h0), or_none(c0),
            {or_none(lengths), or_none(reset), or_none(table), or_false(batch_first), or_false(return_cell)});
    });
}

PyObject* record(PyObject* self, PyObject* const* values, Py_ssize_t positional, PyObject* keywords) {
    return as_result([&] {
        static constexpr Signature<10> signature = {
            "record",
            {"x", "h0", "c0", "lengths", "reset", "batch_first", "return_cell", "dropout_masks", "checkpoint", "table"},
            1,
            3};
        const auto [x, h0, c0, lengths, reset, batch_first, return_cell, masks, checkpoint, table] =
            arguments_by_name(signature, values, positional, keywords);
        return owned<PyNetwork>(self).record(
            or_none(x), or_none(h0), or_none(c0),
            {or_none(lengths), or_none(reset), or_none(table), or_false(batch_first), or_false(return_cell)},
            or_none(masks), or_zero(checkpoint));
    });
}

PyObject* backward(PyObject* self, PyObject* const* values, Py_ssize_t positional, PyObject* keywords) {
    return as_result([&] {
        static constexpr Signature<6> signature = {
            "backward", {"dy", "dh_n", "dc_n", "truncate", "wants_x", "wants"}, 0, 3};
        const auto [dy, dh_n, dc_n, truncate, wants_x, wants] =
            arguments_by_name(signature, values, positional, keywords);
        return owned<PyTape>(self).backward(or_none(dy), or_none(dh_n), or_none(dc_n), or_zero(truncate),
                                            !wants_x || or_false(wants_x), or_none(wants));
    });
}

}  // namespace

void register_network(py::module_& module) {
    using py::arg;
    static PyMethodDef backward_method = vectorcall_method(
        "backward", backward,
        "backward(self: fusedrnn._core.Tape, dy: object = None, dh_n: object = None, dc_n: object = None, *, "
        "truncate: int = 0, wants_x: bool = True, wants: object = None) -> tuple\n");
    py::class_<Owned<PyTape>> tape(module, "Tape", py::is_final());
    tape.def_property_readonly("nbytes", [](const Owned<PyTape>& self) { return self.object->bytes(); });
    add_method(tape, backward_method);
    seal(tape, nullptr);

    static PyMethodDef forward_method = vectorcall_method(
        "forward", forward,
        "forward(self: fusedrnn._core.Network, x: object, h0: object = None, c0: object = None, *, "
        "lengths: object = None, reset: object = None, batch_first: bool = False, return_cell: bool = False, table: object = None) -> tuple\n");
    static PyMethodDef record_method = vectorcall_method(
        "record", record,
        "record(self: fusedrnn._core.Network, x: object, h0: object = None, c0: object = None, *, "
        "lengths: object = None, reset: object = None, batch_first: bool = False, return_cell: bool = False, "
        "dropout_masks: object = None, checkpoint: int = 0, table: object = None) -> tuple\n");
    using Self = Owned<PyNetwork>;
    py::class_<Self> network(module, "Network", py::is_final());
    add_method(network, forward_method);
    add_method(network, record_method);
    network
        .def("__init__", constructor(&make_network), py::detail::is_new_style_constructor(), arg("cell"),
             arg("input_size"), arg("hidden_size"), py::kw_only(), arg("num_layers") = 1, arg("bias") = true,
             arg("bidirectional") = false, arg("reverse") = false, arg("proj_size") = 0, arg("nonlinearity") = "tanh",
             arg("dtype") = "float32")
        .def_property_readonly("param_shapes", [](const Self& self) { return param_shapes(*self.object); })
        .def(
            "bind", [](Self& self, const py::sequence& params) { self.object->bind(params); }, arg("params"))
        .def(
            "bind_one",
            [](Self& self, std::size_t index, const py::object& param) { self.object->bind_one(index, param); },
            arg("index"), arg("param"))
        .def_property_readonly("params", [](const Self& self) { return self.object->bound_arrays(); })
        .def("touch", [](Self& self) { self.object->touch(); })
        .def(
            "freeze", [](Self& self, bool frozen) { self.object->freeze(frozen); }, arg("frozen") = true)
        .def_property_readonly("frozen", [](const Self& self) { return self.object->frozen(); })
        .def(
            "stream",
            [](const py::object& self, Index batch_size, const py::object& table, bool tokens) {
                return py::cast<Self&>(self).object->stream(self, batch_size, table, tokens);
            },
            arg("batch_size"), arg("table") = py::none(), arg("tokens") = false);
    static newfunc inherited = reinterpret_cast<PyTypeObject*>(network.ptr())->tp_new;
    seal(network, [](PyTypeObject* type, PyObject* args, PyObject* kwargs) { return inherited(type, args, kwargs); });
}

}  // namespace fusedrnn::bindings
