// A staged layer forward: every thread takes rows of its own through all steps.
#include <algorithm>

#include "dispatch/work.hpp"
#include "fusedrnn/interrupt.hpp"
#include "rnn/staged/call.hpp"

namespace fusedrnn {
namespace {

template <class T>
class StagedForward {
public:
    StagedForward(StagedCall<T>& call, const ForwardOutputs<T>& out, const Team& team)
        : call_(call), out_(out), team_(team) {
        for (Index row = team.index; row < call.schedule.rows(); row += team.size) rows_.push_back(row);
        scratch_.reserve(staged_scratch<T>(call.spec.hidden_size));
    }

    void run() {
        const Index steps = call_.schedule.steps();
        Index active = static_cast<Index>(rows_.size());
        for (Index step = 0; step < steps; ++step) {
            if (team_.ends()) return;
            if (team_.slot == 0) check_interrupt();
            while (active > 0 && call_.schedule.length(rows_[static_cast<std::size_t>(active - 1)]) <= step) --active;
            if (active == 0) break;
            if (step % call_.project_at_once == 0) project(step, std::min(step + call_.project_at_once, steps));
            take_step(step, active);
        }
        write_ends();
    }

private:
    using Pointers = std::vector<T*>;
    using Sources = std::vector<const T*>;

    // visit(row) for the first `active` of this thread's rows.
    template <class Visit>
    void for_rows(Index active, Visit visit) {
        for (Index i = 0; i < active; ++i) visit(rows_[static_cast<std::size_t>(i)]);
    }
    void gather(const Field<T>& field, Index step, Index active, Pointers& out, Index offset = 0) {
        out.clear();
        for_rows(active, [&](Index row) { out.push_back(field.at(step, row) + offset); });
    }

    // The input products of steps [begin, end): u of (O2).
    void project(Index begin, Index end) {
        StagedFields<T>& fields = call_.fields;
        Sources x;
        Pointers out, normal, deviation;
        for (Index step = begin; step < end; ++step)
            for (const Index row : rows_) {
                if (call_.schedule.length(row) <= step) break;
                const T* from = call_.in.x.at(call_.schedule.time(step, row), call_.schedule.original(row));
                if (fields.x) {
                    T* const kept = fields.x.at(step, row);
                    std::copy_n(from, call_.spec.input_size, kept);
                    from = kept;
                }
                x.push_back(from);
                out.push_back(fields.a.at(step, row));
                if (!fields.normal_ih) continue;
                normal.push_back(fields.normal_ih.at(step, row));
                deviation.push_back(fields.deviation_ih.at(step, row));
            }
        const StagedWeights<T>& w = *call_.weights;
        const bool norm = call_.spec.layer_norm;
        StagedProduct<T>{w.w_ih.data(), norm ? nullptr : w.b_ih.data(), call_.spec.input_size, call_.gate_rows()}.run(
            call_.kernels, x, norm ? normal : out);
        if (norm) normalise(normal, deviation, out, w.gain_ih.data(), w.b_ih.data());
    }

    void normalise(const Pointers& normal, const Pointers& deviation, const Pointers& out, const T* gain,
                   const T* shift) {
        call_.kernels.normalise({.rows = static_cast<Index>(normal.size()),
                                 .normal = normal.data(),
                                 .deviation = deviation.data(),
                                 .out = out.data(),
                                 .group_ends = call_.group_ends.data(),
                                 .groups = static_cast<Index>(call_.group_ends.size()),
                                 .gain = gain,
                                 .shift = shift,
                                 .epsilon = call_.cell.epsilon});
    }

    void take_step(Index step, Index active) {
        mask_state(step, active);
        multiply_state(step, active);
        gather_cells(step, active);
        const StagedForwardArgs<T> args = {&call_.cell, active, cells_.data(), scratch_.data()};
        call_.cell_kernels.forward(args);
        if (call_.cell_kernels.second_forward) {
            multiply_reset_state(step, active);
            call_.cell_kernels.second_forward(args);
        }
        if (call_.spec.proj_size) project_output(step, active);
        if (call_.fields.new_h) blend_h(step, active);
        if (call_.fields.new_c) blend_c(step, active);
        write_step(step, active);
    }

    // (O1)
    void mask_state(Index step, Index active) {
        h_prev_.clear();
        for_rows(active, [&](Index row) { h_prev_.push_back(call_.entering_h(step, row)); });
        h_seen_ = h_prev_;
        if (!call_.fields.before) return;
        Sources masks;
        for_rows(active, [&](Index row) { masks.push_back(call_.mask(row)); });
        Pointers before;
        gather(call_.fields.before, step, active, before);
        MultiplyArgs<T> args = {};
        args.rows = active, args.width = call_.spec.recurrent_size();
        args.a = h_prev_.data(), args.b = masks.data(), args.out = before.data();
        call_.kernels.multiply(args);
        h_seen_.assign(before.begin(), before.end());
    }

    // The recurrent products: v of (O2), (O11).
    void multiply_state(Index step, Index active) {
        const StagedWeights<T>& w = *call_.weights;
        gather(call_.fields.recurrent, 0, active, recurrent_);
        if (call_.spec.independent) {
            MultiplyArgs<T> args = {};
            args.rows = active, args.width = call_.spec.hidden_size;
            args.a = h_seen_.data(), args.same_b = w.w_hh.data(), args.c = w.b_hh.data(), args.out = recurrent_.data();
            return call_.kernels.multiply(args);
        }
        const Index out = call_.spec.recurrent_size();
        if (!call_.spec.layer_norm)
            return StagedProduct<T>{w.w_hh.data(), w.b_hh.data(), out, call_.first_rows()}.run(call_.kernels, h_seen_,
                                                                                               recurrent_);
        Pointers normal, deviation;
        gather(call_.fields.normal_hh, step, active, normal);
        gather(call_.fields.deviation_hh, step, active, deviation);
        StagedProduct<T>{w.w_hh.data(), nullptr, out, call_.gate_rows()}.run(call_.kernels, h_seen_, normal);
        normalise(normal, deviation, recurrent_, w.gain_hh.data(), w.b_hh.data());
    }

    void gather_cells(Index step, Index active) {
        StagedFields<T>& fields = call_.fields;
        cells_.clear();
        Index i = 0;
        for_rows(active, [&](Index row) {
            StagedRow<T> at = {};
            at.h_prev = h_prev_[static_cast<std::size_t>(i)];
            at.h_seen = h_seen_[static_cast<std::size_t>(i)];
            at.recurrent = recurrent_[static_cast<std::size_t>(i)];
            at.a = fields.a.at(step, row);
            if (fields.q) at.q = fields.q.at(step, row);
            if (fields.k) at.k = fields.k.at(step, row);
            at.m = fields.m ? fields.m.at(step, row) : new_h(step, row);
            if (fields.c) {
                at.c_prev = call_.entering_c(step, row);
                at.c = fields.new_c ? fields.new_c.at(step, row) : fields.c.at(step, row);
            }
            if (fields.normal_c) {
                at.normal_c = fields.normal_c.at(step, row);
                at.deviation_c = fields.deviation_c.at(step, row);
            }
            cells_.push_back(at);
            ++i;
        });
    }

    T* new_h(Index step, Index row) const {
        return call_.fields.new_h ? call_.fields.new_h.at(step, row) : call_.fields.h.at(step, row);
    }

    // W_hn k of (B2).
    void multiply_reset_state(Index step, Index active) {
        Sources k;
        for_rows(active, [&](Index row) { k.push_back(call_.fields.k.at(step, row)); });
        Pointers out;
        gather(call_.fields.recurrent, 0, active, out, call_.first_rows());
        const Index hidden = call_.spec.hidden_size;
        StagedProduct<T>{call_.weights->w_hn.data(), call_.weights->b_hn.data(), hidden, hidden}.run(call_.kernels, k,
                                                                                                     out);
    }

    // (L6)
    void project_output(Index step, Index active) {
        Sources m;
        Pointers out;
        for_rows(active, [&](Index row) {
            m.push_back(call_.fields.m.at(step, row));
            out.push_back(new_h(step, row));
        });
        StagedProduct<T>{call_.weights->w_hr.data(), nullptr, call_.spec.hidden_size, call_.spec.proj_size}.run(
            call_.kernels, m, out);
    }

    // (O9)
    void blend_h(Index step, Index active) {
        blend(call_.in.zoneout_h, call_.fields.new_h, h_prev_, call_.fields.h, step, active);
    }
    void blend_c(Index step, Index active) {
        Sources old;
        for_rows(active, [&](Index row) { old.push_back(call_.entering_c(step, row)); });
        blend(call_.in.zoneout_c, call_.fields.new_c, old, call_.fields.c, step, active);
    }
    void blend(const Zoneout<T>& zone, const Field<T>& from, const Sources& old, const Field<T>& to, Index step,
               Index active) {
        Sources x, shares;
        Pointers out;
        for_rows(active, [&](Index row) {
            x.push_back(from.at(step, row));
            out.push_back(to.at(step, row));
            if (zone.shares) shares.push_back(call_.zoneout(zone, step, row));
        });
        call_.kernels.blend({.rows = active,
                             .width = to.width(),
                             .x = x.data(),
                             .old = old.data(),
                             .share = zone.shares ? shares.data() : nullptr,
                             .one_share = static_cast<T>(zone.share),
                             .out = out.data()});
    }

    void write_step(Index step, Index active) {
        for_rows(active, [&](Index row) {
            const Index t = call_.schedule.time(step, row), b = call_.schedule.original(row);
            std::copy_n(call_.fields.h.at(step, row), call_.spec.recurrent_size(), out_.y.at(t, b));
            if (out_.cell_states)
                std::copy_n(call_.fields.c.at(step, row), call_.spec.hidden_size, out_.cell_states.at(t, b));
        });
    }

    // The last states, and zeros in the padding.
    void write_ends() {
        const Index out = call_.spec.recurrent_size(), hidden = call_.spec.hidden_size;
        for (const Index row : rows_) {
            const Index length = call_.schedule.length(row), b = call_.schedule.original(row);
            copy_or_zero(length ? call_.fields.h.at(length - 1, row) : given(call_.in.h0, row, out), out,
                         out_.h_n + b * out);
            if (out_.c_n)
                copy_or_zero(length ? call_.fields.c.at(length - 1, row) : given(call_.in.c0, row, hidden), hidden,
                             out_.c_n + b * hidden);
            for (Index t = length; t < call_.in.shape.steps; ++t) {
                std::fill_n(out_.y.at(t, b), out, T(0));
                if (out_.cell_states) std::fill_n(out_.cell_states.at(t, b), hidden, T(0));
            }
        }
    }
    const T* given(const T* state, Index row, Index width) const {
        return state ? state + call_.schedule.original(row) * width : nullptr;
    }

    StagedCall<T>& call_;
    const ForwardOutputs<T>& out_;
    const Team& team_;
    std::vector<Index> rows_;
    Buffer<T> scratch_;
    Sources h_prev_, h_seen_;  // as it is, and as the products see it
    Pointers recurrent_;
    std::vector<StagedRow<T>> cells_;
};

}  // namespace

template <class T>
void run_staged_forward(StagedCall<T>& call, const ForwardOutputs<T>& out) {
    const int wanted = threads_for_multiply_adds<T>(call.multiply_adds());
    const int threads = static_cast<int>(std::clamp<Index>(call.schedule.rows(), 1, wanted));
    auto body = [&](int, const Team& team) { StagedForward<T>(call, out, team).run(); };
    for_shares({threads}, threads, body);
}

template void run_staged_forward(StagedCall<float>&, const ForwardOutputs<float>&);
template void run_staged_forward(StagedCall<double>&, const ForwardOutputs<double>&);

}  // namespace fusedrnn
