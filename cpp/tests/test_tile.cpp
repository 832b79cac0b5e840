// The register tile of one ISA and the products built on it, against loops that add one term at a time.
//
// All operands end at a page without access rights, and what is to be written, or is scratch, starts out as NaN.

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "check.hpp"
#include "gemm/gate_tile.hpp"
#include "gemm/linear.hpp"
#include "gemm/micro_panels.hpp"
#include "pack.hpp"
#include "products.hpp"

namespace {

namespace isa = fusedrnn::FUSEDRNN_ISA;
using namespace fusedrnn_test;

// ---- accumulate: every tile size, rows by pointer and packed -----------------------------------------------------

// The operands of one tile, and its sums afterwards. Only the call itself depends on the tile's size as a type.
template <class T>
struct TileProblem {
    int rows, vectors;
    Numbers numbers;
    Index depth, width, stride;
    Random random;
    Guarded<T> b, packed_a, start, result;
    std::vector<Guarded<T>> a;

    // A gap between the rows of b, as where more vectors are packed; the last row ends at the guard page.
    TileProblem(int rows_, int vectors_, Numbers numbers_, Index depth_)
        : rows(rows_), vectors(vectors_), numbers(numbers_), depth(depth_), width(vectors_ * isa::Vec<T>::width),
          stride(width + 3), random(static_cast<std::uint64_t>(rows_ * 100 + vectors_)),
          b(depth == 0 ? 0 : (depth - 1) * stride + width), packed_a(depth * rows), start(rows * width),
          result(rows * width), a(filled_rows<T>(rows, depth, numbers, random)) {
        fill(b, numbers, random);
        fill(start, numbers, random);
        for (Index k = 0; k < depth; ++k)
            for (Index r = 0; r < rows; ++r) packed_a[k * rows + r] = a[static_cast<std::size_t>(r)][k];
    }

    isa::Rows<T> by_pointer() const {
        isa::Rows<T> by_row = {};
        for (int r = 0; r < rows; ++r) by_row.pointer[r] = a[static_cast<std::size_t>(r)].data();
        return by_row;
    }

    [[gnu::noinline]] void check(Checks& checks, const char* layout_of_a) const {
        for (Index r = 0; r < rows; ++r)
            for (Index column = 0; column < width; ++column) {
                const T got = result[r * width + column];
                const T want = expected_sum(
                    numbers, start[r * width + column], depth,
                    [&](Index k) { return a[static_cast<std::size_t>(r)][k]; },
                    [&](Index k) { return b[k * stride + column]; });
                checks.check(same(got, want),
                             "accumulate<%s, %d x %d> %s, %s numbers, depth %td, row %td column %td: %a, expected %a",
                             type_name<T>, rows, vectors, layout_of_a, name_of(numbers), depth, r, column, double(got),
                             double(want));
            }
    }
};

// The accumulators lie in reverse order: accumulator_of() says which of them a vector of b feeds.
template <class T, int MR, int NV, class A>
[[gnu::noinline]] void run_tile(const TileProblem<T>& p, A a) {
    using V = isa::Vec<T>;
    V sum[MR][NV];
    for (int r = 0; r < MR; ++r)
        for (int j = 0; j < NV; ++j) sum[r][NV - 1 - j] = V::load(&p.start[r * p.width + j * V::width]);
    isa::accumulate<V, MR, NV>(sum, a, p.b.data(), p.depth, p.stride, isa::Contiguous<V>{},
                               [](int j) { return NV - 1 - j; });
    for (int r = 0; r < MR; ++r)
        for (int j = 0; j < NV; ++j) sum[r][NV - 1 - j].store(&p.result[r * p.width + j * V::width]);
}

template <class T, int MR, int... NV>
void test_tiles_of_rows(Checks& checks, std::integer_sequence<int, NV...>) {
    const auto test = [&]<int vectors>(Numbers numbers, Index depth) {
        const TileProblem<T> p(MR, vectors, numbers, depth);
        run_tile<T, MR, vectors>(p, p.by_pointer());
        p.check(checks, "rows by pointer");
        std::fill_n(p.result.data(), p.result.size(), std::numeric_limits<T>::quiet_NaN());
        run_tile<T, MR, vectors>(p, isa::PackedRows<T, MR>{p.packed_a.data()});
        p.check(checks, "packed rows");
    };
    for (Numbers numbers : both_numbers)
        for (Index depth : {0, 1, 2, 17}) (test.template operator()<NV + 1>(numbers, depth), ...);
}

template <class T, int... MR>
void test_tiles(Checks& checks, std::integer_sequence<int, MR...>) {
    using Block = isa::Blocking<T>;
    (test_tiles_of_rows<T, MR + 1>(checks, std::make_integer_sequence<int, Block::linear_vectors>{}), ...);
    test_tiles_of_rows<T, 1>(checks, std::make_integer_sequence<int, Block::single_row_vectors>{});
}

// Tiles cover all rows, once, in order, and none is higher than allowed.
void test_row_tiles(Checks& checks) {
    for (Index max_rows : {1, 3, 6})
        for (Index rows = 0; rows <= 40; ++rows) {
            Index next = 0;
            bool right = true;
            isa::for_each_row_tile(rows, max_rows, [&](Index first, Index count) {
                right = right && first == next && count >= 1 && count <= max_rows;
                next = first + count;
            });
            checks.check(right && next == rows, "for_each_row_tile(%td, %td) ended at %td", rows, max_rows, next);
        }
}

// ---- Linear ------------------------------------------------------------------------------------------------------

// A packed matrix as args/layout.hpp describes it: [group][k][block in group][unit], zero past the true width. A group
// is a single block if micro-panels are not interleaved.
template <class T>
Guarded<T> packed_matrix(const Guarded<T>& matrix, Index depth, Index columns) {
    constexpr Index block = fusedrnn::unit_block<T>,
                    group_width = isa::interleaved<T> ? fusedrnn::max_interleaved * block : block;
    const Index padded = fusedrnn::padded_units<T>(columns);
    Guarded<T> packed(padded * depth);
    Index at = 0;
    for (Index group = 0; group < padded; group += group_width)
        for (Index k = 0; k < depth; ++k)
            for (Index column = group; column < std::min(group + group_width, padded); ++column)
                packed[at++] = column < columns ? matrix[k * columns + column] : T(0);
    return packed;
}

// One chain from zero or from start values; chain after chain, the first stored or added to what stands in out.
enum class Begin { zero, start, chains, chains_on_out };

struct LinearShape {
    Index rows, depth, columns;
};

// The value that one element of out must have.
template <class T, class A, class B>
T expected_product(const fusedrnn::LinearArgs<T>& args, Numbers numbers, T was, T start, A a, B b) {
    if (!args.by_chains) return expected_sum(numbers, start, args.depth, a, b);
    T total = was;
    Index k = 0;
    do {
        const Index depth = std::min(fusedrnn::gradient_chain, args.depth - k);
        const T chain =
            expected_sum(numbers, T(0), depth, [&](Index i) { return a(k + i); }, [&](Index i) { return b(k + i); });
        total = k == 0 && !args.add_to_out ? chain : total + chain;
        k += depth;
    } while (k < args.depth);
    return total;
}

template <class T>
[[gnu::noinline]] void test_linear(Checks& checks, LinearShape shape, Numbers numbers, Begin begin, Index block_begin,
                                   Index block_end) {
    constexpr Index block = fusedrnn::unit_block<T>;
    Random random(static_cast<std::uint64_t>(shape.rows + shape.depth * 7 + shape.columns * 31));
    Guarded<T> matrix(shape.depth * shape.columns), start(fusedrnn::padded_units<T>(shape.columns));
    fill(matrix, numbers, random);
    fill(start, numbers, random);
    const Guarded<T> packed = packed_matrix(matrix, shape.depth, shape.columns);
    const std::vector<Guarded<T>> a = filled_rows<T>(shape.rows, shape.depth, numbers, random);
    std::vector<Guarded<T>> out = guarded_rows<T>(shape.rows, shape.columns);
    std::vector<std::vector<T>> before;
    for (Guarded<T>& row : out) {
        if (begin == Begin::chains_on_out) fill(row, numbers, random);
        before.emplace_back(row.begin(), row.end());
    }
    const auto a_rows = pointers<const T*>(a);
    const auto out_rows = pointers<T*>(out);

    fusedrnn::LinearArgs<T> args = {};
    args.rows = shape.rows;
    args.a = a_rows.data();
    args.out = out_rows.data();
    args.depth = shape.depth;
    args.columns = shape.columns;
    args.b = packed.data();
    args.start = begin == Begin::start ? start.data() : nullptr;
    args.by_chains = begin == Begin::chains || begin == Begin::chains_on_out;
    args.add_to_out = begin == Begin::chains_on_out;
    args.block_begin = block_begin;
    args.block_end = block_end;
    isa::Linear<T>::run(args);

    for (Index r = 0; r < shape.rows; ++r) {
        const auto row = static_cast<std::size_t>(r);
        for (Index column = 0; column < shape.columns; ++column) {
            const T was = before[row][static_cast<std::size_t>(column)];
            T want = was;  // outside of the given blocks
            if (column >= block_begin * block && column < block_end * block)
                want = expected_product(
                    args, numbers, was, begin == Begin::start ? start[column] : T(0),
                    [&](Index k) { return a[row][k]; }, [&](Index k) { return matrix[k * shape.columns + column]; });
            checks.check(
                same(out[row][column], want),
                "Linear<%s> %td rows, depth %td, %td columns, blocks %td to %td, begin %d, %s numbers: row %td column %td is %a, expected %a",
                type_name<T>, shape.rows, shape.depth, shape.columns, block_begin, block_end, static_cast<int>(begin),
                name_of(numbers), r, column, double(out[row][column]), double(want));
        }
        checks.check(out[row].intact(), "Linear<%s> wrote before row %td", type_name<T>, r);
    }
}

template <class T>
void test_linear_shapes(Checks& checks) {
    constexpr Index block = fusedrnn::unit_block<T>;
    std::vector<LinearShape> shapes = {{0, 3, 5}, {3, 0, 5}, {1, 1, 1}};
    for (Index rows : {1, 2, 3, 4, 5, 6, 7, 13})
        for (Index columns : {1, 15, 16, 17, 31, 65, 97}) shapes.push_back({rows, 9, columns});
    // More than one group of blocks, the last one narrower.
    for (Index rows : {1, 7}) shapes.push_back({rows, 33, (fusedrnn::max_interleaved + 2) * block + 3});
    for (const LinearShape& shape : shapes)
        for (Numbers numbers : both_numbers)
            for (Begin begin : {Begin::zero, Begin::start, Begin::chains, Begin::chains_on_out}) {
                const Index blocks = fusedrnn::ceil_div(shape.columns, block);
                test_linear<T>(checks, shape, numbers, begin, 0, blocks);
                if (blocks > 2) test_linear<T>(checks, shape, numbers, begin, 1, blocks - 1);
            }
    // Deep enough to be walked in k-blocks: the chain goes on where the k-block before left it.
    const LinearShape deep = {7, 2500, fusedrnn::max_interleaved * block};
    for (Numbers numbers : both_numbers)
        for (Begin begin : {Begin::zero, Begin::start, Begin::chains, Begin::chains_on_out})
            test_linear<T>(checks, deep, numbers, begin, 0, fusedrnn::max_interleaved);
}

// ---- packed gates ------------------------------------------------------------------------------------------------

// [unit block][k][gate][unit in block] of matrix [k][gate][hidden], zero past the true width. If micro-panels are not
// interleaved, [unit block][gate][k][unit in block].
template <class T>
Guarded<T> packed_gates(const Guarded<T>& matrix, Index depth, Index gates, Index hidden) {
    constexpr Index block = fusedrnn::unit_block<T>;
    const Index padded = fusedrnn::padded_units<T>(hidden);
    Guarded<T> packed(padded * depth * gates);
    for (Index first = 0; first < padded; first += block)
        for (Index k = 0; k < depth; ++k)
            for (Index gate = 0; gate < gates; ++gate)
                for (Index unit = first; unit < first + block; ++unit) {
                    const Index line = isa::interleaved<T> ? k * gates + gate : gate * depth + k;
                    packed[first * depth * gates + line * block + unit - first] =
                        unit < hidden ? matrix[(k * gates + gate) * hidden + unit] : T(0);
                }
    return packed;
}

// `Gates` gates feed `Sums` sums; the last gate's sum is the last one (GRU's recurrent half of n).
template <class T, int Gates, int Sums>
[[gnu::noinline]] void test_gates(Checks& checks, Index rows, Index depth, Index hidden, Numbers numbers) {
    using V = isa::Vec<T>;
    const auto accumulator_of = [](int gate) { return gate == Gates - 1 ? Sums - 1 : gate; };
    Random random(static_cast<std::uint64_t>(rows + depth * 7 + hidden * 31));
    Guarded<T> matrix(depth * Gates * hidden);
    fill(matrix, numbers, random);
    const Guarded<T> packed = packed_gates(matrix, depth, Gates, hidden);
    const std::vector<Guarded<T>> a = filled_rows<T>(rows, depth, numbers, random);
    const Index padded = fusedrnn::padded_units<T>(hidden);
    const auto at = [&](Index row, int sum, Index unit) {
        return static_cast<std::size_t>((row * Sums + sum) * padded + unit);
    };
    std::vector<T> result(static_cast<std::size_t>(rows * Sums * padded));
    std::vector<int> visits(static_cast<std::size_t>(rows * padded));

    // In two calls, as two threads would share the blocks.
    const Index blocks = fusedrnn::ceil_div(hidden, fusedrnn::unit_block<T>), middle = blocks / 2;
    for (const auto& [begin, end] : {std::pair{Index{0}, middle}, std::pair{middle, blocks}})
        isa::for_each_gate_tile<T>(rows, hidden, begin, end, depth % 2 == 1, [&](auto size, Index first, Index v) {
            constexpr int MR = size.rows, U = size.vectors;
            V sum[MR][U * Sums];
            isa::Rows<T> a_rows = {};
            for (int r = 0; r < MR; ++r) {
                a_rows.pointer[r] = a[static_cast<std::size_t>(first + r)].data();
                for (int j = 0; j < U * Sums; ++j) sum[r][j] = V::broadcast(T(j % Sums));
            }
            isa::accumulate_gates<T, MR, U, Gates, Sums>(sum, a_rows, packed.data(), depth, isa::UnitVector<T>(v),
                                                         accumulator_of);
            for (int r = 0; r < MR; ++r)
                for (int u = 0; u < U; ++u) {
                    const Index unit = (v + u) * V::width;
                    for (int lane = 0; lane < V::width; ++lane)
                        ++visits[static_cast<std::size_t>((first + r) * padded + unit + lane)];
                    for (int s = 0; s < Sums; ++s) sum[r][u * Sums + s].store(&result[at(first + r, s, unit)]);
                }
        });

    for (Index row = 0; row < rows; ++row)
        for (Index unit = 0; unit < hidden; ++unit) {
            const int seen = visits[static_cast<std::size_t>(row * padded + unit)];
            checks.check(seen == 1, "gate tiles<%s> %td rows, %td units: row %td unit %td was visited %d times",
                         type_name<T>, rows, hidden, row, unit, seen);
            for (int s = 0; s < Sums; ++s) {
                T want = T(s);
                for (int gate = 0; gate < Gates; ++gate)
                    if (accumulator_of(gate) == s)
                        want = expected_sum(
                            numbers, want, depth, [&](Index k) { return a[static_cast<std::size_t>(row)][k]; },
                            [&](Index k) { return matrix[(k * Gates + gate) * hidden + unit]; });
                const T got = result[at(row, s, unit)];
                checks.check(
                    same(got, want),
                    "gates<%s, %d of %d> %td rows, depth %td, %td units, %s numbers: row %td unit %td sum %d is %a, expected %a",
                    type_name<T>, Gates, Sums, rows, depth, hidden, name_of(numbers), row, unit, s, double(got),
                    double(want));
            }
        }
}

template <class T>
void test_gate_shapes(Checks& checks) {
    for (Numbers numbers : both_numbers) {
        for (Index rows : {0, 1, 2, 3, 4, 5, 6, 7, 13}) {
            if (!isa::interleaved<T> && rows != 1) continue;  // by micro-panels
            for (Index hidden : {1, 15, 16, 17, 33, 97}) {
                test_gates<T, 4, 4>(checks, rows, 9, hidden, numbers);
                test_gates<T, 3, 4>(checks, rows, 9, hidden, numbers);
            }
        }
        const Index several = isa::interleaved<T> ? 5 : 1;
        test_gates<T, 4, 4>(checks, several, 0, 17, numbers);
        test_gates<T, 4, 4>(checks, several, 97, 31, numbers);
    }
}

// ---- micro-panels one after the other ------------------------------------------------------------------------------

struct PanelShape {
    Index rows, panels;
    Index apart;             // elements from one micro-panel's sums to the next's
    bool edge;               // only half of every line is wanted
    Index depth, depth_too;  // depth_too: of the second product, or -1 without one
};

// Rows times micro-panels from given starts: the chain runs through the first product, then through the second.
template <class T>
[[gnu::noinline]] void test_panels(Checks& checks, PanelShape shape, Numbers numbers) {
    using M = isa::MicroPanels<T>;
    constexpr Index line = M::line;
    Random random(static_cast<std::uint64_t>(shape.rows + shape.depth * 7 + shape.depth_too * 31));
    const Index begin_panel = shape.apart + line, begin_stride = shape.panels * begin_panel;
    const Index out_stride = shape.panels * shape.apart + 3;
    const Index depths[] = {shape.depth, std::max<Index>(shape.depth_too, 0)};
    std::vector<std::vector<Guarded<T>>> a;
    std::vector<Guarded<T>> packed;
    for (Index depth : depths) {
        a.push_back(filled_rows<T>(shape.rows, depth, numbers, random));
        packed.emplace_back(shape.panels * depth * line);
        fill(packed.back(), numbers, random);
    }
    Guarded<T> begin(shape.rows * begin_stride), out(shape.rows * out_stride);
    fill(begin, numbers, random);
    std::fill_n(out.data(), out.size(), std::numeric_limits<T>::quiet_NaN());
    const auto rows = pointers<const T*>(a[0]), second_rows = pointers<const T*>(a[1]);
    const auto product = [&](std::size_t i, const std::vector<const T*>& at) {
        return typename M::Product{at.data(), packed[i].data(), depths[i], depths[i] * line, packed[i].data()};
    };
    const typename M::Sums sums = {{begin.data(), begin_stride, begin_panel}, {out.data(), out_stride, shape.apart}};
    const typename M::Extent extent = {shape.panels, shape.edge};
    if (shape.depth_too < 0)
        M::multiply(shape.rows, extent, {product(0, rows)}, sums);
    else
        M::multiply(shape.rows, extent, {product(0, rows), product(1, second_rows)}, sums);

    for (Index r = 0; r < shape.rows; ++r)
        for (Index column = 0; column < shape.panels * line; ++column) {
            if (shape.edge && !M::is_edge(column % line + 1)) continue;
            const Index panel = column / line, within = column % line;
            T want = begin[r * begin_stride + panel * begin_panel + within];
            for (std::size_t i = 0; i < 2; ++i)
                want = expected_sum(
                    numbers, want, depths[i], [&](Index k) { return a[i][static_cast<std::size_t>(r)][k]; },
                    [&](Index k) { return packed[i][(panel * depths[i] + k) * line + within]; });
            const T got = out[r * out_stride + panel * shape.apart + within];
            checks.check(
                same(got, want),
                "MicroPanels<%s> %td rows, %td %s, depths %td and %td, %s numbers: row %td column %td is %a, expected %a",
                type_name<T>, shape.rows, shape.panels, shape.edge ? "edges" : "micro-panels", shape.depth,
                shape.depth_too, name_of(numbers), r, column, double(got), double(want));
        }
    checks.check(out.intact(), "MicroPanels<%s> wrote before its sums", type_name<T>);
}

template <class T>
void test_panel_shapes(Checks& checks) {
    constexpr Index line = isa::MicroPanels<T>::line, k_block = isa::MicroPanels<T>::k_block;
    if constexpr (!isa::interleaved<T>)
        for (Numbers numbers : both_numbers)
            for (Index rows : {1, 2, 3, 4, 5, 6, 7, 13, 48}) {
                for (const bool edge : {false, true})
                    for (Index panels = 1; panels <= isa::MicroPanels<T>::panels_at_once(rows, edge); ++panels)
                        for (Index apart : {line, 3 * line}) {
                            for (const auto& [depth, too] : {std::pair<Index, Index>{9, -1}, {0, -1}, {0, 5}, {17, 3}})
                                test_panels<T>(checks, {rows, panels, apart, edge, depth, too}, numbers);
                            // In k-blocks.
                            test_panels<T>(checks, {rows, panels, apart, edge, k_block + 1, -1}, numbers);
                            test_panels<T>(checks, {rows, panels, apart, edge, k_block, 3}, numbers);
                        }
            }
}

// ---- packing -----------------------------------------------------------------------------------------------------

template <class T>
void test_pack_micro_panel(Checks& checks) {
    constexpr Index block = fusedrnn::unit_block<T>;
    for (Index rows : {Index{1}, block / 2, block - 1, block})
        for (Index depth : {0, 1, 3, 17}) {
            Random random(static_cast<std::uint64_t>(rows * 100 + depth));
            const Index source_stride = depth + 2, out_stride = block + 4;
            Guarded<T> source(depth ? (rows - 1) * source_stride + depth : 0);
            Guarded<T> out(depth ? (depth - 1) * out_stride + block : 0);
            fill(source, Numbers::real, random);
            isa::pack_micro_panel(source.data(), source_stride, rows, depth, out.data(), out_stride);
            for (Index i = 0; i < out.size(); ++i) {
                const Index k = i / out_stride, r = i % out_stride;
                const bool gap = r >= block;
                const T want = r < rows ? source[r * source_stride + k] : T(0);
                checks.check(gap ? std::isnan(out[i]) : same(out[i], want),
                             "pack_micro_panel<%s> %td x %td: [%td][%td] is %a", type_name<T>, rows, depth, k, r,
                             double(out[i]));
            }
            checks.check(out.intact(), "pack_micro_panel<%s> wrote before its output", type_name<T>);
        }
}

// ---- column tiles: every column of the blocks asked for once, up and down ------------------------------------------

template <class T>
void test_column_tiles(Checks& checks, Index columns, Index block_begin, Index block_end, bool single_row,
                       bool descending) {
    constexpr Index block = fusedrnn::unit_block<T>, width = isa::Vec<T>::width;
    Guarded<T> packed(fusedrnn::padded_units<T>(columns));
    const Index begin = block_begin * block, end = std::min(columns, block_end * block);
    std::vector<int> visits(static_cast<std::size_t>(fusedrnn::padded_units<T>(columns)));
    Index before = descending ? end : begin;
    bool in_order = true;
    isa::for_each_column_tile<T>(packed.data(), 1, columns, block_begin, block_end, single_row, descending,
                                 [&](Index column, Index vectors, isa::PackedColumns<T>) {
                                     const Index after = std::min(end, column + vectors * width);
                                     in_order = in_order && (descending ? after : column) == before;
                                     before = descending ? column : after;
                                     for (Index i = column; i < after; ++i) ++visits[static_cast<std::size_t>(i)];
                                 });
    for (Index i = 0; i < columns; ++i)
        checks.check(visits[static_cast<std::size_t>(i)] == (begin <= i && i < end),
                     "for_each_column_tile<%s>: column %td of blocks [%td, %td) of %td columns visited %d times, %s",
                     type_name<T>, i, block_begin, block_end, columns, visits[static_cast<std::size_t>(i)],
                     descending ? "down" : "up");
    checks.check(in_order, "for_each_column_tile<%s>: blocks [%td, %td) of %td columns not in order, %s", type_name<T>,
                 block_begin, block_end, columns, descending ? "down" : "up");
}

template <class T>
void test_column_tiles(Checks& checks) {
    constexpr Index block = fusedrnn::unit_block<T>;
    for (Index columns : {Index{1}, block, 4 * block - 1, 9 * block, 22 * block, 22 * block + 1})
        for (Index end = 1; end <= fusedrnn::ceil_div(columns, block); ++end)
            for (Index begin = 0; begin < end; ++begin)
                for (bool single_row : {false, true})
                    for (bool descending : {false, true})
                        if (single_row || isa::interleaved<T>)
                            test_column_tiles<T>(checks, columns, begin, end, single_row, descending);
}

template <class T>
[[gnu::noinline]] void test_type(Checks& checks) {
    test_column_tiles<T>(checks);
    test_tiles<T>(checks, std::make_integer_sequence<int, isa::Blocking<T>::max_rows>{});
    test_linear_shapes<T>(checks);
    test_gate_shapes<T>(checks);
    test_panel_shapes<T>(checks);
    test_pack_micro_panel<T>(checks);
}

[[gnu::noinline]] int run() {
    Checks checks;
    test_row_tiles(checks);
    test_type<float>(checks);
    test_type<double>(checks);
    return checks.finish();
}

}  // namespace

int main() { return fusedrnn_test::cpu_has_compiled_isa() ? run() : fusedrnn_test::skipped; }
