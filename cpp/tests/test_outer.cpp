// The products of weight gradients of one ISA: sums over many rows, block by block, against loops that add one term at
// a time. All operands end at a page without access rights, and the scratch starts out as NaN.

#include <algorithm>
#include <vector>

#include "check.hpp"
#include "gemm/outer.hpp"
#include "products.hpp"

namespace {

namespace isa = fusedrnn::FUSEDRNN_ISA;
using namespace fusedrnn_test;

// The sum of `was` and the rows' products as args/reduce.hpp says: chains of a block of rows that start at zero, added
// to it from the last block to the first.
template <class T, class A, class B>
T expected_block_sums(Numbers numbers, T was, Index rows, A a, B b) {
    constexpr Index block = fusedrnn::reduction_block;
    for (Index first = (fusedrnn::ceil_div(rows, block) - 1) * block; first >= 0; first -= block)
        was = was + expected_sum(
                        numbers, T(0), std::min(block, rows - first), [&](Index k) { return a(first + k); },
                        [&](Index k) { return b(first + k); });
    return was;
}

struct OuterShape {
    Index rows, count, columns;  // the product is count x columns
};

// An operand b, and what its product is added to.
template <class T>
struct OuterProduct {
    std::vector<Guarded<T>> b;
    std::vector<const T*> b_rows;
    Guarded<T> out;
    std::vector<T> before;

    OuterProduct(Index rows, Index count, Index columns, Numbers numbers, Random& random)
        : b(filled_rows<T>(rows, columns, numbers, random)), b_rows(pointers<const T*>(b)), out(count * columns) {
        fill(out, numbers, random);
        before.assign(out.begin(), out.end());
    }
};

// Columns [first, end) of a, and which operands b see them.
struct OuterPart {
    Index first, end;
    bool seen[2];
};

template <class T>
[[gnu::noinline]] void test_outer(Checks& checks, OuterShape shape, Numbers numbers,
                                  const std::vector<OuterPart>& parts) {
    Random random(static_cast<std::uint64_t>(shape.rows + shape.count * 7 + shape.columns * 31));
    constexpr Index a_first = 5;  // a row ends at the guard page
    std::vector<Guarded<T>> a = filled_rows<T>(shape.rows, a_first + shape.count, numbers, random);
    const std::vector<const T*> a_rows = pointers<const T*>(a);
    const auto a_at = [&](Index row, Index m) { return a_rows[static_cast<std::size_t>(row)][a_first + m]; };
    std::vector<OuterProduct<T>> products;
    std::vector<fusedrnn::OuterB<T>> operands;
    for (Index columns : {shape.columns, Index{3}}) {
        products.emplace_back(shape.rows, shape.count, columns, numbers, random);
        operands.push_back({products.back().b_rows.data(), columns});
    }
    Guarded<T> sums(shape.count);
    fill(sums, numbers, random);
    const std::vector<T> sums_before(sums.begin(), sums.end());

    std::vector<fusedrnn::OuterPartOfA<T>> a_parts;
    for (const OuterPart& part : parts) {
        a_parts.push_back({a_first + part.first, part.end - part.first, {}, {}});
        for (std::size_t i = 0; i < products.size(); ++i)
            if (part.seen[i]) a_parts.back().out[i] = products[i].out.data() + part.first * operands[i].columns;
        a_parts.back().sums[shape.rows % 2] = sums.data() + part.first;
    }
    const Guarded<T> scratch(fusedrnn::outer_scratch(operands.data(), static_cast<int>(operands.size())));
    isa::Outer<T>::run({shape.rows, a_rows.data(), a_parts.data(), static_cast<int>(a_parts.size()), operands.data(),
                        static_cast<int>(operands.size()), scratch.data()});

    const auto part_of = [&](Index m) {
        for (const OuterPart& part : parts)
            if (m >= part.first && m < part.end) return part;
        return OuterPart{};
    };
    for (std::size_t i = 0; i < products.size(); ++i) {
        const OuterProduct<T>& product = products[i];
        const Index columns = operands[i].columns;
        for (Index m = 0; m < shape.count; ++m)
            for (Index n = 0; n < columns; ++n) {
                const T was = product.before[static_cast<std::size_t>(m * columns + n)];
                T want = was;
                if (part_of(m).seen[i])
                    want = expected_block_sums(
                        numbers, was, shape.rows, [&](Index row) { return a_at(row, m); },
                        [&](Index row) { return product.b[static_cast<std::size_t>(row)][n]; });
                const T got = product.out[m * columns + n];
                checks.check(
                    same(got, want),
                    "Outer<%s> %td rows, %td x %td in %zu parts, operand %zu, %s numbers: [%td][%td] is %a, expected %a",
                    type_name<T>, shape.rows, shape.count, columns, parts.size(), i, name_of(numbers), m, n,
                    double(got), double(want));
            }
        checks.check(product.out.intact(), "Outer<%s> wrote before product %zu", type_name<T>, i);
    }
    for (Index m = 0; m < shape.count; ++m) {
        T want = sums_before[static_cast<std::size_t>(m)];
        if (part_of(m).end > 0)
            want = expected_block_sums(
                numbers, want, shape.rows, [&](Index row) { return a_at(row, m); }, [](Index) { return T(1); });
        checks.check(same(sums[m], want),
                     "Outer<%s> %td rows, %td in %zu parts, %s numbers: sum [%td] is %a, expected %a", type_name<T>,
                     shape.rows, shape.count, parts.size(), name_of(numbers), m, double(sums[m]), double(want));
    }
    checks.check(sums.intact(), "Outer<%s> wrote before its sums", type_name<T>);
    checks.check(scratch.intact(), "Outer<%s> wrote before its scratch", type_name<T>);
}

template <class T>
void test_outer_shapes(Checks& checks) {
    constexpr Index block = fusedrnn::reduction_block;
    std::vector<OuterShape> shapes = {{0, 3, 5}, {1, 1, 1}};
    for (Index count : {1, 2, 3, 4, 5, 6, 7, 13})
        for (Index columns : {1, 15, 16, 17, 31, 65, 97}) shapes.push_back({13, count, columns});
    for (Index rows : {block - 1, block, block + 1, 2 * block + 1}) shapes.push_back({rows, 7, 17});
    shapes.push_back({block, fusedrnn::outer_chunk<T> - 1, 3});  // the scratch is full, in uneven tiles
    shapes.push_back({9, fusedrnn::outer_chunk<T> + 14, 33});
    constexpr Index at_once =
        fusedrnn::tuning::outer_panels * fusedrnn::tuning::outer_panel_blocks * fusedrnn::unit_block<T>;
    for (Index columns : {at_once - 1, at_once, at_once + 1, 2 * at_once}) shapes.push_back({9, 7, columns});
    for (const OuterShape& shape : shapes)
        for (Numbers numbers : both_numbers) {
            const Index count = shape.count;
            test_outer<T>(checks, shape, numbers, {{0, count, {true, true}}});
            if (count < 6) continue;
            test_outer<T>(checks, shape, numbers, {{1, count - 1, {true, true}}});
            const OuterPart last = {count - 1, count, {false, true}};
            test_outer<T>(checks, shape, numbers, {{0, 2, {true, false}}, {2, count - 1, {true, true}}, last});
            test_outer<T>(checks, shape, numbers,
                          {{0, 1, {false, true}}, {3, 3, {true, true}}, {4, count, {true, false}}});
        }
}

[[gnu::noinline]] int run() {
    Checks checks;
    test_outer_shapes<float>(checks);
    test_outer_shapes<double>(checks);
    return checks.finish();
}

}  // namespace

int main() { return fusedrnn_test::cpu_has_compiled_isa() ? run() : fusedrnn_test::skipped; }
