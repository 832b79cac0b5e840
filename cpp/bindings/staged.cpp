// Staged layers: one direction of one layer whose cell has options.
#include "fusedrnn/staged.hpp"

#include <pybind11/stl.h>

#include <cmath>
#include <optional>
#include <string>

#include "bindings/call.hpp"
#include "bindings/compute.hpp"
#include "bindings/owned.hpp"
#include "bindings/register.hpp"

namespace fusedrnn::bindings {
namespace {

class PyStagedTape {
public:
    virtual ~PyStagedTape() = default;
    virtual std::size_t bytes() const = 0;
    virtual py::tuple backward(const py::object& dy, const py::object& dh_n, const py::object& dc_n,
                               Index truncate) = 0;
};

// Multiply-adds of a forward pass, or what takes as long.
double staged_work(const StagedSpec& spec, Index steps, Index rows) {
    constexpr double per_gate = 48, per_step = 512;
    const auto depth = static_cast<double>(spec.input_size + spec.recurrent_size());
    const double a_row = static_cast<double>(spec.gate_rows()) * (depth + per_gate) +
                         static_cast<double>(spec.proj_size) * static_cast<double>(spec.hidden_size);
    return static_cast<double>(steps) * (static_cast<double>(rows) * a_row + per_step);
}

template <class T>
class TypedStagedTape final : public PyStagedTape {
public:
    TypedStagedTape(const StagedSpec& spec, const BatchShape& shape, std::unique_ptr<StagedTape<T>> tape)
        : spec_(spec), steps_(shape.steps), rows_(shape.rows), tape_(std::move(tape)) {}

    std::size_t bytes() const override { return tape_ ? tape_->bytes() : 0; }

    py::tuple backward(const py::object& dy, const py::object& dh_n, const py::object& dc_n, Index truncate) override {
        if (!tape_)
            throw py::value_error("tape: expected one not used yet, got one whose backward has run; record again");
        if (truncate < 0) throw py::value_error("truncate: expected at least 1, got " + std::to_string(truncate));
        Arguments<T> arguments;
        BackwardInputs<T> in;
        in.truncate = truncate;
        const Index width = spec_.recurrent_size(), hidden = spec_.hidden_size;
        if (!dy.is_none()) {
            const py::array array = require_array(dy, "dy", type_of<T>());
            require_shape(array, "dy", {steps_, rows_, width});
            arguments.kept_alive.push_back(with_contiguous_rows<T>(array));
            in.dy = view_of<T>(arguments.kept_alive.back(), false);
        }
        in.dh_n = state_argument(arguments, dh_n, "dstate (h)", {rows_, width});
        if (spec_.has_cell_state()) in.dc_n = state_argument(arguments, dc_n, "dstate (c)", {rows_, hidden});

        StagedBackwardOutputs<T> out;
        auto dx = empty<T>({steps_, rows_, spec_.input_size});
        auto dh0 = empty<T>({rows_, width}), dinitial_h = empty<T>({width});
        auto dc0 = empty<T>({rows_, hidden}), dinitial_c = empty<T>({hidden});
        out.dx = mutable_view_of<T>(dx, false);
        out.dh0 = dh0.mutable_data(), out.dinitial_h = dinitial_h.mutable_data();
        out.dc0 = dc0.mutable_data(), out.dinitial_c = dinitial_c.mutable_data();
        py::list gradients;
        for (const Parameter& parameter : parameters(spec_)) {
            auto gradient = zeros<T>(parameter.shape());
            out.params.push_back(gradient.mutable_data());
            gradients.append(gradient);
        }
        const std::unique_ptr<StagedTape<T>> tape = std::move(tape_);
        compute(3 * staged_work(spec_, steps_, rows_), [&] { tape->backward(in, out); });
        const bool has_c = spec_.has_cell_state();
        return py::make_tuple(dx, dh0, has_c ? py::object(dc0) : py::none(), gradients, dinitial_h,
                              has_c ? py::object(dinitial_c) : py::none());
    }

private:
    const StagedSpec spec_;
    const Index steps_, rows_;
    std::unique_ptr<StagedTape<T>> tape_;
};

struct StagedCallOptions {
    py::object lengths, reset, h_mask, zoneout_h, zoneout_c, initial_h, initial_c;
    bool reverse, cells, keep, unchanged;
};

class PyStagedLayer {
public:
    explicit PyStagedLayer(const StagedSpec& made) : spec(made) {}
    virtual ~PyStagedLayer() = default;
    virtual py::tuple forward(const py::object& params, const py::object& x, const py::object& h0, const py::object& c0,
                              const StagedCallOptions& options) = 0;
    const StagedSpec spec;
};

template <class T>
class TypedStagedLayer final : public PyStagedLayer {
public:
    explicit TypedStagedLayer(const StagedSpec& made)
        : PyStagedLayer(made), layer_(made), parameters_(parameters(made)) {}

    py::tuple forward(const py::object& params, const py::object& x, const py::object& h0, const py::object& c0,
                      const StagedCallOptions& options) override {
        Arguments<T> arguments;
        const std::vector<const T*> pointers = params_argument(arguments, params);
        const StagedInputs<T> in = inputs(arguments, x, h0, c0, options);
        const Index steps = in.shape.steps, rows = in.shape.rows;
        const Index width = spec.recurrent_size(), hidden = spec.hidden_size;
        const bool has_c = spec.has_cell_state();
        ForwardOutputs<T> out;
        auto y = empty<T>({steps, rows, width}), h_n = empty<T>({rows, width});
        out.y = mutable_view_of<T>(y, false);
        out.h_n = h_n.mutable_data();
        py::object c_n = py::none(), cells = py::none(), tape = py::none();
        if (has_c) {
            auto c = empty<T>({rows, hidden});
            out.c_n = c.mutable_data();
            c_n = c;
        }
        if (has_c && options.cells) {
            auto all = empty<T>({steps, rows, hidden});
            out.cell_states = mutable_view_of<T>(all, false);
            cells = all;
        }
        const double work = staged_work(spec, steps, rows) + parameter_work(parameters_);
        if (options.keep) {
            std::unique_ptr<StagedTape<T>> made;
            compute(work, [&] { made = layer_.record(pointers, in, out); });
            tape = to_python<PyStagedTape>(std::make_unique<TypedStagedTape<T>>(spec, in.shape, std::move(made)));
        } else {
            compute(work, [&] { layer_.forward(pointers, in, out); });
        }
        return py::make_tuple(y, h_n, c_n, cells, tape);
    }

private:
    std::vector<const T*> params_argument(Arguments<T>& arguments, const py::object& params) const {
        std::vector<const T*> pointers;
        for (const Parameter& parameter : parameters_) {
            const py::str name(parameter.name);
            if (!params.contains(name)) throw py::value_error("params: expected an array named " + parameter.name);
            const py::array array =
                contiguous<T>(require_array(py::object(params[name]), parameter.name.c_str(), type_of<T>()));
            require_shape(array, parameter.name.c_str(), parameter.shape());
            arguments.kept_alive.push_back(array);
            pointers.push_back(data_of<T>(array));
        }
        return pointers;
    }

    StagedInputs<T> inputs(Arguments<T>& arguments, const py::object& x, const py::object& h0, const py::object& c0,
                           const StagedCallOptions& options) const {
        const py::array array = require_array(x, "x", type_of<T>());
        if (array.ndim() != 3 || array.shape(2) != spec.input_size)
            wrong_shape("x", "(T, B, " + std::to_string(spec.input_size) + ")", array);
        arguments.kept_alive.push_back(with_contiguous_rows<T>(array));
        BatchShape& shape = arguments.in.shape;
        shape.steps = array.shape(0), shape.rows = array.shape(1);
        const py::array kept = arguments.kept_alive.back();
        lengths_argument(arguments, options.lengths);
        reset_argument(arguments, options.reset, false);

        const Index width = spec.recurrent_size(), hidden = spec.hidden_size;
        StagedInputs<T> in;
        in.shape = shape;
        in.reverse = options.reverse;
        in.unchanged = options.unchanged;
        in.x = view_of<T>(kept, false);
        in.h0 = state_argument(arguments, h0, "state (h)", {shape.rows, width});
        in.h_mask = state_argument(arguments, options.h_mask, "h_mask", {shape.rows, width});
        in.initial_h = state_argument(arguments, options.initial_h, "initial_h", {width});
        in.zoneout_h = zoneout(arguments, options.zoneout_h, "zoneout_h", width);
        if (!spec.has_cell_state()) return in;
        in.c0 = state_argument(arguments, c0, "state (c)", {shape.rows, hidden});
        in.initial_c = state_argument(arguments, options.initial_c, "initial_c", {hidden});
        in.zoneout_c = zoneout(arguments, options.zoneout_c, "zoneout_c", hidden);
        return in;
    }

    Zoneout<T> zoneout(Arguments<T>& arguments, const py::object& value, const char* name, Index width) const {
        if (!py::isinstance<py::array>(value)) return {{}, py::cast<double>(value)};
        const py::array array = require_array(value, name, type_of<T>());
        require_shape(array, name, {arguments.in.shape.steps, arguments.in.shape.rows, width});
        arguments.kept_alive.push_back(with_contiguous_rows<T>(array));
        return {view_of<T>(arguments.kept_alive.back(), false), 0};
    }

    StagedLayer<T> layer_;
    const std::vector<Parameter> parameters_;
};

ActivationSpec activation(const std::tuple<std::string, double, double>& chosen) {
    const auto& [name, alpha, beta] = chosen;
    for (std::size_t i = 0; i < activation_names.size(); ++i)
        if (name == activation_names[i]) return {static_cast<Activation>(i), alpha, beta};
    std::string known;
    for (const std::string_view each : activation_names) known += (known.empty() ? "" : ", ") + std::string(each);
    throw py::value_error("activations: expected one of " + known + ", got '" + name + "'");
}

using Activations = std::vector<std::tuple<std::string, double, double>>;

void set_activations(StagedSpec& spec, const std::optional<Activations>& given) {
    if (!given) return;
    const std::size_t count = spec.cell == CellKind::lstm ? 3 : spec.cell == CellKind::gru ? 2 : 1;
    if (given->size() != count)
        throw py::value_error("activations: expected " + std::to_string(count) + ", got " +
                              std::to_string(given->size()));
    if (spec.cell == CellKind::rnn) {
        spec.output = activation((*given)[0]);
        return;
    }
    spec.gates = activation((*given)[0]);
    spec.candidate = activation((*given)[1]);
    if (count == 3) spec.output = activation((*given)[2]);
}

void check(const StagedSpec& spec) {
    require_size("input_size", spec.input_size, 1);
    require_size("hidden_size", spec.hidden_size, 1);
    require_size("proj_size", spec.proj_size, 0);
    const auto only = [](bool given, const char* option, bool fits, const char* cell) {
        if (given && !fits) throw py::value_error(std::string(option) + ": expected " + cell);
    };
    const bool lstm = spec.cell == CellKind::lstm, gru = spec.cell == CellKind::gru;
    only(spec.proj_size > 0, "proj_size", lstm && spec.proj_size < spec.hidden_size,
         "less than hidden_size, of an LSTM");
    only(spec.peephole, "peephole", lstm, "an LSTM");
    only(spec.coupled, "coupled", lstm, "an LSTM");
    only(spec.cell_clip != 0, "cell_clip", lstm, "an LSTM");
    only(!spec.reset_after, "reset_after", gru, "a GRU");
    only(spec.minimal, "minimal", gru, "a GRU");
    only(spec.independent, "independent", spec.cell == CellKind::rnn, "a simple RNN");
    only(spec.layer_norm, "layer_norm", lstm || (gru && !spec.resets_before()), "an LSTM, or a GRU that resets after");
    for (const double bound : {spec.clip, spec.cell_clip, spec.epsilon})
        if (!(bound >= 0) || std::isinf(bound))
            throw py::value_error("clip, cell_clip, epsilon: expected a finite number of at least 0");
}

std::unique_ptr<PyStagedLayer> make_staged(const std::string& cell, Index input_size, Index hidden_size, bool bias,
                                           Index proj_size, const std::string& dtype,
                                           const std::optional<Activations>& activations, double clip, double cell_clip,
                                           bool peephole, bool coupled, bool reset_after, bool minimal,
                                           bool independent, bool layer_norm, double epsilon) {
    StagedSpec spec;
    if (cell != "rnn" && cell != "lstm" && cell != "gru")
        throw py::value_error("cell: expected rnn, lstm or gru, got '" + cell + "'");
    spec.cell = cell == "rnn" ? CellKind::rnn : cell == "lstm" ? CellKind::lstm : CellKind::gru;
    spec.input_size = input_size, spec.hidden_size = hidden_size, spec.proj_size = proj_size, spec.bias = bias;
    spec.clip = clip, spec.cell_clip = cell_clip, spec.epsilon = epsilon;
    spec.peephole = peephole, spec.coupled = coupled, spec.reset_after = reset_after;
    spec.minimal = minimal, spec.independent = independent, spec.layer_norm = layer_norm;
    set_activations(spec, activations);
    check(spec);
    if (dtype == "float32") return std::make_unique<TypedStagedLayer<float>>(spec);
    if (dtype == "float64") return std::make_unique<TypedStagedLayer<double>>(spec);
    throw py::value_error("dtype: expected float32 or float64, got '" + dtype + "'");
}

std::vector<std::pair<std::string, py::tuple>> shapes(const StagedSpec& spec) {
    std::vector<std::pair<std::string, py::tuple>> all;
    for (const Parameter& parameter : parameters(spec))
        all.emplace_back(parameter.name, py::tuple(py::cast(parameter.shape())));
    return all;
}

}  // namespace

void register_staged(py::module_& module) {
    using py::arg;
    using Tape = Owned<PyStagedTape>;
    using Self = Owned<PyStagedLayer>;
    py::class_<Tape> tape(module, "StagedTape", py::is_final());
    tape.def_property_readonly("nbytes", [](const Tape& self) { return self.object->bytes(); })
        .def(
            "backward",
            [](Tape& self, const py::object& dy, const py::object& dh_n, const py::object& dc_n, Index truncate) {
                return self.object->backward(dy, dh_n, dc_n, truncate);
            },
            arg("dy") = py::none(), arg("dh_n") = py::none(), arg("dc_n") = py::none(), py::kw_only(),
            arg("truncate") = 0);
    seal(tape, nullptr);

    py::class_<Self> layer(module, "StagedLayer", py::is_final());
    layer
        .def("__init__", constructor(&make_staged), py::detail::is_new_style_constructor(), arg("cell"),
             arg("input_size"), arg("hidden_size"), py::kw_only(), arg("bias") = true, arg("proj_size") = 0,
             arg("dtype") = "float32", arg("activations") = py::none(), arg("clip") = 0.0, arg("cell_clip") = 0.0,
             arg("peephole") = false, arg("coupled") = false, arg("reset_after") = true, arg("minimal") = false,
             arg("independent") = false, arg("layer_norm") = false, arg("epsilon") = 1e-5)
        .def_property_readonly("param_shapes", [](const Self& self) { return shapes(self.object->spec); })
        .def(
            "forward",
            [](Self& self, const py::object& params, const py::object& x, const py::object& h0, const py::object& c0,
               const py::object& lengths, const py::object& reset, bool reverse, const py::object& h_mask,
               const py::object& zoneout_h, const py::object& zoneout_c, const py::object& initial_h,
               const py::object& initial_c, bool cells, bool keep, bool unchanged) {
                return self.object->forward(params, x, h0, c0,
                                            {lengths, reset, h_mask, zoneout_h, zoneout_c, initial_h, initial_c,
                                             reverse, cells, keep, unchanged});
            },
            arg("params"), arg("x"), arg("h0") = py::none(), arg("c0") = py::none(), py::kw_only(),
            arg("lengths") = py::none(), arg("reset") = py::none(), arg("reverse") = false, arg("h_mask") = py::none(),
            arg("zoneout_h") = 0.0, arg("zoneout_c") = 0.0, arg("initial_h") = py::none(),
            arg("initial_c") = py::none(), arg("cells") = true, arg("keep") = false, arg("unchanged") = false);
    static newfunc inherited = reinterpret_cast<PyTypeObject*>(layer.ptr())->tp_new;
    seal(layer, [](PyTypeObject* type, PyObject* args, PyObject* kwargs) { return inherited(type, args, kwargs); });
}

}  // namespace fusedrnn::bindings
