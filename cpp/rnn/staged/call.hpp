// What a staged call works on: which rows have a step when, and where everything lies.
#pragma once

#include <cstdint>
#include <memory>
#include <numeric>
#include <vector>

#include "dispatch/dispatch.hpp"
#include "rnn/staged/weights.hpp"

namespace fusedrnn {

// Rows in the order of falling lengths, so that those that have a step are always the first ones. Step s is the s-th
// that a row takes, in the order of its direction.
class StagedSchedule {
public:
    StagedSchedule(const BatchShape& shape, bool reverse);

    Index steps() const { return steps_; }  // of the longest row
    Index rows() const { return static_cast<Index>(order_.size()); }
    Index original(Index row) const { return order_[static_cast<std::size_t>(row)]; }
    Index length(Index row) const { return length_[static_cast<std::size_t>(row)]; }
    Index time(Index step, Index row) const { return reverse_ ? length(row) - 1 - step : step; }
    // Whether a reset stands between the state and this step.
    bool cut(Index step, Index row) const {
        return !cut_.empty() && cut_[static_cast<std::size_t>(step * rows() + row)];
    }
    // Whether a truncation window begins with this step.
    bool window_begins(Index step, Index row, Index truncate) const {
        return truncate > 0 && step > 0 && (length(row) - step) % truncate == 0;
    }

private:
    std::vector<Index> order_, length_;
    std::vector<std::uint8_t> cut_;
    Index steps_ = 0;
    bool reverse_;
};

// Values of every row at the last `period` steps.
template <class T>
class Field {
public:
    void make(Index rows, Index width, Index period) {
        rows_ = rows, width_ = width, period_ = period;
        data_.reserve(rows * width * period);
    }
    explicit operator bool() const { return width_ > 0; }
    T* at(Index step, Index row) const { return data_.data() + ((step % period_) * rows_ + row) * width_; }
    Index width() const { return width_; }
    std::size_t bytes() const { return data_.bytes(); }

private:
    Buffer<T> data_;
    Index rows_ = 0, width_ = 0, period_ = 1;
};

// The memory of a call. Fields that an option does not need are empty. With a tape all of a sequence is kept.
template <class T>
struct StagedFields {
    Field<T> a;             // input products, then pre-activations, then their gradients
    Field<T> recurrent;     // recurrent products
    Field<T> h, c;          // the state after each step
    Field<T> new_h, new_c;  // before zoneout
    Field<T> before;        // h', masked
    Field<T> q, k, m;       // of cells.md: (G3), (B1), (L5)
    Field<T> normal_ih, normal_hh, deviation_ih, deviation_hh, normal_c, deviation_c;  // layer norm
    Field<T> x;                                                                        // a tape's copy

    std::size_t bytes() const {
        std::size_t sum = 0;
        for (const Field<T>* field : {&a, &recurrent, &h, &c, &new_h, &new_c, &before, &q, &k, &m, &normal_ih,
                                      &normal_hh, &deviation_ih, &deviation_hh, &normal_c, &deviation_c, &x})
            sum += field->bytes();
        return sum;
    }
};

// One call: what forward and backward both need.
template <class T>
struct StagedCall {
    StagedCall(const StagedSpec& spec, std::shared_ptr<const StagedWeights<T>> weights, const StagedInputs<T>& in,
               bool keeps);

    const StagedSpec spec;
    const std::shared_ptr<const StagedWeights<T>> weights;
    const KernelTable& table;
    const Kernels<T>& kernels;
    const StagedKernels<T>& cell_kernels;
    StagedInputs<T> in;  // of a tape: its own copies
    const StagedSchedule schedule;
    const bool keeps;
    const Index project_at_once;  // steps whose input products are taken at once
    StagedCell<T> cell;
    StagedFields<T> fields;
    Buffer<T> zeros;
    std::vector<Index> group_ends;  // of layer norm

    Index gate_rows() const { return spec.gate_rows(); }
    // Gates whose recurrent products come first: all, but n of a GRU that resets before.
    Index first_rows() const { return spec.resets_before() ? spec.gate_rows() - spec.hidden_size : spec.gate_rows(); }

    // The state that enters a step, before a mask.
    const T* entering(const Field<T>& states, const T* given, const T* initial, Index width, Index step,
                      Index row) const {
        if (schedule.cut(step, row)) return initial ? initial : zeros.data();
        if (step > 0) return states.at(step - 1, row);
        return given ? given + schedule.original(row) * width : zeros.data();
    }
    const T* entering_h(Index step, Index row) const {
        return entering(fields.h, in.h0, in.initial_h, spec.recurrent_size(), step, row);
    }
    // As the products see it.
    const T* masked_h(Index step, Index row) const {
        return fields.before ? fields.before.at(step, row) : entering_h(step, row);
    }
    const T* entering_c(Index step, Index row) const {
        return entering(fields.c, in.c0, in.initial_c, spec.hidden_size, step, row);
    }
    // c as the cell left it.
    const T* cell_c(Index step, Index row) const {
        return fields.new_c ? fields.new_c.at(step, row) : fields.c.at(step, row);
    }
    const T* zoneout(const Zoneout<T>& zone, Index step, Index row) const {
        return zone.shares ? zone.shares.at(schedule.time(step, row), schedule.original(row)) : nullptr;
    }
    const T* mask(Index row) const { return in.h_mask + schedule.original(row) * spec.recurrent_size(); }

    double multiply_adds() const;

private:
    void make_fields();
    StagedCell<T> make_cell() const;
};

// A product of some rows with a packed matrix.
template <class T>
struct StagedProduct {
    const T* packed;
    const T* start;  // or null
    Index depth, columns;
    bool by_chains = false, adds = false;

    void run(const Kernels<T>& kernels, const std::vector<const T*>& a, const std::vector<T*>& out) const {
        if (a.empty()) return;
        LinearArgs<T> args = {};
        args.rows = static_cast<Index>(a.size());
        args.a = a.data();
        args.out = out.data();
        args.depth = depth, args.columns = columns;
        args.b = packed, args.start = start;
        args.by_chains = by_chains, args.add_to_out = adds;
        args.block_begin = 0, args.block_end = ceil_div(columns, unit_block<T>);
        kernels.linear(args);
    }
};

// Runs the rows `part`, `part + parts`, ... of a call through all its steps.
template <class T>
void run_staged_forward(StagedCall<T>& call, const ForwardOutputs<T>& out);

template <class T>
void run_staged_backward(StagedCall<T>& call, const BackwardInputs<T>& in, const StagedBackwardOutputs<T>& out);

}  // namespace fusedrnn
