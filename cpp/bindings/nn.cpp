// Linear layers, losses, embeddings, dropout and optimisers, as functions of arrays.
#include "fusedrnn/nn.hpp"

#include <pybind11/stl.h>

#include <cmath>
#include <string>

#include "bindings/compute.hpp"
#include "bindings/owned.hpp"
#include "bindings/register.hpp"
#include "kernels/kernel_table.hpp"

namespace fusedrnn::bindings {
namespace {

// Calls work(T()) with the floating type that `value` is an array of.
template <class Work>
auto with_type_of(const char* name, const py::handle& value, Work work) {
    if (!py::isinstance<py::array>(value))
        throw py::type_error(std::string(name) + ": expected a numpy.ndarray, got " + Py_TYPE(value.ptr())->tp_name);
    const py::array array = py::reinterpret_borrow<py::array>(value);
    if (has_type(array, type_of<float>())) return work(float());
    if (has_type(array, type_of<double>())) return work(double());
    throw py::type_error(std::string(name) + ": expected dtype float32 or float64, got " +
                         std::string(py::str(py::object(array.dtype()))) + "; .astype(\"float32\") converts it");
}

// A matrix of `columns` columns (-1: any), and the array that keeps its memory alive.
template <class T>
struct MatrixArgument {
    py::array array;
    Matrix<const T> matrix;

    MatrixArgument(const py::handle& value, const char* name, Index columns) {
        array = require_array(value, name, type_of<T>());
        if (array.ndim() != 2 || (columns >= 0 && array.shape(1) != columns))
            wrong_shape(name, "(N, " + (columns < 0 ? std::string("C") : std::to_string(columns)) + ")", array);
        array = with_contiguous_rows<T>(array);
        matrix = {data_of<T>(array), array.shape(0), array.shape(1), array.strides(0) / static_cast<Index>(sizeof(T))};
    }
};

// A contiguous array of one shape.
template <class T>
py::array exactly(const py::handle& value, const char* name, const std::vector<Index>& shape) {
    const py::array array = require_array(value, name, type_of<T>());
    require_shape(array, name, shape);
    return contiguous<T>(array);
}

// The parameter or running mean that an update writes, kept alive in `arrays`: a sequence may make its items anew each
// time they are asked for.
template <class T>
T* updated(const py::handle& value, const char* name, Index count, std::vector<py::array>& arrays) {
    const py::array array = require_array(value, name, type_of<T>());
    require_writeable(array, name);
    if (!is_contiguous<T>(array)) throw py::value_error(std::string(name) + ": expected a C-contiguous array");
    if (array.size() != count)
        throw py::value_error(std::string(name) + ": expected " + std::to_string(count) + " elements, got " +
                              std::to_string(array.size()));
    arrays.push_back(array);
    return mutable_data_of<T>(array);
}

template <class T>
Matrix<T> matrix_of(py::array_t<T>& array) {
    return {array.mutable_data(), array.shape(0), array.shape(1), array.shape(1)};
}

template <class T>
struct TargetsArgument {
    py::array classes, weights;
    Targets<T> targets;

    TargetsArgument(const py::handle& given, const py::handle& weights_given, Index rows, Index count)
        : classes(exactly<std::int64_t>(given, "targets", {rows})),
          weights(exactly<T>(weights_given, "weights", {rows})) {
        require_below(classes, "targets", "values", count);
        targets = {data_of<std::int64_t>(classes), data_of<T>(weights)};
    }
};

class PyLinear {
public:
    virtual ~PyLinear() = default;
    virtual py::object forward(const py::object& w, const py::object& b, const py::object& x) = 0;
    virtual py::tuple backward(const py::object& w, const py::object& b, const py::object& x, const py::object& dy,
                               bool wants_dx) = 0;
    virtual py::tuple cross_entropy(const py::object& w, const py::object& b, const py::object& x,
                                    const py::object& targets, const py::object& weights, bool wants_gradients,
                                    bool wants_dx) = 0;
};

template <class T>
class TypedLinear : public PyLinear {
public:
    TypedLinear(Index inputs, Index outputs) : inputs_(inputs), outputs_(outputs), linear_(inputs, outputs) {}

    py::object forward(const py::object& w, const py::object& b, const py::object& x) override {
        const Params params(*this, w, b);
        const MatrixArgument<T> in(x, "x", inputs_);
        auto y = empty<T>({in.matrix.rows, outputs_});
        const Matrix<T> out = matrix_of(y);
        compute(multiply_adds(in.matrix.rows), [&] { linear_.forward(params.params, in.matrix, out); });
        return y;
    }

    py::tuple backward(const py::object& w, const py::object& b, const py::object& x, const py::object& dy,
                       bool wants_dx) override {
        const Params params(*this, w, b);
        const MatrixArgument<T> in(x, "x", inputs_), gradient(dy, "dy", outputs_);
        if (gradient.matrix.rows != in.matrix.rows)
            wrong_shape("dy", shape_text({in.matrix.rows, outputs_}), gradient.array);
        Gradients out(*this, in.matrix.rows, wants_dx, !b.is_none());
        compute(3 * multiply_adds(in.matrix.rows),
                [&] { linear_.backward(params.params, in.matrix, gradient.matrix, out.gradients); });
        return py::make_tuple(out.dx, out.dw, out.db);
    }

    py::tuple cross_entropy(const py::object& w, const py::object& b, const py::object& x, const py::object& targets,
                            const py::object& weights, bool wants_gradients, bool wants_dx) override {
        const Params params(*this, w, b);
        const MatrixArgument<T> in(x, "x", inputs_);
        const TargetsArgument<T> wanted(targets, weights, in.matrix.rows, outputs_);
        auto losses = empty<double>({in.matrix.rows});
        double* const losses_out = losses.mutable_data();
        if (!wants_gradients) {
            compute(multiply_adds(in.matrix.rows),
                    [&] { linear_.cross_entropy(params.params, in.matrix, wanted.targets, losses_out, nullptr); });
            return py::make_tuple(losses, py::none(), py::none(), py::none());
        }
        Gradients out(*this, in.matrix.rows, wants_dx, !b.is_none());
        compute(4 * multiply_adds(in.matrix.rows),
                [&] { linear_.cross_entropy(params.params, in.matrix, wanted.targets, losses_out, &out.gradients); });
        return py::make_tuple(losses, out.dx, out.dw, out.db);
    }

private:
    struct Params {
        py::array w, b;
        typename Linear<T>::Params params;

        Params(const TypedLinear& linear, const py::object& weight, const py::object& bias)
            : w(exactly<T>(weight, "weight", {linear.outputs_, linear.inputs_})) {
            params = {data_of<T>(w), nullptr};
            if (bias.is_none()) return;
            b = exactly<T>(bias, "bias", {linear.outputs_});
            params.b = data_of<T>(b);
        }
    };

    struct Gradients {
        py::object dx = py::none(), dw, db = py::none();
        typename Linear<T>::Gradients gradients;

        Gradients(const TypedLinear& linear, Index rows, bool wants_dx, bool has_bias) {
            auto w = zeros<T>({linear.outputs_, linear.inputs_});
            gradients = {{}, w.mutable_data(), nullptr};
            dw = w;
            if (wants_dx) {
                auto x = empty<T>({rows, linear.inputs_});
                gradients.dx = matrix_of(x);
                dx = x;
            }
            if (has_bias) {
                auto b = zeros<T>({linear.outputs_});
                gradients.db = b.mutable_data();
                db = b;
            }
        }
    };

    double multiply_adds(Index rows) const {
        return static_cast<double>(rows) * static_cast<double>(inputs_) * static_cast<double>(outputs_);
    }

    const Index inputs_, outputs_;
    const Linear<T> linear_;
};

std::unique_ptr<PyLinear> make_linear(Index inputs, Index outputs, const std::string& dtype) {
    require_size("in_features", inputs, 1);
    require_size("out_features", outputs, 1);
    if (dtype == "float32") return std::make_unique<TypedLinear<float>>(inputs, outputs);
    if (dtype == "float64") return std::make_unique<TypedLinear<double>>(inputs, outputs);
    throw py::value_error("dtype: expected float32 or float64, got '" + dtype + "'");
}

py::tuple softmax_cross_entropy(const py::object& logits, const py::object& targets, const py::object& weights,
                                bool wants_gradient) {
    return with_type_of("logits", logits, [&](auto type) {
        using T = decltype(type);
        const MatrixArgument<T> in(logits, "logits", -1);
        const TargetsArgument<T> wanted(targets, weights, in.matrix.rows, in.matrix.columns);
        auto losses = empty<double>({in.matrix.rows});
        auto gradient = empty<T>({wants_gradient ? in.matrix.rows : 0, in.matrix.columns});
        const Matrix<T> out = wants_gradient ? matrix_of(gradient) : Matrix<T>{};
        double* const losses_out = losses.mutable_data();
        constexpr double per_exponential = 16;
        compute(per_exponential * static_cast<double>(in.array.size()),
                [&] { cross_entropy(in.matrix, wanted.targets, losses_out, out); });
        return py::make_tuple(losses, wants_gradient ? py::object(gradient) : py::none());
    });
}

py::object embedding(const py::object& weight, const py::object& tokens) {
    return with_type_of("weight", weight, [&](auto type) -> py::object {
        using T = decltype(type);
        const MatrixArgument<T> w(weight, "weight", -1);
        const py::array wanted = contiguous<std::int64_t>(require_array(tokens, "tokens", type_of<std::int64_t>()));
        const auto rows = require_below(wanted, "tokens", "values", w.matrix.rows);
        auto out = empty<T>({wanted.size(), w.matrix.columns});
        T* const to = out.mutable_data();
        compute(static_cast<double>(out.size()), [&] { embed(w.matrix, rows, to); });
        return out;
    });
}

py::object embedding_gradient(const py::object& tokens, const py::object& dy, Index num_embeddings) {
    require_size("num_embeddings", num_embeddings, 1);
    return with_type_of("dy", dy, [&](auto type) -> py::object {
        using T = decltype(type);
        const MatrixArgument<T> gradient(dy, "dy", -1);
        const py::array wanted = exactly<std::int64_t>(tokens, "tokens", {gradient.matrix.rows});
        const auto rows = require_below(wanted, "tokens", "values", num_embeddings);
        auto out = zeros<T>({num_embeddings, gradient.matrix.columns});
        const Matrix<T> to = matrix_of(out);
        compute(static_cast<double>(gradient.array.size()), [&] { embed_backward(rows, gradient.matrix, to); });
        return out;
    });
}

py::object drop(const py::object& x, double probability, std::uint64_t seed) {
    if (!(probability >= 0 && probability <= 1))
        throw py::value_error("p: expected a number from 0 to 1, got " + std::to_string(probability));
    return with_type_of("x", x, [&](auto type) -> py::object {
        using T = decltype(type);
        const py::array in = contiguous<T>(require_array(x, "x", type_of<T>()));
        py::array_t<T> out(std::vector<py::ssize_t>(in.shape(), in.shape() + in.ndim()));
        T* const to = out.mutable_data();
        compute(4 * static_cast<double>(in.size()), [&] { dropout(data_of<T>(in), to, in.size(), probability, seed); });
        return out;
    });
}

// What an optimiser keeps of each parameter, or nothing.
py::object element(const py::object& list, std::size_t index) {
    if (list.is_none()) return py::none();
    return list[py::int_(index)];
}

template <class T>
void update_as(const UpdateRule& rule, const py::sequence& params, const py::sequence& gradients,
               const py::object& first, const py::object& second) {
    std::vector<Updated<T>> all;
    std::vector<py::array> kept_alive;
    double elements = 0;
    for (std::size_t i = 0; i < params.size(); ++i) {
        Updated<T> one = {};
        const py::array param = require_array(params[i], "params", type_of<T>());
        one.count = param.size();
        one.param = updated<T>(param, "params", one.count, kept_alive);
        kept_alive.push_back(
            exactly<T>(gradients[i], "gradients", std::vector<Index>(param.shape(), param.shape() + param.ndim())));
        one.gradient = data_of<T>(kept_alive.back());
        if (!first.is_none()) one.first = updated<T>(element(first, i), "first", one.count, kept_alive);
        if (!second.is_none()) one.second = updated<T>(element(second, i), "second", one.count, kept_alive);
        elements += static_cast<double>(one.count);
        all.push_back(one);
    }
    compute(8 * elements, [&] { update<T>(all, rule); });
}

void update_params(const std::string& optimiser, const py::sequence& params, const py::sequence& gradients,
                   const py::object& first, const py::object& second, double rate, double scale, double decay,
                   double decoupled, double momentum, double second_momentum, double dampening, double epsilon,
                   double second_scale, bool nesterov, bool first_step) {
    UpdateRule rule = {};
    rule.optimiser = -1;
    for (int i = 0; i < optimiser_count; ++i)
        if (optimiser == optimiser_names[i]) rule.optimiser = i;
    if (rule.optimiser < 0) throw py::value_error("optimiser: expected sgd, rmsprop or adam, got '" + optimiser + "'");
    const bool needs_second = rule.optimiser != static_cast<int>(Optimiser::sgd);
    if (needs_second && second.is_none()) throw py::value_error("second: expected arrays, got None");
    if (rule.optimiser == static_cast<int>(Optimiser::adam) && first.is_none())
        throw py::value_error("first: expected arrays, got None");
    if (gradients.size() != params.size())
        throw py::value_error("gradients: expected " + std::to_string(params.size()) + " arrays, got " +
                              std::to_string(gradients.size()));
    rule.scale = scale, rule.rate = rate, rule.decay = decay, rule.decoupled = decoupled;
    rule.momentum = momentum, rule.second_momentum = second_momentum, rule.dampening = dampening;
    rule.epsilon = epsilon, rule.second_scale = second_scale;
    rule.nesterov = nesterov, rule.first_step = first_step;
    if (params.size() == 0) return;
    with_type_of("params", py::object(params[0]),
                 [&](auto type) { update_as<decltype(type)>(rule, params, gradients, first, second); });
}

template <class T>
std::vector<double> sums_as(const py::sequence& arrays) {
    std::vector<py::array> kept_alive;
    std::vector<std::span<const T>> all;
    double elements = 0;
    for (std::size_t i = 0; i < arrays.size(); ++i) {
        kept_alive.push_back(contiguous<T>(require_array(arrays[i], "arrays", type_of<T>())));
        all.emplace_back(data_of<T>(kept_alive.back()), static_cast<std::size_t>(kept_alive.back().size()));
        elements += static_cast<double>(kept_alive.back().size());
    }
    std::vector<double> sums;
    compute(2 * elements, [&] { sums = sums_of_squares<T>(all); });
    return sums;
}

std::vector<double> sums_of_squares_of(const py::sequence& arrays) {
    if (arrays.size() == 0) return {};
    return with_type_of("arrays", py::object(arrays[0]), [&](auto type) { return sums_as<decltype(type)>(arrays); });
}

}  // namespace

void register_nn(py::module_& module) {
    using py::arg;
    using Self = Owned<PyLinear>;
    py::class_<Self> linear(module, "Linear", py::is_final());
    linear
        .def("__init__", constructor(&make_linear), py::detail::is_new_style_constructor(), arg("in_features"),
             arg("out_features"), arg("dtype") = "float32")
        .def(
            "forward",
            [](Self& self, const py::object& w, const py::object& b, const py::object& x) {
                return self.object->forward(w, b, x);
            },
            arg("weight"), arg("bias"), arg("x"))
        .def(
            "backward",
            [](Self& self, const py::object& w, const py::object& b, const py::object& x, const py::object& dy,
               bool wants_dx) { return self.object->backward(w, b, x, dy, wants_dx); },
            arg("weight"), arg("bias"), arg("x"), arg("dy"), arg("wants_dx") = true)
        .def(
            "cross_entropy",
            [](Self& self, const py::object& w, const py::object& b, const py::object& x, const py::object& targets,
               const py::object& weights, bool wants_gradients, bool wants_dx) {
                return self.object->cross_entropy(w, b, x, targets, weights, wants_gradients, wants_dx);
            },
            arg("weight"), arg("bias"), arg("x"), arg("targets"), arg("weights"), arg("wants_gradients") = true,
            arg("wants_dx") = true);
    static newfunc inherited = reinterpret_cast<PyTypeObject*>(linear.ptr())->tp_new;
    seal(linear, [](PyTypeObject* type, PyObject* args, PyObject* kwargs) { return inherited(type, args, kwargs); });
    module.def("cross_entropy", &softmax_cross_entropy, arg("logits"), arg("targets"), arg("weights"),
               arg("wants_gradient") = true);
    module.def("embedding", &embedding, arg("weight"), arg("tokens"));
    module.def("embedding_gradient", &embedding_gradient, arg("tokens"), arg("dy"), arg("num_embeddings"));
    module.def("dropout", &drop, arg("x"), arg("p"), arg("seed"));
    module.def("update", &update_params, arg("optimiser"), arg("params"), arg("gradients"), arg("first"), arg("second"),
               py::kw_only(), arg("rate"), arg("scale") = 1.0, arg("decay") = 0.0, arg("decoupled") = 1.0,
               arg("momentum") = 0.0, arg("second_momentum") = 0.0, arg("dampening") = 0.0, arg("epsilon") = 0.0,
               arg("second_scale") = 1.0, arg("nesterov") = false, arg("first_step") = false);
    module.def("sums_of_squares", &sums_of_squares_of, arg("arrays"));
}

}  // namespace fusedrnn::bindings
