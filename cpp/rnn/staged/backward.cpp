// A staged layer backward through time: every thread takes rows of its own back through all steps; then the sums over
// all row-steps are shared out by columns.
#include <algorithm>

#include "dispatch/work.hpp"
#include "fusedrnn/interrupt.hpp"
#include "rnn/staged/call.hpp"

namespace fusedrnn {
namespace {

// What comes back through time, row by row, and what the sums over time need beside the tape.
template <class T>
struct BackwardFields {
    Field<T> dh, dc;                          // carried
    Field<T> dh_after_reset, dc_after_reset;  // what reached the state that a reset has put in place
    Field<T> dv;                              // gradients of the recurrent products, of a GRU that resets after
    Field<T> dproduct;                        // the same before layer norm
    Field<T> dprojected;                      // gradients of h, for W_hr
    Field<T> dnormal_c;

    explicit BackwardFields(const StagedCall<T>& call) {
        const StagedSpec& spec = call.spec;
        const Index rows = call.schedule.rows(), all = std::max<Index>(1, call.schedule.steps());
        const bool lstm = spec.has_cell_state();
        dh.make(rows, spec.recurrent_size(), 1);
        dh_after_reset.make(rows, spec.recurrent_size(), 1);
        if (lstm) dc.make(rows, spec.hidden_size, 1);
        if (lstm) dc_after_reset.make(rows, spec.hidden_size, 1);
        if (spec.cell == CellKind::gru && !spec.resets_before()) dv.make(rows, call.gate_rows(), all);
        if (spec.layer_norm) dproduct.make(rows, call.gate_rows(), all);
        if (spec.proj_size) dprojected.make(rows, spec.proj_size, all);
        if (spec.layer_norm && lstm) dnormal_c.make(rows, spec.hidden_size, all);
    }
};

template <class T>
class StagedBackward {
public:
    StagedBackward(StagedCall<T>& call, BackwardFields<T>& fields, const BackwardInputs<T>& in, const Team& team)
        : call_(call), fields_(fields), in_(in), team_(team) {
        for (Index row = team.index; row < call.schedule.rows(); row += team.size) rows_.push_back(row);
        const auto count = static_cast<Index>(rows_.size()), hidden = call.spec.hidden_size;
        scratch_.reserve(staged_scratch<T>(hidden));
        dm_.make(count, hidden, 1);
        dk_.make(count, hidden, 1);
        dnew_.make(count, call.spec.recurrent_size(), 1);
        if (call.in.h_mask) dseen_.make(count, call.spec.recurrent_size(), 1);
        dold_.make(count, call.spec.recurrent_size(), 1);
        dc_old_.make(count, hidden, 1);
    }

    void run() {
        begin();
        for (Index step = call_.schedule.steps() - 1; step >= 0; --step) {
            if (team_.ends()) return;
            if (team_.slot == 0) check_interrupt();
            active_ = 0;
            while (active_ < static_cast<Index>(rows_.size()) && call_.schedule.length(row(active_)) > step) ++active_;
            if (active_) take_step(step);
        }
    }

private:
    using Pointers = std::vector<T*>;
    using Sources = std::vector<const T*>;

    Index row(Index i) const { return rows_[static_cast<std::size_t>(i)]; }
    template <class At>
    Pointers gather(At at) {
        Pointers out;
        for (Index i = 0; i < active_; ++i) out.push_back(at(i));
        return out;
    }
    template <class At>
    Sources sources(At at) {
        Sources out;
        for (Index i = 0; i < active_; ++i) out.push_back(at(i));
        return out;
    }

    void begin() {
        const Index out = call_.spec.recurrent_size(), hidden = call_.spec.hidden_size;
        for (const Index r : rows_) {
            const Index b = call_.schedule.original(r);
            copy_or_zero(in_.dh_n ? in_.dh_n + b * out : nullptr, out, fields_.dh.at(0, r));
            std::fill_n(fields_.dh_after_reset.at(0, r), out, T(0));
            if (!fields_.dc) continue;
            copy_or_zero(in_.dc_n ? in_.dc_n + b * hidden : nullptr, hidden, fields_.dc.at(0, r));
            std::fill_n(fields_.dc_after_reset.at(0, r), hidden, T(0));
        }
    }

    void take_step(Index step) {
        add_dy(step);
        undo_zoneout(step);
        if (call_.spec.proj_size)
            undo_projection(step);
        else
            for (Index i = 0; i < active_; ++i) std::copy_n(dh(i), call_.spec.hidden_size, dm_.at(0, i));
        gather_cells(step);
        const StagedBackwardArgs<T> args = {&call_.cell, active_, cells_.data(), scratch_.data()};
        call_.cell_kernels.backward(args);
        if (call_.cell_kernels.second_backward) {
            const Index hidden = call_.spec.hidden_size;  // (B3)
            StagedProduct<T>{call_.weights->w_hn_backward.data(), nullptr, hidden, hidden, true}.run(
                call_.kernels, sources([&](Index i) { return call_.fields.a.at(step, row(i)) + call_.first_rows(); }),
                gather([&](Index i) { return dk_.at(0, i); }));
            call_.cell_kernels.second_backward(args);
        }
        go_through_products(step);
        finish(step);
    }

    T* dh(Index i) const { return fields_.dh.at(0, row(i)); }
    T* dc(Index i) const { return fields_.dc.at(0, row(i)); }
    // The gradient of h' as the products see it.
    T* seen(Index i) const { return dseen_ ? dseen_.at(0, i) : dnew_.at(0, i); }

    // (T1)
    void add_dy(Index step) {
        if (!in_.dy) return;
        const Index out = call_.spec.recurrent_size();
        for (Index i = 0; i < active_; ++i) {
            const T* const dy = in_.dy.at(call_.schedule.time(step, row(i)), call_.schedule.original(row(i)));
            T* const to = dh(i);
            for (Index j = 0; j < out; ++j) to[j] += dy[j];
        }
    }

    // Cuts a gradient in what goes to the old state and what goes to the new one: (O9).
    void undo_zoneout(Index step) {
        if (call_.in.zoneout_h.acts())
            divide(call_.in.zoneout_h, step, gather([&](Index i) { return dh(i); }),
                   gather([&](Index i) { return dold_.at(0, i); }), call_.spec.recurrent_size());
        if (call_.fields.new_c)
            divide(call_.in.zoneout_c, step, gather([&](Index i) { return dc(i); }),
                   gather([&](Index i) { return dc_old_.at(0, i); }), call_.spec.hidden_size);
    }
    void divide(const Zoneout<T>& zone, Index step, const Pointers& d, const Pointers& old, Index width) {
        for (std::size_t i = 0; i < d.size(); ++i) {
            const T* const shares = call_.zoneout(zone, step, row(static_cast<Index>(i)));
            for (Index j = 0; j < width; ++j) {
                const T share = shares ? shares[j] : static_cast<T>(zone.share);
                old[i][j] = d[i][j] * share;
                d[i][j] *= T(1) - share;
            }
        }
    }

    // (L7)
    void undo_projection(Index step) {
        const auto kept = [&](Index i) { return fields_.dprojected.at(step, row(i)); };
        for (Index i = 0; i < active_; ++i) std::copy_n(dh(i), call_.spec.proj_size, kept(i));
        StagedProduct<T>{call_.weights->w_hr_backward.data(), nullptr, call_.spec.proj_size, call_.spec.hidden_size,
                         true}
            .run(call_.kernels, sources(kept), gather([&](Index i) { return dm_.at(0, i); }));
    }

    void gather_cells(Index step) {
        const StagedFields<T>& kept = call_.fields;
        cells_.clear();
        for (Index i = 0; i < active_; ++i) {
            const Index r = row(i);
            StagedBackwardRow<T> at = {};
            at.h_prev = call_.entering_h(step, r);
            at.h_seen = call_.masked_h(step, r);
            if (kept.q) at.q = kept.q.at(step, r);
            at.a = kept.a.at(step, r);
            if (fields_.dv) at.recurrent = fields_.dv.at(step, r);
            at.dm = dm_.at(0, i);
            at.dk = dk_.at(0, i);
            at.dh = dnew_.at(0, i);
            at.dh_seen = seen(i);
            if (kept.c) {
                at.c_prev = call_.entering_c(step, r);
                at.c = call_.cell_c(step, r);
                at.dc = dc(i);
            }
            if (kept.normal_c) {
                at.normal_c = kept.normal_c.at(step, r);
                at.deviation_c = kept.deviation_c.at(step, r);
                at.dnormal_c = fields_.dnormal_c.at(step, r);
            }
            cells_.push_back(at);
        }
    }

    // The gradient of h' from those of the recurrent products: (R4), (L13), (G10), (B5).
    void go_through_products(Index step) {
        const StagedWeights<T>& w = *call_.weights;
        Sources d = sources([&](Index i) -> const T* {
            return fields_.dv ? fields_.dv.at(step, row(i)) : call_.fields.a.at(step, row(i));
        });
        const Pointers out = gather([&](Index i) { return seen(i); });
        if (call_.spec.independent) {
            MultiplyArgs<T> args = {};
            args.rows = active_, args.width = call_.spec.hidden_size;
            args.a = d.data(), args.same_b = w.w_hh.data(), args.out = out.data();
            return call_.kernels.multiply(args);
        }
        if (fields_.dproduct) {
            const Pointers products = gather([&](Index i) { return fields_.dproduct.at(step, row(i)); });
            const Sources normal = sources([&](Index i) { return call_.fields.normal_hh.at(step, row(i)); });
            const Sources deviation = sources([&](Index i) { return call_.fields.deviation_hh.at(step, row(i)); });
            call_.kernels.normalise_backward({.rows = active_,
                                              .normal = normal.data(),
                                              .deviation = deviation.data(),
                                              .gradient = d.data(),
                                              .out = products.data(),
                                              .group_ends = call_.group_ends.data(),
                                              .groups = static_cast<Index>(call_.group_ends.size()),
                                              .gain = w.gain_hh.data()});
            d.assign(products.begin(), products.end());
        }
        const bool adds = dseen_ ? call_.spec.resets_before() : call_.spec.cell == CellKind::gru;
        StagedProduct<T>{w.w_hh_backward.data(), nullptr, call_.first_rows(), call_.spec.recurrent_size(), true, adds}
            .run(call_.kernels, d, out);
    }

    // What is carried on to the step before: (T2).
    void finish(Index step) {
        const Index out = call_.spec.recurrent_size(), hidden = call_.spec.hidden_size;
        for (Index i = 0; i < active_; ++i) {
            const Index r = row(i);
            T* const d = dnew_.at(0, i);
            if (dseen_) unmask(i, d);
            if (call_.in.zoneout_h.acts())
                for (Index j = 0; j < out; ++j) d[j] += dold_.at(0, i)[j];
            carry(step, r, d, dh(i), fields_.dh_after_reset.at(0, r), out);
            if (!fields_.dc) continue;
            if (call_.fields.new_c)
                for (Index j = 0; j < hidden; ++j) dc(i)[j] += dc_old_.at(0, i)[j];
            carry(step, r, dc(i), dc(i), fields_.dc_after_reset.at(0, r), hidden);
        }
    }
    // (O1)
    void unmask(Index i, T* d) {
        const bool has_direct = call_.spec.cell == CellKind::gru;
        const T *const mask = call_.mask(row(i)), *const masked = dseen_.at(0, i);
        for (Index j = 0; j < call_.spec.recurrent_size(); ++j) d[j] = (has_direct ? d[j] : T(0)) + masked[j] * mask[j];
    }
    void carry(Index step, Index r, const T* d, T* to, T* after_reset, Index width) {
        if (call_.schedule.cut(step, r)) {
            for (Index j = 0; j < width; ++j) after_reset[j] += d[j];
            std::fill_n(to, width, T(0));
        } else if (call_.schedule.window_begins(step, r, in_.truncate)) {
            std::fill_n(to, width, T(0));
        } else if (to != d) {
            std::copy_n(d, width, to);
        }
    }

    StagedCall<T>& call_;
    BackwardFields<T>& fields_;
    const BackwardInputs<T>& in_;
    const Team& team_;
    std::vector<Index> rows_;
    Index active_ = 0;
    Buffer<T> scratch_;
    Field<T> dm_, dk_, dnew_, dseen_, dold_, dc_old_;
    std::vector<StagedBackwardRow<T>> cells_;
};

// The sums over all row-steps, in the order of steps and rows.
template <class T>
class StagedSums {
public:
    StagedSums(StagedCall<T>& call, const BackwardFields<T>& fields, const StagedBackwardOutputs<T>& out)
        : call_(call), fields_(fields), out_(out), slots_(staged_slots(call.spec)) {
        const StagedFields<T>& kept = call.fields;
        for (Index step = 0; step < call.schedule.steps(); ++step)
            for (Index row = 0; row < call.schedule.rows() && call.schedule.length(row) > step; ++row) {
                du_.push_back(kept.a.at(step, row));
                dv_.push_back(fields.dv ? fields.dv.at(step, row) : kept.a.at(step, row));
                dproduct_.push_back(fields.dproduct ? fields.dproduct.at(step, row) : dv_.back());
                dinput_.push_back(kept.normal_ih ? kept.normal_ih.at(step, row) : kept.a.at(step, row));
                x_.push_back(kept.x.at(step, row));
                dx_.push_back(out.dx.at(call.schedule.time(step, row), call.schedule.original(row)));
                h_prev_.push_back(call.masked_h(step, row));
                add(kept.k, step, row, k_);
                add(kept.m, step, row, m_);
                add(fields.dprojected, step, row, dprojected_);
                add(kept.normal_hh, step, row, normal_hh_);
                add(kept.deviation_ih, step, row, deviation_ih_);
                add(kept.normal_c, step, row, normal_c_);
                add(fields.dnormal_c, step, row, dnormal_c_);
                if (!call.spec.peephole) continue;
                c_prev_.push_back(call.entering_c(step, row));
                c_.push_back(call.cell_c(step, row));
            }
    }

    static constexpr int phases = 3;

    void run(int phase, const Team& team, Buffer<T>& scratch) const {
        if (du_.empty()) return;
        switch (phase) {
            case 0:  // what needs layer norm's values as they are
                return sum_vectors(team);
            case 1:
                return undo_input_norm(team);
            default:
                sum_matrices(team, scratch);
                multiply_inputs(team);
        }
    }

private:
    using Rows = std::vector<const T*>;

    void add(const Field<T>& field, Index step, Index row, Rows& rows) const {
        if (field) rows.push_back(field.at(step, row));
    }
    T* gradient(StagedParameter which) const {
        const int slot = slots_[static_cast<std::size_t>(which)];
        return slot < 0 ? nullptr : out_.params[static_cast<std::size_t>(slot)];
    }
    Index count() const { return static_cast<Index>(du_.size()); }

    void sum_vectors(const Team& team) const {
        using enum StagedParameter;
        const Index gates = call_.gate_rows(), hidden = call_.spec.hidden_size;
        if (call_.spec.layer_norm) {
            products(team, du_, 0, dinput_, gates, gradient(gain_ih));
            products(team, dv_, 0, normal_hh_, gates, gradient(gain_hh));
            rows(team, du_, 0, gates, gradient(b_ih));
            rows(team, dv_, 0, gates, gradient(b_hh));
        }
        if (T* const to = gradient(gain_c)) {
            products(team, dnormal_c_, 0, normal_c_, hidden, to);
            rows(team, dnormal_c_, 0, hidden, gradient(shift_c));
        }
        if (call_.spec.independent) {
            products(team, dv_, 0, h_prev_, hidden, gradient(w_hh));
            rows(team, dv_, 0, hidden, gradient(b_hh));
        }
        if (T* const to = gradient(w_ch)) {
            const Index o = (call_.spec.gate_count() - 1) * hidden;
            products(team, du_, 0, c_prev_, hidden, to);
            if (!call_.spec.coupled) products(team, du_, hidden, c_prev_, hidden, to + hidden);
            products(team, du_, o, c_, hidden, to + (call_.spec.coupled ? 1 : 2) * hidden);
        }
    }

    // to[j] += the sum of a[offset + j] * b[j], for this thread's part of the width.
    void products(const Team& team, const Rows& a, Index offset, const Rows& b, Index width, T* to) const {
        const Range part = part_of(width, team.index, team.size);
        if (!to || part.begin == part.end) return;
        Rows shifted = a;
        for (const T*& row : shifted) row += offset;
        call_.kernels.sum_products({.rows = count(),
                                    .a = shifted.data(),
                                    .b = b.data(),
                                    .first = part.begin,
                                    .count = part.end - part.begin,
                                    .out = to + part.begin});
    }
    void rows(const Team& team, const Rows& a, Index offset, Index width, T* to) const {
        const Range part = part_of(width, team.index, team.size);
        if (!to || part.begin == part.end) return;
        Rows shifted = a;
        for (const T*& row : shifted) row += offset + part.begin;
        call_.kernels.sum_rows({shifted.data(), count(), part.end - part.begin, to + part.begin});
    }

    // The gradients of the input products take the place of the normalised ones.
    void undo_input_norm(const Team& team) const {
        if (!call_.spec.layer_norm) return;
        const Range part = part_of(count(), team.index, team.size);
        call_.kernels.normalise_backward({.rows = part.end - part.begin,
                                          .normal = dinput_.data() + part.begin,
                                          .deviation = deviation_ih_.data() + part.begin,
                                          .gradient = du_.data() + part.begin,
                                          .out = const_cast<T* const*>(dinput_.data()) + part.begin,
                                          .group_ends = call_.group_ends.data(),
                                          .groups = static_cast<Index>(call_.group_ends.size()),
                                          .gain = call_.weights->gain_ih.data()});
    }

    // (W1), (W2)
    void sum_matrices(const Team& team, Buffer<T>& scratch) const {
        using enum StagedParameter;
        const Index gates = call_.gate_rows(), first = call_.first_rows(), out = call_.spec.recurrent_size();
        const Index hidden = call_.spec.hidden_size;
        const bool norm = call_.spec.layer_norm;
        outer(team, scratch, dinput_, 0, gates, x_, call_.spec.input_size, gradient(w_ih),
              norm ? nullptr : gradient(b_ih));
        if (!call_.spec.independent)
            outer(team, scratch, dproduct_, 0, first, h_prev_, out, gradient(w_hh), norm ? nullptr : gradient(b_hh));
        if (call_.spec.resets_before()) {  // (B6)
            T* const bias = gradient(b_hh);
            outer(team, scratch, dproduct_, first, hidden, k_, out, gradient(w_hh) + first * out,
                  bias ? bias + first : nullptr);
        }
        if (call_.spec.proj_size)
            outer(team, scratch, dprojected_, 0, call_.spec.proj_size, m_, hidden, gradient(w_hr), nullptr);
    }

    // to (width, columns) += the sum of a[offset + i] b[j].
    void outer(const Team& team, Buffer<T>& scratch, const Rows& a, Index offset, Index width, const Rows& b,
               Index columns, T* to, T* sums) const {
        const Range part = part_of(width, team.index, team.size);
        if (part.begin == part.end) return;
        const OuterPartOfA<T> left = {offset + part.begin,
                                      part.end - part.begin,
                                      {to + part.begin * columns, nullptr},
                                      {sums ? sums + part.begin : nullptr, nullptr}};
        const OuterB<T> right = {b.data(), columns};
        OuterArgs<T> args = {};
        args.rows = count();
        args.a = a.data();
        args.a_parts = &left;
        args.a_part_count = 1;
        args.b = &right;
        args.b_count = 1;
        args.scratch = scratch.reserve(outer_scratch(&right, 1));
        call_.kernels.outer(args);
    }

    // (W3)
    void multiply_inputs(const Team& team) const {
        const Range part = part_of(count(), team.index, team.size);
        const std::vector<const T*> from(dinput_.begin() + part.begin, dinput_.begin() + part.end);
        const std::vector<T*> to(dx_.begin() + part.begin, dx_.begin() + part.end);
        StagedProduct<T>{call_.weights->w_ih_backward.data(), nullptr, call_.gate_rows(), call_.spec.input_size, true}
            .run(call_.kernels, from, to);
    }

    StagedCall<T>& call_;
    const BackwardFields<T>& fields_;
    const StagedBackwardOutputs<T>& out_;
    const std::array<int, staged_parameter_count> slots_;
    Rows du_, dv_, dproduct_, dinput_, x_, h_prev_, k_, m_, dprojected_, normal_hh_, deviation_ih_, normal_c_,
        dnormal_c_, c_prev_, c_;
    std::vector<T*> dx_;
};

// The gradients of the given state, and of the one after a reset: the rows added in their own order.
template <class T>
void write_states(const StagedCall<T>& call, const Field<T>& carried, const Field<T>& after_reset, T* d0, T* dinitial) {
    const Index rows = call.schedule.rows(), width = carried.width();
    std::vector<Index> place(static_cast<std::size_t>(rows));
    for (Index row = 0; row < rows; ++row) place[static_cast<std::size_t>(call.schedule.original(row))] = row;
    std::fill_n(dinitial, width, T(0));
    for (Index b = 0; b < rows; ++b) {
        const Index row = place[static_cast<std::size_t>(b)];
        std::copy_n(carried.at(0, row), width, d0 + b * width);
        for (Index j = 0; j < width; ++j) dinitial[j] += after_reset.at(0, row)[j];
    }
}

template <class T>
void clear_padding(const StagedCall<T>& call, const View<T>& dx) {
    for (Index row = 0; row < call.schedule.rows(); ++row)
        for (Index t = call.schedule.length(row); t < call.in.shape.steps; ++t)
            std::fill_n(dx.at(t, call.schedule.original(row)), call.spec.input_size, T(0));
}

}  // namespace

template <class T>
void run_staged_backward(StagedCall<T>& call, const BackwardInputs<T>& in, const StagedBackwardOutputs<T>& out) {
    BackwardFields<T> fields(call);
    const int wanted = threads_for_multiply_adds<T>(2 * call.multiply_adds());
    const int threads = static_cast<int>(std::clamp<Index>(call.schedule.rows(), 1, wanted));
    auto back = [&](int, const Team& team) { StagedBackward<T>(call, fields, in, team).run(); };
    for_shares({threads}, threads, back);
    write_states(call, fields.dh, fields.dh_after_reset, out.dh0, out.dinitial_h);
    if (fields.dc) write_states(call, fields.dc, fields.dc_after_reset, out.dc0, out.dinitial_c);
    clear_padding(call, out.dx);
    const StagedSums<T> sums(call, fields, out);
    std::vector<Buffer<T>> scratch(static_cast<std::size_t>(wanted));
    auto sum = [&](int phase, const Team& team) {
        sums.run(phase, team, scratch[static_cast<std::size_t>(team.slot)]);
    };
    for_shares({wanted, StagedSums<T>::phases}, wanted, sum);
}

template void run_staged_backward(StagedCall<float>&, const BackwardInputs<float>&,
                                  const StagedBackwardOutputs<float>&);
template void run_staged_backward(StagedCall<double>&, const BackwardInputs<double>&,
                                  const StagedBackwardOutputs<double>&);

}  // namespace fusedrnn
