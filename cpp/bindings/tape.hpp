// The tape as Python sees it, whatever its dtype.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bindings/arrays.hpp"
#include "bindings/call.hpp"
#include "bindings/compute.hpp"
#include "fusedrnn/network.hpp"

namespace fusedrnn::bindings {

class PyTape {
public:
    virtual ~PyTape() = default;
    virtual std::size_t bytes() const = 0;
    // wants_x, wants: whether dx is wanted, and the gradient of each parameter; None: all.
    virtual py::tuple backward(const py::object& dy, const py::object& dh_n, const py::object& dc_n, Index truncate,
                               bool wants_x, const py::object& wants) = 0;
};

template <class T>
class TypedTape final : public PyTape {
public:
    TypedTape(const NetworkSpec& spec, std::shared_ptr<const std::vector<Parameter>> parameters,
              const BatchShape& shape, bool batch_first, bool has_dx, Index table_rows, std::unique_ptr<Tape<T>> tape,
              std::vector<py::array> kept_alive)
        : spec_(spec), parameters_(std::move(parameters)), steps_(shape.steps), rows_(shape.rows),
          batch_first_(batch_first), has_dx_(has_dx), table_rows_(table_rows), kept_alive_(std::move(kept_alive)),
          tape_(std::move(tape)) {}

    std::size_t bytes() const override { return tape_ ? tape_->bytes() : 0; }

    py::tuple backward(const py::object& dy, const py::object& dh_n, const py::object& dc_n, Index truncate,
                       bool wants_x, const py::object& wants) override {
        if (!tape_) used_up();
        if (truncate < 0) throw py::value_error("truncate: expected at least 1, got " + std::to_string(truncate));
        Arguments<T> arguments;
        BackwardInputs<T> in;
        in.truncate = truncate;
        if (!dy.is_none()) {
            const py::array array = require_array(dy, "dy", type_of<T>());
            require_shape(array, "dy", sequence_shape(spec_.output_size()));
            arguments.kept_alive.push_back(with_contiguous_rows<T>(array));
            in.dy = view_of<T>(arguments.kept_alive.back(), batch_first_);
        }
        const Index layers = spec_.layers * spec_.directions();
        in.dh_n = state_argument(arguments, dh_n, "dstate (h)", {layers, rows_, spec_.recurrent_size()});
        if (!spec_.traits().has_cell_state && !dc_n.is_none()) no_cell_state("dstate (c)", "None", spec_);
        in.dc_n = state_argument(arguments, dc_n, "dstate (c)", {layers, rows_, spec_.hidden_size});
        return run(in, wants_x, wanted(wants));
    }

private:
    [[noreturn]] static void used_up() {
        throw py::value_error("tape: expected one not used yet, got one whose backward has run; record again");
    }

    std::vector<Index> sequence_shape(Index width) const {
        return batch_first_ ? std::vector<Index>{rows_, steps_, width} : std::vector<Index>{steps_, rows_, width};
    }

    // Of each parameter whether its gradient is computed: with one of a layer's direction all of them are.
    std::vector<bool> wanted(const py::object& wants) const {
        std::vector<bool> all(parameters_->size(), true);
        if (wants.is_none()) return all;
        const py::list given(wants);
        if (given.size() != all.size())
            throw py::value_error("wants: expected " + std::to_string(all.size()) + " values, got " +
                                  std::to_string(given.size()));
        if (!has_dx_) return all;  // with tokens
        const std::size_t together = all.size() / static_cast<std::size_t>(spec_.layers * spec_.directions());
        for (std::size_t first = 0; first < all.size(); first += together) {
            bool any = false;
            for (std::size_t i = 0; i < together; ++i) any = any || py::bool_(given[first + i]);
            std::fill_n(all.begin() + static_cast<std::ptrdiff_t>(first), together, any);
        }
        return all;
    }

    py::tuple run(const BackwardInputs<T>& in, bool wants_x, const std::vector<bool>& wants) {
        BackwardOutputs<T> out;
        py::object dx = py::none(), dtable = py::none();
        if (has_dx_ && wants_x) {
            const std::vector<Index> x_shape = sequence_shape(spec_.input_size);
            py::array_t<T> array = empty<T>({x_shape[0], x_shape[1], x_shape[2]});
            out.dx = mutable_view_of<T>(array, batch_first_);
            dx = array;
        }
        if (table_rows_) {
            auto array = zeros<T>({table_rows_, spec_.input_size});
            out.dtable = array.mutable_data();
            dtable = array;
        }
        const Index layers = spec_.layers * spec_.directions();
        py::array_t<T> dh0 = empty<T>({layers, rows_, spec_.recurrent_size()});
        out.dh0 = dh0.mutable_data();
        py::object dc0 = py::none();
        if (spec_.traits().has_cell_state) {
            auto array = empty<T>({layers, rows_, spec_.hidden_size});
            out.dc0 = array.mutable_data();
            dc0 = array;
        }
        py::list params;
        for (std::size_t i = 0; i < wants.size(); ++i) {
            out.params.push_back(nullptr);
            params.append(py::none());
            if (!wants[i]) continue;
            auto gradient = zeros<T>((*parameters_)[i].shape());
            out.params[i] = gradient.mutable_data();
            params[i] = gradient;
        }
        std::unique_ptr<Tape<T>> tape = std::move(tape_);  // from here on it is used
        if (!tape) used_up();                              // by another thread, while the arguments were looked at
        try {
            compute(backward_work(spec_, steps_, rows_), [&] { tape->backward(in, out); });
        } catch (const std::invalid_argument&) {  // refused before it began
            tape_ = std::move(tape);
            throw;
        }
        kept_alive_.clear();
        return py::make_tuple(dx, dh0, dc0, params, dtable);
    }

    const NetworkSpec spec_;
    const std::shared_ptr<const std::vector<Parameter>> parameters_;  // the network's
    const Index steps_, rows_;
    const bool batch_first_, has_dx_;
    const Index table_rows_;             // 0: no table
    std::vector<py::array> kept_alive_;  // what the tape borrows
    std::unique_ptr<Tape<T>> tape_;
};

}  // namespace fusedrnn::bindings
