// Products of several rows with slices, for vectors narrower than a cache line. A tile of 6 rows takes one cache line
// of columns at a time: whole lines are used as they come, and the panel's traffic is half that of 3 rows times two
// lines. All rows pass over a k-block of a slice while it is in the L1 cache. Of large panels they fetch the next
// k-block meanwhile, each tile its share, so that what lies in the L3 cache or in memory arrives while there is
// arithmetic to do. Sums wait in memory between k-blocks and go on from there: the chain, and so every bit, is that of
// one pass.
#pragma once

#include "gemm/tile.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

template <class T>
struct Slices {
    using V = Vec<T>;
    static constexpr Index line = unit_block<T>;
    static constexpr Index tile_vectors = vectors_per_block<T> < 4 ? vectors_per_block<T> : 4;  // of one slice
    static constexpr Index max_rows = 48;    // whose sums share the L1 cache with the k-block
    static constexpr Index k_block = 512;    // k: 32 KB of a slice
    static constexpr Index max_at_once = 2;  // slices
    static constexpr int rows_of_k = 2;      // from one fetch to the next: a line, where there are two tiles of rows
    static constexpr Index width = max_at_once * line;
    static_assert(k_block >= gradient_chain);

    // Whether a walk through panels of so many elements gains by fetching the next k-block. One tile of rows reads them
    // as they lie, which the processor fetches by itself. With more, what lies in L2 or early in L3 comes in time too,
    // and a fetched k-block only takes the room of the one in use; the more tiles, the rarer are the fetches. (Measured
    // on Zen 3.)
    FUSEDRNN_INLINE static bool worth_fetching(Index rows, Index elements) {
        const Index tiles = ceil_div(rows, Blocking<T>::max_rows), bytes = elements * static_cast<Index>(sizeof(T));
        return tiles > 1 && bytes >= (tiles == 2 ? Index{4} << 20 : Index{2} << 20);
    }

    // The last slice of a matrix may hold no more columns than half a line.
    FUSEDRNN_INLINE static bool is_half(Index columns) { return columns <= line / 2; }

    // Few rows, and half lines, need two slices at once for enough sums in flight; where the registers suffice.
    FUSEDRNN_INLINE static Index at_once(Index rows, bool half) {
        return half || (rows <= few_rows && Blocking<T>::max_rows > few_rows) ? max_at_once : 1;
    }

    // What is multiplied with at a time: neighbouring slices, the whole or the first half of their lines.
    struct Extent {
        Index slices;
        bool half;
    };

    // Rows, k contiguous, times neighbouring slices.
    struct Product {
        const T* const* rows;
        const T* slice;  // at this product's first k
        Index depth;
        Index stride;   // from one slice to the next
        const T* next;  // what to fetch meanwhile: `depth` lines; null: nothing
    };

    // Where row r's sums with slice s are, one line: from first + r * row_stride + s * slice_stride on.
    template <class Element>
    struct Lines {
        Element* first;
        Index row_stride;
        Index slice_stride = line;
    };

    struct Sums {
        Lines<const T> begin;
        Lines<T> out;
    };

    struct Nothing {
        FUSEDRNN_INLINE void operator()(Index, Index) const {}
    };

    // The rows, no more than max_rows, times a part of the panels, product after product. ahead(first, count) is called
    // before each tile's first sums are begun: to fetch, a few lines at a time, what will be needed once the sums are
    // done. Products and sums are to be made in the call: one store a word, read word by word. Copied, they would be
    // read by vectors of two words, which must wait until both stores have left the store buffer.
    template <Index Products, class Ahead = Nothing>
    FUSEDRNN_INLINE static void multiply(Index rows, Extent extent, const Product (&products)[Products],
                                         const Sums& sums, const Ahead& ahead = {}) {
        Index depth = 0;
        for (const Product& product : products) depth += product.depth;
        if (depth <= k_block)
            tiles(rows, extent, products, sums, ahead);
        else
            k_blocks(rows, extent, products, sums, ahead);
    }

    // One product as a chain of its own: the sums start from zero.
    template <class Ahead = Nothing>
    FUSEDRNN_INLINE static void multiply_from_zero(Index rows, Extent extent, const Product (&product)[1], T* out,
                                                   Index out_stride, const Ahead& ahead = {}) {
        alignas(cache_line) static constexpr T zeros[width] = {};
        multiply(rows, extent, product, {{zeros, 0}, {out, out_stride}}, ahead);
    }

private:
    template <Index Products, class Ahead>
    static void k_blocks(Index rows, Extent extent, const Product (&products)[Products], Sums sums,
                         const Ahead& ahead) {
        bool begun = false;
        for (const Product& product : products)
            for (Index k = 0; k < product.depth; k += k_block) {
                const Index now = product.depth - k < k_block ? product.depth - k : k_block;
                const T* left[max_rows];
                for (Index r = 0; r < rows; ++r) left[r] = product.rows[r] + k;
                const T* slice = product.slice + k * line;
                const bool last = k + now >= product.depth || !product.next;
                const Product one[] = {{left, slice, now, product.stride, last ? product.next : slice + now * line}};
                if (begun)
                    tiles(rows, extent, one, sums, Nothing{});
                else
                    tiles(rows, extent, one, sums, ahead);
                begun = true;
                sums.begin = {sums.out.first, sums.out.row_stride, sums.out.slice_stride};
            }
    }

    template <Index Products, class Ahead>
    static void tiles(Index rows, Extent extent, const Product (&products)[Products], const Sums& sums,
                      const Ahead& ahead) {
        constexpr Index max_tile_rows = Blocking<T>::max_rows;
        if constexpr (max_tile_rows > few_rows)
            if (extent.slices == 2 && !extent.half) {  // few rows, one tile
                ahead(0, rows);
                return with_constant<few_rows>(
                    rows, [&](auto n) FUSEDRNN_LAMBDA { along_line<n.value, 2>(products, 0, sums, line); });
            }
        const Index quota = ceil_div(line, ceil_div(rows, max_tile_rows));
        for_each_row_tile(rows, max_tile_rows, [&](Index first, Index count) FUSEDRNN_LAMBDA {
            ahead(first, count);
            if (extent.half) return half_lines(extent.slices, count, products, first, sums, quota);
            with_constant<max_tile_rows>(
                count, [&](auto n) FUSEDRNN_LAMBDA { along_line<n.value, 1>(products, first, sums, quota); });
        });
    }

    // Whole slices, whose lines may be more vectors than a tile takes.
    template <int MR, int Count, Index Products>
    FUSEDRNN_INLINE static void along_line(const Product (&products)[Products], Index first, const Sums& sums,
                                           Index quota) {
        for (Index within = 0; within < line; within += tile_vectors * V::width)
            tile<MR, Count, tile_vectors>(products, first, within, sums, quota);
    }

    template <Index Products>
    static void half_lines(Index slices, Index rows, const Product (&products)[Products], Index first, const Sums& sums,
                           Index quota) {
        constexpr Index half = line / 2, vectors = half / V::width < tile_vectors ? half / V::width : tile_vectors;
        with_constant<Blocking<T>::max_rows>(rows, [&](auto n) FUSEDRNN_LAMBDA {
            for (Index within = 0; within < half; within += vectors * V::width)
                if (slices == 2)
                    tile<n.value, 2, vectors>(products, first, within, sums, quota);
                else
                    tile<n.value, 1, vectors>(products, first, within, sums, quota);
        });
    }

    // `quota`: elements of a line of the next k-block for this tile to fetch, for every k. Where there is nothing to
    // fetch it fetches one line at hand again and again: that costs nothing, and a second loop would cost code. A
    // function of its own: what its loops need stays in registers, and it is in the binary once, whatever is fetched
    // ahead.
    template <int MR, int Count, int Vectors, Index Products>
    [[gnu::noinline]] static void tile(const Product (&products)[Products], Index first, Index within, const Sums& sums,
                                       Index quota) {
        constexpr int columns = Count * Vectors;
        // An unrolled loop would spill where the registers are full. So few rows have nothing to fetch anyway.
        constexpr Index unroll = fills_registers<MR, columns> ? 1 : rows_of_k;
        static_assert(unroll > 1 || MR <= few_rows);
        const auto offset = [](int j, Index slice)
                                FUSEDRNN_LAMBDA { return j / Vectors * slice + j % Vectors * V::width; };
        const T* begin = sums.begin.first + first * sums.begin.row_stride + within;
        V sum[MR][columns];
#pragma GCC unroll 8
        for (int r = 0; r < MR; ++r, begin += sums.begin.row_stride)
#pragma GCC unroll 8
            for (int j = 0; j < columns; ++j) sum[r][j] = V::load(begin + offset(j, sums.begin.slice_stride));
#pragma GCC unroll 2
        for (const Product& product : products) {
            Rows<T> a;
            for (int r = 0; r < MR; ++r) a.pointer[r] = product.rows[first + r];
            const Index stride = product.stride;
            const T* next = product.next ? product.next + first / MR * (product.depth * quota) : product.slice;
            const Index ahead = product.next ? rows_of_k * quota : 0;
            accumulate<V, MR, columns, unroll>(
                sum, a, product.slice + within, product.depth, line,
                [stride, offset](int j) FUSEDRNN_LAMBDA { return offset(j, stride); }, SameAccumulator{},
                [&next, ahead]() FUSEDRNN_LAMBDA {
                    __builtin_prefetch(next);
                    next += ahead;
                });
        }
        const Lines<T> to = sums.out;
        T* out = to.first + first * to.row_stride + within;
#pragma GCC unroll 8
        for (int r = 0; r < MR; ++r, out += to.row_stride)
#pragma GCC unroll 8
            for (int j = 0; j < columns; ++j) sum[r][j].store(out + offset(j, to.slice_stride));
    }
};

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
