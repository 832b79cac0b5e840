// Sums the weight gradients of a step block over its row-steps.
#include "rnn/layer/weight_gradient.hpp"

#include <algorithm>
#include <utility>

namespace fusedrnn {
namespace {

template <class T>
Index all_rows(const LayerBackward<T>& call) {
    return call.schedule.total() + (call.leftover ? call.leftover->count : 0);
}

// Where the first reduction block begins that has no row before `step`.
template <class T>
Index first_block_from(const LayerBackward<T>& call, Index step) {
    const Index before = call.row_steps_before + call.schedule.row_step(step, 0);
    return std::min(all_rows(call), ceil_div(before, reduction_block) * reduction_block - call.row_steps_before);
}

}  // namespace

template <class T>
ReadyRows<T>::ReadyRows(const LayerBackward<T>& call, const StepBlocks& step_blocks, Index step_block)
    : begin(first_block_from(call, step_blocks.steps(step_block).begin)),
      end(step_block > 0 ? first_block_from(call, step_blocks.steps(step_block - 1).begin) : all_rows(call)) {}

template <class T>
void WeightGradient<T>::run() {
    if (ready_.count() == 0) return;
    const LayerGradients<T>& out = d_.call.gradients[d_.direction];
    if (!out.w_hh) return;  // nobody wants them
    if (d_.call.tokens)
        sum_by_token();
    else
        gather(scratch_.right_rows[0], &LeftoverRows<T>::x, d_.call.input_size,
               [&](Index s, Index row) { return d_.x_at(s, row); });
    gather(scratch_.right_rows[1], &LeftoverRows<T>::h_prev, d_.recurrent,
           [&](Index s, Index row) { return d_.h_before(s, row); });
    gather(scratch_.left_rows, &LeftoverRows<T>::dgates, d_.dgates_width,
           [&](Index s, Index row) { return d_.dgates_at(s, row); });
    const OuterB<T> both[] = {{scratch_.right_rows[0].data(), d_.call.input_size},
                              {scratch_.right_rows[1].data(), d_.recurrent}};
    if (d_.call.tokens)
        outer(recurrent_parts(out), both + 1, 1);
    else
        outer(parts(out), both, 2);
    if (!out.w_hr) return;
    gather(scratch_.right_rows[0], &LeftoverRows<T>::unprojected, d_.hidden,
           [&](Index s, Index row) { return d_.unprojected_at(s, row); });
    gather(scratch_.left_rows, &LeftoverRows<T>::dh_proj, d_.spec.proj_size,
           [&](Index s, Index row) { return d_.dh_proj_at(s, row); });
    const OuterB<T> unprojected = {scratch_.right_rows[0].data(), d_.hidden};
    outer({{0, d_.spec.proj_size, {out.w_hr, nullptr}, {}}}, &unprojected, 1);
}

template <class T>
template <class RowOf>
void WeightGradient<T>::gather(std::vector<const T*>& rows, const Buffer<T> LeftoverRows<T>::* leftover, Index width,
                               RowOf row_of) {
    rows.clear();
    const Index total = d_.schedule.total();
    d_.schedule.for_each(ready_.begin, std::min(ready_.end, total),
                         [&](Index s, Index row) { rows.push_back(row_of(s, row)); });
    for (Index i = std::max(ready_.begin, total); i < ready_.end; ++i)
        rows.push_back((leftover_->*leftover).data() + (i - total) * width);
}

// Gate gradients in the longest runs that are neighbours in every parameter that sees them.
template <class T>
std::vector<OuterPartOfA<T>> WeightGradient<T>::parts(const LayerGradients<T>& out) const {
    const GradientRuns input = gradient_runs(d_.spec.cell, false), recurrent = gradient_runs(d_.spec.cell, true);
    std::vector<OuterPartOfA<T>> parts;
    for (int dgate = 0; dgate < d_.traits().gate_gradients; ++dgate) {
        if (dgate > 0 && input.goes_on_at(dgate) && recurrent.goes_on_at(dgate)) {
            parts.back().count += d_.hidden;
            continue;
        }
        parts.push_back({dgate * d_.hidden, d_.hidden, {}, {}});
        add_output(parts.back(), 0, input.gate_of(dgate), out.w_ih, d_.call.input_size, out.b_ih);
        add_output(parts.back(), 1, recurrent.gate_of(dgate), out.w_hh, d_.recurrent, out.b_hh);
    }
    return parts;
}

// Those that W_hh sees, where W_ih has its gradients from the tokens'.
template <class T>
std::vector<OuterPartOfA<T>> WeightGradient<T>::recurrent_parts(const LayerGradients<T>& out) const {
    const GradientRuns runs = gradient_runs(d_.spec.cell, true);
    std::vector<OuterPartOfA<T>> parts;
    for (int r = 0; r < runs.count; ++r) {
        parts.push_back({runs.run[r].dgate * d_.hidden, runs.run[r].count * d_.hidden, {}, {}});
        add_output(parts.back(), 0, runs.run[r].gate, out.w_hh, d_.recurrent, out.b_hh);
    }
    return parts;
}

// Adds the gate gradients that W_ih sees, which are the first ones, to their tokens' sums: a reduction block at a time,
// from the last to the first, as all sums over row-steps are taken.
template <class T>
void WeightGradient<T>::sum_by_token() {
    const Index width = d_.traits().gates * d_.hidden;
    const Range part = part_of(width, team_.index, team_.size);
    if (part.begin == part.end) return;
    std::vector<std::pair<std::int64_t, const T*>> rows;
    d_.schedule.for_each(ready_.begin, ready_.end, [&](Index s, Index row) {
        rows.emplace_back(*d_.call.tokens.at(d_.time(s, row), d_.batch_index(row)), d_.dgates_at(s, row) + part.begin);
    });
    const auto first_of = [&](Index i) { return rows.begin() + (i - ready_.begin); };
    const auto by_token = [](const auto& a, const auto& b) { return a.first < b.first; };
    for (Index end = ready_.end; end > ready_.begin;) {
        const Index begin = std::max(ready_.begin, (end - 1) / reduction_block * reduction_block);
        std::stable_sort(first_of(begin), first_of(end), by_token);
        for (auto one = first_of(begin); one != first_of(end);) {
            const std::int64_t token = one->first;
            scratch_.right_rows[0].clear();
            for (; one != first_of(end) && one->first == token; ++one) scratch_.right_rows[0].push_back(one->second);
            d_.call.kernels.sum_rows({
                .rows = scratch_.right_rows[0].data(),
                .count = static_cast<Index>(scratch_.right_rows[0].size()),
                .width = part.end - part.begin,
                .out = d_.call.token_gradients[d_.direction] + token * width + part.begin,
            });
        }
        end = begin;
    }
}

template <class T>
void WeightGradient<T>::add_output(OuterPartOfA<T>& part, int right, int gate, T* w, Index columns, T* b) const {
    if (gate < 0) return;
    const Index row = gate * d_.hidden;
    part.out[right] = w + row * columns;
    part.sums[right] = b ? b + row : nullptr;
}

// Each thread takes its share of every part.
template <class T>
void WeightGradient<T>::outer(std::vector<OuterPartOfA<T>> left, const OuterB<T>* right, int right_count) {
    for (OuterPartOfA<T>& part : left) {
        const Range share = part_of(part.count, team_.index, team_.size);
        part.first += share.begin;
        part.count = share.end - share.begin;
        for (int i = 0; i < right_count; ++i) {
            if (part.out[i]) part.out[i] += share.begin * right[i].columns;
            if (part.sums[i]) part.sums[i] += share.begin;
        }
    }
    d_.call.kernels.outer({
        .rows = ready_.count(),
        .a = scratch_.left_rows.data(),
        .a_parts = left.data(),
        .a_part_count = static_cast<int>(left.size()),
        .b = right,
        .b_count = right_count,
        .scratch = scratch_.sums.reserve(outer_scratch(right, right_count)),
    });
}

template <class T>
void keep_leftover(const DirectionBackward<T>& d) {
    LeftoverRows<T>* leftover = d.call.leftover;
    if (!leftover) return;
    LeftoverRows<T> kept;
    kept.count = ReadyRows<T>(d.call, d.step_blocks, d.step_blocks.count() - 1).begin;
    const auto keep = [&](Buffer<T> LeftoverRows<T>::* values, Index width, auto row_of) {
        T* at = (kept.*values).reserve(reduction_block * width);
        const Index own = std::min(kept.count, d.schedule.total());
        d.schedule.for_each(0, own, [&](Index s, Index row) { at = std::copy_n(row_of(s, row), width, at); });
        std::copy_n((leftover->*values).data(), (kept.count - own) * width, at);
    };
    keep(&LeftoverRows<T>::dgates, d.dgates_width, [&](Index s, Index row) { return d.dgates_at(s, row); });
    keep(&LeftoverRows<T>::x, d.call.input_size, [&](Index s, Index row) { return d.x_at(s, row); });
    keep(&LeftoverRows<T>::h_prev, d.recurrent, [&](Index s, Index row) { return d.h_before(s, row); });
    if (d.dh_proj) {
        keep(&LeftoverRows<T>::unprojected, d.hidden, [&](Index s, Index row) { return d.unprojected_at(s, row); });
        keep(&LeftoverRows<T>::dh_proj, d.spec.proj_size, [&](Index s, Index row) { return d.dh_proj_at(s, row); });
    }
    *leftover = std::move(kept);
}

#define FUSEDRNN_FOR(T)               \
    template struct ReadyRows<T>;     \
    template class WeightGradient<T>; \
    template void keep_leftover(const DirectionBackward<T>&);
FUSEDRNN_FOR(float)
FUSEDRNN_FOR(double)
#undef FUSEDRNN_FOR

}  // namespace fusedrnn
