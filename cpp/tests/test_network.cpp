// Whole networks through the C++ API: gradients against finite differences in double, and every choice that must not
// change a bit: the batch a row is in, where a sequence is cut, stepping through it, recording it, the number of
// threads, and which of the ISAs with fused multiply-add computes.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "check.hpp"
#include "dispatch/caches.hpp"
#include "dispatch/dispatch.hpp"
#include "fusedrnn/network.hpp"
#include "fusedrnn/runtime.hpp"
#include "kernels/kernel_table.hpp"
#include "random.hpp"
#include "rnn/plan/projection.hpp"
#include "rnn/plan/step_blocks.hpp"
#include "threads/team_mode.hpp"

namespace {

using namespace fusedrnn;
using fusedrnn_test::Checks;
using fusedrnn_test::Random;

template <class T>
std::vector<T> numbers(Index count, Random& random, T scale = 1) {
    std::vector<T> values(static_cast<std::size_t>(count));
    for (T& value : values) value = random.unit<T>() * scale;
    return values;
}

template <class T>
std::vector<T> nan(Index count) {
    return std::vector<T>(static_cast<std::size_t>(count), std::numeric_limits<T>::quiet_NaN());
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// What goes into one call. Arrays as network.hpp describes them, compact and time-major.
template <class T>
struct Problem {
    NetworkSpec spec;
    Index steps, rows;
    std::vector<std::int64_t> lengths;  // or empty
    std::vector<std::uint8_t> reset;    // or empty
    std::vector<std::vector<T>> params;
    std::vector<T> x, h0, c0, dy, dh_n, dc_n;

    Index states() const { return spec.layers * spec.directions(); }
    bool has_cell_state() const { return spec.traits().has_cell_state; }
    Index y_size() const { return steps * rows * spec.output_size(); }
    Index h_size() const { return states() * rows * spec.recurrent_size(); }
    Index c_size() const { return has_cell_state() ? states() * rows * spec.hidden_size : 0; }

    Problem(const NetworkSpec& spec_, Index steps_, Index rows_, std::uint64_t seed)
        : spec(spec_), steps(steps_), rows(rows_) {
        Random random(seed);
        const T scale = T(1) / std::sqrt(T(spec.hidden_size));
        for (const Parameter& parameter : parameters(spec))
            params.push_back(numbers<T>(parameter.size(), random, T(1.5) * scale));
        x = numbers<T>(steps * rows * spec.input_size, random);
        h0 = numbers<T>(h_size(), random);
        c0 = numbers<T>(c_size(), random);
        dy = numbers<T>(y_size(), random);
        dh_n = numbers<T>(h_size(), random);
        dc_n = numbers<T>(c_size(), random);
    }

    // Lengths and resets of every kind: whole, short, none at all; at the first step, in the middle, in the padding.
    void make_ragged() {
        for (Index b = 0; b < rows; ++b) lengths.push_back(b % 4 == 3 ? 0 : steps - (b * 2) % steps);
        reset.assign(static_cast<std::size_t>(steps * rows), 0);
        for (Index i = 0; i < steps * rows; i += 5) reset[static_cast<std::size_t>(i)] = 1;
    }

    BatchShape shape() const {
        BatchShape shape;
        shape.steps = steps;
        shape.rows = rows;
        if (!lengths.empty()) shape.lengths = lengths.data();
        if (!reset.empty()) {
            shape.reset = reset.data();
            shape.reset_time_stride = rows;
            shape.reset_batch_stride = 1;
        }
        return shape;
    }
    ForwardInputs<T> inputs() const {
        ForwardInputs<T> in;
        in.shape = shape();
        in.x = {x.data(), rows * spec.input_size, spec.input_size};
        in.h0 = h0.data();
        in.c0 = has_cell_state() ? c0.data() : nullptr;
        return in;
    }
    std::vector<const T*> param_pointers() const {
        std::vector<const T*> all;
        for (const std::vector<T>& param : params) all.push_back(param.data());
        return all;
    }

    // Batch row `b` alone.
    Problem row(Index b) const {
        Problem part = *this;
        part.rows = 1;
        const auto pick = [&](std::vector<T>& to, const std::vector<T>& from, Index width) {
            to.clear();
            for (Index at = b * width; at < static_cast<Index>(from.size()); at += rows * width)
                to.insert(to.end(), from.begin() + at, from.begin() + at + width);
        };
        pick(part.x, x, spec.input_size);
        pick(part.h0, h0, spec.recurrent_size());
        pick(part.c0, c0, spec.hidden_size);
        pick(part.dy, dy, spec.output_size());
        pick(part.dh_n, dh_n, spec.recurrent_size());
        pick(part.dc_n, dc_n, spec.hidden_size);
        if (!lengths.empty()) part.lengths = {lengths[static_cast<std::size_t>(b)]};
        if (!reset.empty()) {
            part.reset.clear();
            for (Index t = 0; t < steps; ++t) part.reset.push_back(reset[static_cast<std::size_t>(t * rows + b)]);
        }
        return part;
    }
    // Steps [begin, end).
    Problem cut(Index begin, Index end) const {
        Problem part = *this;
        part.steps = end - begin;
        const Index width = rows * spec.input_size;
        part.x.assign(x.begin() + begin * width, x.begin() + end * width);
        return part;
    }
};

template <class T>
struct Results {
    std::vector<T> y, h_n, c_n;

    explicit Results(const Problem<T>& p) : y(nan<T>(p.y_size())), h_n(nan<T>(p.h_size())), c_n(nan<T>(p.c_size())) {}
    ForwardOutputs<T> outputs(const Problem<T>& p) {
        ForwardOutputs<T> out;
        out.y = {y.data(), p.rows * p.spec.output_size(), p.spec.output_size()};
        out.h_n = h_n.data();
        out.c_n = p.has_cell_state() ? c_n.data() : nullptr;
        return out;
    }
    bool operator==(const Results& other) const {
        return same_bits(y, other.y) && same_bits(h_n, other.h_n) && same_bits(c_n, other.c_n);
    }
};

template <class T>
struct Gradients {
    std::vector<T> dx, dh0, dc0;
    std::vector<std::vector<T>> params;

    bool same_inputs(const Gradients& other) const {
        return same_bits(dx, other.dx) && same_bits(dh0, other.dh0) && same_bits(dc0, other.dc0);
    }
    bool operator==(const Gradients& other) const {
        if (!same_inputs(other) || params.size() != other.params.size()) return false;
        for (std::size_t i = 0; i < params.size(); ++i)
            if (!same_bits(params[i], other.params[i])) return false;
        return true;
    }
};

template <class T>
Results<T> forward(const Problem<T>& p) {
    Network<T> network(p.spec);
    Results<T> results(p);
    network.forward(p.param_pointers(), p.inputs(), results.outputs(p));
    return results;
}

template <class T>
struct Recorded {
    Results<T> results;
    Gradients<T> gradients;
    bool operator==(const Recorded&) const = default;
};

template <class T>
Recorded<T> record(const Problem<T>& p, Index truncate = 0, Index checkpoint = 0) {
    const Index x_size = p.steps * p.rows * p.spec.input_size;
    Recorded<T> all{Results<T>(p), {nan<T>(x_size), nan<T>(p.h_size()), nan<T>(p.c_size()), {}}};
    for (const std::vector<T>& param : p.params) all.gradients.params.emplace_back(param.size(), T(0));
    std::unique_ptr<Tape<T>> tape;
    {
        Network<T> network(p.spec);  // the tape outlives it
        tape = network.record(p.param_pointers(), p.inputs(), {{}, checkpoint}, all.results.outputs(p));
    }
    BackwardInputs<T> in;
    in.dy = {p.dy.data(), p.rows * p.spec.output_size(), p.spec.output_size()};
    in.dh_n = p.dh_n.data();
    in.dc_n = p.has_cell_state() ? p.dc_n.data() : nullptr;
    in.truncate = truncate;
    BackwardOutputs<T> out;
    out.dx = {all.gradients.dx.data(), p.rows * p.spec.input_size, p.spec.input_size};
    out.dh0 = all.gradients.dh0.data();
    out.dc0 = p.has_cell_state() ? all.gradients.dc0.data() : nullptr;
    for (std::vector<T>& param : all.gradients.params) out.params.push_back(param.data());
    tape->backward(in, out);
    return all;
}

// Every kind of network, small; each a name for messages and its description.
struct Case {
    std::string name;
    NetworkSpec spec;
};

std::vector<Case> cases(Index input, Index hidden) {
    std::vector<Case> all;
    const auto add = [&](std::string name, auto change) {
        NetworkSpec spec;
        spec.input_size = input;
        spec.hidden_size = hidden;
        change(spec);
        all.push_back({std::move(name), spec});
    };
    for (int n = 0; n < nonlinearity_count; ++n)
        add(std::string("rnn ") + nonlinearity_names[n], [&](NetworkSpec& spec) {
            spec.cell = CellKind::rnn;
            spec.nonlinearity = static_cast<Nonlinearity>(n);
        });
    for (CellKind cell : {CellKind::lstm, CellKind::gru}) {
        const std::string name = cell_traits(cell).name;
        add(name, [&](NetworkSpec& spec) { spec.cell = cell; });
        add(name + " reverse, no bias", [&](NetworkSpec& spec) {
            spec.cell = cell;
            spec.reverse = true;
            spec.bias = false;
        });
        add(name + " stacked", [&](NetworkSpec& spec) {
            spec.cell = cell;
            spec.layers = 2;
        });
        add(name + " stacked, both directions", [&](NetworkSpec& spec) {
            spec.cell = cell;
            spec.layers = 2;
            spec.bidirectional = true;
        });
    }
    for (bool bidirectional : {false, true})
        add(bidirectional ? "lstm projected, stacked, both directions" : "lstm projected, stacked",
            [&](NetworkSpec& spec) {
                spec.layers = 2;
                spec.bidirectional = bidirectional;
                spec.proj_size = hidden / 2 + 1;
            });
    return all;
}

// ---- gradients
// -------------------------------------------------------------------------------------------------------

double loss(const Problem<double>& p) {
    const Results<double> results = forward(p);
    const auto dot = [](const std::vector<double>& a, const std::vector<double>& b) {
        double sum = 0;
        for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
        return sum;
    };
    return dot(results.y, p.dy) + dot(results.h_n, p.dh_n) + dot(results.c_n, p.dc_n);
}

// Central differences err by step^2 and by rounding / step: the least at the cube root of epsilon.
void test_finite_differences(Checks& checks, const Case& one, bool ragged) {
    Problem<double> p(one.spec, 4, 5, 3);
    if (ragged) p.make_ragged();
    const Gradients<double> gradients = record(p).gradients;
    const double step = std::cbrt(std::numeric_limits<double>::epsilon()), tolerance = 100 * step * step;
    Random random(4);
    const auto compare = [&](const std::string& name, std::vector<double>& values,
                             const std::vector<double>& gradient) {
        if (values.empty()) return;
        for (int i = 0; i < 12; ++i) {
            const std::size_t at = random.next() % values.size();
            const double value = values[at];
            values[at] = value + step;
            const double above = loss(p);
            values[at] = value - step;
            const double slope = (above - loss(p)) / (2 * step);
            values[at] = value;
            checks.check(std::fabs(slope - gradient[at]) <= tolerance,
                         "%s, ragged %d: gradient of %s[%zu] is %.12g, finite differences say %.12g", one.name.c_str(),
                         ragged, name.c_str(), at, gradient[at], slope);
        }
    };
    compare("x", p.x, gradients.dx);
    compare("h0", p.h0, gradients.dh0);
    compare("c0", p.c0, gradients.dc0);
    const std::vector<Parameter> names = parameters(p.spec);
    for (std::size_t i = 0; i < p.params.size(); ++i) compare(names[i].name, p.params[i], gradients.params[i]);
}

// ---- what must not change a bit
// --------------------------------------------------------------------------------------

template <class T>
void test_rows(Checks& checks, const Case& one, bool ragged) {
    Problem<T> p(one.spec, 5, 7, 5);
    if (ragged) p.make_ragged();
    const Recorded<T> batch = record(p);
    checks.check(forward(p) == batch.results, "%s, ragged %d: record and forward differ", one.name.c_str(), ragged);
    for (Index b = 0; b < p.rows; ++b) {
        const Problem<T> alone = p.row(b);
        const Recorded<T> by_itself = record(alone);
        // row() picks results apart as it does inputs.
        Problem<T> picked = p;
        picked.dy = batch.results.y;
        picked.h0 = batch.results.h_n;
        picked.c0 = batch.results.c_n;
        picked.x = batch.gradients.dx;
        picked.dh_n = batch.gradients.dh0;
        picked.dc_n = batch.gradients.dc0;
        picked = picked.row(b);
        checks.check(same_bits(by_itself.results.y, picked.dy) && same_bits(by_itself.results.h_n, picked.h0) &&
                         same_bits(by_itself.results.c_n, picked.c0),
                     "%s, ragged %d: row %td alone differs forward", one.name.c_str(), ragged, b);
        checks.check(same_bits(by_itself.gradients.dx, picked.x) && same_bits(by_itself.gradients.dh0, picked.dh_n) &&
                         same_bits(by_itself.gradients.dc0, picked.dc_n),
                     "%s, ragged %d: row %td alone differs backward", one.name.c_str(), ragged, b);
    }
}

template <class T>
void test_chunks(Checks& checks, const Case& one) {
    if (one.spec.bidirectional || one.spec.reverse) return;
    const Problem<T> p(one.spec, 6, 3, 6);
    const Results<T> whole = forward(p);
    for (Index cut = 0; cut <= p.steps; ++cut) {
        Problem<T> first = p.cut(0, cut), second = p.cut(cut, p.steps);
        Results<T> before = forward(first);
        second.h0 = before.h_n;
        second.c0 = before.c_n;
        Results<T> after = forward(second);
        after.y.insert(after.y.begin(), before.y.begin(), before.y.end());
        checks.check(after == whole, "%s: cut at step %td differs", one.name.c_str(), cut);
    }

    Network<T> network(p.spec);
    const auto stream = network.stream(p.param_pointers(), p.rows);
    std::copy(p.h0.begin(), p.h0.end(), stream->h());
    if (p.has_cell_state()) std::copy(p.c0.begin(), p.c0.end(), stream->c());
    Results<T> stepped(p);
    for (Index t = 0; t < p.steps; ++t)
        stream->step(p.x.data() + t * p.rows * p.spec.input_size, p.spec.input_size,
                     stepped.y.data() + t * p.rows * p.spec.output_size());
    std::copy_n(stream->h(), stepped.h_n.size(), stepped.h_n.begin());
    if (p.has_cell_state()) std::copy_n(stream->c(), stepped.c_n.size(), stepped.c_n.begin());
    checks.check(stepped == whole, "%s: a stream differs", one.name.c_str());
}

// A tape that keeps only the states of some steps, and runs the others again.
template <class T>
void test_checkpoints(Checks& checks, const Case& one, bool ragged) {
    if (one.spec.bidirectional || one.spec.reverse) return;
    Problem<T> p(one.spec, 7, 5, 9);
    if (ragged) p.make_ragged();
    for (Index truncate : {0, 3}) {
        const Recorded<T> whole = record(p, truncate);
        for (Index checkpoint : {1, 2, 3, 7, 100})
            checks.check(record(p, truncate, checkpoint) == whole,
                         "%s, ragged %d, truncate %td: checkpoint %td differs", one.name.c_str(), ragged, truncate,
                         checkpoint);
    }
}

// Sizes at which the work is split by rows, by units and by directions, in teams that keep their size and teams that
// change. How it is split does not depend on the ISA.
template <class T>
void test_threads(Checks& checks) {
    struct Size {
        Index hidden, rows;
    };
    for (const Size& size : {Size{97, 13}, Size{161, 1}})
        for (const Case& one : cases(33, size.hidden)) {
            if (one.spec.nonlinearity != Nonlinearity::tanh) continue;
            Problem<T> p(one.spec, 9, size.rows, 7);
            set_num_threads(1);
            const Recorded<T> whole = record(p), truncated = record(p, 4);
            for (const auto& [threads, mode] :
                 {std::pair{2, TeamMode::fixed}, {4, TeamMode::fixed}, {4, TeamMode::random}}) {
                set_num_threads(threads);
                set_team_mode(mode);
                checks.check(record(p) == whole && record(p, 4) == truncated && forward(p) == whole.results,
                             "%s, %td rows: %d threads differ from one", one.name.c_str(), size.rows, threads);
            }
            set_team_mode(TeamMode::adaptive);
        }
    set_num_threads(2);
}

template <class T>
void test_bits(Checks& checks) {
    for (const Case& one : cases(17, 33)) {
        for (bool ragged : {false, true}) {
            test_rows<T>(checks, one, ragged);
            test_checkpoints<T>(checks, one, ragged);
        }
        test_chunks<T>(checks, one);
    }
    // A whole block of units and part of one.
    for (const Case& one : cases(3, unit_block<T> + 3)) test_rows<T>(checks, one, true);
}

// Step blocks follow one another from the last step to the first, each a reduction block at least unless there are
// fewer row-steps, and no two of three neighbours keep their values at the same place.
void test_step_blocks(Checks& checks) {
    for (Index longest : {1, 9, 700, 2000})
        for (Index batch : {1, 3, 70, 600})
            for (bool ragged : {false, true}) {
                std::vector<Index> lengths;
                for (Index b = 0; b < batch; ++b) lengths.push_back(ragged ? longest * (b + 1) / batch : longest);
                BatchShape shape = {};
                shape.steps = longest;
                shape.rows = batch;
                shape.lengths = lengths.data();
                const Schedule schedule(shape, true, false);
                const StepBlocks step_blocks(schedule, reduction_block);
                Index end = schedule.steps();
                for (Index step_block = 0; step_block < step_blocks.count(); ++step_block) {
                    const StepRange steps = step_blocks.steps(step_block);
                    const Index rows = schedule.row_step(steps.end - 1, schedule.active(steps.end - 1)) -
                                       schedule.row_step(steps.begin, 0);
                    checks.check(steps.end == end && steps.begin < steps.end, "step block %td begins elsewhere",
                                 step_block);
                    checks.check(rows >= reduction_block || step_block + 1 == step_blocks.count(),
                                 "step block %td: %td row-steps", step_block, rows);
                    end = steps.begin;
                }
                checks.check(end == 0, "the step blocks end at step %td", end);
                for (Index step_block = 0; step_block < step_blocks.count(); ++step_block) {
                    std::vector<bool> taken(static_cast<std::size_t>(step_blocks.capacity()));
                    for (Index near = step_block; near < std::min(step_block + 3, step_blocks.count()); ++near)
                        for (Index s = step_blocks.steps(near).begin; s < step_blocks.steps(near).end; ++s)
                            for (Index row = 0; row < schedule.active(s); ++row) {
                                const auto place = static_cast<std::size_t>(step_blocks.place(s, row));
                                checks.check(place < taken.size() && !taken[place], "step %td row %td at %zu", s, row,
                                             place);
                                if (place < taken.size()) taken[place] = true;
                            }
                }
            }
}

// The rules that ask for a cache size choose otherwise, and every result has the same bits. One row: x or dx overlapped
// where the kernels can; some rows: more than one step block.
template <class T>
void test_cache_sizes(Checks& checks) {
    const CacheSizes machine = cache_sizes();
    checks.check(machine.l1 > 0 && machine.l2 >= machine.l1, "caches of %td and %td bytes", machine.l1, machine.l2);
    constexpr CacheSizes small = {1, 1}, large = {Index(1) << 40, Index(1) << 40};
    for (Index rows : {1, 13})
        for (const Case& one : cases(97, 97)) {
            if (one.spec.nonlinearity != Nonlinearity::tanh) continue;
            const Problem<T> p(one.spec, rows == 1 ? 41 : 90, rows, 10);
            const Recorded<T> expected = record(p);
            for (const CacheSizes& forced : {small, large}) {  // what is expected is of this machine's own
                set_cache_sizes(forced);
                checks.check(record(p) == expected && forward(p) == expected.results,
                             "%s, %td rows: other bits with caches of %td and %td bytes", one.name.c_str(), rows,
                             forced.l1, forced.l2);
            }
            set_cache_sizes(machine);
        }

    NetworkSpec spec;
    spec.input_size = spec.hidden_size = 97;
    BatchShape shape;
    shape.steps = 90;
    shape.rows = 8;
    const Schedule schedule(shape, true, false);
    const ThreadShare share = whole_layer<T>(spec);
    const auto first = [&](CacheSizes forced) {
        set_cache_sizes(forced);
        ProjectionPlan<T> plan(spec, 97, schedule, share, kernels_of<T>(current_kernels()), false, false);
        return plan.next(0, {0, 90}, 90 * 8).input_product;
    };
    checks.check(first(small) == InputProduct::ahead && first(large) == InputProduct::in_step,
                 "the plan of the input products is the same for all cache sizes");
    set_cache_sizes(small);
    const Index of_small = min_step_block<T>(spec, 1);
    set_cache_sizes(large);
    checks.check(of_small == 2 * min_step_block<T>(spec, 1), "step blocks are the same for all cache sizes");
    set_cache_sizes(machine);
}

template <class T>
void test_isas(Checks& checks) {
    for (const Case& one : cases(17, 33)) {
        Problem<T> p(one.spec, 5, 7, 8);
        p.make_ragged();
        std::vector<Recorded<T>> results;
        for (const std::string& isa : available_isas()) {
            if (isa == "scalar") continue;  // no fused multiply-add: its bits are its own
            use_isa(isa);
            results.push_back(record(p));
            checks.check(results.back() == results.front(), "%s: %s differs from the first ISA", one.name.c_str(),
                         isa.c_str());
        }
    }
}

// Whole calls, forward and backward, of three callers at once, on teams that change: the bits stay, and nobody hangs.
void soak(Checks& checks, double seconds) {
    std::vector<Problem<float>> problems;
    std::vector<Recorded<float>> expected;
    set_num_threads(1);
    for (const auto& [hidden, rows] : {std::pair<Index, Index>{97, 13}, {161, 1}, {33, 3}})
        for (const Case& one : cases(33, hidden)) {
            problems.emplace_back(one.spec, 9, rows, 7);
            expected.push_back(record(problems.back()));
        }
    std::atomic<long> calls{0}, wrong{0};
    const auto start = std::chrono::steady_clock::now();
    const auto passed = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
    const auto call = [&](std::size_t first) {
        for (std::size_t i = first; passed() < seconds; i = (i + 3) % problems.size(), ++calls)
            if (!(record(problems[i]) == expected[i])) ++wrong;
    };
    std::vector<std::thread> callers;
    for (std::size_t caller = 0; caller < 3; ++caller) callers.emplace_back(call, caller);
    for (unsigned turn = 0; passed() < seconds; ++turn) {
        set_num_threads(2 + static_cast<int>(turn % 4));
        set_team_mode(turn % 3 == 0 ? TeamMode::adaptive : turn % 3 == 1 ? TeamMode::fixed : TeamMode::random);
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    for (std::thread& caller : callers) caller.join();
    set_team_mode(TeamMode::adaptive);
    std::printf("%ld calls in %.0f s\n", calls.load(), seconds);
    checks.check(calls > 0 && wrong == 0, "%ld of %ld calls with other bits", wrong.load(), calls.load());
}

}  // namespace

// With a number of seconds: a soak of that length.
int main(int argc, char** argv) {
    Checks checks;
    if (argc > 1) {
        soak(checks, std::atof(argv[1]));
        return checks.finish();
    }
    set_num_threads(2);
    for (const std::string& isa : available_isas()) {
        use_isa(isa);
        checks.check(current_isa() == isa, "asked for %s, got %s", isa.c_str(), current_isa().c_str());
        for (const Case& one : cases(3, 5))
            for (bool ragged : {false, true}) test_finite_differences(checks, one, ragged);
        test_bits<float>(checks);
        test_bits<double>(checks);
    }
    test_step_blocks(checks);
    test_threads<float>(checks);
    test_threads<double>(checks);
#if !defined(__SANITIZE_THREAD__)  // no thread does anything else there, and it takes long
    test_cache_sizes<float>(checks);
#endif
    test_isas<float>(checks);
    test_isas<double>(checks);
    return checks.finish();
}
