// Products of several rows with micro-panels that lie one after the other: for vectors shorter than a cache line.
//
// A tile of 6 rows takes one cache line of columns at a time. So whole lines are used as they come, and the traffic of
// the weights is half that of 3 rows times two lines. All rows pass over a k-block of a micro-panel while it is in the
// L1 cache. Of large weights each tile prefetches a part of the next k-block meanwhile: what lies in the L3 cache or in
// memory arrives while there is arithmetic to do. Sums wait in memory between k-blocks and go on from there, so that
// every sum has the bits of one pass.
#pragma once

#include "gemm/tile.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

template <class T>
struct MicroPanels {
    using V = Vec<T>;
    static constexpr Index line = unit_block<T>;
    static constexpr Index tile_vectors =
        vectors_per_block<T> < tuning::micro_panel_vectors ? vectors_per_block<T> : tuning::micro_panel_vectors;
    static constexpr Index max_rows = tuning::micro_panel_rows;
    static constexpr Index k_block = tuning::micro_panel_k_block;
    static constexpr Index max_panels = tuning::micro_panels_at_once;
    static constexpr int k_per_prefetch = tuning::k_per_prefetch;
    static constexpr Index width = max_panels * line;
    static_assert(k_block >= gradient_chain);

    // True if a walk through weights of so many elements gains by prefetching the next k-block. One tile of rows reads
    // them in order, which the hardware prefetcher follows. With more tiles, weights in the L2 cache or in a near part
    // of the L3 cache arrive in time anyway, and a prefetched k-block only takes the room of the one in use. The more
    // tiles there are, the fewer are the prefetches of each.
    FUSEDRNN_INLINE static bool worth_prefetching(Index rows, Index elements) {
        const Index tiles = ceil_div(rows, Blocking<T>::max_rows), bytes = elements * static_cast<Index>(sizeof(T));
        return tiles > 1 && bytes >= (tiles == 2 ? tuning::prefetch_bytes_of_two_tiles : tuning::prefetch_bytes);
    }

    // Edge: the last micro-panel of a matrix holds no more columns than half a line. Only that half is computed.
    FUSEDRNN_INLINE static bool is_edge(Index columns) { return columns <= line / 2; }

    // Few rows, and edge tiles, need two micro-panels at once for enough sums in flight, if the registers suffice.
    FUSEDRNN_INLINE static Index panels_at_once(Index rows, bool edge) {
        return edge || (rows <= few_rows && Blocking<T>::max_rows > few_rows) ? max_panels : 1;
    }

    // The micro-panels that are multiplied with at a time, and whether only the first half of their lines is.
    struct Extent {
        Index panels;
        bool edge;
    };

    // Rows of a, k contiguous, times micro-panels.
    struct Product {
        const T* const* a;
        const T* panel;  // the first micro-panel, at this product's first k
        Index depth;
        Index panel_stride;   // from one micro-panel to the next
        const T* prefetched;  // `depth` lines to prefetch meanwhile; null: none
    };

    // Row r's sums with micro-panel s are one line, which begins at first + r * row_stride + s * panel_stride.
    template <class Element>
    struct Lines {
        Element* first;
        Index row_stride;
        Index panel_stride = line;
    };

    struct Sums {
        Lines<const T> begin;
        Lines<T> out;
    };

    struct NoTilePrefetch {
        FUSEDRNN_INLINE void operator()(Index, Index) const {}
    };

    // The rows, no more than max_rows, times the micro-panels, product after product. prefetch(first, count) is called
    // before the first sums of each tile, with its rows: to prefetch, a few lines at a time, what will be needed once
    // the sums are done.
    //
    // The caller builds products and sums in the call itself. A copy would load two freshly stored 8-byte words with
    // one 16-byte load. Store forwarding fails then, and the tile waits for both stores to leave the store buffer.
    template <Index Products, class TilePrefetch = NoTilePrefetch>
    FUSEDRNN_INLINE static void multiply(Index rows, Extent extent, const Product (&products)[Products],
                                         const Sums& sums, const TilePrefetch& prefetch = {}) {
        Index depth = 0;
        for (const Product& product : products) depth += product.depth;
        if (depth <= k_block)
            tiles(rows, extent, products, sums, prefetch);
        else
            k_blocks(rows, extent, products, sums, prefetch);
    }

    // One product as a chain of its own: the sums start from zero.
    template <class TilePrefetch = NoTilePrefetch>
    FUSEDRNN_INLINE static void multiply_from_zero(Index rows, Extent extent, const Product (&product)[1], T* out,
                                                   Index out_stride, const TilePrefetch& prefetch = {}) {
        alignas(cache_line) static constexpr T zeros[width] = {};
        multiply(rows, extent, product, {{zeros, 0}, {out, out_stride}}, prefetch);
    }

private:
    template <Index Products, class TilePrefetch>
    static void k_blocks(Index rows, Extent extent, const Product (&products)[Products], Sums sums,
                         const TilePrefetch& prefetch) {
        bool begun = false;
        for (const Product& product : products)
            for (Index k = 0, end; k < product.depth; k = end) {
                end = end_of_k_block(k, product.depth, k_block);
                const T* a[max_rows];
                for (Index r = 0; r < rows; ++r) a[r] = product.a[r] + k;
                const T* panel = product.panel + k * line;
                const bool last = end == product.depth || !product.prefetched;
                const Product one[] = {
                    {a, panel, end - k, product.panel_stride, last ? product.prefetched : product.panel + end * line}};
                if (begun)
                    tiles(rows, extent, one, sums, NoTilePrefetch{});
                else
                    tiles(rows, extent, one, sums, prefetch);
                begun = true;
                sums.begin = {sums.out.first, sums.out.row_stride, sums.out.panel_stride};
            }
    }

    template <Index Products, class TilePrefetch>
    static void tiles(Index rows, Extent extent, const Product (&products)[Products], const Sums& sums,
                      const TilePrefetch& prefetch) {
        constexpr Index max_tile_rows = Blocking<T>::max_rows;
        if constexpr (max_tile_rows > few_rows)
            if (extent.panels == 2 && !extent.edge) {  // few rows, one tile
                prefetch(0, rows);
                return with_constant<few_rows>(
                    rows, [&](auto n) FUSEDRNN_LAMBDA { full_tiles<n.value, 2>(products, 0, sums, line); });
            }
        const Index quota = ceil_div(line, ceil_div(rows, max_tile_rows));
        for_each_row_tile(rows, max_tile_rows, [&](Index first, Index count) FUSEDRNN_LAMBDA {
            prefetch(first, count);
            if (extent.edge) return edge_tiles(extent.panels, count, products, first, sums, quota);
            with_constant<max_tile_rows>(
                count, [&](auto n) FUSEDRNN_LAMBDA { full_tiles<n.value, 1>(products, first, sums, quota); });
        });
    }

    // Whole lines, which may be more vectors than a tile takes.
    template <int MR, int Count, Index Products>
    FUSEDRNN_INLINE static void full_tiles(const Product (&products)[Products], Index first, const Sums& sums,
                                           Index quota) {
        for (Index within = 0; within < line; within += tile_vectors * V::width)
            tile<MR, Count, tile_vectors>(products, first, within, sums, quota);
    }

    template <Index Products>
    static void edge_tiles(Index panels, Index rows, const Product (&products)[Products], Index first, const Sums& sums,
                           Index quota) {
        constexpr Index half = line / 2, vectors = half / V::width < tile_vectors ? half / V::width : tile_vectors;
        with_constant<Blocking<T>::max_rows>(rows, [&](auto n) FUSEDRNN_LAMBDA {
            for (Index within = 0; within < half; within += vectors * V::width)
                if (panels == 2)
                    tile<n.value, 2, vectors>(products, first, within, sums, quota);
                else
                    tile<n.value, 1, vectors>(products, first, within, sums, quota);
        });
    }

    // `quota`: for every k, the elements of a line of the next k-block that this tile prefetches. Without anything to
    // prefetch it asks for one line at hand again and again: that costs nothing, and a second loop would cost code.
    //
    // The tile is a function of its own. So its loops keep in registers what they need, and the binary has it once,
    // whatever prefetch() does.
    template <int MR, int Count, int Vectors, Index Products>
    [[gnu::noinline]] static void tile(const Product (&products)[Products], Index first, Index within, const Sums& sums,
                                       Index quota) {
        constexpr int columns = Count * Vectors;
        // An unrolled loop would spill where the registers are full. So few rows have nothing to prefetch anyway.
        constexpr Index unroll = fills_registers<MR, columns> ? 1 : k_per_prefetch;
        static_assert(unroll > 1 || MR <= few_rows);
        const auto offset = [](int j, Index panel_stride)
                                FUSEDRNN_LAMBDA { return j / Vectors * panel_stride + j % Vectors * V::width; };
        const T* begin = sums.begin.first + first * sums.begin.row_stride + within;
        V sum[MR][columns];
#pragma GCC unroll 8
        for (int r = 0; r < MR; ++r, begin += sums.begin.row_stride)
#pragma GCC unroll 8
            for (int j = 0; j < columns; ++j) sum[r][j] = V::load(begin + offset(j, sums.begin.panel_stride));
#pragma GCC unroll 2
        for (const Product& product : products) {
            Rows<T> a;
            for (int r = 0; r < MR; ++r) a.pointer[r] = product.a[first + r];
            const Index stride = product.panel_stride;
            const T* prefetched =
                product.prefetched ? product.prefetched + first / MR * (product.depth * quota) : product.panel;
            const Index step = product.prefetched ? k_per_prefetch * quota : 0;
            accumulate<V, MR, columns, unroll>(
                sum, a, product.panel + within, product.depth, line,
                [stride, offset](int j) FUSEDRNN_LAMBDA { return offset(j, stride); }, SameAccumulator{},
                [&prefetched, step]() FUSEDRNN_LAMBDA {
                    __builtin_prefetch(prefetched);
                    prefetched += step;
                });
        }
        const Lines<T> to = sums.out;
        T* out = to.first + first * to.row_stride + within;
#pragma GCC unroll 8
        for (int r = 0; r < MR; ++r, out += to.row_stride)
#pragma GCC unroll 8
            for (int j = 0; j < columns; ++j) sum[r][j].store(out + offset(j, to.panel_stride));
    }
};

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
