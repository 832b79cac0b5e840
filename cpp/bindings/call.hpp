// The arguments of a forward call, checked, and its result arrays.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "bindings/arrays.hpp"
#include "fusedrnn/network.hpp"

namespace fusedrnn::bindings {

// What a call gives besides x and the state.
struct CallOptions {
    py::object lengths, reset;
    py::object table = py::none();  // of tokens: (tokens, input size)
    bool batch_first, return_cell;
};

// The checked arguments of a forward call, and the arrays that keep their memory alive.
template <class T>
struct Arguments {
    ForwardInputs<T> in;
    std::vector<py::array> kept_alive;
};

template <class T>
const T* state_argument(Arguments<T>& arguments, const py::object& value, const char* name,
                        const std::vector<Index>& shape) {
    if (value.is_none()) return nullptr;
    arguments.kept_alive.push_back(contiguous<T>(require_array(value, name, type_of<T>())));
    require_shape(arguments.kept_alive.back(), name, shape);
    return data_of<T>(arguments.kept_alive.back());
}

template <class T>
void lengths_argument(Arguments<T>& arguments, const py::object& value) {
    if (value.is_none()) return;
    BatchShape& shape = arguments.in.shape;
    // A copy: the call must not see later changes.
    arguments.kept_alive.push_back(copy_of(require_array(value, "lengths", type_of<std::int64_t>())));
    require_shape(arguments.kept_alive.back(), "lengths", {shape.rows});
    shape.lengths = data_of<std::int64_t>(arguments.kept_alive.back());
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
    std::vector<Index> expected = {shape.steps, shape.rows};
    if (batch_first) std::swap(expected[0], expected[1]);
    require_shape(array, "reset", expected);
    arguments.kept_alive.push_back(array);
    shape.reset = data_of<std::uint8_t>(array);
    shape.reset_time_stride = array.strides(batch_first ? 1 : 0);
    shape.reset_batch_stride = array.strides(batch_first ? 0 : 1);
}

// Tokens in place of x: (T, B), or (B, T) with batch_first.
template <class T>
void tokens_argument(Arguments<T>& arguments, const NetworkSpec& spec, const py::array& given,
                     const CallOptions& options) {
    if (given.ndim() != 2) wrong_shape("x", options.batch_first ? "(B, T)" : "(T, B)", given);
    const py::array array = contiguous<std::int64_t>(given);
    TokenInputs<T>& tokens = arguments.in.tokens;
    tokens.count = spec.input_size;
    if (!options.table.is_none()) {
        const py::array table = contiguous<T>(require_array(options.table, "embedding", type_of<T>()));
        if (table.ndim() != 2 || table.shape(1) != spec.input_size || table.shape(0) < 1)
            wrong_shape("embedding", "(V, " + std::to_string(spec.input_size) + ")", table);
        tokens.table = data_of<T>(table);
        tokens.count = table.shape(0);
        arguments.kept_alive.push_back(table);
    }
    const std::int64_t* const data = require_below(array, "x", "tokens", tokens.count).data();
    const Index columns = array.shape(1);
    tokens.tokens = {data, options.batch_first ? 1 : columns, options.batch_first ? columns : 1};
    arguments.kept_alive.push_back(array);
}

template <class T>
Arguments<T> check_arguments(const NetworkSpec& spec, const py::object& x, const py::object& h0, const py::object& c0,
                             const CallOptions& options) {
    Arguments<T> arguments;
    const bool is_tokens = py::isinstance<py::array>(x) && has_type(py::array(x), type_of<std::int64_t>());
    const py::array array = require_array(x, "x", is_tokens ? type_of<std::int64_t>() : type_of<T>());
    if (is_tokens) {
        tokens_argument(arguments, spec, array, options);
    } else {
        const std::string width = std::to_string(spec.input_size);
        const std::string expected = (options.batch_first ? "(B, T, " : "(T, B, ") + width + ")";
        if (array.ndim() != 3 || array.shape(2) != spec.input_size) wrong_shape("x", expected, array);
        arguments.kept_alive.push_back(with_contiguous_rows<T>(array));
        arguments.in.x = view_of<T>(arguments.kept_alive.back(), options.batch_first);
    }
    BatchShape& shape = arguments.in.shape;
    shape.steps = array.shape(options.batch_first ? 1 : 0);
    shape.rows = array.shape(options.batch_first ? 0 : 1);
    const Index layers = spec.layers * spec.directions();
    arguments.in.h0 = state_argument(arguments, h0, "state (h)", {layers, shape.rows, spec.recurrent_size()});
    if (!spec.traits().has_cell_state && !c0.is_none()) no_cell_state("state (c)", "None", spec);
    arguments.in.c0 = state_argument(arguments, c0, "state (c)", {layers, shape.rows, spec.hidden_size});
    lengths_argument(arguments, options.lengths);
    reset_argument(arguments, options.reset, options.batch_first);
    return arguments;
}

// The result arrays of a forward call.
template <class T>
struct Results {
    py::array_t<T> y, h_n;
    py::object c_n = py::none(), cell_states = py::none();
    ForwardOutputs<T> out;

    Results(const NetworkSpec& spec, const BatchShape& shape, const CallOptions& options)
        : y(sequence(shape, options, spec.output_size())),
          h_n(empty<T>({spec.layers * spec.directions(), shape.rows, spec.recurrent_size()})) {
        out.y = mutable_view_of<T>(y, options.batch_first);
        out.h_n = h_n.mutable_data();
        if (options.return_cell && !spec.traits().has_cell_state) no_cell_state("return_cell", "False", spec);
        if (!spec.traits().has_cell_state) return;
        auto c = empty<T>({spec.layers * spec.directions(), shape.rows, spec.hidden_size});
        out.c_n = c.mutable_data();
        c_n = c;
        if (!options.return_cell) return;
        auto all = sequence(shape, options, spec.directions() * spec.hidden_size);
        out.cell_states = mutable_view_of<T>(all, options.batch_first);
        cell_states = all;
    }

private:
    static py::array_t<T> sequence(const BatchShape& shape, const CallOptions& options, Index width) {
        return options.batch_first ? empty<T>({shape.rows, shape.steps, width})
                                   : empty<T>({shape.steps, shape.rows, width});
    }
};

}  // namespace fusedrnn::bindings
